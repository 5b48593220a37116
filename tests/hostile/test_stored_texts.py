"""Stored texts that hold no record: refused by name, whatever they are, and soon."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import pytest

from nudge_sync.errors import DamagedRecord
from nudge_sync_milvus.record_codec import decode_record
from nudge_sync_qdrant_common import record_codec


def _milvus(text: str) -> Any:
    return decode_record([text], None, 4)


def _qdrant(text: str) -> Any:
    return record_codec.decode_record({"key": '"k"', "document": text}, None)


TEXTS = [
    "",
    "=",
    "z",
    "=[",
    "=[]",
    "=null",
    "=[1,2,3,4]",
    '=["k",true,"n",[]]',
    "=" + "[" * 100_000,
]
TEXTS += ['=["k",true,5,{}]', "z!!!", "zabc", "x{}", "=[NaN]", "\x00", '{"a":' * 50_000, "[1]", "3"]
BOMB = "z" + base64.b85encode(zlib.compress(b" " * 2**28)).decode()


@pytest.mark.parametrize("text", [*TEXTS, BOMB], ids=range(len(TEXTS) + 1))
@pytest.mark.parametrize("read", [_milvus, _qdrant])
def test_a_stored_text_that_is_no_record(read, text):
    with pytest.raises(DamagedRecord):
        read(text)
