"""BEIR sets by name, from ir-datasets' own registry, and as folders; embedded by a stub."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest

from nudge_sync.errors import InputError
from nudge_sync.evaluate.sources import beir, embedding
from nudge_sync.evaluate.sources.files import TaskFiles, read_task

DOCUMENTS = {"d1": "cats purr", "d2": "dogs bark", "d3": "cats and dogs"}
QUERIES = {"q1": "what purrs", "q2": "what barks", "q3": "nobody judged this"}
QRELS = {"train": [("q1", "d1", 1), ("q1", "d3", 2)], "test": [("q2", "d2", 1)]}


@pytest.fixture
def registered(tmp_path):
    """A set of two parts, as "beir/nfcorpus" has three, in ir-datasets' own registry."""
    ir_datasets = pytest.importorskip("ir_datasets")
    documents, queries = tmp_path / "docs.tsv", tmp_path / "queries.tsv"
    documents.write_text("".join(f"{id_}\t{text}\n" for id_, text in DOCUMENTS.items()))
    queries.write_text("".join(f"{id_}\t{text}\n" for id_, text in QUERIES.items()))
    names = ["toyset"]
    ir_datasets.registry.register("toyset", ir_datasets.create_dataset(documents, queries))
    for part, judged in QRELS.items():
        qrels = tmp_path / f"{part}.qrels"
        qrels.write_text(
            "".join(f"{query} 0 {document} {grade}\n" for query, document, grade in judged)
        )
        names.append(f"toyset/{part}")
        ir_datasets.registry.register(
            names[-1], ir_datasets.create_dataset(documents, queries, qrels)
        )
    yield
    for name in names:
        del ir_datasets.registry._registered[name]


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "toyset"
    (path / "qrels").mkdir(parents=True)
    corpus = [{"_id": id_, "title": "", "text": text} for id_, text in DOCUMENTS.items()]
    queries = [{"_id": id_, "text": text} for id_, text in QUERIES.items()]
    (path / "corpus.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in corpus))
    (path / "queries.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in queries))
    for part, judged in QRELS.items():
        rows = "".join(f"{query}\t{document}\t{grade}\n" for query, document, grade in judged)
        (path / "qrels" / f"{part}.tsv").write_text("query-id\tcorpus-id\tscore\n" + rows)
    return path


def same_set(texts):
    assert dict(texts.documents()) == DOCUMENTS
    assert list(texts.documents()) == list(texts.documents())
    assert dict(texts.queries) == {"q1": "what purrs", "q2": "what barks"}
    assert sorted(texts.qrels) == [("q1", "d1", 1.0), ("q1", "d3", 2.0), ("q2", "d2", 1.0)]


def test_a_name_without_judgements_stands_for_all_its_parts(registered):
    same_set(beir.load_named_dataset("toyset"))


def test_a_part_has_its_own_queries_alone(registered):
    texts = beir.load_named_dataset("toyset/test")

    assert list(texts.queries) == [("q2", "what barks")]
    assert texts.qrels == [("q2", "d2", 1.0)]


def test_the_names_of_beir_are_known_without_a_download():
    ir_datasets = pytest.importorskip("ir_datasets")

    names = [part.dataset_id() for part in beir._find_parts(ir_datasets, "beir/nfcorpus")]

    assert sorted(names) == ["beir/nfcorpus/dev", "beir/nfcorpus/test", "beir/nfcorpus/train"]


def test_an_unknown_name_is_refused():
    pytest.importorskip("ir_datasets")
    with pytest.raises(InputError, match="beir/nfcorpse"):
        beir.load_named_dataset("beir/nfcorpse")


def test_a_folder_as_beir_ships_it(folder):
    same_set(beir.load_dataset_folder(folder))


def test_titles_stand_before_texts(folder):
    (folder / "corpus.jsonl").write_text('{"_id": "d1", "title": "Cats", "text": "They purr."}\n')

    assert list(beir.load_dataset_folder(folder).documents()) == [("d1", "Cats They purr.")]


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"_id": 3, "text": "x"}', '{"_id": "d"}', "null", "[" * 100_000]
)
def test_a_broken_line_is_named(folder, line):
    (folder / "corpus.jsonl").write_text('{"_id": "d1", "text": "x"}\n' + line + "\n")

    with pytest.raises(InputError, match=r"corpus\.jsonl line 2"):
        list(beir.load_dataset_folder(folder).documents())


def test_a_judged_query_without_text_is_named(folder):
    (folder / "queries.jsonl").write_text('{"_id": "q1", "text": "x"}\n')

    with pytest.raises(InputError, match="'q2' is judged"):
        beir.load_dataset_folder(folder)


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
