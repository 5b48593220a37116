"""The report's plots, drawn by matplotlib as SVG elements of an HTML page."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nudge_sync.base.arrays import Float64
from nudge_sync.base.text.percent import format_exact_percent, space_percent
from nudge_sync.evaluate.evidence import MAX_CURVE_SEEDS, MIN_BIN_QUERIES, GainCurve, JudgementBin
from nudge_sync.evaluate.outcome import METRIC_LABELS
from nudge_sync.evaluate.protocol import ROBUSTNESS_PROTOCOLS
from nudge_sync.evaluate.summary import SummaryLine
from nudge_sync.metrics import MetricName

# Okabe and Ito's colours, which people who see no red or no green can tell apart; each with its own
# marker, so that nothing depends on colour alone.
METHOD_STYLES = {
    "nothing": ("#555555", "|"),
    "nudge-m": ("#E69F00", "s"),
    "nudge-n": ("#0072B2", "o"),
    "nudge-h": ("#56B4E9", "P"),
    "nudge-c": ("#D55E00", "^"),
    "auto": ("#009E73", "D"),
    "adaptor": ("#CC79A7", "v"),
    "query-adapter": ("#A69900", "X"),
    # Beyond those colours, in shades that are as far apart.
    "auto+query-adapter": ("#117733", "*"),
    "pefa-xs": ("#882255", "<"),
    "pefa-xl": ("#AA4499", ">"),
    "rocchio": ("#332288", "h"),
    "nnn": ("#999933", "p"),
}
_PLOT_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 11.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11.0,
    "axes.titleweight": "bold",
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "axes.edgecolor": "#444444",
    "text.color": "#222222",
    "axes.labelcolor": "#222222",
    "xtick.color": "#222222",
    "ytick.color": "#222222",
}
_HISTOGRAM_BINS = 40
_MAX_PANELS_PER_ROW = 4


@dataclass(frozen=True, slots=True)
class Picture:
    """A plot as an inline SVG element, with its caption."""

    name: str
    svg: str
    caption: str


def _format_level(confidence: float) -> str:
    return space_percent(format_exact_percent(confidence))


def draw_gain_per_method(
    lines: Sequence[SummaryLine], metric: MetricName, confidence: float
) -> Picture:
    """Draw the mean gain of every method with its interval, one panel for each test part."""
    moving = [line for line in lines if line.method != "nothing"]
    parts = list(dict.fromkeys((line.protocol, line.part) for line in moving))
    methods = list(dict.fromkeys(line.method for line in moving))
    with mpl.rc_context({**_PLOT_STYLE, "svg.hashsalt": "per-method"}):
        columns = min(len(parts), _MAX_PANELS_PER_ROW)
        rows = -(-len(parts) // columns)
        size = (9.6, rows * (1.3 + 0.36 * len(methods)))
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for panel in panels[len(parts) :]:
            panel.set_axis_off()
        for panel, part in zip(panels, parts, strict=False):
            part_lines = [line for line in moving if (line.protocol, line.part) == part]
            _draw_forest_panel(panel, part_lines, methods, metric)
        figure.supxlabel(f"gain in {METRIC_LABELS[metric]}, points", fontsize=11)
        return Picture(
            "per-method",
            _render_svg(figure, "per-method", f"Gain in {METRIC_LABELS[metric]} per method"),
            f"Mean gain in {METRIC_LABELS[metric]} over the vectors as they are, in points of 100, "
            f"with {_format_level(confidence)} bootstrap intervals over questions. Each "
            "interval is of one comparison alone; which differences are shown, the corrected p in "
            "the table says.",
        )


def _draw_forest_panel(
    panel: Axes, lines: Sequence[SummaryLine], methods: Sequence[str], metric: MetricName
) -> None:
    panel.axvline(0, color="#444444", linewidth=1)
    for line in lines:
        gain = line.gains[metric]
        colour, marker = METHOD_STYLES[line.method]
        mean, low, high = 100 * gain.mean, 100 * gain.low, 100 * gain.high
        panel.errorbar(
            [mean],
            [methods.index(line.method)],
            xerr=[[max(0.0, mean - low)], [max(0.0, high - mean)]],
            fmt=marker,
            color=colour,
            capsize=3,
            markersize=7,
        )
    is_named = lines[0].protocol in ROBUSTNESS_PROTOCOLS
    title = lines[0].protocol if lines[0].part == "test" else lines[0].part
    title = f"{lines[0].protocol}\n{title}" if is_named else title
    panel.set_title(f"{title}\n{lines[0].queries:,} queries")
    panel.set_yticks(range(len(methods)), methods)
    panel.set_ylim(len(methods) - 0.4, -0.6)
    panel.grid(axis="x")


def draw_gain_by_angle(
    curves: Sequence[GainCurve], metric: MetricName, confidence: float
) -> Picture:
    """Draw the gain by fixed angles, and mark the angles that the validation queries chose."""
    with mpl.rc_context({**_PLOT_STYLE, "svg.hashsalt": "angle"}):
        figure = Figure(figsize=(9.6, 3.8), layout="constrained")
        panel = figure.subplots()
        panel.axhline(0, color="#444444", linewidth=1)
        for curve in curves:
            colour, marker = METHOD_STYLES[curve.method]
            degrees = np.degrees([0.0, *curve.angles])
            low, mean, high = (
                100 * np.concatenate([[0.0], values])
                for values in (curve.gain.low, curve.gain.mean, curve.gain.high)
            )
            panel.fill_between(degrees, low, high, color=colour, alpha=0.15, linewidth=0)
            panel.plot(degrees, mean, marker=marker, color=colour, label=curve.method)
            for angle in curve.chosen_angles:
                panel.axvline(float(np.degrees(angle)), 0, 0.06, color=colour, linewidth=2)
        panel.set_xlabel("largest angle a document may turn, degrees")
        panel.set_ylabel(f"gain in {METRIC_LABELS[metric]}, points")
        panel.set_xlim(left=0)
        panel.grid()
        panel.legend(frameon=False)
        return Picture(
            "angle",
            _render_svg(figure, "angle", f"Gain in {METRIC_LABELS[metric]} against the angle"),
            f"Mean gain in {METRIC_LABELS[metric]} on the test queries when documents may turn "
            f"this far and no validation query chooses, from {MAX_CURVE_SEEDS} seeds at most, with "
            f"{_format_level(confidence)} bands. Ticks on the axis mark the angles that the "
            "validation queries of each seed chose.",
        )


def draw_gain_by_judgements(
    bins: Sequence[JudgementBin], metric: MetricName, confidence: float
) -> Picture:
    """Draw the gain by how often the answers of a query were judged in training."""
    methods = list(bins[0].gain)
    with mpl.rc_context({**_PLOT_STYLE, "svg.hashsalt": "evidence"}):
        figure = Figure(figsize=(9.6, 3.8), layout="constrained")
        panel = figure.subplots()
        panel.axhline(0, color="#444444", linewidth=1)
        for index, method in enumerate(methods):
            colour, marker = METHOD_STYLES[method]
            mean, low, high = 100 * np.array([bin_.gain[method] for bin_ in bins]).T
            panel.errorbar(
                np.arange(len(bins)) + 0.12 * (index - (len(methods) - 1) / 2),
                mean,
                yerr=np.maximum(0, [mean - low, high - mean]),
                fmt=marker,
                color=colour,
                capsize=2,
                markersize=5,
                label=method,
            )
        panel.set_xticks(
            range(len(bins)), [f"{bin_.label}\n{bin_.queries:,} queries" for bin_ in bins]
        )
        panel.set_xlabel("training queries that each answer has, mean over a query's answers")
        panel.set_ylabel(f"gain in {METRIC_LABELS[metric]}, points")
        panel.grid(axis="y")
        panel.legend(frameon=False, ncols=len(methods), loc="upper left")
        panel.margins(y=0.2)
        return Picture(
            "evidence",
            _render_svg(
                figure, "evidence", f"Gain in {METRIC_LABELS[metric]} by number of judgements"
            ),
            f"Mean gain in {METRIC_LABELS[metric]} on test queries by how much feedback their "
            f"answers had in training, with {_format_level(confidence)} intervals. The "
            "further left, the less often the answers were judged. Groups of fewer than "
            f"{MIN_BIN_QUERIES} queries are not shown.",
        )


def draw_angle_histogram(angles_by_method: Sequence[tuple[str, Float64]]) -> Picture:
    """Draw how far documents turned, one panel for each method that moved any."""
    top = max(float(np.degrees(angles).max()) for _, angles in angles_by_method)
    edges = np.linspace(0, max(top, 1.0), _HISTOGRAM_BINS + 1)
    with mpl.rc_context({**_PLOT_STYLE, "svg.hashsalt": "turned"}):
        figure = Figure(figsize=(9.6, 2.9), layout="constrained")
        panels = figure.subplots(1, len(angles_by_method), sharey=True, squeeze=False)[0]
        for panel, (method, angles) in zip(panels, angles_by_method, strict=True):
            counts, _ = np.histogram(np.degrees(angles), bins=edges)
            panel.stairs(
                100 * counts / len(angles), edges, fill=True, color=METHOD_STYLES[method][0]
            )
            panel.set_title(f"{method}\nmedian {np.degrees(np.median(angles)):.1f}°")
            panel.grid(axis="y")
        panels[0].set_ylabel("share of moved documents, %")
        figure.supxlabel("angle between a document's old and new vector, degrees", fontsize=11)
        return Picture(
            "turned",
            _render_svg(figure, "turned", "Histogram of the angles that documents moved"),
            "How far the documents that moved turned from where they were, all seeds together. "
            "Documents without judgements do not move and are not counted.",
        )


def _render_svg(figure: Figure, name: str, title: str) -> str:
    """Return the figure as one SVG element, with ids that no other plot of the page has."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Title": title, "Date": None})
    element = buffer.getvalue().partition("<svg")[2]
    element = re.sub(r'\bid="', f'id="{name}-', element)
    element = re.sub(r"url\(#", f"url(#{name}-", element)
    element = re.sub(r'href="#', f'href="#{name}-', element)
    return f'<svg role="img" aria-label="{title}"{element}'
