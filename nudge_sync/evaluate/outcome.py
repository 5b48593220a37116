"""A study as a JSON object and as a table on the terminal. The fields are a written contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nudge_sync.evaluate.evidence import Bin, Curve
from nudge_sync.evaluate.study import Study
from nudge_sync.evaluate.summary import Line, comparisons

NAMES = {"ndcg@10": "NDCG@10", "recall@10": "recall@10", "recall@1": "recall@1", "mrr@10": "MRR@10"}
"""Metrics as people write them."""
_LEAST = 1e-4


def as_object(
    study: Study, lines: Sequence[Line], bins: Sequence[Bin], curves: Sequence[Curve]
) -> dict[str, Any]:
    """Everything that was found, as what JSON can hold; docs/evaluate.md names the fields."""
    task, settings = study.task, study.settings
    return {
        "name": task.name,
        "documents": len(task.documents),
        "dimension": int(task.documents.shape[1]),
        "queries": len(task.queries),
        "judgements": task.judged_pairs(),
        "judged_documents": task.judged_documents(),
        "similarity": task.similarity,
        "notes": list(task.notes),
        "metric": settings.metric,
        "seeds": list(settings.seeds),
        "confidence": settings.confidence,
        "resamples": settings.resamples,
        "comparisons": comparisons(lines),
        "results": [_result(line) for line in lines],
        "gain_by_judgements": [
            {"judgements": one.label, "queries": one.queries, "gain": _spans(one)} for one in bins
        ],
        "gain_by_angle": [_curve(curve) for curve in curves],
    }


def _result(line: Line) -> dict[str, Any]:
    return {
        "protocol": line.protocol,
        "part": line.part,
        "method": line.method,
        "queries": line.queries,
        "values": dict(line.values),
        "gains": {
            name: {"mean": gain.mean, "low": gain.low, "high": gain.high, "p": gain.p}
            for name, gain in line.gains.items()
        },
        "p_corrected": line.p_corrected,
        "better": line.better,
        "worse": line.worse,
        "seconds": round(line.seconds, 3),
        "parameters": [dict(chosen) for chosen in line.parameters],
    }


def _spans(one: Bin) -> dict[str, dict[str, float]]:
    return {
        method: {"mean": mean, "low": low, "high": high}
        for method, (mean, low, high) in one.gain.items()
    }


def _curve(curve: Curve) -> dict[str, Any]:
    gain = curve.gain
    return {
        "method": curve.method,
        "chosen": list(curve.chosen),
        "points": [
            {"angle": angle, "mean": float(mean), "low": float(low), "high": float(high)}
            for angle, mean, low, high in zip(
                curve.angles, gain.mean, gain.low, gain.high, strict=True
            )
        ],
    }


def tables(result: dict[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, columns and rows of a table for each test part of an object of `as_object`."""
    metric = result["metric"]
    others = [name for name in NAMES if name != metric]
    level = f"{result['confidence']:.0%} interval"
    columns = ["method", NAMES[metric], "gain", level, "p", "better/worse"]
    columns += [NAMES[name] for name in others]
    places = dict.fromkeys((one["protocol"], one["part"]) for one in result["results"])
    found = []
    for protocol, part in places:
        here = [
            one for one in result["results"] if (one["protocol"], one["part"]) == (protocol, part)
        ]
        where = protocol if part == "test" else f"{protocol}: {part}"
        title = f"{where}, {here[0]['queries']:,} test queries over {len(result['seeds'])} seed(s)"
        found.append((title, columns, [_row(one, metric, others) for one in here]))
    return found


def _row(one: dict[str, Any], metric: str, others: Sequence[str]) -> list[str]:
    gain = one["gains"][metric]
    compared = ["", "", "", ""]
    if one["method"] != "nothing":
        low, high = _signed(gain["low"]), _signed(gain["high"])
        p = probability(one["p_corrected"])
        compared = [
            _signed(gain["mean"]),
            f"{low} to {high}",
            p,
            f"{one['better']:,}/{one['worse']:,}",
        ]
    values = [f"{100 * one['values'][name]:.2f}" for name in (metric, *others)]
    return [one["method"], values[0], *compared, *values[1:]]


def _signed(value: float) -> str:
    return f"{100 * value:+.2f}"


def probability(p: float) -> str:
    """A p value as people read it: never 0."""
    return f"{p:.4f}" if np.isfinite(p) and p >= _LEAST else f"<{_LEAST:.4f}"


def footnote(result: dict[str, Any]) -> str:
    """What the columns mean."""
    return (
        "Points of 100, means over all tested queries. Intervals: bootstrap over queries. p: "
        "paired permutation test against nothing, Holm-corrected for "
        f"{result['comparisons']} comparisons."
    )
