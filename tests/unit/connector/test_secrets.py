"""Secrets come from the environment or a private file, and no message repeats one."""

from __future__ import annotations

import os

import pytest

from nudge_sync.connector.secrets import (
    read_secret,
    read_token,
    refuse_secrets_in_address,
    refuse_secrets_in_table,
)
from nudge_sync.errors import ConfigError


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "key"
    path.write_text("s3cret\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def test_the_environment_comes_first_then_the_file(file, monkeypatch):
    assert read_secret("NUDGE_TEST_KEY", None, "database.api_key_file") == ""
    assert read_secret("NUDGE_TEST_KEY", file, "database.api_key_file") == "s3cret"
    monkeypatch.setenv("NUDGE_TEST_KEY", "from the environment")
    assert read_secret("NUDGE_TEST_KEY", file, "database.api_key_file") == "from the environment"


@pytest.mark.parametrize("value", ["s3cret\n", "s3cret\r\n", "\ns3cret"])
def test_line_ends_are_no_part_of_a_secret_in_the_environment(value, monkeypatch):
    monkeypatch.setenv("NUDGE_TEST_KEY", value)
    assert read_secret("NUDGE_TEST_KEY", None, "x") == "s3cret"
    assert read_token("NUDGE_TEST_KEY", None, "x") == "s3cret"


@pytest.mark.parametrize("token", ["schlüssel", "a\tb", "a\nb", " abc", "abc ", "\udcff", "密"])
def test_a_token_that_no_request_could_bear_is_refused(token, monkeypatch):
    monkeypatch.setenv("NUDGE_TEST_TOKEN", token)
    with pytest.raises(ConfigError, match=r"NUDGE_TEST_TOKEN or serve\.token_file") as refused:
        read_token("NUDGE_TEST_TOKEN", None, "serve.token_file")
    assert token not in str(refused.value)


def test_no_token_at_all_is_none(file):
    assert read_token("NUDGE_TEST_TOKEN", None, "serve.token_file") == ""
    assert read_token("NUDGE_TEST_TOKEN", file, "serve.token_file") == "s3cret"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o666, 0o610, 0o601])
def test_a_file_that_others_can_reach_is_refused(file, mode):
    file.chmod(mode)
    with pytest.raises(ConfigError, match=f"mode {mode:04o}.*chmod 600") as refused:
        read_secret("NUDGE_TEST_KEY", file, "database.api_key_file")
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o700])
def test_a_file_of_ones_own_is_read(file, mode):
    file.chmod(mode)
    assert read_secret("NUDGE_TEST_KEY", file, "x") == "s3cret"


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb", b"a\x00b", b"\xff\xfe", b"x" * 70_000])
def test_a_file_of_something_else_is_refused(file, content):
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="one line of text"):
        read_secret("NUDGE_TEST_KEY", file, "x")


def test_no_file_and_no_regular_file(tmp_path):
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_secret("NUDGE_TEST_KEY", path, "x")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    with pytest.raises(ConfigError, match="not a regular file"):
        read_secret("NUDGE_TEST_KEY", pipe, "x")


@pytest.mark.parametrize(
    "key", ["api_key", "apikey", "API-KEY", "token", "password", "Authorization", "user", "jwt"]
)
def test_a_secret_in_the_table_is_refused_without_being_repeated(key):
    with pytest.raises(ConfigError) as refused:
        refuse_secrets_in_table({key: "hunter2"}, "database", "QDRANT_API_KEY", "api_key_file")
    message = str(refused.value)
    assert "QDRANT_API_KEY" in message
    assert f"database.{key}" in message
    assert "hunter2" not in message


def test_settings_about_secrets_are_no_secrets():
    names = ("api_key_env", "api_key_file", "client_key", "client_key_path", "token_env", "url")
    refuse_secrets_in_table(dict.fromkeys(names, "x"), "database", "V", "f")


@pytest.mark.parametrize(
    "address",
    [
        "https://user:hunter2@host:6333",
        "https://hunter2@host",
        "http://host?api_key=hunter2",
        "http://host#hunter2",
        "http://user:hunter2@",
        "http://[hunter2",
    ],
)
def test_an_address_with_credentials_is_refused_without_being_repeated(address):
    with pytest.raises(ConfigError) as refused:
        refuse_secrets_in_address(address, "database.url", "QDRANT_API_KEY")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("address", ["http://host:6333", "https://[::1]:443/prefix", "docs.db", ""])
def test_a_plain_address_is_taken(address):
    refuse_secrets_in_address(address, "database.url", "QDRANT_API_KEY")
