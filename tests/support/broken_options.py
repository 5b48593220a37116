"""Databases in memory that each break one promise that a connector may do without."""

from __future__ import annotations

from dataclasses import replace

from nudge_sync.connector import Replication
from nudge_sync.testing.memory import MemoryDatabase


class MakesOneCopy(MemoryDatabase):
    """Makes the sidecar's collections as if the user's had one copy."""

    def records_beside(self, collection, name, dimension=0, indexed=()):
        records = super().records_beside(collection, name, dimension, indexed)
        self.store.replications[name] = Replication()
        records._beside = ""
        return records


class AnnouncesNothing(MemoryDatabase):
    """Does not say what a collection will get."""

    def replication(self, name, beside=""):
        return super().replication(name)


class FindsCopiesOfNothing(MemoryDatabase):
    """Says of a collection that is not there that it has a copy."""

    def replication(self, name, beside=""):
        return super().replication(name, beside) or Replication()


class TakesCopiesAway(MemoryDatabase):
    """Gives as few copies as it is asked for."""

    def replicate(self, name, wanted):
        self.store.replications[name] = replace(
            wanted, replicas=wanted.factor, active=wanted.factor
        )
        return []


class NeverEnds(MemoryDatabase):
    """Says again and again that copies are being made."""

    def replicate(self, name, wanted):
        super().replicate(name, wanted)
        return [f"{name} is being copied"]


class MakesOtherRecords(MemoryDatabase):
    """Keeps what stands beside a collection where `records` does not find it."""

    def records_beside(self, collection, name, dimension=0, indexed=()):
        return super().records_beside(collection, f"{name}_beside", dimension, indexed)


class ForgetsDeletions(MemoryDatabase):
    """Only learns of what is added, as one that counts a deleted record until it tidies up."""

    def __init__(self) -> None:
        super().__init__()
        self._largest: dict[str, int] = {}

    def size(self, name):
        self._largest[name] = max(super().size(name), self._largest.get(name, 0))
        return self._largest[name]


class RoundsSizes(MemoryDatabase):
    """Tells sizes in hundreds."""

    def size(self, name):
        return -(-super().size(name) // 100) * 100


class GrowsWhenAsked(MemoryDatabase):
    """Says something else each time."""

    def __init__(self) -> None:
        super().__init__()
        self._asked = 0

    def size(self, name):
        self._asked += 1
        return super().size(name) and super().size(name) + self._asked


class HasASizeOfNothing(MemoryDatabase):
    """Says of a collection that is not there that it holds a record."""

    def size(self, name):
        return max(1, super().size(name))


# Each with the test of the kit that is about the promise it breaks.
BROKEN_REPLICATION = {
    MakesOneCopy: "test_they_have_the_copies_that_were_announced",
    AnnouncesNothing: "test_they_have_the_copies_that_were_announced",
    FindsCopiesOfNothing: "test_they_have_the_copies_that_were_announced",
    TakesCopiesAway: "test_asking_for_the_copies_there_are_changes_nothing",
    NeverEnds: "test_asking_for_the_copies_there_are_changes_nothing",
    MakesOtherRecords: "test_records_beside_a_collection_are_records",
}
BROKEN_SIZES = {
    ForgetsDeletions: "test_a_size_tells_that_records_came_or_went",
    RoundsSizes: "test_a_size_tells_that_records_came_or_went",
    GrowsWhenAsked: "test_where_nothing_came_or_went_it_stays",
    HasASizeOfNothing: "test_what_was_never_put_has_no_size",
}
