"""The TOML file: sections, defaults, and messages that name what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from nudge_sync.base.times import parse_duration
from nudge_sync.config import Config, Section, load_config
from nudge_sync.connector.settings import validate_settings
from nudge_sync.errors import ConfigError

MINIMAL = '[database]\nconnector = "qdrant-edge"\npath = "data"\n[collections.docs]\n'


def write_config(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "nudge-sync.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as refused:
        load_config(write_config(tmp_path, text))
    return str(refused.value)


def test_a_minimal_file_loads_with_the_defaults(tmp_path):
    config = load_config(write_config(tmp_path, MINIMAL))
    assert (config.connector, config.connection) == ("qdrant-edge", {"path": "data"})
    assert config.collections["docs"].gate.min_queries == 50
    assert config.serve.host == "127.0.0.1"


def test_a_collection_overrides_the_shared_tables_key_by_key(tmp_path):
    config = load_config(
        write_config(
            tmp_path,
            MINIMAL
            + "[collections.docs.gate]\nmin_queries = 7\n[collections.other]\n"
            + "[gate]\nmin_queries = 9\nconfidence = 0.9\n",
        )
    )
    docs, other = config.collections["docs"].gate, config.collections["other"].gate
    assert (docs.min_queries, docs.confidence) == (7, 0.9)
    assert (other.min_queries, other.confidence) == (9, 0.9)


def test_a_collections_own_schedule_replaces_the_shared_time(tmp_path):
    text = '[collections.docs.schedule]\ncron = "0 3 * * *"\n[schedule]\nevery = "6h"\n'
    schedule = (
        load_config(write_config(tmp_path, MINIMAL + text + 'timezone = "Asia/Tokyo"\n'))
        .collections["docs"]
        .schedule
    )
    assert (schedule.cron, schedule.every, schedule.timezone) == ("0 3 * * *", None, "Asia/Tokyo")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[gate]\nmin_querys = 3\n", "gate.min_querys: unknown key; did you mean 'min_queries'?"),
        ("[collections.docs.gate]\nmin_querys = 3\n", "did you mean 'min_queries'?"),
        ("[sovler]\nmethod = 'auto'\n", "sovler: unknown key; did you mean 'solver'?"),
        ("[colections.x]\n", "colections: unknown key; did you mean 'collections'?"),
        ("[solver]\nbatch_size = 3\n", "did you mean 'write.batch_size'?"),
        ("[serve]\nprot = 1\n", "serve.prot: unknown key; did you mean 'port'?"),
        ("[solver]\nmethod = 'best'\n", "solver.method: Input should be 'auto'"),
        ("[solver]\ncold_share = 'always'\n", "solver.cold_share"),
        ("[solver]\ncold_share = 1.5\n", "less than or equal to 1"),
        ("[solver]\ncold_share = -0.1\n", "greater than or equal to 0"),
        ("[solver]\ncold_share = nan\n", "solver.cold_share"),
        ("[gate]\nmax_cold_loss = -0.01\n", "gate.max_cold_loss"),
        ("[schedule]\nevery = 'soon'\n", "schedule.every: not a duration"),
        ("[schedule]\ncron = 'daily'\n", "schedule: not a cron line"),
        ("[schedule]\ncron = '0 3 * * *'\nevery = '1d'\n", "schedule: set cron or every, not both"),
        ("[schedule]\ntimezone = 'Mars/Olympus'\n", "schedule.timezone: no such time zone"),
        ("[collections.docs__nudge_events]\n", "name your own collections"),
        ("solver = 3\n", "solver: expected a table"),
        ("x = [\n", "nudge-sync.toml: "),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path, text, expected):
    head = "" if text.startswith("solver =") else MINIMAL
    tail = MINIMAL if not head else ""
    message = refusal(tmp_path, head + text + tail)
    assert expected in message
    assert "nudge-sync.toml" in message


@pytest.mark.parametrize(
    ("text", "expected"), [("'auto'", "auto"), ("'off'", "off"), ("0", 0), ("0.25", 0.25), ("1", 1)]
)
def test_the_share_of_cold_answers_is_a_word_or_a_share(tmp_path, text, expected):
    path = write_config(tmp_path, f"{MINIMAL}[solver]\ncold_share = {text}\n")
    assert load_config(path).collections["docs"].solver.cold_share == expected


def test_every_mistake_is_named_at_once(tmp_path):
    message = refusal(tmp_path, MINIMAL + "[gate]\nmin_querys = 3\nconfidence = 2\n")
    assert "min_querys" in message
    assert "gate.confidence" in message


def test_no_collection_no_connector_no_file(tmp_path):
    assert "no collection" in refusal(tmp_path, '[database]\nconnector = "x"\n[collections]\n')
    assert "needs a connector" in refusal(tmp_path, "[database]\n[collections.docs]\n")
    with pytest.raises(ConfigError, match="nudge-sync init"):
        load_config(tmp_path / "absent.toml")


def test_values_are_not_repeated(tmp_path):
    for text in ('[gate]\nconfidence = "hunter2"\n', '[schedule]\nevery = "hunter2"\n'):
        assert "hunter2" not in refusal(tmp_path, MINIMAL + text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 90), ("30m", 1800), ("1.5h", 5400), ("1d12h", 129_600), ("1D 12H", 129_600)],
)
def test_durations(text, expected):
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "10", "0s", "-1h", "h", "1y", "1h30", "\u0661h"])
def test_what_is_not_a_duration(text):
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


class Tls(Section):
    certificate: str = ""


class Server(Section):
    address: str = ""
    tls: Tls | None = None


class Folder(Section):
    folder: str = ""


class Both(Section):
    place: Server | Folder | None = None
    many: dict[str, Annotated[Tls | None, Field(description="")]] = Field(default_factory=dict)
    listed: list[Tls] = Field(default_factory=list)


@pytest.mark.parametrize(
    ("table", "nearest"),
    [
        ({"plcae": {}}, "place"),
        ({"place": {"adress": "x"}}, "address"),
        ({"place": {"foldr": "x"}}, "folder"),
        ({"place": {"tls": {"certificat": "x"}}}, "certificate"),
        ({"many": {"a": {"certificat": "x"}}}, "certificate"),
        ({"listed": [{"certificat": "x"}]}, "certificate"),
    ],
)
def test_the_nearest_key_is_found_through_unions_mappings_and_lists(table, nearest):
    with pytest.raises(ConfigError, match=f"did you mean '{nearest}'"):
        validate_settings(Both, table, "database")


def test_a_key_like_no_other_gets_no_suggestion():
    with pytest.raises(ConfigError, match=r"zzz: unknown key$"):
        validate_settings(
            Config, {"database": {"connector": "x"}, "collections": {"a": {}}, "zzz": 1}, ""
        )


def test_patience_stands_in_the_database_table_and_stays_with_the_core(tmp_path):
    path = tmp_path / "nudge-sync.toml"
    text = '[database]\nconnector = "qdrant"\nurl = "http://db"\n{}\n[collections.docs]\n'
    path.write_text(text.format(""))
    assert load_config(path).patience == 30.0
    path.write_text(text.format('patience = "5m"'))
    assert load_config(path).patience == 300.0
    assert load_config(path).connection == {"url": "http://db"}
    path.write_text(text.format('patience = "a while"'))
    with pytest.raises(ConfigError, match="patience: not a duration; write 90s"):
        load_config(path)
