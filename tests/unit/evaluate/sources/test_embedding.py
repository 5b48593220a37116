"""Sets of texts are embedded once, by a stub, and found again."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest

from nudge_sync.errors import InputError
from nudge_sync.evaluate.sources import beir, embedding
from nudge_sync.evaluate.sources.files import TaskFiles, read_task
from tests.support.beir_folder import write_beir_folder


@pytest.fixture
def folder(tmp_path):
    return write_beir_folder(tmp_path / "toyset")


class Stub:
    """Bags of words, and a count of the texts that were embedded."""

    def __init__(self, fail_after: int | None = None) -> None:
        self.count = 0
        self.fail_after = fail_after

    def embed(self, texts):
        for text in texts:
            if self.fail_after is not None and self.count >= self.fail_after:
                raise ConnectionError
            self.count += 1
            vector = np.zeros(32)
            for word in text.split():
                vector[zlib.crc32(word.rstrip("s").encode()) % 32] += 1.0
            yield vector

    def model(self):
        return embedding.EmbeddingModel("stub/words", self.embed, self.embed)


def test_a_set_is_embedded_once_and_then_found(folder, tmp_path):
    stub = Stub()
    texts = beir.load_dataset_folder(folder)

    made = embedding.embed_dataset(texts, stub.model(), tmp_path / "cache")
    again = embedding.embed_dataset(texts, stub.model(), tmp_path / "cache")

    assert stub.count == 5
    assert (
        made == again == embedding.find_embedded_dataset(tmp_path / "cache", "toyset", "stub/words")
    )
    assert embedding.find_embedded_dataset(tmp_path / "cache", "toyset", "another") is None
    task = read_task(TaskFiles.from_folder(made), "toyset", "cosine")
    assert task.query_ids == ["q2", "q1"]
    assert task.judgements == [{1: 1.0}, {0: 1.0, 2: 2.0}]
    assert int(np.argmax(task.documents @ task.queries[0])) == 1


def test_an_interrupted_run_goes_on_where_it_was(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "_DOCUMENTS_PER_SHARD", 1)
    texts, cache = beir.load_dataset_folder(folder), tmp_path / "cache"
    with pytest.raises(ConnectionError):
        embedding.embed_dataset(texts, Stub(fail_after=2).model(), cache)
    assert embedding.find_embedded_dataset(cache, "toyset", "stub/words") is None

    rest = Stub()
    made = embedding.embed_dataset(texts, rest.model(), cache)

    assert rest.count == 3
    whole = embedding.embed_dataset(texts, Stub().model(), tmp_path / "other")
    np.testing.assert_array_equal(np.load(made / "documents.npy"), np.load(whole / "documents.npy"))
    assert sorted(path.name for path in made.iterdir()) == [
        "about.json",
        "documents.npy",
        "documents.txt",
        "qrels.tsv",
        "queries.npy",
        "queries.txt",
    ]


def test_judgements_on_documents_that_the_set_lacks_are_left_out(folder, tmp_path):
    with (folder / "qrels" / "test.tsv").open("a") as qrels:
        qrels.write("q2\tgone\t1\n")

    made = embedding.embed_dataset(
        beir.load_dataset_folder(folder), Stub().model(), tmp_path / "cache"
    )

    assert read_task(TaskFiles.from_folder(made), "toyset").judgements == [
        {1: 1.0},
        {0: 1.0, 2: 2.0},
    ]
    assert json.loads((made / "about.json").read_text())["left_out"] == 1


def test_names_do_not_leave_the_cache(tmp_path):
    assert embedding._cache_folder(tmp_path, "../../etc", "..").parent.parent == tmp_path


def test_an_unknown_model_is_refused_without_a_download():
    pytest.importorskip("fastembed")
    with pytest.raises(InputError, match="nobody/no-such-model"):
        embedding.load_fastembed_model("nobody/no-such-model")
