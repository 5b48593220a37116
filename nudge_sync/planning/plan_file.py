"""A plan on disk: JSON lines that a person can read and `apply` checks before it believes them.

docs/plan-file.md is the format. The first line is the header: everything `plan --json` says, what
the plan was made from, and a digest of all lines after it. Each further line is a point:

    {"id": 42, "live": "<digest of what it held>", "angle": 0.31, "vector": "<base64, float32>"}

Vectors are little-endian float32. Nothing in the file is executed, and a field that is not
described there is refused. The digest tells damage, not forgery: it is no signature.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from nudge_sync.connector import CollectionFacts, Float32, PointId
from nudge_sync.connector.vectors import angles
from nudge_sync.errors import InputError
from nudge_sync.planning.plan import Gate, Plan
from nudge_sync.planning.plan_file_schema import (
    FORMAT,
    HEADER_BYTES,
    MAX_ROWS,
    ROW_BYTES,
    Header,
    Row,
    encoded,
    header_of,
    row_of,
)
from nudge_sync.store import checksum

_ROUNDING = 1e-3
"""Radians that float32 may add to an angle."""
_ROWS = ("ids", "vectors", "live", "held", "angles")


def save(plan: Plan, path: Path) -> None:
    """Write the plan to `path`; a file that is there is replaced at once, whole.

    Raises InputError where the file cannot be written.
    """
    rows = [_row(plan, number) for number in range(plan.moved)]
    header = {name: value for name, value in _shallow(plan).items() if name not in _ROWS}
    header |= {"format": FORMAT, "rows": len(rows), "digest": _digest(header, rows)}
    temporary = path.with_name(path.name + ".part")
    try:
        temporary.write_text("\n".join([json.dumps(header), *rows]) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None


def load(path: Path) -> Plan:
    """The plan in the file at `path`.

    Raises InputError where the file is not a whole plan, as `save` wrote it, or is larger than
    the format allows.
    """
    try:
        with path.open("rb") as file:
            return _read(file)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path}: not a plan file: {reason}") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def refuse_unfit(plan: Plan, facts: CollectionFacts) -> None:
    """Raise InputError unless the plan's rows are ones that this collection can hold."""
    size = plan.vectors.shape[1]
    if plan.moved and size != facts.dimension:
        raise InputError(
            f'the plan\'s vectors have {size} numbers and those of "{facts.collection}" '
            f"{facts.dimension}; it is the plan of another collection"
        )


def refuse_turned(
    ids: Sequence[PointId], vectors: Float32, originals: Float32, most: float
) -> None:
    """Raise InputError where a row (n, d) is turned further from its original than `most` radians.

    A plan made here never is; one from a file may have been written by anybody.
    """
    turned = angles(vectors, originals)
    if len(turned) and turned.max() > most + _ROUNDING:
        row = int(turned.argmax())
        raise InputError(
            f"the plan turns point {ids[row]!r} by {turned[row]:.3f} radians, and solver.max_angle "
            f"is {most:.3f}; nothing was written"
        )


def _read(file: BinaryIO) -> Plan:
    lines = _lines(file)
    first = next(lines, b"")
    header, plain = header_of(first)
    seen, rows = checksum.Lines(checksum.of_document(plain)), []
    for number, line in enumerate(lines, 2):
        seen.add(line)
        rows.append(row_of(line, number))
    if header.rows != len(rows) or header.digest != seen.digest():
        raise InputError("cut short or changed since it was written; plan again")
    return _plan(header, rows)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines without their ends. Raises InputError for one that is too long, or too many."""
    for number in range(MAX_ROWS + 2):
        limit = ROW_BYTES if number else HEADER_BYTES
        line = file.readline(limit + 1)
        if not line:
            return
        if len(line) > limit:
            raise InputError(f"line {number + 1} is longer than {limit} bytes")
        yield line.removesuffix(b"\n")
    raise InputError(f"more than {MAX_ROWS} rows")


def _shallow(plan: Plan) -> dict[str, Any]:
    shallow = {field.name: getattr(plan, field.name) for field in fields(plan)}
    return {**shallow, "gate": asdict(plan.gate)}


def _row(plan: Plan, number: int) -> str:
    return json.dumps(
        {
            "id": plan.ids[number],
            "live": plan.live[number],
            "angle": plan.angles[number],
            "vector": encoded(plan.vectors[number]),
        }
    )


def _digest(header: dict[str, Any], rows: list[str]) -> str:
    lines = checksum.Lines(checksum.of_document(header))
    for row in rows:
        lines.add(row.encode())
    return lines.digest()


def _plan(header: Header, rows: list[Row]) -> Plan:
    ids: list[PointId] = [row.id for row in rows]
    if len(set(ids)) != len(ids):
        raise InputError("a point is named twice; plan again")
    stated = header.model_dump(exclude={"format", "rows", "digest"})
    return Plan(
        **{**stated, "gate": Gate(**{**stated["gate"], "interval": header.gate.interval})},
        ids=ids,
        vectors=_stacked(rows),
        live=[row.live for row in rows],
        angles=[row.angle for row in rows],
    )


def _stacked(rows: list[Row]) -> Float32:
    if not rows:
        return np.empty((0, 0), np.float32)
    vectors = [np.frombuffer(row.vector, "<f4") for row in rows]
    lengths = sorted({len(vector) for vector in vectors})
    if len(lengths) > 1:
        raise InputError(f"vectors of {lengths[0]} and of {lengths[1]} numbers; plan again")
    stacked = np.stack(vectors).astype(np.float32)
    if not np.isfinite(stacked).all():
        raise InputError("a vector is not finite; plan again")
    return stacked
