"""What a line of a plan file may say: each field's type, range and size. See docs/plan-file.md."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from nudge_sync.config import MetricName
from nudge_sync.connector import Float32
from nudge_sync.errors import InputError

FORMAT = "nudge-sync plan 1"
MAX_ROWS = 20_000_000
HEADER_BYTES = 64 * 2**20
"""Room for the ids of a million drifted points."""
ROW_BYTES = 2**20
MAX_DIMENSION = 65_536
"""More than any of the databases takes."""
_MOST = 2**63
_FLOAT = 4
_ENOUGH = 5
"""Mistakes that a message names."""

Model = TypeVar("Model", bound=BaseModel)


def encoded(vector: Float32) -> str:
    """A vector (d,) as it stands in a row."""
    return base64.b64encode(np.ascontiguousarray(vector, "<f4").tobytes()).decode("ascii")


def _decoded(text: Any) -> bytes:
    if not isinstance(text, str):
        raise ValueError("expected base64 text")  # noqa: TRY004 - pydantic's own way
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None
    if not 1 <= len(content) / _FLOAT <= MAX_DIMENSION or len(content) % _FLOAT:
        raise ValueError(f"not 1 to {MAX_DIMENSION} float32 numbers")
    return content


Number = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, lt=_MOST)]
Angle = Annotated[float, Field(ge=0, le=3.15, allow_inf_nan=False)]
Digest = Annotated[str, Field(pattern=r"\A[0-9a-f]{32}\z")]
Name = Annotated[str, Field(min_length=1, max_length=1024)]
Word = Annotated[str, Field(pattern=r"\A[a-z0-9@_.-]{1,64}\z")]
Sentence = Annotated[str, Field(max_length=4096)]
Id = (
    Annotated[int, Field(ge=-_MOST, lt=2 * _MOST)]
    | Annotated[str, Field(min_length=1, max_length=65_536)]
)
Ids = list[Id]
Few = Field(max_length=1000)
Scores = Annotated[dict[MetricName, Number], Few]
Vector = Annotated[bytes, BeforeValidator(_decoded)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class GateLine(_Strict):
    """The header's `gate`."""

    passed: bool
    reasons: Annotated[list[Sentence], Few]
    queries: Count
    gain: Number
    interval: tuple[Number, Number] = Field(strict=False)


class Figures(_Strict):
    """What a plan says about itself; the ledger keeps it too."""

    metric: MetricName
    method: Word
    parameters: Annotated[dict[Word, bool | int | Number | Name | None], Few]
    scores: Annotated[dict[Name, Number], Few]
    reasons: Annotated[list[Sentence], Few]
    judged: Count
    queries: Annotated[dict[Name, Count], Few]
    before: Scores
    after: Scores
    originals: Scores
    found: Scores
    gate: GateLine


class Header(Figures):
    """The first line."""

    format: Literal["nudge-sync plan 1"]
    rows: Annotated[int, Field(ge=0, le=MAX_ROWS)]
    digest: Digest
    collection: Name
    head: Count
    feedback: Digest
    settings: Digest
    inputs: Digest
    drifted: Ids
    missing: Ids


class Row(_Strict):
    """Each line after it."""

    id: Id
    live: Digest
    angle: Angle
    vector: Vector


def has_figures(kept: Mapping[str, Any]) -> bool:
    """Whether what the ledger keeps of a plan can be shown again."""
    try:
        Figures.model_validate({name: kept.get(name) for name in Figures.model_fields})
    except ValidationError:
        return False
    return True


def header_of(line: bytes) -> tuple[Header, dict[str, Any]]:
    """The header, and what its digest is of. Raises InputError."""
    plain = _object(line, 1)
    if plain.get("format") != FORMAT:
        raise InputError("not a plan file; `nudge-sync plan --out FILE` writes one")
    header = _checked(Header, plain, 1)
    return header, {name: plain[name] for name in plain if name not in {"format", "rows", "digest"}}


def row_of(line: bytes, number: int) -> Row:
    """The row that line `number` of the file holds. Raises InputError."""
    return _checked(Row, _object(line, number), number)


def _object(line: bytes, number: int) -> dict[str, Any]:
    try:
        found = json.loads(line.decode())
    except (ValueError, RecursionError):
        raise InputError(_not_a_plan(number)) from None
    if not isinstance(found, dict):
        raise InputError(_not_a_plan(number))
    return found


def _not_a_plan(number: int) -> str:
    if number == 1:
        return "not a plan file; `nudge-sync plan --out FILE` writes one"
    return f"line {number}: not a JSON object; plan again"


def _checked(model: type[Model], found: dict[str, Any], number: int) -> Model:
    try:
        return model.model_validate(found)
    except ValidationError as error:
        items = error.errors(include_input=False, include_url=False, include_context=False)
        raise InputError(f"line {number}: {_mistakes(items)}; plan again") from None


def _mistakes(items: list[Any]) -> str:
    said = [
        f"{'.'.join(str(part)[:80] for part in item['loc'])}: "
        f"{str(item['msg']).removeprefix('Value error, ')}"
        for item in items[:_ENOUGH]
    ]
    return "; ".join([*said, *(["..."] if len(items) > _ENOUGH else [])])
