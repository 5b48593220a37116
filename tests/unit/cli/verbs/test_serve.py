"""`serve`: its options, and a configuration without a schedule."""

from __future__ import annotations

import pytest

from tests.support.command_line import invoke, write_config


def test_without_a_schedule_there_is_nothing_to_run(tmp_path):
    done = invoke("serve", "--port", "0", "--config", str(write_config(tmp_path)))
    assert (done.exit_code, "no collection has a schedule" in done.stderr) == (2, True)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1"])
def test_an_option_counts_before_the_file(host, tmp_path):
    path = write_config(tmp_path)
    text = path.read_text(encoding="utf-8") + '[serve]\nhost = "127.0.0.1"\n'
    path.write_text(f'{text}[schedule]\nevery = "1d"\n', encoding="utf-8")
    done = invoke("serve", "--host", host, "--config", str(path), NUDGE_SYNC_TOKEN="")
    assert (done.exit_code, f"serve.host {host}" in done.stderr) == (2, True)
