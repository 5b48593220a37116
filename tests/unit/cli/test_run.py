"""Which collections a verb works on, and what becomes of errors and refusals."""

from __future__ import annotations

import pytest

from nudge_sync.cli.run import Job, RefusedResult, open_job, run_on_collections
from nudge_sync.config import CollectionSettings
from nudge_sync.errors import CollectionNotFound, ConfigError, Interrupted, LeaseHeld
from tests.support.command_line import invoke, write_config
from tests.support.workspace import Workspace


def test_several_collections_demand_a_choice(tmp_path):
    path = str(write_config(tmp_path, "one", "two"))
    for verb in ("plan", "log", "verify", "resume", "unlock", "gc"):
        refused = invoke(verb, "--config", path)
        assert (refused.exit_code, "one, two" in refused.stderr) == (2, True), verb
    both = invoke("plan", "--config", path, "--collection", "one", "--all")
    assert (both.exit_code, "not both" in both.stderr) == (2, True)


def test_only_a_verb_that_takes_all_offers_it(tmp_path):
    path = write_config(tmp_path, "one", "two")
    with pytest.raises(ConfigError, match="say --collection NAME; the file"), open_job(path, None):
        pass
    with pytest.raises(ConfigError, match="say --collection NAME or --all; the file"):
        run_on_collections(path, None, False, lambda job: job)


def test_a_collection_of_another_name_is_refused_with_the_names_there_are(tmp_path):
    path = write_config(tmp_path, "one", "two")
    with pytest.raises(ConfigError, match="no collection 'three' in the file; it has: one, two"):
        run_on_collections(path, "three", False, lambda job: job)


def test_the_only_collection_needs_no_name(untouched_workspace: Workspace):
    with open_job(untouched_workspace.config_path, None) as job:
        assert job.target.name == "docs"
    result = run_on_collections(
        untouched_workspace.config_path, None, False, lambda job: job.target.facts.points
    )
    assert result == (400, 0)


def test_a_refusal_is_a_result_with_the_gates_code(untouched_workspace: Workspace, capsys):
    result = run_on_collections(
        untouched_workspace.config_path,
        "docs",
        False,
        lambda _: RefusedResult({"moved": 0}, "no gain"),
    )
    failure = {"cause": "GateRefused", "message": "no gain", "exit_code": 3}
    assert result == ({"moved": 0, "error": failure}, 3)
    assert capsys.readouterr().err == "nudge-sync: docs: no gain\n"


def test_of_all_collections_one_that_fails_takes_its_place_in_the_list(
    untouched_workspace: Workspace, tmp_path, capsys
):
    config = tmp_path / "nudge-sync.toml"
    text = untouched_workspace.config_path.read_text(encoding="utf-8")
    config.write_text(f"{text}\n[collections.absent]\n", encoding="utf-8")
    result, code = run_on_collections(config, None, True, lambda job: job.target.facts.points)
    assert (result[0], result[1]["collection"], code) == (400, "absent", 1)
    assert capsys.readouterr().err == f"nudge-sync: absent: {result[1]['error']['message']}\n"
    with pytest.raises(CollectionNotFound):
        run_on_collections(config, "absent", False, lambda job: job)


def test_one_collection_raises_and_a_signal_ends_all(untouched_workspace: Workspace):
    def fail(error: Exception):
        def work(_: Job) -> None:
            raise error

        return work

    with pytest.raises(LeaseHeld):
        run_on_collections(untouched_workspace.config_path, None, False, fail(LeaseHeld()))
    with pytest.raises(Interrupted):
        run_on_collections(untouched_workspace.config_path, None, True, fail(Interrupted()))


def test_the_exact_option_switches_it_on_and_never_off(untouched_workspace: Workspace):
    with open_job(untouched_workspace.config_path, None) as job:
        assert job.choose_settings(exact=True).solver.exact
        assert job.choose_settings(exact=False) is job.settings
        exact = CollectionSettings.model_validate({"solver": {"exact": True}})
        assert Job(job.target, exact).choose_settings(exact=False).solver.exact


def test_an_unknown_connector_lists_the_known_ones(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text('[database]\nconnector = "dbase"\n[collections.docs]\n', encoding="utf-8")
    done = invoke("check", "--config", str(path))
    assert (done.exit_code, "qdrant-edge" in done.stderr) == (2, True)
