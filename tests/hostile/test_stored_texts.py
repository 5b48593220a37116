"""Stored texts that hold no record: refused by name, whatever they are, and soon."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import numpy as np
import pytest

from nudge_sync.connector import Record
from nudge_sync.errors import DamagedRecord
from nudge_sync_milvus.record_codec import decode_record
from nudge_sync_qdrant_common import record_codec


def _milvus(text: str) -> Any:
    return decode_record([text], None)


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


NO_VECTORS = [None, 5, True, [], {}, "!!!!", "AAA", "AAAAAAA=", "\u00e4\u00e4\u00e4\u00e4"]


@pytest.mark.parametrize("stored", NO_VECTORS)
def test_a_stored_vector_that_is_none(stored):
    with pytest.raises(DamagedRecord):
        record_codec.decode_record({"key": '"k"', "document": "{}", "vector": stored}, None)
    text = "=" + json.dumps(["k", True, "", {}, stored])
    with pytest.raises(DamagedRecord):
        decode_record([text], np.zeros(4, np.float32))
    # Whoever asks for no vector does not decode one.
    assert decode_record([text], None).record == Record("k", {})


def test_two_vectors_of_one_record():
    text = '=["k",true,"",{},"AACAPw==","AACAPw=="]'
    with pytest.raises(DamagedRecord):
        decode_record([text], np.zeros(4, np.float32))
