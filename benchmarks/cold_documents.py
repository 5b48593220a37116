"""What nudging costs documents without feedback, on real collections.

.bench/bin/python benchmarks/cold_documents.py [--sets cranfield,metatool] [--frontier]

Of the judged documents 30 % lose every judgement of the training and validation queries ("cold";
--hidden 0 hides none, which is the paper's protocol). Methods learn from what is left; held-out
queries are scored on all answers, on warm answers alone and on cold answers alone, NDCG@10. A
query's other answers leave the ranking, so that a right answer in front is no loss. Queries that
lose all their answers are left out of training, unless --unlabelled hands them over as queries
without judgements (a log has many of those). --frontier tries several cold shares, and --plot FILE
draws what each gains on warm and on cold answers. --data reads sets from a folder of your own, as
`benchmarks/unseen/build.py` writes them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from common.cold_trial import KINDS, ColdResult, ColdTrial, unit_rows
from common.solver_protocol import SETS, Dataset, load_dataset
from scipy.stats import t as student

from nudge_sync.solve.selection.document_folds import SUGGESTED_COLD_SHARE

METHODS = ("nothing", "auto", "nudge-n", "nudge-h", "auto-cold")
"""Of these nudge-h and auto-cold are tuned with a cold share, as nudge-c is if asked for."""
FRONTIER_SHARES = (0.0, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0)
"""Cold shares that --frontier tries."""


def print_set(name: str, given) -> dict[str, list[ColdResult]]:
    """Print a line a method, and return the results of all its seeds."""
    data = load_dataset(name, given.data)
    data = Dataset(unit_rows(data.documents), unit_rows(data.queries), data.relevance)
    seeds = [int(one) for one in given.seeds.split(",")]
    trials = [ColdTrial.draw(data, seed, given.hidden, given.unlabelled) for seed in seeds]
    print(
        f"\n{name}: NDCG@10 on {' / '.join(KINDS)} answers, means of {len(seeds)} seeds; gains "
        "over nothing with 95 % intervals; warm gain in % of auto's; points written; CPU seconds, "
        "and in multiples of auto's"
    )
    results: dict[str, list[ColdResult]] = {}
    for method, share in list_methods(given):
        label = method if share is None or not given.frontier else f"{method} {share:g}"
        results[label] = [trial.run(method, share) for trial in trials]
        print_row(label, results)
        for seed, one in zip(seeds, results[label], strict=True):
            if one.chosen and given.verbose:
                print(f"      seed {seed}: {one.chosen}{describe_report(one.report)}")
    return results


def plot_frontiers(path: Path, results: dict[str, dict[str, list[ColdResult]]]) -> None:
    """Draw the gains on warm and cold answers of every cold share, a panel a set."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("svg" if path.suffix == ".svg" else "agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, panels = plt.subplots(
        1, len(results), figsize=(4 * len(results), 3.4), squeeze=False, layout="constrained"
    )
    for panel, (name, by_label) in zip(panels[0], results.items(), strict=True):
        baseline = mean_scores(by_label["nothing"])
        shares = {
            label: mean_scores(each) - baseline
            for label, each in by_label.items()
            if label.startswith("auto-cold")
        }
        panel.plot(*np.array(list(shares.values()))[:, 1:].T, marker="o", label="by cold share")
        for label, gain in shares.items():
            panel.annotate(
                label.removeprefix("auto-cold "),
                gain[1:],
                xytext=(-6, -2),
                textcoords="offset points",
                horizontalalignment="right",
                verticalalignment="top",
                fontsize=8,
            )
        panel.plot(
            *(mean_scores(by_label["auto"]) - baseline)[1:], "s", label="cold answers not looked at"
        )
        panel.axhline(0, linewidth=0.5, color="grey")
        panel.margins(x=0.1)
        panel.set(title=name, xlabel="points gained on warm answers", ylabel="on cold answers")
    panels[0][0].legend(fontsize=8)
    figure.savefig(path)


def list_methods(given) -> list[tuple[str, float | None]]:
    if not given.frontier:
        return [(method, given.cold_share) for method in given.methods.split(",")]
    shares = FRONTIER_SHARES if given.shares is None else map(float, given.shares.split(","))
    return [("nothing", None), ("auto", None), *(("auto-cold", share) for share in shares)]


def print_row(label: str, results: dict[str, list[ColdResult]]) -> None:
    mine, baseline, auto = (results.get(one) for one in (label, "nothing", "auto"))
    figures = " / ".join(f"{one:.1f}" for one in mean_scores(mine))
    line = f"  {label:20} {figures:20}"
    if baseline is not None and label != "nothing":
        line += f"  {describe_gains(mine, baseline):38}"
        if auto is not None:
            kept, whole = (mean_scores(one)[1] - mean_scores(baseline)[1] for one in (mine, auto))
            line += f"  {100 * kept / whole:4.0f} %" if whole > 0 else "     -"
    seconds = np.mean([one.seconds for one in mine])
    line += f"  {np.mean([one.written for one in mine]):6.0f}  {seconds:6.2f} s"
    if auto is not None:
        line += f"  x {seconds / np.mean([one.seconds for one in auto]):.2f}"
    print(line, flush=True)


def mean_scores(results: list[ColdResult]) -> np.ndarray:
    return np.mean([one.scores for one in results], axis=0)


def describe_gains(mine: list[ColdResult], baseline: list[ColdResult]) -> str:
    """Mean gains over doing nothing, each with half of its 95 % interval over the seeds."""
    gains = np.array([one.scores - other.scores for one, other in zip(mine, baseline, strict=True)])
    count, widths = len(gains), np.full(gains.shape[1], np.nan)
    if count > 1:
        widths = student.ppf(0.975, count - 1) * gains.std(axis=0, ddof=1) / np.sqrt(count)
    pairs = zip(gains.mean(axis=0), widths, strict=True)
    return " / ".join(f"{mean:+.1f}±{width:.1f}" for mean, width in pairs)


def describe_report(report) -> str:
    if report is None:
        return ""
    return "; by document folds " + ", ".join(
        f"{kind} {100 * gain.mean:+.1f} ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
        for kind, gain in (("warm", report.warm), ("cold", report.cold))
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sets", default=",".join(SETS))
    options.add_argument("--data", type=Path)
    options.add_argument("--seeds", default="0,1,2,3,4")
    options.add_argument("--methods", default=",".join(METHODS))
    options.add_argument("--cold-share", type=float, default=SUGGESTED_COLD_SHARE)
    options.add_argument("--hidden", type=float, default=0.3)
    options.add_argument("--frontier", action="store_true")
    options.add_argument("--shares")
    options.add_argument("--unlabelled", action="store_true")
    options.add_argument("--plot", type=Path)
    options.add_argument("--verbose", action="store_true")
    given = options.parse_args()
    if given.plot is not None and not given.frontier:
        options.error("--plot draws what --frontier measures; add --frontier")
    results = {name: print_set(name, given) for name in given.sets.split(",")}
    if given.plot is not None:
        plot_frontiers(given.plot, results)


if __name__ == "__main__":
    main()
