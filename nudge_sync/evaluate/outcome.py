"""A study as a JSON object, whose fields are a written contract, and as tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nudge_sync.evaluate.evidence import GainCurve, JudgementBin
from nudge_sync.evaluate.study import Study
from nudge_sync.evaluate.summary import SummaryLine, count_comparisons

METRIC_LABELS = {
    "ndcg@10": "NDCG@10",
    "recall@10": "recall@10",
    "recall@1": "recall@1",
    "mrr@10": "MRR@10",
}
"""The metrics as people write them, in the order of the tables' columns."""
_MIN_SHOWN_P = 1e-4


def study_to_dict(
    study: Study,
    lines: Sequence[SummaryLine],
    bins: Sequence[JudgementBin],
    curves: Sequence[GainCurve],
) -> dict[str, Any]:
    """Return a study's figures as what JSON can hold; docs/evaluate.md names the fields."""
    task, settings = study.task, study.settings
    return {
        "name": task.name,
        "documents": len(task.documents),
        "dimension": int(task.documents.shape[1]),
        "queries": len(task.queries),
        "judgements": task.count_judgements(),
        "judged_documents": task.count_judged_documents(),
        "similarity": task.similarity,
        "notes": list(task.notes),
        "metric": settings.metric,
        "seeds": list(settings.seeds),
        "confidence": settings.confidence,
        "resamples": settings.resamples,
        "comparisons": count_comparisons(lines),
        "results": [_line_to_dict(line) for line in lines],
        "gain_by_judgements": [
            {"judgements": bin_.label, "queries": bin_.queries, "gain": _bin_to_dict(bin_)}
            for bin_ in bins
        ],
        "gain_by_angle": [_curve_to_dict(curve) for curve in curves],
    }


def _line_to_dict(line: SummaryLine) -> dict[str, Any]:
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


def _bin_to_dict(bin_: JudgementBin) -> dict[str, dict[str, float]]:
    return {
        method: {"mean": mean, "low": low, "high": high}
        for method, (mean, low, high) in bin_.gain.items()
    }


def _curve_to_dict(curve: GainCurve) -> dict[str, Any]:
    gain = curve.gain
    return {
        "method": curve.method,
        "chosen": list(curve.chosen_angles),
        "points": [
            {"angle": angle, "mean": float(mean), "low": float(low), "high": float(high)}
            for angle, mean, low, high in zip(
                curve.angles, gain.mean, gain.low, gain.high, strict=True
            )
        ],
    }


def build_tables(result: dict[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Return title, columns and rows of a table for each test part of `study_to_dict`'s result."""
    metric = result["metric"]
    others = [name for name in METRIC_LABELS if name != metric]
    level = f"{result['confidence']:.0%} interval"
    columns = ["method", METRIC_LABELS[metric], "gain", level, "p", "better/worse"]
    columns += [METRIC_LABELS[name] for name in others]
    parts = dict.fromkeys((entry["protocol"], entry["part"]) for entry in result["results"])
    tables = []
    for protocol, part in parts:
        part_results = [
            entry
            for entry in result["results"]
            if (entry["protocol"], entry["part"]) == (protocol, part)
        ]
        heading = protocol if part == "test" else f"{protocol}: {part}"
        queries, seeds = part_results[0]["queries"], len(result["seeds"])
        title = f"{heading}, {queries:,} test queries over {seeds} seed(s)"
        tables.append(
            (title, columns, [_build_row(entry, metric, others) for entry in part_results])
        )
    return tables


def _build_row(entry: dict[str, Any], metric: str, others: Sequence[str]) -> list[str]:
    gain = entry["gains"][metric]
    comparison = ["", "", "", ""]
    if entry["method"] != "nothing":
        low, high = _format_points(gain["low"]), _format_points(gain["high"])
        p = format_p_value(entry["p_corrected"])
        comparison = [
            _format_points(gain["mean"]),
            f"{low} to {high}",
            p,
            f"{entry['better']:,}/{entry['worse']:,}",
        ]
    values = [f"{100 * entry['values'][name]:.2f}" for name in (metric, *others)]
    return [entry["method"], values[0], *comparison, *values[1:]]


def _format_points(value: float) -> str:
    return f"{100 * value:+.2f}"


def format_p_value(p: float) -> str:
    """Return a p value for people: small ones as a bound, since no test shows a p of 0."""
    return f"{p:.4f}" if np.isfinite(p) and p >= _MIN_SHOWN_P else f"<{_MIN_SHOWN_P:.4f}"


def format_footnote(result: dict[str, Any]) -> str:
    """Return what the columns of the tables mean."""
    return (
        "Points of 100, means over all tested queries. Intervals: bootstrap over queries. p: "
        "paired permutation test against nothing, Holm-corrected for "
        f"{result['comparisons']} comparisons."
    )
