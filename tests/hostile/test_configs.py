"""Configurations that are wrong: a ConfigError each, on one line, without any value of theirs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nudge_sync.base.times import parse_duration
from nudge_sync.config import Config, load_config
from nudge_sync.errors import ConfigError

HEAD = '[database]\nconnector = "qdrant-edge"\npath = "shards"\n[collections.docs]\n'
SECRET = "hunter2"

WHOLE = [
    "",
    " ",
    "\x00",
    "[",
    "]",
    "=",
    "a",
    "a = ",
    "[database",
    "[[database]]",
    "database = 1",
    "database = []",
    "collections = 1",
    "[database]\n[collections.docs]\n",
    '[database]\nconnector = ""\nconnector = "x"\n',
    "[database]\nconnector = 1\n[collections.docs]\n",
    '[database]\nconnector = ["qdrant"]\n[collections.docs]\n',
    '[database]\nconnector = "qdrant"\n',
    '[database]\nconnector = "qdrant"\n[collections]\n',
    '[database]\nconnector = "qdrant"\n[collections]\ndocs = 1\n',
    '[database]\nconnector = "qdrant"\n[collections]\ndocs = "docs"\n',
    '[database]\nconnector = "qdrant"\n[[collections.docs]]\n',
    '[database]\nconnector = "qdrant"\n[collections.""]\n',
    '[database]\nconnector = "qdrant"\n[collections."  "]\n',
    '[database]\nconnector = "qdrant"\n[collections.docs__nudge_originals]\n',
    '[database]\nconnector = "qdrant"\n[collections."../docs__nudge_x"]\n',
    "!!python/object/apply:os.system ['true']",
    "a" * 100_000 + " = 1\n" + HEAD,
    "a = " + "[" * 5000,
    "a.b" + ".c" * 3000 + " = 1",
    HEAD + 'x = "' + "y" * 1_000_000,
]
LINES = {
    "solver": [
        "method = 'best'",
        "method = 1",
        "method = ['auto']",
        "method = ''",
        "method = 'AUTO'",
        "metric = 'ndcg@11'",
        "metric = 10",
        "angle = 0",
        "angle = -0.1",
        "angle = 3",
        "angle = nan",
        "angle = inf",
        "angle = '0.3; drop'",
        "max_angle = 0",
        "max_angle = -inf",
        "max_angle = 2",
        "exact = 'yes please'",
        "exact = 2",
        "threads = -1",
        "threads = 1.5",
        "threads = 10000000",
        "thread = 1",
        "__class__ = 'os'",
        "'' = 1",
    ],
    "gate": [
        "min_queries = 0",
        "min_queries = -5",
        "min_queries = nan",
        "min_queries = 1e400",
        "confidence = 0",
        "confidence = 1",
        "confidence = nan",
        "confidence = '95%'",
        "max_loss = -0.1",
        "max_loss = 1.1",
        "max_loss = inf",
        "max_moved_share = 2",
        "max_moved_share = nan",
        "max_moved_share = []",
        "passed = true",
    ],
    "write": [
        "batch_size = 0",
        "batch_size = 100001",
        "batch_size = 1.5",
        "batch_size = '1000; DROP'",
        "rate = 0",
        "rate = -1",
        "rate = inf",
        "rate = nan",
        "pause_seconds = -1",
        "pause_seconds = inf",
        "keep_revisions = 0",
        "keep_revisions = -1",
        "lease_seconds = 0",
        "lease_seconds = 4.9",
        "lease_seconds = inf",
        "lease_seconds = nan",
        "lease_seconds = 1e300",
    ],
    "schedule": [
        "every = ''",
        "every = '0s'",
        "every = '-1h'",
        "every = '1'",
        "every = 60",
        "every = '1y'",
        "every = 'inf'",
        "every = '1e9d'",
        f"every = '{'9' * 400}d'",
        "every = '99999999999d'",
        "every = '1h; rm -rf /'",
        "drill_every = '0d'",
        "drill_every = 'weekly'",
        f"drill_every = '{'9' * 400}w'",
        "cron = '* * * *'",
        "cron = '* * * * * *'",
        "cron = '99 99 * * *'",
        "cron = '@reboot'",
        "cron = '$(id)'",
        "cron = '*/0 * * * *'",
        "cron = '1-99999999999999999999 * * * *'",
        "cron = 5",
        "timezone = 'Mars/Olympus'",
        "timezone = '../../etc/passwd'",
        "timezone = '/etc/passwd'",
        "timezone = ''",
        "timezone = '\\u0000'",
        "timezone = 1",
        "misfire_grace_seconds = 0",
        "misfire_grace_seconds = 99999999999999999",
    ],
    "feedback": [
        "actions = 1",
        "actions = []",
        "actions = { click = 'high' }",
        "actions = { click = nan }",
        "actions = { click = inf }",
        "actions = { click = 1001 }",
        "actions = { click = [] }",
        "bias = 'none'",
        "half_life_days = 0",
        "half_life_days = -3",
        "half_life_days = inf",
        "min_sessions = 0",
        "merge_cosine = 1.5",
        "outliers = 0",
    ],
    "serve": [
        "port = -1",
        "port = 65536",
        "port = '80 80'",
        "port = 1.5",
        "feedback_port = 65536",
        "host = 1",
        "host = []",
        "log_format = 'xml'",
        "token = 'x'",
        "log_level = 'debug'",
    ],
    "collections.docs": [
        "vector = 1",
        "vector = []",
        "gate = 1",
        "solver = 'auto'",
        "schedule = []",
        "payload = true",
    ],
}
KEYS = [(section, line) for section, lines in LINES.items() for line in lines]


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as refused:
        load_config(path)
    message = str(refused.value)
    assert len(message) < 200_000
    return message


@pytest.mark.parametrize("number", range(len(WHOLE)))
def test_a_file_that_is_none(tmp_path, number):
    path = tmp_path / "x.toml"
    path.write_text(WHOLE[number], encoding="utf-8")
    refusal(path)


@pytest.mark.parametrize(("section", "line"), KEYS, ids=range(len(KEYS)))
def test_a_wrong_value_is_refused_by_its_name(tmp_path, section, line):
    path = tmp_path / "x.toml"
    table = "" if section == "collections.docs" else f"[{section}]\n"
    path.write_text(f"{HEAD}{table}{line}\n", encoding="utf-8")
    message = refusal(path)
    assert section.rpartition(".")[2] in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "content", [b"\xff", b"\xfe\xff\x00a", b"a = '\xed\xa0\x80'", b"\x80\x04."]
)
def test_a_file_that_is_no_text(tmp_path, content):
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    refusal(path)


def test_a_file_that_cannot_be_read(tmp_path):
    refusal(tmp_path)
    refusal(tmp_path / "absent")
    refusal(Path("a\0b"))
    refusal(Path("x" * 5000))


@pytest.mark.parametrize("section", [name for name in LINES if name != "collections.docs"])
@pytest.mark.parametrize("form", ['x = "{}"', 'method = "{}"', "{} = 1", 'every = ["{}"]'])
def test_no_value_is_repeated(tmp_path, section, form):
    path = tmp_path / "x.toml"
    path.write_text(f"{HEAD}[{section}]\n{form.format(SECRET)}\n", encoding="utf-8")
    message = refusal(path)
    assert SECRET not in message or form.startswith("{}")


@given(text=st.text(max_size=200) | st.binary(max_size=200).map(lambda b: b.decode("latin-1")))
def test_any_text_is_a_configuration_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "x.toml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        load_config(path)
    except ConfigError:
        return


VALUES = st.one_of(
    st.integers().map(str),
    st.floats().map(str),
    st.booleans().map(lambda b: str(b).lower()),
    st.text(st.characters(exclude_characters="'", min_codepoint=32, exclude_categories=["Cs"])).map(
        "'{}'".format
    ),
    st.just("[]"),
    st.just("{ a = 1 }"),
    st.just("2020-01-01T00:00:00Z"),
)
NAMES = sorted(
    f"{section}.{key}"
    for section, field in Config.model_fields.items()
    if hasattr(field.annotation, "model_fields")
    for key in field.annotation.model_fields
) + [
    f"{section}.{key}"
    for section, line in KEYS
    if section != "collections.docs"
    for key in [line.partition(" ")[0].strip("'")]
    if key
]


@given(name=st.sampled_from(sorted(set(NAMES))), value=VALUES)
def test_any_value_is_taken_or_refused(tmp_path_factory, name, value):
    path = tmp_path_factory.getbasetemp() / "y.toml"
    section, _, key = name.partition(".")
    text = f"{HEAD}[{section}]\n{key} = {value}\n"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        load_config(path)
    except ConfigError:
        return


@given(text=st.text(max_size=40) | st.from_regex(r"([0-9]{1,30}(\.[0-9]+)?[smhdw]){1,5}"))
def test_any_text_is_a_duration_or_refused(text):
    try:
        found = parse_duration(text)
    except ValueError:
        return
    assert 0 < found < 1e9
