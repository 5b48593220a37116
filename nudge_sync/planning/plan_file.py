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
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from nudge_sync.connector import CollectionFacts, Float32, PointId
from nudge_sync.connector.vectors import angles
from nudge_sync.errors import InputError
from nudge_sync.planning.plan import Plan, PlanInputs, PlanRows
from nudge_sync.planning.plan_file_schema import (
    MAX_HEADER_BYTES,
    MAX_PLAN_ROWS,
    MAX_ROW_BYTES,
    PLAN_FORMAT,
    PlanHeader,
    PlanRow,
    encode_row_vector,
    parse_plan_header,
    parse_plan_row,
)
from nudge_sync.store import checksum

_ANGLE_TOLERANCE = 1e-3
"""Radians that float32 may add to an angle."""


def save_plan(plan: Plan, path: Path) -> None:
    """Write the plan to `path`; a file that is there is replaced at once, whole.

    Raises InputError where the file cannot be written.
    """
    rows = [_format_row(plan.rows, row) for row in range(len(plan.rows))]
    header = _build_header(plan)
    header |= {"format": PLAN_FORMAT, "rows": len(rows), "digest": _digest_lines(header, rows)}
    temporary = path.with_name(path.name + ".part")
    try:
        temporary.write_text("\n".join([json.dumps(header), *rows]) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None


def load_plan(path: Path) -> Plan:
    """Return the plan in the file at `path`.

    Raises InputError where the file is not a whole plan, as `save_plan` writes it, or is larger
    than the format allows.
    """
    try:
        with path.open("rb") as file:
            return _read_plan(file)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path}: not a plan file: {reason}") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def refuse_mismatched_plan(plan: Plan, facts: CollectionFacts) -> None:
    """Raise InputError unless the plan's rows are ones that this collection can hold."""
    dimension = plan.rows.vectors.shape[1]
    if len(plan.rows) and dimension != facts.dimension:
        raise InputError(
            f'the plan\'s vectors have {dimension} numbers and those of "{facts.collection}" '
            f"{facts.dimension}; it is the plan of another collection"
        )


def refuse_excessive_angles(
    ids: Sequence[PointId], vectors: Float32, originals: Float32, max_angle: float
) -> None:
    """Raise InputError where a row (n, d) is turned further from its original than `max_angle`.

    max_angle: radians. A plan made by this program never goes further; one from a file may have
    been written by anybody.
    """
    plan_angles = angles(vectors, originals)
    if len(plan_angles) and plan_angles.max() > max_angle + _ANGLE_TOLERANCE:
        row = int(plan_angles.argmax())
        raise InputError(
            f"the plan turns point {ids[row]!r} by {plan_angles[row]:.3f} radians, and "
            f"solver.max_angle is {max_angle:.3f}; nothing was written"
        )


def _read_plan(file: BinaryIO) -> Plan:
    lines = _read_lines(file)
    header_line = next(lines, b"")
    header, header_fields = parse_plan_header(header_line)
    line_digest, rows = checksum.LineDigest(checksum.digest_json(header_fields)), []
    for line_number, line in enumerate(lines, 2):
        line_digest.add(line)
        rows.append(parse_plan_row(line, line_number))
    if header.rows != len(rows) or header.digest != line_digest.hexdigest():
        raise InputError("cut short or changed since it was written; plan again")
    return _build_plan(header, rows)


def _read_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines without their ends; raise InputError for too long a line, or too many."""
    for number in range(MAX_PLAN_ROWS + 2):
        limit = MAX_ROW_BYTES if number else MAX_HEADER_BYTES
        line = file.readline(limit + 1)
        if not line:
            return
        if len(line) > limit:
            raise InputError(f"line {number + 1} is longer than {limit} bytes")
        yield line.removesuffix(b"\n")
    raise InputError(f"more than {MAX_PLAN_ROWS} rows")


def _build_header(plan: Plan) -> dict[str, Any]:
    inputs = plan.inputs
    return {
        "collection": inputs.collection,
        "head": inputs.head,
        "feedback": inputs.feedback_digest,
        "settings": inputs.settings_digest,
        "inputs": plan.inputs_digest,
        **asdict(plan.figures),
        "gate": asdict(plan.gate),
        "drifted": plan.drifted,
        "missing": plan.missing,
    }


def _format_row(rows: PlanRows, row: int) -> str:
    return json.dumps(
        {
            "id": rows.ids[row],
            "live": rows.live_digests[row],
            "angle": rows.angles[row],
            "vector": encode_row_vector(rows.vectors[row]),
        }
    )


def _digest_lines(header: dict[str, Any], rows: list[str]) -> str:
    line_digest = checksum.LineDigest(checksum.digest_json(header))
    for row in rows:
        line_digest.add(row.encode())
    return line_digest.hexdigest()


def _build_plan(header: PlanHeader, rows: list[PlanRow]) -> Plan:
    ids: list[PointId] = [row.id for row in rows]
    if len(set(ids)) != len(ids):
        raise InputError("a point is named twice; plan again")
    return Plan(
        inputs=PlanInputs(header.collection, header.head, header.feedback, header.settings),
        inputs_digest=header.inputs,
        figures=header.to_figures(),
        gate=header.gate.to_gate(),
        rows=PlanRows(
            ids=ids,
            vectors=_stack_vectors(rows),
            live_digests=[row.live for row in rows],
            angles=[row.angle for row in rows],
        ),
        drifted=header.drifted,
        missing=header.missing,
    )


def _stack_vectors(rows: list[PlanRow]) -> Float32:
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
