"""What a line of a plan file may say: each field's type, range and size. See docs/plan-file.md."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Literal, Self, TypeVar

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from nudge_sync.connector import Float32
from nudge_sync.errors import InputError
from nudge_sync.metrics import MetricName
from nudge_sync.planning.fifths import FIFTH_COUNT
from nudge_sync.planning.gate import Gate
from nudge_sync.planning.plan import ColdFigures, GainFigures, PlanFigures, RecallFigures
from nudge_sync.store.schema import Count, Digest

PLAN_FORMAT = "nudge-sync plan 4"
READABLE_FORMATS = ("nudge-sync plan 1", "nudge-sync plan 2", "nudge-sync plan 3", PLAN_FORMAT)
"""Format 1 has no `cold`, neither it nor format 2 has `index_recall`, and none before format 4 has
`fifths` in its `gate`."""
_FIRST_FORMATS = {"cold": 2, "index_recall": 3}
"""The format that each of the later fields came with."""
_FIRST_FORMAT_WITH_FIFTHS = 4
MAX_PLAN_ROWS = 20_000_000
MAX_HEADER_BYTES = 64 * 2**20
"""Room for the ids of a million drifted points."""
MAX_ROW_BYTES = 2**20
MAX_DIMENSION = 65_536
"""More than any of the databases takes."""
_INT64_LIMIT = 2**63
_FLOAT32_BYTES = 4
_MAX_NAMED_ERRORS = 5
"""Mistakes that a message names at most."""

LineModel = TypeVar("LineModel", bound=BaseModel)


def encode_row_vector(vector: Float32) -> str:
    """Return a vector (d,) as it stands in a row: base64 of little-endian float32."""
    return base64.b64encode(np.ascontiguousarray(vector, "<f4").tobytes()).decode("ascii")


def _decode_row_vector(text: Any) -> bytes:
    if not isinstance(text, str):
        raise ValueError("expected base64 text")  # noqa: TRY004 - pydantic's own way
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None
    if not 1 <= len(content) / _FLOAT32_BYTES <= MAX_DIMENSION or len(content) % _FLOAT32_BYTES:
        raise ValueError(f"not 1 to {MAX_DIMENSION} float32 numbers")
    return content


FiniteNumber = Annotated[float, Field(allow_inf_nan=False)]
Angle = Annotated[float, Field(ge=0, le=3.15, allow_inf_nan=False)]
ShortText = Annotated[str, Field(min_length=1, max_length=1024)]
Word = Annotated[str, Field(pattern=r"\A[a-z0-9@_.-]{1,64}\z")]
Sentence = Annotated[str, Field(max_length=4096)]
PlanPointId = (
    Annotated[int, Field(ge=-_INT64_LIMIT, lt=2 * _INT64_LIMIT)]
    | Annotated[str, Field(max_length=65_536)]
)
PlanPointIds = list[PlanPointId]
LENGTH_LIMIT = Field(max_length=1000)
MeanScores = Annotated[dict[MetricName, FiniteNumber], LENGTH_LIMIT]
VectorBytes = Annotated[bytes, BeforeValidator(_decode_row_vector)]


class _StrictModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class StoredGate(_StrictModel):
    """The header's `gate`."""

    passed: bool
    reasons: Annotated[list[Sentence], LENGTH_LIMIT]
    queries: Count
    gain: FiniteNumber
    interval: tuple[FiniteNumber, FiniteNumber] = Field(strict=False)
    fifths: Annotated[int, Field(ge=1, le=FIFTH_COUNT)] = 1

    def to_gate(self) -> Gate:
        """Return it as the program uses it."""
        return Gate(self.passed, self.reasons, self.queries, self.gain, self.interval, self.fifths)


class StoredGain(_StrictModel):
    """A mean gain with its interval, in the header's `cold`."""

    mean: FiniteNumber
    low: FiniteNumber | None
    high: FiniteNumber | None
    queries: Count

    def to_gain(self) -> GainFigures:
        """Return it as the program uses it."""
        return GainFigures(self.mean, self.low, self.high, self.queries)


class StoredCold(_StrictModel):
    """The header's `cold`."""

    share: Annotated[float, Field(ge=0, le=1)]
    source: Literal["log", "assumed", "settings"]
    warm: StoredGain | None
    cold: StoredGain | None

    def to_figures(self) -> ColdFigures:
        """Return it as the program uses it."""
        warm, cold = (None if gain is None else gain.to_gain() for gain in (self.warm, self.cold))
        return ColdFigures(self.share, self.source, warm, cold)


class StoredRecall(_StrictModel):
    """The header's `index_recall`."""

    share: Annotated[float, Field(ge=0, le=1)]
    queries: Count
    reference: Literal["exact", "wide"]
    warning: Sentence

    def to_figures(self) -> RecallFigures:
        """Return it as the program uses it."""
        return RecallFigures(self.share, self.queries, self.reference, self.warning)


