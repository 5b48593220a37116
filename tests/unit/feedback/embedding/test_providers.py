"""What `embed` may name: functions, embedding objects of LangChain and LlamaIndex, models."""

from __future__ import annotations

import sys

import pytest

from nudge_sync.errors import ConfigError, InputError
from nudge_sync.feedback.embedding.providers import open_embedder
from nudge_sync.settings.embed import EmbedSettings, parse_embed_name

CODE = """
from langchain_core.embeddings import Embeddings
from llama_index.core.base.embeddings.base import BaseEmbedding


def queries(texts):
    return [[1.0] for _ in texts]


class Two:
    by_name = staticmethod(queries)


class Chain(Embeddings):
    def embed_documents(self, texts):
        return [[0.0, 1.0] for _ in texts]

    def embed_query(self, text):
        return [float(len(text)), 2.0]


class Index(BaseEmbedding):
    def _get_text_embedding(self, text):
        return [0.0, 1.0]

    def _get_query_embedding(self, text):
        return [float(len(text)), 3.0]

    async def _aget_query_embedding(self, text):
        return self._get_query_embedding(text)


NUMBER = 3
chain, index = Chain(), Index()
"""


@pytest.fixture
def module(tmp_path, monkeypatch) -> str:
    name = f"embeds_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(CODE, encoding="utf-8")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    yield name
    sys.modules.pop(name, None)


def test_the_current_directory_is_looked_in(module):
    for attribute in ("queries", "Two.by_name"):
        found = open_embedder(parse_embed_name(f"{module}:{attribute}", "--embed"))
        assert found.embed(["a"])["a"].tolist() == [1.0]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "at least 1 character"),
        ("module", "is none of openai, fastembed, sentence-transformers, and no module:function"),
        ("openai:", "name a model"),
        (":name", "write module:name"),
        ("no_such_module:name", "ModuleNotFoundError"),
        ("{}:absent", "AttributeError"),
        ("{}:NUMBER", "is no function, but int"),
        ("{}:Chain", "is a class; name an object of it"),
    ],
)
def test_what_cannot_be_imported_is_named(module, name, message):
    with pytest.raises(ConfigError, match=message):
        open_embedder(parse_embed_name(name.format(module), "--embed"))


def test_embedding_objects_embed_as_queries(module):
    for name, last in (("chain", 2.0), ("index", 3.0)):
        embedder = open_embedder(parse_embed_name(f"{module}:{name}", "--embed"))
        vectors = embedder.embed(["a", "bb"])
        assert [vectors[text].tolist() for text in ("a", "bb")] == [[1.0, last], [2.0, last]]
        assert not embedder.names_model


def test_a_prefix_comes_before_each_text(module):
    settings = EmbedSettings(provider=f"{module}:chain", prefix="query: ")
    assert open_embedder(settings).embed(["ab"])["ab"].tolist() == [len("query: ab"), 2.0]


def test_models_that_are_not_there():
    with pytest.raises(InputError, match="fastembed cannot load 'no/such-model'"):
        open_embedder(parse_embed_name("fastembed:no/such-model", "--embed"))
    with pytest.raises(ConfigError, match="pip install sentence-transformers"):
        open_embedder(parse_embed_name("sentence-transformers:all-MiniLM-L6-v2", "--embed"))
