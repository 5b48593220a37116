"""Swaps of a record by several processes at once."""

from __future__ import annotations

from threading import Barrier, Thread

import pytest

pytest.importorskip("pymilvus")

from nudge_sync.connector import Record
from tests.support.milvus_collections import NAME


def test_swaps_in_a_race(connect_milvus):
    records = connect_milvus().records(f"{NAME}__records", 0, ())
    records.drop()
    records.put([Record("other", {})])
    try:
        for generation in (1, 2, 3):
            won = _race(
                [connect_milvus().records(f"{NAME}__records") for _ in range(4)], generation
            )
            assert len(won) <= 1
            held = [record.document for record in records.get(["lease"])]
            assert [
                document["by"] for document in held if document["generation"] == generation
            ] == won
            if not won:
                assert records.swap(
                    Record("lease", {"generation": generation, "by": 9}), generation - 1 or None
                )
        assert records.count() == 2
    finally:
        records.drop()


def _race(contenders, generation):
    barrier, won = Barrier(len(contenders)), []

    def swap(number):
        barrier.wait()
        lease = Record("lease", {"generation": generation, "by": number})
        if contenders[number].swap(lease, generation - 1 or None):
            won.append(number)

    threads = [Thread(target=swap, args=(number,)) for number in range(len(contenders))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return won
