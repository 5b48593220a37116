"""The audit fails for a known vulnerability, and says when it could not ask."""

from __future__ import annotations

import importlib.util

import pytest


@pytest.fixture
def audit(root):
    spec = importlib.util.spec_from_file_location("audit", root / "tools" / "audit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SOUND = {"name": "a", "version": "1", "vulns": []}
FLAWED = {"name": "b", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["2.1"]}]}
UNKNOWN = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("found", "code", "said"),
    [
        ([SOUND], 0, "1 packages audited"),
        ([SOUND, UNKNOWN], 0, "not known to the service: c"),
        ([UNKNOWN], 0, "not audited"),
        ([], 0, "not audited"),
        ([SOUND, FLAWED], 1, "b 2: CVE-1, fixed in 2.1"),
    ],
)
def test_the_audit_fails_for_flaws_and_says_when_it_was_none(audit, capsys, found, code, said):
    assert audit.print_outcome(found) == code
    assert said in capsys.readouterr().out
