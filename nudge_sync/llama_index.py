"""A LlamaIndex retriever that logs its searches: `pip install 'nudge-sync[llama-index]'`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import NodeWithScore, QueryBundle
from llama_index.core.vector_stores.types import VectorStoreQueryMode

from nudge_sync.experiment.experiment import Experiment
from nudge_sync.feedback_log import POINT_ID_KEY, QUERY_ID_KEY, FeedbackLog
from nudge_sync.tuning.query_adapter import QueryAdapter


class LoggedRetriever(BaseRetriever):
    """A retriever that returns what `retriever` does and logs each search.

    Each node has `nudge_query_id` and `nudge_point_id` in its metadata, where neither prompts nor
    embeddings see them; a click is logged with the two. The query is embedded once, by
    `embed_model` or else by the retriever's own model. session, client: who searches, or
    functions that return it. An error in the log is counted there and fails no search.
    With an `experiment`, made with the same log, the `top_k` nodes of the session's arm are
    returned; the retriever's own `similarity_top_k` should be about twice that, since it is not
    asked again. Nodes that only the arm has are fetched by the vector store's `get_nodes`; where it
    has none, or the retriever has a filter, they are left out and counted. Scores have to grow with
    nearness.
    With a `query_adapter` the search is by the adapted vector, and the log keeps the model's own.
    That takes a search by the query's vector alone, without an experiment.
    Raises ValueError if there is no embedding model, for an experiment without `top_k`, and for an
    adapter that cannot reach the search.
    """

    def __init__(
        self,
        retriever: BaseRetriever,
        log: FeedbackLog,
        *,
        embed_model: BaseEmbedding | None = None,
        session: str | Callable[[], str] = "",
        client: str | Callable[[], str] = "",
        experiment: Experiment | None = None,
        top_k: int = 0,
        query_adapter: QueryAdapter | None = None,
    ) -> None:
        if query_adapter is not None and not _is_vector_search(retriever):
            raise ValueError("query_adapter= takes a retriever that searches by vector alone")
        if query_adapter is not None and experiment is not None:
            raise ValueError("an experiment ranks by the vector that is logged: no query_adapter=")
        if experiment is not None and top_k < 1:
            raise ValueError("with an experiment, say top_k=: how many nodes to return")
        self._experiment, self._top_k = experiment, top_k
        self._retriever = retriever
        self._query_adapter = query_adapter
        self._log = log
        model = embed_model or getattr(retriever, "_embed_model", None)
        if not isinstance(model, BaseEmbedding):
            raise ValueError("the retriever has no embedding model of its own: name embed_model=")  # noqa: TRY004
        self._embedder = model
        self._session, self._client = session, client
        super().__init__(callback_manager=retriever.callback_manager)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        if _needs_embedding(query_bundle):
            vector = self._embedder.get_agg_embedding_from_queries(query_bundle.embedding_strs)
            query_bundle = replace(query_bundle, embedding=vector)
        return self._finish(query_bundle, self._retriever.retrieve(self._adapt(query_bundle)))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        if _needs_embedding(query_bundle):
            vector = await self._embedder.aget_agg_embedding_from_queries(
                query_bundle.embedding_strs
            )
            query_bundle = replace(query_bundle, embedding=vector)
        nodes = await self._retriever.aretrieve(self._adapt(query_bundle))
        if self._experiment is None:
            return self._finish(query_bundle, nodes)
        return await asyncio.to_thread(self._finish, query_bundle, nodes)

    def _adapt(self, query: QueryBundle) -> QueryBundle:
        if self._query_adapter is None or query.embedding is None:
            return query
        return replace(query, embedding=self._query_adapter([*query.embedding]))

    def _finish(self, query: QueryBundle, nodes: Sequence[NodeWithScore]) -> list[NodeWithScore]:
        if self._experiment is None or query.embedding is None:
            return self._log_search(query, nodes)
        return self._rank(self._experiment, query, nodes)

    def _rank(
        self, experiment: Experiment, query: QueryBundle, nodes: Sequence[NodeWithScore]
    ) -> list[NodeWithScore]:
        """Return the nodes of the session's arm; the experiment logs the search."""
        store = getattr(self._retriever, "_vector_store", None)
        has_filter = bool(getattr(self._retriever, "_filters", None))

        def fetch(ids: list[Any]) -> list[dict[str, Any]]:
            found = cast(Any, store).get_nodes([str(id_) for id_ in ids])
            return [
                {"id": node.node_id, "score": 0.0, "node": NodeWithScore(node=node)}
                for node in found
            ]

        can_fetch = hasattr(store, "get_nodes") and not has_filter
        ranked = experiment.rank(
            query.embedding,
            [{"id": node.node.node_id, "score": node.score, "node": node} for node in nodes],
            self._top_k,
            session=_get_actor_id(self._session),
            client=_get_actor_id(self._client),
            text=query.query_str,
            limit=getattr(self._retriever, "similarity_top_k", None),
            filtered=not can_fetch,
            admits=fetch if can_fetch else None,
        )
        return [_add_log_ids(result["node"], ranked.query_id) for result in ranked.results]

    def _log_search(
        self, query: QueryBundle, nodes: Sequence[NodeWithScore]
    ) -> list[NodeWithScore]:
        try:
            query_id = self._log.search(
                query.embedding,
                [node.node.node_id for node in nodes],
                text=query.query_str,
                session=_get_actor_id(self._session),
                client=_get_actor_id(self._client),
            )
            return [_add_log_ids(node, query_id) for node in nodes]
        except Exception as error:  # noqa: BLE001 - a search never fails for its log
            self._log.refuse(error)
            return list(nodes)


def _needs_embedding(query: QueryBundle) -> bool:
    return query.embedding is None and bool(query.embedding_strs)


def _is_vector_search(retriever: BaseRetriever) -> bool:
    mode = getattr(retriever, "_vector_store_query_mode", VectorStoreQueryMode.DEFAULT)
    return mode in {VectorStoreQueryMode.DEFAULT, VectorStoreQueryMode.MMR}


def _get_actor_id(actor: str | Callable[[], str]) -> str:
    return str(actor() if callable(actor) else actor)


def _add_log_ids(scored_node: NodeWithScore, query_id: str) -> NodeWithScore:
    node = scored_node.node
    marks: dict[str, Any] = {QUERY_ID_KEY: query_id, POINT_ID_KEY: node.node_id}
    # Copies: a docstore hands out the nodes that it keeps.
    marked_node = node.model_copy(
        update={
            "metadata": {**node.metadata, **marks},
            "excluded_llm_metadata_keys": [*node.excluded_llm_metadata_keys, *marks],
            "excluded_embed_metadata_keys": [*node.excluded_embed_metadata_keys, *marks],
        }
    )
    return NodeWithScore(node=marked_node, score=scored_node.score)
