"""A study as a JSON object, whose fields are a written contract, and as tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from nudge_sync.base.text.percent import format_exact_percent, format_points
from nudge_sync.evaluate.evidence import GainCurve, JudgementBin
from nudge_sync.evaluate.protocol import ROBUSTNESS_PROTOCOLS
from nudge_sync.evaluate.study import Study
from nudge_sync.evaluate.summary import Gain, SummaryLine, count_comparisons

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
        "results": [_line_to_dict(study, line) for line in lines],
        "gain_by_judgements": [
            {"judgements": bin_.label, "queries": bin_.queries, "gain": _bin_to_dict(bin_)}
            for bin_ in bins
        ],
        "gain_by_angle": [_curve_to_dict(curve) for curve in curves],
    }


def _line_to_dict(study: Study, line: SummaryLine) -> dict[str, Any]:
    trials = study.select_trials(line.protocol, line.method, line.part)
    return {
        "protocol": line.protocol,
        "part": line.part,
        "method": line.method,
        "queries": line.queries,
        "values": dict(line.values),
        "gains": {name: _gain_to_dict(gain) for name, gain in line.gains.items()},
        "p_corrected": line.p_corrected,
        "over_nudge_n": None if line.over_nudge_n is None else _gain_to_dict(line.over_nudge_n),
        "better": line.better,
        "worse": line.worse,
        "seconds": round(line.seconds, 3),
        # A seed whose split lacks this part has no entry.
        "seeds": [trial.seed for trial in trials],
        "parameters": [dict(trial.parameters) for trial in trials],
    }


def _gain_to_dict(gain: Gain) -> dict[str, float]:
    return {"mean": gain.mean, "low": gain.low, "high": gain.high, "p": gain.p}


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


Table: TypeAlias = tuple[str, list[str], list[list[str]]]
"""A table for the terminal: title, columns and rows."""


def build_tables(result: dict[str, Any]) -> list[Table]:
    """Return the tables of `study_to_dict`'s result.

    One for each test part; of a protocol that compares with NUDGE-N, one for all its parts.
    """
    metric = result["metric"]
    others = [name for name in METRIC_LABELS if name != metric]
    columns = ["method", METRIC_LABELS[metric], "gain", _format_level(result), "p", "better/worse"]
    columns += [METRIC_LABELS[name] for name in others]
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for entry in result["results"]:
        is_joined = entry["protocol"] in ROBUSTNESS_PROTOCOLS
        key = entry["protocol"], "" if is_joined else entry["part"]
        groups.setdefault(key, []).append(entry)
    return [
        (
            f"{protocol if part == 'test' else f'{protocol}: {part}'}, {_format_extent(entries)}",
            columns,
            [_build_row(entry, metric, others) for entry in entries],
        )
        if part
        else _build_joined_table(protocol, entries, result)
        for (protocol, part), entries in groups.items()
    ]


def _build_joined_table(
    protocol: str, entries: Sequence[dict[str, Any]], result: dict[str, Any]
) -> Table:
    """Return a table of all test parts of a protocol: each a line of its own, then its methods."""
    metric = result["metric"]
    columns = ["tested on", METRIC_LABELS[metric], "gain", _format_level(result), "p"]
    columns += ["over N", "p"] if any(entry["over_nudge_n"] for entry in entries) else []
    rows: list[list[str]] = []
    for part in dict.fromkeys(entry["part"] for entry in entries):
        rows.append([part, *[""] * (len(columns) - 1)])
        for entry in entries:
            if entry["part"] == part:
                cells = [*_build_row(entry, metric, [])[:5], *_format_over_nudge_n(entry)]
                rows.append([f"  {cells[0]}", *cells[1 : len(columns)]])
    return f"{protocol}, {_format_extent(entries)}", columns, rows


def _format_over_nudge_n(entry: dict[str, Any]) -> list[str]:
    over = entry["over_nudge_n"]
    return [_format_points(over["mean"]), format_p_value(over["p"])] if over else ["", ""]


def _format_extent(entries: Sequence[dict[str, Any]]) -> str:
    """Say how many different queries a table is about, and how many seeds."""
    counts = sorted({entry["queries"] for entry in entries})
    queries = " to ".join(f"{count:,}" for count in (counts[0], counts[-1])[: len(counts)])
    seeds = max(len(entry["parameters"]) for entry in entries)
    return f"{queries} test queries over {seeds} seed(s)"


def _format_level(result: dict[str, Any]) -> str:
    return f"{format_exact_percent(result['confidence'])} interval"


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
    return format_points(value, 2)


def format_p_value(p: float) -> str:
    """Return a p value for people: small ones as a bound, since no test shows a p of 0."""
    return f"{p:.4f}" if np.isfinite(p) and p >= _MIN_SHOWN_P else f"<{_MIN_SHOWN_P:.4f}"


def format_footnote(result: dict[str, Any]) -> str:
    """Return what the columns of the tables mean."""
    text = (
        "Points of 100, means over all tested queries. Intervals: bootstrap over questions. p: "
        "paired permutation test against nothing, Holm-corrected for "
        f"{result['comparisons']} comparisons."
    )
    over_count = sum(entry["over_nudge_n"] is not None for entry in result["results"])
    if not over_count:
        return text
    return (
        f"{text} over N: gain over nudge-n, and its p by the same test, corrected for "
        f"{over_count} comparisons."
    )
