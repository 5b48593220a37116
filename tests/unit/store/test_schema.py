"""What a stored record may hold, field by field, once its checksum is right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nudge_sync.connector import Record
from nudge_sync.errors import DamagedRecord
from nudge_sync.store.checksum import add_checksum, digest_bytes
from nudge_sync.store.schema import (
    LAST_MOMENT,
    HistoryDocument,
    OriginalDocument,
    parse_content,
    validate_records,
)

VECTOR = np.array([0.6, 0.8], np.float32)
DIGEST = digest_bytes(b"a vector")


def make_original(key: str = "3:a", vector: Any = VECTOR, **fields: Any) -> Record:
    return add_checksum(key, {"id": "a", "revision": 3, "at": 0, **fields}, vector)


def make_history(**fields: Any) -> Record:
    document = {"id": 5, "revision": 2, "original": DIGEST, "replaced": DIGEST, **fields}
    return add_checksum("2:5", document, VECTOR)


def test_whole_records_come_back() -> None:
    original, history = make_original(at=LAST_MOMENT - 1), make_history()
    assert validate_records([original], "docs", OriginalDocument, vectors=True) == [original]
    nameless = make_original(key="3:", id="")
    assert validate_records([nameless], "docs", OriginalDocument, vectors=True) == [nameless]
    assert validate_records([history], "docs", HistoryDocument, vectors=True) == [history]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"id": True}, "id"),
        ({"id": 1.5}, "id"),
        ({"revision": -1}, "revision"),
        ({"revision": "x"}, "revision"),
        ({"at": LAST_MOMENT}, "at"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_a_field_of_another_shape_is_named(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(DamagedRecord, match=rf"record '3:a' in \"docs\".*\({reason}"):
        validate_records([make_original(**fields)], "docs", OriginalDocument, vectors=True)


def test_a_digest_is_32_hexadecimal_digits() -> None:
    with pytest.raises(DamagedRecord, match="original"):
        validate_records([make_history(original="0" * 31)], "docs", HistoryDocument, vectors=True)


def test_a_record_stands_under_its_own_key() -> None:
    with pytest.raises(DamagedRecord, match="another point's key"):
        validate_records([make_original(key="3:b")], "docs", OriginalDocument, vectors=True)


def test_a_vector_is_missed_where_it_is_needed() -> None:
    record = Record(make_original().key, make_original().document, None)
    with pytest.raises(DamagedRecord, match="lost its vector"):
        validate_records([record], "docs", OriginalDocument, vectors=True)
    assert validate_records([record], "docs", OriginalDocument, vectors=False) == [record]


def test_the_checksum_comes_first() -> None:
    record = Record("3:a", {**make_original().document, "id": ""}, VECTOR)
    with pytest.raises(DamagedRecord, match="fails its digest"):
        validate_records([record], "docs", OriginalDocument, vectors=True)


def test_content_that_is_no_document_at_all_is_named() -> None:
    with pytest.raises(DamagedRecord, match="its content"):
        parse_content(OriginalDocument, None, Record("k", {}), "docs")
