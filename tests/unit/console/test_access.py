"""Tokens, sessions and proofs."""

from __future__ import annotations

import pytest

from nudge_sync.console.access import (
    MAX_SESSIONS,
    SESSION_SECONDS,
    Access,
    check_tokens,
    clean_name,
)
from nudge_sync.errors import ConfigError

READ, ACT = "r" * 16, "a" * 16


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_each_token_gives_its_right():
    access = Access(READ, ACT)
    for token, may_act in ((READ, False), (ACT, True)):
        session = access.sign_in(token, "anna")
        assert access.find_visitor(session, "", "").may_act is may_act
        assert access.find_visitor("", f"bearer {token}", "").may_act is may_act
    for wrong in ("", "x", READ[1:], ACT + "a", "ä"):
        assert access.sign_in(wrong, "") is None
        assert access.find_visitor("", f"Bearer {wrong}", "") is None


def test_a_token_that_is_not_set_opens_nothing():
    access = Access(READ)
    assert access.sign_in("", "") is None
    assert access.find_visitor("", "Bearer ", "") is None
    assert access.find_visitor("", "", "") is None


def test_a_wrong_token_is_not_helped_by_a_session():
    access = Access(READ, ACT)
    session = access.sign_in(ACT, "")
    assert access.find_visitor(session, "Bearer wrong", "") is None


def test_sessions_end_by_time_and_by_number():
    clock = Clock()
    access = Access(READ, clock=clock)
    first = access.sign_in(READ, "")
    clock.now = SESSION_SECONDS - 1
    assert access.find_visitor(first, "", "") is not None
    clock.now = SESSION_SECONDS
    assert access.find_visitor(first, "", "") is None
    sessions = [access.sign_in(READ, "") for _ in range(MAX_SESSIONS + 1)]
    assert access.find_visitor(sessions[0], "", "") is None
    assert access.find_visitor(sessions[1], "", "") is not None


def test_a_proof_is_one_visitors_and_one_process():
    access = Access(READ, ACT)
    left, right = (access.find_visitor(access.sign_in(READ, ""), "", "") for _ in range(2))
    assert access.is_proof(left, access.prove(left))
    assert not access.is_proof(left, access.prove(right))
    assert not access.is_proof(left, Access(READ, ACT).prove(left))
    assert not access.is_proof(left, "")


@pytest.mark.parametrize(
    ("read", "act", "named"),
    [
        ("", "", "NUDGE_SYNC_CONSOLE_TOKEN"),
        ("short", "", "16 characters"),
        (READ, "short", "NUDGE_SYNC_CONSOLE_ACTION_TOKEN"),
        (READ, READ, "the same"),
    ],
)
def test_tokens_that_would_protect_nothing_are_refused(read, act, named):
    with pytest.raises(ConfigError, match=named) as refused:
        check_tokens(read, act)
    assert READ not in str(refused.value)


def test_tokens_that_are_taken():
    check_tokens(READ, "")
    check_tokens("", ACT)
    check_tokens(READ, ACT)


def test_a_name_is_one_short_line():
    assert clean_name("  Anna\n\tB.\x00\u202e ") == "Anna B."
    assert len(clean_name("x" * 1000)) == 100


def test_other_tokens_end_the_sessions_of_those_that_are_no_more():
    access = Access(READ, ACT)
    reader, operator = access.sign_in(READ, "Anna"), access.sign_in(ACT, "Bob")
    access.replace_tokens("another token to read with", ACT)
    assert access.find_visitor(reader, "", "") is None
    assert access.find_visitor(operator, "", "").name == "Bob"
    assert access.sign_in(READ, "") is None
    access.replace_tokens("another token to read with", "")
    assert access.find_visitor(operator, "", "") is None
    assert access.sign_in(ACT, "") is None
