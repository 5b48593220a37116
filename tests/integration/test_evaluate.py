"""`evaluate` as an operator runs it, on files, sets and collections."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from nudge_sync.cli.app import app
from nudge_sync.evaluate.methods import DEFAULT_METHODS
from tests.support.sample_collection import JUDGED_POINTS, POINTS, make_synthetic_data
from tests.support.workspace import Workspace, make_workspace

QUICK = ("--seeds", "2", "--resamples", "200")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A small task on which nudging helps, as files."""
    made = make_synthetic_data()
    path = tmp_path_factory.mktemp("toy")
    np.save(path / "documents.npy", made.vectors)
    np.save(path / "queries.npy", made.queries[:300])
    lines = (f"{row}\t{answer}\t1\n" for row, answer in enumerate(made.answers[:300]))
    (path / "qrels.tsv").write_text("".join(lines))
    return path


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    """A collection with feedback on which one cycle has run."""
    made = make_workspace(tmp_path_factory.mktemp("shop"))
    made.run("feedback", "import", str(made.feedback_path))
    made.run("apply", "--yes")
    return made


def run(*words: str, code: int = 0):
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == code, (words, done.exit_code, done.stderr)
    return done


def evaluate_as_json(*words: str):
    return json.loads(run("evaluate", *words, *QUICK, "--json").stdout)


def find_result_line(result, protocol: str, method: str, part: str = "test"):
    wanted = (protocol, part, method)
    return next(
        line
        for line in result["results"]
        if (line["protocol"], line["part"], line["method"]) == wanted
    )


@pytest.fixture(scope="module")
def all_results(folder, tmp_path_factory):
    """All methods under all protocols, as an object and as a page."""
    pytest.importorskip("matplotlib")
    page = tmp_path_factory.mktemp("page") / "report.html"
    words = ("--seeds", "1", "--resamples", "200", "--html", str(page), "--json")
    result = json.loads(run("evaluate", str(folder), *words).stdout)
    return result, page.read_text(encoding="utf-8")


def test_a_folder_under_every_protocol_by_every_method(all_results):
    result, _ = all_results

    assert (result["documents"], result["queries"], result["judgements"]) == (POINTS, 300, 300)
    assert len(result["results"]) == 4 * len(DEFAULT_METHODS)
    assert result["comparisons"] == 4 * (len(DEFAULT_METHODS) - 1)
    line = find_result_line(result, "random", "nudge-n")
    gain = line["gains"]["ndcg@10"]
    assert 0 < gain["low"] < gain["mean"] < gain["high"]
    assert line["p_corrected"] < 0.2
    nothing = find_result_line(result, "random", "nothing")
    assert nothing["gains"]["ndcg@10"] == {"mean": 0, "low": 0, "high": 0, "p": 1}
    assert line["values"]["ndcg@10"] == pytest.approx(nothing["values"]["ndcg@10"] + gain["mean"])


def test_the_report_holds_every_figure_and_needs_nothing_else(all_results):
    result, text = all_results

    for name in ("per-method", "angle", "evidence", "turned"):
        assert f'<figure id="{name}">' in text
    assert text.count("<svg role=") == 4
    for method in DEFAULT_METHODS:
        assert f">{method}</th>" in text
    assert "src=" not in text
    assert "@import" not in text
    assert {curve["method"] for curve in result["gain_by_angle"]} == {"nudge-n", "nudge-c"}
    assert sum(one["queries"] for one in result["gain_by_judgements"]) <= 60


def test_the_figures_are_the_same_each_time(folder):
    wanted = ("-p", "random", "-m", "nudge-n", "-m", "adaptor")

    first, second = (evaluate_as_json(str(folder), *wanted) for _ in range(2))

    for result in (first, second):
        for line in result["results"]:
            del line["seconds"]
            assert len(line["parameters"]) == 2
    assert first == second


def test_the_table_says_what_was_measured(folder):
    shown = run("evaluate", str(folder), *QUICK, "-m", "nothing", "-m", "nudge-n").stdout

    for words in ("random", "grouped", "out-of-distribution: same cluster", "other cluster"):
        assert words in shown
    assert "400 documents, 300 queries" in shown
    assert "Holm-corrected for 4 comparisons" in shown
    assert "adaptor" not in shown


def test_files_can_be_named_one_by_one(folder):
    result = evaluate_as_json(
        *("--documents", str(folder / "documents.npy")),
        *("--queries", str(folder / "queries.npy")),
        *("--qrels", str(folder / "qrels.tsv")),
        *("-p", "random", "-m", "nothing", "--metric", "recall@1"),
    )

    assert result["metric"] == "recall@1"


def test_cosine_leaves_nudge_m_out_and_says_so(folder):
    result = evaluate_as_json(
        str(folder), "-p", "random", "--similarity", "cosine", "-m", "nudge-m", "-m", "auto"
    )

    assert [line["method"] for line in result["results"]] == ["auto"]
    assert any("nudge-m was left out" in note for note in result["notes"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-m", "nudge-x"), "'nudge-x' is not one of: nothing"),
        (("-p", "lucky"), "'lucky' is not one of: random"),
        (("--metric", "ndcg@7"), "'ndcg@7' is not one of"),
        (("--qrels", "qrels.tsv"), "not both"),
        (("--dataset", "beir/nfcorpus"), "not both"),
        (("--html", "nowhere/report.html"), "no folder nowhere"),
    ],
)
def test_what_cannot_be_meant_is_refused(folder, words, message):
    done = run("evaluate", str(folder), *words, code=2)

    assert message in done.stderr
    assert done.stdout == ""


def test_too_few_options_for_files_are_named():
    assert "--queries and --qrels" in run("evaluate", "--documents", "d.npy", code=2).stderr


def test_a_set_in_words_is_taken_from_the_cache(folder, tmp_path):
    kept = tmp_path / "cache" / "beir-toy" / "stub-model"
    kept.parent.mkdir(parents=True)
    kept.symlink_to(folder)

    result = evaluate_as_json(
        *("--dataset", "beir/toy", "--model", "stub/model", "--cache", str(tmp_path / "cache")),
        *("-p", "random", "-m", "nothing"),
    )

    assert result["name"] == "beir/toy by stub/model"


def test_a_collection_is_evaluated_on_its_originals_and_not_written(workspace: Workspace):
    before = workspace.read_vectors()

    result = workspace.run("evaluate", *QUICK, "-p", "random", "-m", "nothing", "-m", "nudge-n")
    whole = workspace.run(
        "evaluate", "--exact", *QUICK, "-p", "random", "-m", "nothing", "-m", "nudge-n"
    )

    assert workspace.read_vectors().tobytes() == before.tobytes()
    assert (result["queries"], result["judged_documents"]) == (900, JUDGED_POINTS)
    assert whole["documents"] == POINTS
    assert find_result_line(result, "random", "nudge-n")["gains"]["ndcg@10"]["low"] > 0
    for method in ("nothing", "nudge-n"):
        near, exact = (find_result_line(one, "random", method)["values"] for one in (result, whole))
        assert near == pytest.approx(exact, abs=1e-6)
