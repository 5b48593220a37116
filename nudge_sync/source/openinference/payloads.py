"""What retrievers and embedders take and give, as products log it, under OpenInference's names.

Products that know a kind of span, but log whatever a function took and returned, have queries,
documents and vectors in many shapes. The commonest are recognised here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_TEXT_NAMES = ("query", "question", "input", "text")
_LIST_NAMES = ("documents", "output", "outputs", "results", "docs")
_VECTOR_NAMES = ("embedding", "embeddings", "vector", "vectors", "output", "outputs")
_CONTENT_NAMES = ("page_content", "content", "text")


def build_attributes(
    kind: str,
    inputs: Any,
    outputs: Any,
    *,
    session: str | None = None,
    user: str | None = None,
    metadata: Any = None,
) -> dict[str, Any]:
    """Return the attributes of a span of this kind, as `nest_attributes` returns them.

    inputs, outputs: what the step took and gave; of a RETRIEVER a text or an object with one, and
    documents; of an EMBEDDING texts and vectors.
    """
    attributes: dict[str, Any] = {
        "openinference": {"span": {"kind": kind}},
        "input": {"value": find_text(inputs)},
        "output": {"value": outputs},
        "session": {"id": session or None},
        "user": {"id": user or None},
        "metadata": metadata,
    }
    if kind == "RETRIEVER":
        documents = [{"document": document} for document in list_documents(outputs)]
        attributes["retrieval"] = {"documents": documents}
    if kind == "EMBEDDING":
        pairs = zip(_list_texts(inputs), _list_vectors(outputs), strict=False)
        entries = [{"text": text, "vector": vector} for text, vector in pairs]
        attributes["embedding"] = {"embeddings": entries}
    return attributes


def find_text(inputs: Any) -> str:
    """Return the words of a query: the input itself, or its likeliest field; "" without any."""
    if isinstance(inputs, Mapping):
        fields = [inputs.get(name) for name in _TEXT_NAMES] + list(inputs.values())
        inputs = next((value for value in fields if isinstance(value, str) and value), "")
    return inputs if isinstance(inputs, str) else ""


def list_documents(outputs: Any) -> Iterator[dict[str, Any]]:
    """Yield the documents that a retriever gave: `id`, `content`, `metadata` and what else it has.

    An entry that is no object has no id: it comes as a document with its text alone, so that those
    after it keep their ranks.
    """
    for entry in _find_list(outputs, _LIST_NAMES):
        document = entry if isinstance(entry, Mapping) else {"content": entry}
        if document.get("type") == "constructor" and isinstance(document.get("kwargs"), Mapping):
            # A document that LangChain wrote out as the call that makes it.
            document = document["kwargs"]
        contents = (document.get(name) for name in _CONTENT_NAMES)
        content = next((each for each in contents if each is not None), None)
        named = {**document, "content": content}
        yield {name: value for name, value in named.items() if value is not None}


def _find_list(value: Any, names: Sequence[str]) -> list[Any]:
    """Return a list, or the first list under one of `names` in an object."""
    if isinstance(value, Mapping):
        value = next((value[name] for name in names if isinstance(value.get(name), list)), None)
    return value if isinstance(value, list) else []


def _list_texts(inputs: Any) -> list[str]:
    if isinstance(inputs, Mapping):
        lists = (value for value in inputs.values() if isinstance(value, list))
        inputs = find_text(inputs) or next(lists, [])
    texts = inputs if isinstance(inputs, list) else [inputs]
    return [text for text in texts if isinstance(text, str)]


def _list_vectors(outputs: Any) -> list[list[float]]:
    """Return the vectors in what an embedder gave: one, several, or objects with one each."""
    vectors = _find_list(outputs, _VECTOR_NAMES)
    if _is_vector(vectors):
        return [vectors]
    if isinstance(outputs, Mapping) and not vectors:
        # The answer of an OpenAI-compatible endpoint.
        vectors = _find_list(outputs, ("data",))
    inner: list[Any] = [
        each.get("embedding") if isinstance(each, Mapping) else each for each in vectors
    ]
    return inner if all(map(_is_vector, inner)) else []


def _is_vector(value: Any) -> bool:
    is_list = isinstance(value, list) and len(value) > 0
    return is_list and all(isinstance(part, (int, float)) for part in value)
