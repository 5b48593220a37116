"""Work here goes one by one, in order, and only as far as it is asked for."""

from __future__ import annotations

from nudge_sync.base.executor import LOCAL


def test_each_item_is_worked_on_when_its_result_is_asked_for():
    begun = []

    def work(shared: int, item: int) -> int:
        begun.append(item)
        return shared + item

    results = LOCAL.map(work, 10, [1, 2, 3])
    assert begun == []
    assert next(results) == 11
    assert begun == [1]
    assert list(results) == [12, 13]
