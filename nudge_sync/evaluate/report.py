"""A study as one page of HTML that loads nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from nudge_sync.base.arrays import Float64
from nudge_sync.base.text.percent import format_exact_percent, format_points, space_percent
from nudge_sync.errors import ConfigError, InputError
from nudge_sync.evaluate import methods, protocol
from nudge_sync.evaluate.evidence import GainCurve, JudgementBin
from nudge_sync.evaluate.outcome import METRIC_LABELS
from nudge_sync.evaluate.study import Study, Trial
from nudge_sync.evaluate.summary import SummaryLine, count_comparisons
from nudge_sync.metrics import METRIC_NAMES

METRIC_DESCRIPTIONS: Mapping[str, str] = {
    "ndcg@10": "NDCG@10: discounted gain of the first ten over that of the best order, grades as "
    "gains",
    "recall@10": "recall@10: answers among the first ten, over the smaller of ten and all answers",
    "recall@1": "recall@1: share of queries whose first document is an answer",
    "mrr@10": "MRR@10: one over the rank of the first answer, 0 beyond the tenth",
}


def require_writable(path: Path) -> None:
    """Raise ConfigError or InputError if a library or the folder for the report is missing.

    To be called before anything is computed.
    """
    require_libraries()
    if not path.parent.is_dir():
        raise InputError(f"{path}: no folder {path.parent}")


def require_libraries() -> None:
    """Raise ConfigError unless the libraries that draw the report are installed."""
    try:
        import jinja2  # noqa: F401, PLC0415
        import matplotlib  # noqa: F401, ICN001, PLC0415
    except ImportError as error:
        raise ConfigError(
            f"the report lacks a package ({error.name}); install it with: "
            "pip install 'nudge-sync[report]'"
        ) from error


def write_report(
    path: Path,
    study: Study,
    lines: list[SummaryLine],
    bins: list[JudgementBin],
    curves: list[GainCurve],
) -> None:
    """Write the page to `path`. Raises InputError where it cannot be written."""
    page = render_report(study, lines, bins, curves)
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error


def render_report(
    study: Study, lines: list[SummaryLine], bins: list[JudgementBin], curves: list[GainCurve]
) -> str:
    """Return the page, with a plot of the gain by angle where there are `curves`."""
    require_libraries()
    import jinja2  # noqa: PLC0415

    folder = files("nudge_sync.evaluate")
    source = folder.joinpath("report.html.j2").read_text(encoding="utf-8")
    shared_style = folder.joinpath("look.css").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "points": format_points,
        "exact_percent": lambda share: space_percent(format_exact_percent(share)),
    }
    context = _build_context(study, lines, bins, curves)
    return environment.from_string(source).render({**context, "look": shared_style})


def _build_context(
    study: Study, lines: list[SummaryLine], bins: list[JudgementBin], curves: list[GainCurve]
) -> dict[str, Any]:
    metric = study.settings.metric
    return {
        "task": study.task,
        "settings": study.settings,
        "metric": metric,
        "metrics": METRIC_NAMES,
        "names": METRIC_LABELS,
        "metric_sentences": METRIC_DESCRIPTIONS,
        "method_sentences": methods.METHOD_DESCRIPTIONS,
        "protocol_sentences": protocol.PROTOCOL_DESCRIPTIONS,
        "parts": _group_lines(lines),
        "choices": _list_choices(study),
        "headline": pick_headline(study, lines),
        "pictures": _draw_pictures(study, lines, bins, curves),
        "comparisons": count_comparisons(lines),
        "compared_with_nudge_n": protocol.ROBUSTNESS_PROTOCOLS,
        "over_nudge_n_count": sum(line.over_nudge_n is not None for line in lines),
        "versions": {name: version(name) for name in ("nudge-sync", "numpy", "scipy")},
    }


def pick_headline(study: Study, lines: list[SummaryLine]) -> SummaryLine:
    """Return the line that the page begins with: "auto", or else the first method that moves."""
    first = [line for line in lines if line.protocol == study.settings.protocols[0]]
    moving = [line for line in first if line.method != "nothing"] or first
    return next((line for line in moving if line.method == "auto"), moving[0])


def _group_lines(lines: list[SummaryLine]) -> list[tuple[str, str, list[SummaryLine]]]:
    keys = dict.fromkeys((line.protocol, line.part) for line in lines)
    return [
        (name, part, [line for line in lines if (line.protocol, line.part) == (name, part)])
        for name, part in keys
    ]


def _list_choices(study: Study) -> list[Trial]:
    """Return what each seed chose, by protocol, condition and method, each in its order."""
    protocols, methods = study.settings.protocols, study.settings.methods
    conditions = list(dict.fromkeys(trial.condition for trial in study.trials))
    return sorted(
        study.trials,
        key=lambda trial: (
            protocols.index(trial.protocol),
            conditions.index(trial.condition),
            methods.index(trial.method),
        ),
    )


def _draw_pictures(
    study: Study, lines: list[SummaryLine], bins: list[JudgementBin], curves: list[GainCurve]
) -> list[Any]:
    from nudge_sync.evaluate import figures  # noqa: PLC0415

    metric, confidence = study.settings.metric, study.settings.confidence
    pictures = []
    if any(line.method != "nothing" for line in lines):
        pictures.append(figures.draw_gain_per_method(lines, metric, confidence))
        pictures += [figures.draw_gain_by_judgements(bins, metric, confidence)] if bins else []
    if curves:
        pictures.insert(1, figures.draw_gain_by_angle(curves, metric, confidence))
    angles = _collect_angles(study)
    if angles:
        pictures.append(figures.draw_angle_histogram(angles))
    return pictures


def _collect_angles(study: Study) -> list[tuple[str, Float64]]:
    """Return the angles of each method that moved documents, from the first protocol's seeds."""
    protocol_name = study.settings.protocols[0]
    part = study.part_names(protocol_name)[0]
    angles_by_method = [
        (
            method,
            np.concatenate(
                [trial.angles for trial in study.select_trials(protocol_name, method, part)]
            ),
        )
        for method in study.settings.methods
    ]
    return [(method, angles) for method, angles in angles_by_method if len(angles)]