class StoredFigures(_StrictModel):
    """What a plan file and the ledger keep of what a plan says about itself."""

    metric: MetricName
    method: Word
    parameters: Annotated[dict[Word, bool | int | FiniteNumber | ShortText | None], LENGTH_LIMIT]
    scores: Annotated[dict[ShortText, FiniteNumber], LENGTH_LIMIT]
    reasons: Annotated[list[Sentence], LENGTH_LIMIT]
    judged: Count
    queries: Annotated[dict[ShortText, Count], LENGTH_LIMIT]
    before: MeanScores
    after: MeanScores
    originals: MeanScores
    found: MeanScores
    gate: StoredGate
    cold: StoredCold | None = None
    index_recall: StoredRecall | None = None

    def to_figures(self) -> PlanFigures:
        """Return them as the program uses them, without the gate."""
        names = [field.name for field in fields(PlanFigures) if field.name not in _FIRST_FORMATS]
        return PlanFigures(
            **{name: getattr(self, name) for name in names},
            cold=None if self.cold is None else self.cold.to_figures(),
            index_recall=None if self.index_recall is None else self.index_recall.to_figures(),
        )


class PlanHeader(StoredFigures):
    """The first line."""

    format: Literal[
        "nudge-sync plan 1", "nudge-sync plan 2", "nudge-sync plan 3", "nudge-sync plan 4"
    ]
    rows: Annotated[int, Field(ge=0, le=MAX_PLAN_ROWS)]
    digest: Digest
    collection: ShortText
    head: Count
    feedback: Digest
    settings: Digest
    inputs: Digest
    drifted: PlanPointIds
    missing: PlanPointIds

    @model_validator(mode="after")
    def _check_later_fields(self) -> Self:
        number = READABLE_FORMATS.index(self.format) + 1
        later_fields = [
            *(
                (name, name in self.model_fields_set, first)
                for name, first in _FIRST_FORMATS.items()
            ),
            ("gate.fifths", "fifths" in self.gate.model_fields_set, _FIRST_FORMAT_WITH_FIFTHS),
        ]
        for name, is_there, first_format in later_fields:
            if is_there != (number >= first_format):
                since = READABLE_FORMATS[first_format - 1]
                raise ValueError(f"{name} has to stand in {since!r} and later, and nowhere else")
        return self


class PlanRow(_StrictModel):
    """Each line after it."""

    id: PlanPointId
    live: Digest
    angle: Angle
    vector: VectorBytes


def parse_stored_figures(stored_plan: Mapping[str, Any]) -> StoredFigures | None:
    """Return what the ledger keeps of a plan, or None where it cannot be shown again."""
    fields_kept = {name: stored_plan.get(name) for name in StoredFigures.model_fields}
    try:
        return StoredFigures.model_validate(fields_kept)
    except ValidationError:
        return None


def parse_plan_header(line: bytes) -> tuple[PlanHeader, dict[str, Any]]:
    """Return the header, and the content that its digest covers. Raises InputError."""
    content = _parse_object(line, 1)
    if content.get("format") not in READABLE_FORMATS:
        raise InputError("not a plan file; `nudge-sync plan --out FILE` writes one")
    header = _validate(PlanHeader, content, 1)
    return header, {
        name: content[name] for name in content if name not in {"format", "rows", "digest"}
    }


def parse_plan_row(line: bytes, line_number: int) -> PlanRow:
    """Return the row that line `line_number` of the file holds. Raises InputError."""
    return _validate(PlanRow, _parse_object(line, line_number), line_number)


def _parse_object(line: bytes, line_number: int) -> dict[str, Any]:
    try:
        content = json.loads(line.decode())
    except (ValueError, RecursionError):
        raise InputError(_describe_invalid_line(line_number)) from None
    if not isinstance(content, dict):
        raise InputError(_describe_invalid_line(line_number))
    return content


def _describe_invalid_line(line_number: int) -> str:
    if line_number == 1:
        return "not a plan file; `nudge-sync plan --out FILE` writes one"
    return f"line {line_number}: not a JSON object; plan again"


def _validate(model: type[LineModel], fields: dict[str, Any], line_number: int) -> LineModel:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        errors = error.errors(include_input=False, include_url=False, include_context=False)
        raise InputError(f"line {line_number}: {_format_errors(errors)}; plan again") from None


def _format_errors(errors: list[Any]) -> str:
    messages = [
        f"{'.'.join(str(part)[:80] for part in item['loc'])}: "
        f"{str(item['msg']).removeprefix('Value error, ')}"
        for item in errors[:_MAX_NAMED_ERRORS]
    ]
    return "; ".join([*messages, *(["..."] if len(errors) > _MAX_NAMED_ERRORS else [])])
