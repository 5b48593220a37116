"""Which points an application's own filter admits: the `admits` of `Experiment.rank`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from qdrant_client import AsyncQdrantClient, QdrantClient
from qdrant_client.models import Filter, HasIdCondition, Record

PointIds = Sequence[int | str]


def admit_points(
    client: QdrantClient,
    collection: str,
    filter_: Filter | None = None,
    *,
    with_payload: bool = True,
) -> Callable[[PointIds], list[Record]]:
    """Return a function that returns those of some points that exist and pass the filter.

    client: the application's own. with_payload: whether they come with their payload, as results
    to show need it. The function raises what the client raises.
    """

    def admits(ids: PointIds) -> list[Record]:
        points, _ = client.scroll(
            collection,
            scroll_filter=_build_condition(ids, filter_),
            limit=len(ids),
            with_payload=with_payload,
        )
        return points

    return admits


def admit_points_async(
    client: AsyncQdrantClient,
    collection: str,
    filter_: Filter | None = None,
    *,
    with_payload: bool = True,
) -> Callable[[PointIds], Awaitable[list[Record]]]:
    """Return what `admit_points` does, for qdrant-client's asynchronous client."""

    async def admits(ids: PointIds) -> list[Record]:
        points, _ = await client.scroll(
            collection,
            scroll_filter=_build_condition(ids, filter_),
            limit=len(ids),
            with_payload=with_payload,
        )
        return points

    return admits


def _build_condition(ids: PointIds, filter_: Filter | None) -> Filter:
    has_id = HasIdCondition(has_id=list(ids))
    return Filter(must=[has_id] if filter_ is None else [has_id, filter_])
