"""A LangChain retriever that logs its searches: `pip install 'nudge-sync[langchain]'`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables.config import run_in_executor
from langchain_core.vectorstores import VectorStore, VectorStoreRetriever
from pydantic import model_validator

from nudge_sync.experiment.experiment import Experiment
from nudge_sync.feedback_log import POINT_ID_KEY, QUERY_ID_KEY, FeedbackLog
from nudge_sync.tuning.query_adapter import QueryAdapter

_DEFAULT_K = 4
"""How many documents LangChain's stores return if nothing else is said."""
_FILTER_OPTIONS = ("filter", "expr")
"""Search options by which langchain-qdrant and langchain-milvus take a filter."""
_POINT_ID_KEYS = ("_id", "pk")
"""Metadata keys that langchain-qdrant and langchain-milvus keep the point's id under."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A document, with the names that qdrant-client gives the id and score of a result."""

    id: Any
    score: float
    document: Document


class LoggedRetriever(VectorStoreRetriever):
    """A retriever that returns what `vectorstore.as_retriever()` does and logs each search.

    Each document has `nudge_query_id` and `nudge_point_id` in its metadata, which a click is
    logged with. The `session` and `client` of a search come from the metadata of the run's
    configuration. An error in the log is counted there and fails no search.
    The query is embedded once, by `embeddings` or else by the store's own model, and its vector
    is searched with. If the store searches by more than one vector (hybrid) or with a score
    threshold, the log's thread embeds the query once more. Raises ValueError if there is no
    embedding model.
    With an `experiment`, made with the same log, a plain similarity search returns the list of the
    session's arm. Points that only the arm has are fetched by the store's `get_by_ids`; where it
    has none, or the search has a filter, they are left out and counted.
    With a `query_adapter` the search is by the adapted vector, and the log keeps the model's own.
    That takes a search by one vector, without an experiment; ValueError is raised otherwise.
    """

    log: FeedbackLog
    experiment: Experiment | None = None
    embeddings: Embeddings | None = None
    query_adapter: QueryAdapter | None = None
    id_key: str = ""
    """Metadata key of the point's id; without it `_id` and `pk` are tried, then `Document.id`."""

    @model_validator(mode="after")
    def _check_embedder(self) -> LoggedRetriever:
        if not isinstance(self._get_embedder(), Embeddings):
            raise ValueError("the store has no embedding model of its own: name one, embeddings=")  # noqa: TRY004
        if self.query_adapter is not None and not self._is_vector_search():
            raise ValueError("query_adapter= takes a search by one dense vector, and no threshold")
        if self.query_adapter is not None and self.experiment is not None:
            raise ValueError("an experiment ranks by the vector that is logged: no query_adapter=")
        return self

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        if not self._is_vector_search():
            documents = super()._get_relevant_documents(query, run_manager=run_manager, **kwargs)
            return self._log_search(
                query, self._defer_embedding(query), documents, run_manager.metadata
            )
        vector = self._get_embedder().embed_query(query)
        search_options = self.search_kwargs | kwargs
        if self._can_rank():
            return self._search_arm(query, vector, search_options, run_manager.metadata)
        if self.search_type == "mmr":
            documents = self.vectorstore.max_marginal_relevance_search_by_vector(
                self._adapt(vector), **search_options
            )
        else:
            documents = self.vectorstore.similarity_search_by_vector(
                self._adapt(vector), **search_options
            )
        return self._log_search(query, vector, documents, run_manager.metadata)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        if not self._is_vector_search():
            documents = await super()._aget_relevant_documents(
                query, run_manager=run_manager, **kwargs
            )
            return self._log_search(
                query, self._defer_embedding(query), documents, run_manager.metadata
            )
        vector = await self._get_embedder().aembed_query(query)
        search_options = self.search_kwargs | kwargs
        if self._can_rank():
            return await run_in_executor(
                None, self._search_arm, query, vector, search_options, run_manager.metadata
            )
        if self.search_type == "mmr":
            documents = await self.vectorstore.amax_marginal_relevance_search_by_vector(
                self._adapt(vector), **search_options
            )
        else:
            documents = await self.vectorstore.asimilarity_search_by_vector(
                self._adapt(vector), **search_options
            )
        return self._log_search(query, vector, documents, run_manager.metadata)

    def _adapt(self, vector: list[float]) -> list[float]:
        return vector if self.query_adapter is None else self.query_adapter([*vector])

    def _is_vector_search(self) -> bool:
        """Return whether the store would search by one dense vector and nothing else."""
        mode = getattr(self.vectorstore, "retrieval_mode", "dense")
        fields = getattr(self.vectorstore, "vector_fields", ())
        is_dense = getattr(mode, "value", mode) == "dense" and len(fields) <= 1
        return is_dense and self.search_type in {"similarity", "mmr"}

    def _can_rank(self) -> bool:
        return (
            self.experiment is not None
            and self.search_type == "similarity"
            and hasattr(self.vectorstore, "similarity_search_with_score_by_vector")
        )

    def _search_arm(
        self,
        query: str,
        vector: list[float],
        search_options: Mapping[str, Any],
        run_metadata: Mapping[str, Any],
    ) -> list[Document]:
        """Return the documents of the session's arm; the experiment logs the search."""
        experiment = cast(Experiment, self.experiment)
        options = {**search_options}
        k = options.pop("k", _DEFAULT_K)
        actor = {name: _get_actor_id(run_metadata, name) for name in ("session", "client")}

        def search(limit: int) -> list[_Found | dict[str, Any]]:
            scored = self.vectorstore.similarity_search_with_score_by_vector(  # type: ignore[attr-defined]
                vector, k=limit, **options
            )
            return [self._to_result(document, score) for document, score in scored]

        def fetch(ids: list[Any]) -> list[_Found | dict[str, Any]]:
            documents = self.vectorstore.get_by_ids(ids)
            return [self._to_result(document, 0.0) for document in documents]

        is_filtered = any(options.get(name) is not None for name in _FILTER_OPTIONS)
        can_fetch = type(self.vectorstore).get_by_ids is not VectorStore.get_by_ids
        depth = experiment.depth(k, **actor)
        ranked = experiment.rank(
            vector,
            search(depth),
            k,
            text=query,
            limit=depth,
            filtered=is_filtered or not can_fetch,
            admits=fetch if can_fetch and not is_filtered else None,
            more=search,
            **actor,
        )
        return [
            _add_log_ids(found.document, ranked.query_id, found.id)
            for found in map(_read_found, ranked.results)
        ]

    def _to_result(self, document: Document, score: float) -> _Found | dict[str, Any]:
        """Return a document in the form of its database's client: each has its own distances."""
        found = _Found(self._get_point_id(document), score, document)
        if type(self.vectorstore).__name__ == "Milvus":
            return {"id": found.id, "distance": score, "found": found}
        return found

    def _defer_embedding(self, query: str) -> Callable[[], list[float]]:
        return partial(self._get_embedder().embed_query, query)

    def _get_embedder(self) -> Any:
        return self.embeddings or self.vectorstore.embeddings

    def _log_search(
        self, query: str, vector: Any, documents: list[Document], run_metadata: Mapping[str, Any]
    ) -> list[Document]:
        try:
            ids = [self._get_point_id(document) for document in documents]
            query_id = self.log.search(
                vector,
                ids,
                text=query,
                session=_get_actor_id(run_metadata, "session"),
                client=_get_actor_id(run_metadata, "client"),
            )
            return [
                _add_log_ids(result, query_id, id_)
                for result, id_ in zip(documents, ids, strict=True)
            ]
        except Exception as error:  # noqa: BLE001 - a search never fails for its log
            self.log.refuse(error)
            return documents

    def _get_point_id(self, document: Document) -> Any:
        if self.id_key:
            return document.metadata.get(self.id_key)
        candidates = (document.metadata.get(name) for name in _POINT_ID_KEYS)
        return next((id_ for id_ in candidates if id_ is not None), document.id)


def _read_found(result: Any) -> _Found:
    """Return what `_to_result` found."""
    return cast(_Found, result["found"] if isinstance(result, dict) else result)


def _get_actor_id(run_metadata: Mapping[str, Any], name: str) -> str:
    return str(run_metadata.get(name) or run_metadata.get(f"{name}_id") or "")


def _add_log_ids(document: Document, query_id: str, point_id: Any) -> Document:
    # A copy: a store may hand out the metadata that it keeps.
    marks = {QUERY_ID_KEY: query_id, POINT_ID_KEY: point_id}
    return document.model_copy(update={"metadata": {**document.metadata, **marks}})
