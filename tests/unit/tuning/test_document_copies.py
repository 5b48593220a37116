"""The documents of a fit are the input's, wherever the input lies and whatever became of a file."""

from __future__ import annotations

import numpy as np
import pytest

from nudge_sync import finetune
from nudge_sync.tuning.document_copies import copy_documents
from tests.support.unit_vectors import make_unit_rows

COUNT, DIMENSION = 3000, 16


@pytest.fixture
def documents():
    return make_unit_rows(COUNT, DIMENSION, 1)


@pytest.fixture
def path(documents, tmp_path):
    np.save(tmp_path / "documents.npy", documents)
    return tmp_path / "documents.npy"


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_a_mapped_file_is_copied_bit_for_bit_and_stays_as_it_is(documents, path, mode):
    copied = copy_documents(np.load(path, mmap_mode=mode))
    assert copied.tobytes() == documents.tobytes()
    copied[0] = 7
    assert np.load(path).tobytes() == documents.tobytes()


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_a_copy_of_a_mapped_file_is_a_mapping(path, mode):
    assert isinstance(copy_documents(np.load(path, mmap_mode=mode)), np.memmap)


def test_changes_in_memory_are_copied(documents, path):
    mapped = np.load(path, mmap_mode="c")
    mapped *= 2
    assert copy_documents(mapped).tobytes() == (2 * documents).tobytes()


@pytest.mark.parametrize("part", [slice(5, 900), slice(None, None, 3), slice(None, None, -1)])
def test_a_part_of_a_mapping_is_copied(documents, path, part):
    assert copy_documents(np.load(path, mmap_mode="r")[part]).tobytes() == documents[part].tobytes()


def test_a_file_that_was_replaced_is_not_read_again(documents, path, tmp_path):
    mapped = np.load(path, mmap_mode="r")
    for rows in (make_unit_rows(COUNT, DIMENSION, 2), make_unit_rows(9, DIMENSION, 2)):
        np.save(tmp_path / "new.npy", rows)
        (tmp_path / "new.npy").replace(path)
        assert copy_documents(mapped).tobytes() == documents.tobytes()
    path.unlink()
    assert copy_documents(mapped).tobytes() == documents.tobytes()


def test_one_fit_after_another_keeps_both(documents, path):
    queries = make_unit_rows(40, DIMENSION, 3)
    relevant = [[row] for row in range(40)]
    mapped = np.load(path, mmap_mode="r")
    first = finetune(mapped, queries[:20], relevant[:20], angle=0.3)
    second = finetune(first.documents, queries[20:], relevant[20:], angle=0.3)
    expected = documents.copy()
    expected[first.moved] = first.vectors
    expected[second.moved] = second.vectors
    assert second.documents.tobytes() == expected.tobytes()
