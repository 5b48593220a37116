"""BEIR sets by name, from ir-datasets' own registry, and as folders."""

from __future__ import annotations

import pytest

from nudge_sync.errors import InputError
from nudge_sync.evaluate.sources import beir
from tests.support.beir_folder import DOCUMENTS, QRELS, QUERIES, write_beir_folder


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
    return write_beir_folder(tmp_path / "toyset")


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
