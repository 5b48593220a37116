"""Which points an application's own filter admits: the `admits` of `Experiment.rank`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from pymilvus import MilvusClient

from nudge_sync_milvus.filters import build_keys_filter, join_filters


def admit_points(
    client: MilvusClient,
    collection: str,
    filter_: str = "",
    *,
    output_fields: Sequence[str] = (),
) -> Callable[[Sequence[int | str]], list[dict[str, Any]]]:
    """Return a function that returns those of some points that exist and pass the filter.

    client: the application's own. filter_: an expression; it is asked `pk in [...] and (filter_)`.
    Each point is a mapping of its key as "id" and of the `output_fields`, which results to show
    need. The function raises what the client raises.
    """

    @cache
    def find_key_field() -> str:
        fields = client.describe_collection(collection)["fields"]
        return next(str(field["name"]) for field in fields if field.get("is_primary"))

    def admits(ids: Sequence[int | str]) -> list[dict[str, Any]]:
        key_field = find_key_field()
        rows = client.query(
            collection,
            filter=join_filters(build_keys_filter(key_field, list(ids)), filter_),
            output_fields=[key_field, *output_fields],
        )
        return [{**row, "id": row[key_field]} for row in rows]

    return admits
