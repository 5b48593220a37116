"""A plan on disk: JSON lines that a person can read and `apply` can check.

The first line is the header: everything `plan --json` says, what the plan was made from, and a
digest of all lines after it. Each further line is a point:

    {"id": 42, "live": "<digest of what it held>", "angle": 0.31, "vector": "<base64, float32>"}

Vectors are little-endian float32. Nothing in the file is executed.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from nudge_sync import digest
from nudge_sync.errors import InputError
from nudge_sync.plan import Gate, Plan

FORMAT = "nudge-sync plan 1"
_ROWS = ("ids", "vectors", "live", "angles")


def save(plan: Plan, path: Path) -> None:
    """Write the plan to `path`; a file that is there is replaced at once, whole."""
    rows = [_row(plan, number) for number in range(plan.moved)]
    header = {name: value for name, value in _shallow(plan).items() if name not in _ROWS}
    header |= {"format": FORMAT, "rows": len(rows), "digest": _digest(header, rows)}
    temporary = path.with_name(path.name + ".part")
    temporary.write_text("\n".join([json.dumps(header), *rows]) + "\n", encoding="utf-8")
    temporary.replace(path)


def load(path: Path) -> Plan:
    """The plan in the file at `path`.

    Raises InputError where the file is not a whole plan, as `save` wrote it.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        header = json.loads(lines[0]) if lines else None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a plan file: {error}") from None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise InputError(f"{path}: not a plan file; `nudge-sync plan --out FILE` writes one")
    claimed = {name: header.pop(name, None) for name in ("format", "rows", "digest")}
    rows = lines[1:]
    if claimed["rows"] != len(rows) or claimed["digest"] != _digest(header, rows):
        raise InputError(f"{path}: cut short or changed since it was written; plan again")
    try:
        return _plan(header, [json.loads(row) for row in rows])
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise InputError(f"{path}: not a plan of this version ({error}); plan again") from None


def _shallow(plan: Plan) -> dict[str, Any]:
    shallow = {field.name: getattr(plan, field.name) for field in fields(plan)}
    return {**shallow, "gate": asdict(plan.gate)}


def _row(plan: Plan, number: int) -> str:
    vector = np.ascontiguousarray(plan.vectors[number], "<f4").tobytes()
    return json.dumps(
        {
            "id": plan.ids[number],
            "live": plan.live[number],
            "angle": plan.angles[number],
            "vector": base64.b64encode(vector).decode("ascii"),
        }
    )


def _digest(header: dict[str, Any], rows: list[str]) -> str:
    return digest.of_bytes("\n".join([digest.of_document(header), *rows]).encode())


def _plan(header: dict[str, Any], rows: list[dict[str, Any]]) -> Plan:
    gate = Gate(**{**header["gate"], "interval": tuple(header["gate"]["interval"])})
    vectors = [np.frombuffer(base64.b64decode(row["vector"], validate=True), "<f4") for row in rows]
    stacked = np.stack(vectors).astype(np.float32) if vectors else np.empty((0, 0), np.float32)
    if not np.isfinite(stacked).all():
        raise ValueError("a vector is not finite")
    return Plan(
        **{**header, "gate": gate},
        ids=[row["id"] for row in rows],
        vectors=stacked,
        live=[row["live"] for row in rows],
        angles=[row["angle"] for row in rows],
    )
