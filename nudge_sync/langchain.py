"""A LangChain retriever that logs its searches: `pip install 'nudge-sync[langchain]'`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStoreRetriever
from pydantic import model_validator

from nudge_sync.feedback_log import POINT_ID, QUERY_ID, FeedbackLog

_IDS = ("_id", "pk")
"""Where langchain-qdrant and langchain-milvus leave the point's id."""


class LoggedRetriever(VectorStoreRetriever):
    """What `vectorstore.as_retriever()` gives, with each search noted in `log`.

    The same documents in the same order, each with `nudge_query_id` and `nudge_point_id` in its
    metadata, to be handed back with a click. Who searched: `session` and `client` in the metadata
    of the run's configuration. What goes wrong in the log is counted there and fails no search.
    The query is embedded once, by `embeddings` or else the store's own, and searched by its vector;
    where the store searches by more than that (hybrid, with a score threshold), the log embeds it
    once more, in its own thread. Raises ValueError where there is no embedding model.
    """

    log: FeedbackLog
    embeddings: Embeddings | None = None
    id_key: str = ""
    """Where a document's metadata has the point's id, if neither `_id` nor `pk`; Document.id
    is looked at too."""

    @model_validator(mode="after")
    def _has_a_model(self) -> LoggedRetriever:
        if not isinstance(self._embedder(), Embeddings):
            raise ValueError("the store has no embedding model of its own: name one, embeddings=")  # noqa: TRY004
        return self

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        if not self._is_by_vector():
            found = super()._get_relevant_documents(query, run_manager=run_manager, **kwargs)
            return self._logged(query, self._later(query), found, run_manager.metadata)
        vector = self._embedder().embed_query(query)
        named = self.search_kwargs | kwargs
        if self.search_type == "mmr":
            found = self.vectorstore.max_marginal_relevance_search_by_vector(vector, **named)
        else:
            found = self.vectorstore.similarity_search_by_vector(vector, **named)
        return self._logged(query, vector, found, run_manager.metadata)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        if not self._is_by_vector():
            found = await super()._aget_relevant_documents(query, run_manager=run_manager, **kwargs)
            return self._logged(query, self._later(query), found, run_manager.metadata)
        vector = await self._embedder().aembed_query(query)
        named = self.search_kwargs | kwargs
        if self.search_type == "mmr":
            found = await self.vectorstore.amax_marginal_relevance_search_by_vector(vector, **named)
        else:
            found = await self.vectorstore.asimilarity_search_by_vector(vector, **named)
        return self._logged(query, vector, found, run_manager.metadata)

    def _is_by_vector(self) -> bool:
        """Whether one dense vector is all that the store would search by."""
        mode = getattr(self.vectorstore, "retrieval_mode", "dense")
        fields = getattr(self.vectorstore, "vector_fields", ())
        plain = getattr(mode, "value", mode) == "dense" and len(fields) <= 1
        return plain and self.search_type in {"similarity", "mmr"}

    def _later(self, query: str) -> Callable[[], list[float]]:
        return partial(self._embedder().embed_query, query)

    def _embedder(self) -> Any:
        return self.embeddings or self.vectorstore.embeddings

    def _logged(
        self, query: str, vector: Any, found: list[Document], run: Mapping[str, Any]
    ) -> list[Document]:
        try:
            ids = [self._point_id(document) for document in found]
            query_id = self.log.search(
                vector, ids, text=query, session=_who(run, "session"), client=_who(run, "client")
            )
            return [_marked(one, query_id, id_) for one, id_ in zip(found, ids, strict=True)]
        except Exception as error:  # noqa: BLE001 - a search never fails for its log
            self.log.refuse(error)
            return found

    def _point_id(self, document: Document) -> Any:
        if self.id_key:
            return document.metadata.get(self.id_key)
        named = (document.metadata.get(name) for name in _IDS)
        return next((id_ for id_ in named if id_ is not None), document.id)


def _who(run: Mapping[str, Any], name: str) -> str:
    return str(run.get(name) or run.get(f"{name}_id") or "")


def _marked(document: Document, query_id: str, point_id: Any) -> Document:
    # A copy: a store may hand out the metadata that it keeps.
    marks = {QUERY_ID: query_id, POINT_ID: point_id}
    return document.model_copy(update={"metadata": {**document.metadata, **marks}})
