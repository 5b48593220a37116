"""What follows from the evidence of an experiment: go on, promote, stop for harm, or give up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from nudge_sync.experiment.evidence.credit import SessionCredits
from nudge_sync.experiment.evidence.effect import (
    Effect,
    Observations,
    measure_effect,
    observe_interleaved,
    observe_split,
)
from nudge_sync.experiment.evidence.sample_ratio import SampleRatio, check_sample_ratio
from nudge_sync.settings.canary import CanarySettings

Verdict: TypeAlias = Literal["continue", "promote", "harm", "inconclusive", "paused"]
SILENCE = 86_400.0
"""Seconds without a click after which data count as missing."""
SECONDS_PER_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the log of an experiment says, at one time."""

    sessions: int
    """Sessions that are over and count."""
    effect: Effect
    unmoved: Effect
    """The guardrail: the effect where clicks on documents that move count less. Negative also where
    clicks are traded one for one."""
    sample_ratio: SampleRatio
    left_out: dict[str, int] = field(default_factory=dict)
    newest_click: float = 0.0
    """Seconds since 1970; 0 if there is none."""

    def summary(self) -> dict[str, Any]:
        """Return the fields that reports show."""
        return {
            "sessions": self.sessions,
            "effect": self.effect.summary(),
            "unmoved": self.unmoved.summary(),
            "sample_ratio": self.sample_ratio.summary(),
            "left_out": self.left_out,
        }


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict, and the sentence that says why."""

    verdict: Verdict
    reason: str
    evidence: Evidence | None
    """None where the log could not be read."""

    def summary(self) -> dict[str, Any]:
        """Return the fields that reports show."""
        evidence = self.evidence.summary() if self.evidence else {}
        return {"verdict": self.verdict, "reason": self.reason, **evidence}


def weigh_evidence(
    credits_: SessionCredits, settings: CanarySettings, treatment_share: float
) -> Evidence:
    """Return the evidence of the sessions so far.

    treatment_share: the share of the sessions that got the treatment, where they are split: that of
    a canary, and 1 less that of a holdback, whose treatment is the collection.
    Half of alpha goes to "better", a quarter each to "worse" and to the guardrail's "worse"; so all
    wrong conclusions together, where the arms do not differ, have a chance of alpha at most. Arms
    do not differ where both list the same, or where as many clicks go to moved documents in either.
    Where the treatment wins clicks on moved documents and loses as many on others, the guardrail is
    negative, and its "worse" is no wrong conclusion.
    """
    share = 0.5 if credits_.interleaved else treatment_share
    better, worse = settings.alpha / 2, settings.alpha / 4
    effect, unmoved = (
        measure_effect(observations, alpha_low=better, alpha_high=worse)
        for observations in _observe(credits_, share)
    )
    return Evidence(
        sessions=len(credits_),
        effect=effect,
        unmoved=unmoved,
        sample_ratio=check_sample_ratio(credits_.assignments, share),
        left_out=credits_.left_out,
        newest_click=credits_.newest_click,
    )


def _observe(credits_: SessionCredits, share: float) -> list[Observations]:
    both = (credits_.credit, credits_.unmoved_credit)
    if credits_.interleaved:
        return [observe_interleaved(credit) for credit in both]
    return [observe_split(credit, credits_.is_treatment, share) for credit in both]


def decide(
    evidence: Evidence | None, settings: CanarySettings, *, started: float, now: float
) -> Decision:
    """Return what to do with a canary that began at `started`, in seconds since 1970.

    evidence: None where the log cannot be read.
    A canary that did not conclude within `max_days` ends as inconclusive, whatever held it up.
    """
    decision = _find_trouble(evidence, settings, started, now) or _find_success(evidence, settings)
    is_over = now - started >= settings.max_days * SECONDS_PER_DAY
    if is_over and decision.verdict in {"continue", "paused"}:
        reason = f"no conclusion after {settings.max_days:g} days: {decision.reason}"
        return Decision("inconclusive", reason, evidence)
    return decision


def decide_holdback(
    evidence: Evidence | None, settings: CanarySettings, *, started: float, now: float
) -> Decision:
    """Return what to do with a revision that is watched, whose treatment is what was written.

    The evidence is that since `started`. A sequence that saw much good is slow to believe in harm:
    begin anew every `max_days`; each time anew, a harmless revision is taken for harmful with a
    chance of alpha / 2 at most.
    """
    trouble = _find_trouble(evidence, settings, started, now)
    return trouble or Decision("continue", "no sign of harm", evidence)


def _find_trouble(
    evidence: Evidence | None, settings: CanarySettings, started: float, now: float
) -> Decision | None:
    if evidence is None:
        return Decision("paused", "the log of searches and clicks cannot be read", None)
    ratio = evidence.sample_ratio
    if ratio.mismatch:
        reason = (
            f"{ratio.treatment} of {ratio.total} assignments went to the treatment, which is not "
            f"the share of {ratio.expected:g} that was set: sessions get lost in one of the arms"
        )
        return Decision("paused", reason, evidence)
    for effect, what in (
        (evidence.effect, settings.metric),
        (evidence.unmoved, _describe_guardrail(settings)),
    ):
        if effect.high < -settings.harm:
            reason = f"{what}: surely worse, by {-effect.high:.3g} at least"
            return Decision("harm", reason, evidence)
    if now - max(started, evidence.newest_click) > SILENCE:
        return Decision("paused", "nobody clicked for a day: is the log complete?", evidence)
    return None


def _describe_guardrail(settings: CanarySettings) -> str:
    return (
        f"the guardrail, {settings.metric} with a click worth {1 / settings.unmoved_weight:.3g} on "
        "documents that move and 1 on others"
    )


def _find_success(evidence: Evidence | None, settings: CanarySettings) -> Decision:
    if evidence is None or evidence.effect.low <= 0:
        return Decision("continue", "not sure of any difference yet", evidence)
    if evidence.sessions < settings.min_sessions:
        reason = f"better, but by {evidence.sessions} of {settings.min_sessions} sessions only"
        return Decision("continue", reason, evidence)
    if evidence.unmoved.estimate < 0:
        reason = f"better, but not by {_describe_guardrail(settings)}"
        return Decision("continue", reason, evidence)
    reason = f"{settings.metric}: surely better, by {evidence.effect.low:.3g} at least"
    return Decision("promote", reason, evidence)
