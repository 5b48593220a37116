"""The study as one page of HTML that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from nudge_sync.errors import ConfigError, InputError
from nudge_sync.evaluate import methods, protocol
from nudge_sync.evaluate.evidence import Bin, Curve
from nudge_sync.evaluate.outcome import NAMES
from nudge_sync.evaluate.score import METRICS
from nudge_sync.evaluate.study import Float64, Study
from nudge_sync.evaluate.summary import Line, comparisons

METRIC_SENTENCES: Mapping[str, str] = {
    "ndcg@10": "NDCG@10: discounted gain of the first ten over that of the best order, grades as "
    "gains",
    "recall@10": "recall@10: answers among the first ten, over the smaller of ten and all answers",
    "recall@1": "recall@1: share of queries whose first document is an answer",
    "mrr@10": "MRR@10: one over the place of the first answer, 0 beyond the tenth",
}


def demand(path: Path) -> None:
    """Raise what `write` would, before anything is computed: libraries or a folder missing."""
    demand_libraries()
    if not path.parent.is_dir():
        raise InputError(f"{path}: no folder {path.parent}")


def demand_libraries() -> None:
    """Raise ConfigError where the libraries that draw the report are not installed."""
    try:
        import jinja2  # noqa: F401, PLC0415
        import matplotlib  # noqa: F401, ICN001, PLC0415
    except ImportError as error:
        raise ConfigError(
            f"the report lacks a package ({error.name}); install it with: "
            "pip install 'nudge-sync[report]'"
        ) from error


def write(
    path: Path, study: Study, lines: list[Line], bins: list[Bin], curves: list[Curve]
) -> None:
    """Write the page. Raises InputError where `path` cannot be written."""
    page = render(study, lines, bins, curves)
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error


def render(study: Study, lines: list[Line], bins: list[Bin], curves: list[Curve]) -> str:
    """The page."""
    demand_libraries()
    import jinja2  # noqa: PLC0415

    source = files("nudge_sync.evaluate").joinpath("report.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(source).render(_contents(study, lines, bins, curves))


def _contents(
    study: Study, lines: list[Line], bins: list[Bin], curves: list[Curve]
) -> dict[str, Any]:
    metric = study.settings.metric
    return {
        "task": study.task,
        "settings": study.settings,
        "metric": metric,
        "metrics": METRICS,
        "names": NAMES,
        "metric_sentences": METRIC_SENTENCES,
        "method_sentences": methods.SENTENCES,
        "protocol_sentences": protocol.SENTENCES,
        "parts": _parts(lines),
        "headline": headline(study, lines),
        "pictures": _pictures(study, lines, bins, curves),
        "comparisons": comparisons(lines),
        "versions": {name: version(name) for name in ("nudge-sync", "numpy", "scipy")},
    }


def headline(study: Study, lines: list[Line]) -> Line:
    """The line to begin with: auto, or else the first method that is not nothing."""
    first = [line for line in lines if line.protocol == study.settings.protocols[0]]
    moving = [line for line in first if line.method != "nothing"] or first
    return next((line for line in moving if line.method == "auto"), moving[0])


def _parts(lines: list[Line]) -> list[tuple[str, str, list[Line]]]:
    places = dict.fromkeys((line.protocol, line.part) for line in lines)
    return [
        (name, part, [line for line in lines if (line.protocol, line.part) == (name, part)])
        for name, part in places
    ]


def _pictures(study: Study, lines: list[Line], bins: list[Bin], curves: list[Curve]) -> list[Any]:
    from nudge_sync.evaluate import figures  # noqa: PLC0415

    metric, confidence = study.settings.metric, study.settings.confidence
    found = []
    if any(line.method != "nothing" for line in lines):
        found.append(figures.per_method(lines, metric, confidence))
        found += [figures.by_evidence(bins, metric, confidence)] if bins else []
    if curves:
        found.insert(1, figures.against_angle(curves, metric, confidence))
    turned = _turned(study)
    if turned:
        found.append(figures.angle_histogram(turned))
    return found


def _turned(study: Study) -> list[tuple[str, Float64]]:
    """Per method that moved any, the angles of the first protocol's seeds."""
    first = study.settings.protocols[0]
    found = [
        (method, np.concatenate([trial.angles for trial in study.of(first, method)]))
        for method in study.settings.methods
    ]
    return [(method, turned) for method, turned in found if len(turned)]
