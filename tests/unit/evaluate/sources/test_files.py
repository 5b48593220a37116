"""Tasks from files: what is read, and what every broken file says."""

from __future__ import annotations

import numpy as np
import pytest

from nudge_sync.errors import InputError
from nudge_sync.evaluate.sources.files import TaskFiles, read_qrels, read_task


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "documents.npy", rng.normal(size=(4, 3)).astype(np.float32))
    np.save(tmp_path / "queries.npy", rng.normal(size=(2, 3)).astype(np.float32))
    (tmp_path / "documents.txt").write_text("a\nb\nc\nd\n")
    (tmp_path / "queries.txt").write_text("x\ny\n")
    (tmp_path / "qrels.tsv").write_text("x\ta\t1\nx\tb\t2\ny\tc\t1\n")
    return tmp_path


def task_in(folder, similarity="dot"):
    return read_task(TaskFiles.from_folder(folder), "toy", similarity)


def test_a_folder_is_a_task(folder):
    task = task_in(folder)

    assert task.judgements == [{0: 1.0, 1: 2.0}, {2: 1.0}]
    assert task.document_ids == ["a", "b", "c", "d"]
    assert task.documents.dtype == np.float32
    assert (task.count_judgements(), task.count_judged_documents()) == (3, 3)


def test_times_of_queries_are_read_and_may_be_missing(folder):
    assert task_in(folder).query_times is None

    (folder / "times.txt").write_text("2024-01-02T00:00:00Z\n\n")
    assert task_in(folder).query_times.tolist() == [1_704_153_600.0, 0.0]

    (folder / "times.txt").write_text("1704153600\nyesterday\n")
    with pytest.raises(InputError, match=r"times\.txt line 2: .*unparsable time"):
        task_in(folder)

    (folder / "times.txt").write_text("1704153600\n")
    with pytest.raises(InputError, match="1 lines for 2 queries"):
        task_in(folder)


def test_documents_stay_on_disk(folder):
    assert isinstance(task_in(folder).documents, np.memmap)


def test_ids_default_to_row_numbers(folder):
    (folder / "documents.txt").unlink()
    (folder / "queries.txt").unlink()
    (folder / "qrels.tsv").write_text("0\t3\t1\n")

    assert task_in(folder).judgements == [{3: 1.0}]


def test_cosine_brings_rows_to_length_one(folder):
    task = task_in(folder, "cosine")

    np.testing.assert_allclose(np.linalg.norm(task.documents, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(task.queries, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        "x\ta\t1\ny\tc\t2\n",
        "query-id\tcorpus-id\tscore\nx\ta\t1\ny\tc\t2\n",
        "x 0 a 1\ny 0 c 2\n",
        "\ufeffgrade;docid;qid\r\n1,0;a;x\r\n2;c;y\r\n",
        '{"query_id": "x", "point": "a", "grade": 1}\n{"qid": "y", "doc_id": "c", "score": 2}\n',
        "1 qid:x 1:0.5 # a\n2 qid:y 1:0.2 # c\n",
    ],
    ids=["plain", "beir", "trec", "csv", "json lines", "ranklib"],
)
def test_qrels_come_in_every_form_that_import_reads(folder, text):
    (folder / "qrels.tsv").write_text(text)

    assert [entry[1:] for entry in read_qrels(folder / "qrels.tsv")] == [
        ("x", "a", 1.0),
        ("y", "c", 2.0),
    ]


def test_queries_without_an_answer_are_left_out_and_said_so(folder):
    (folder / "qrels.tsv").write_text("x\ta\t1\ny\tc\t0\n")
    task = task_in(folder)

    assert task.query_ids == ["x"]
    assert task.queries.shape == (1, 3)
    assert "1 queries without an answer" in task.notes[0]


def test_of_repeated_judgements_the_higher_holds(folder):
    (folder / "qrels.tsv").write_text("x\ta\t1\nx\ta\t3\nx\ta\t2\n")
    task = task_in(folder)

    assert task.judgements == [{0: 3.0}]
    assert "2 repeated judgements" in task.notes[0]


def broken(name):
    def decorated(function):
        BROKEN[name] = function
        return function

    return decorated


BROKEN: dict = {}


@broken("no such file")
def _(folder):
    (folder / "documents.npy").unlink()


@broken("queries.txt: 3 ids, but")
def _(folder):
    (folder / "queries.txt").write_text("x\ny\nz\n")


@broken("id 'a' stands there twice")
def _(folder):
    (folder / "documents.txt").write_text("a\nb\na\nd\n")


@broken("not readable as UTF-8")
def _(folder):
    (folder / "queries.txt").write_bytes(b"x\n\xff\n")


@broken("row 2 is zero or not finite")
def _(folder):
    vectors = np.ones((4, 3), dtype=np.float32)
    vectors[2, 1] = np.nan
    np.save(folder / "documents.npy", vectors)


@broken("row 1 is zero or not finite")
def _(folder):
    np.save(folder / "queries.npy", np.array([[1, 1, 1], [0, 0, 0]], dtype=np.float64))


@broken("row 0 is zero or not finite")
def _(folder):
    np.save(folder / "queries.npy", np.full((2, 3), 1e300))


@broken("4 dimensions, but the documents have 3")
def _(folder):
    np.save(folder / "queries.npy", np.ones((2, 4), dtype=np.float32))


@broken("expected rows of vectors")
def _(folder):
    np.save(folder / "queries.npy", np.ones(6, dtype=np.float32))


@broken("expected one array of float16, float32 or float64")
def _(folder):
    np.save(folder / "queries.npy", np.ones((2, 3), dtype=np.int64))


@broken("not a plain NumPy array")
def _(folder):
    np.save(folder / "documents.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)


@broken("not a plain NumPy array")
def _truncated(folder):
    whole = (folder / "documents.npy").read_bytes()
    (folder / "documents.npy").write_bytes(whole[:-5])


BROKEN["not a plain NumPy array "] = _truncated


@broken("line 2: expected query id, document id, grade")
def _(folder):
    (folder / "qrels.tsv").write_text("x\ta\t1\nx\tb\n")


@broken("line 1: expected query id, document id, grade")
def _(folder):
    (folder / "qrels.tsv").write_text("x\ta\tmuch\n")


@broken("line 1: expected query id, document id, grade (no grade)")
def _(folder):
    (folder / "qrels.tsv").write_text("x\ta\tnan\n")


@broken("line 2: document 'nobody' is not among the documents")
def _(folder):
    (folder / "qrels.tsv").write_text("x\ta\t1\nx\tnobody\t1\n")


@broken("line 1: query 'nobody' is not among the queries")
def _(folder):
    (folder / "qrels.tsv").write_text("nobody\ta\t1\n")


@broken("no query has an answer")
def _(folder):
    (folder / "qrels.tsv").write_text("x\ta\t0\n")


@pytest.mark.parametrize("message", BROKEN)
def test_a_broken_file_is_named_with_what_is_wrong(folder, message):
    BROKEN[message](folder)

    with pytest.raises(InputError) as raised:
        task_in(folder)

    assert message.strip() in str(raised.value)
