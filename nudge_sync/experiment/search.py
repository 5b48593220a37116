"""A search of an arm through a connector: for those who have no client of their own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nudge_sync.connector import Collection, PointId, ServingCollection
from nudge_sync.errors import UnsupportedCollection
from nudge_sync.experiment.loading import LoadedExperiment
from nudge_sync.experiment.questions import Answerer
from nudge_sync.experiment.rank import Ranker, Request
from nudge_sync.experiment.ranked import Ranked


@dataclass(frozen=True, slots=True)
class ArmSearcher:
    """Searches one collection and ranks what it finds.

    deadline: seconds for what the overlay asks beyond the first search.
    """

    collection: Collection
    ranker: Ranker
    answerer: Answerer
    deadline: float

    def search(self, loaded: LoadedExperiment | None, request: Request, filter_: Any) -> Ranked:
        """Return the `request.k` best points, as pairs of id and score; its `results` are ignored.

        filter_: of the database's own, or None. Raises what the connector raises, and
        UnsupportedCollection for a filter on a connector that takes none.
        """
        collection = self.collection
        serving = collection if isinstance(collection, ServingCollection) else None
        if filter_ is not None and serving is None:
            raise UnsupportedCollection("this connector searches under no filter: leave it out")
        query = np.asarray(request.query_vector, np.float32)

        def search_live(limit: int) -> list[tuple[PointId, float]]:
            hits = (
                collection.search(query[None], limit)
                if serving is None
                else serving.serve_search(query, limit, filter_)
            )
            return list(zip(hits.ids[0], hits.scores[0].tolist(), strict=True))

        def admits(ids: list[PointId]) -> list[PointId]:
            return serving.select_ids(ids, filter_) if serving is not None else []

        depth = self.ranker.suggest_depth(loaded, request.k, request.session, request.client)
        found = replace(
            request,
            query_vector=query,
            results=search_live(depth),
            limit=depth,
            is_filtered=filter_ is not None,
            can_ask=filter_ is not None,
        )
        return self.answerer.run(
            self.ranker.rank(loaded, found), admits, search_live, self.deadline
        )
