"""The table [canary]: how a plan is proven on live traffic."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from nudge_sync.base.times import parse_duration
from nudge_sync.connector.settings import Section


class CanarySettings(Section):
    """How a plan is proven on live traffic before it is written, and watched afterwards."""

    enabled: bool = True
    """Whether `serve` tries each plan in a canary before it writes it."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Share of the sessions that take part: with "split" those that get the plan's answers, with
    "interleave" those that get a list made of both."""
    mode: Literal["interleave", "split"] = "interleave"
    """Whether each list mixes the answers of both arms, or each session gets those of one."""
    unit: Literal["session", "client"] = "session"
    """What takes part: a visit, or whoever makes it, on all visits alike."""
    alpha: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    """The chance of any conclusion where the arms do not differ, however often it is looked at:
    half of it for "better", a quarter each for "worse" and "worse on documents that stay"."""
    min_sessions: Annotated[int, Field(ge=1)] = 200
    """Fewest sessions that a promotion rests on; harm is acted on before."""
    max_days: Annotated[float, Field(gt=0, le=3650)] = 14.0
    """Days after which a canary without a conclusion ends as inconclusive."""
    check_every: str = "5m"
    """How often `serve` looks at what was clicked, such as 30s, 5m or 1h."""
    retry_days: Annotated[float, Field(ge=0, le=3650)] = 7.0
    """Days after a canary that was not promoted before `serve` starts another one."""
    metric: Literal["clicks", "actions", "mrr"] = "clicks"
    """What a session is credited with: that it clicked, the heaviest action by the weights of
    `feedback.actions`, or the reciprocal rank of its first click."""
    harm: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Loss of the metric that is put up with: the canary stops as soon as it surely loses more."""
    unmoved_weight: Annotated[float, Field(ge=1, le=100)] = 2.0
    """What a click on a document that stays where it is counts for in the guardrail, against one on
    a document that moves: answers that nobody judged yet may be lost, but not one for one."""
    on_success: Literal["apply", "wait"] = "apply"
    """Whether a plan that proved better is written at once, or when somebody promotes it."""
    holdback_share: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Share of the sessions that keep the original vectors after the write; 0: none."""

    @field_validator("check_every")
    @classmethod
    def _check_duration(cls, duration: str) -> str:
        parse_duration(duration)
        return duration

    @model_validator(mode="after")
    def _check_share(self) -> Self:
        if self.mode == "split" and self.share == 1:
            raise ValueError('mode = "split" needs a share below 1: somebody has to be compared')
        return self
