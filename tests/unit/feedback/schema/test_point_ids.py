"""Ids as people write them, and the points that they stand for."""

from nudge_sync.feedback.schema.point_ids import PointIdResolver, sort_ids


def test_text_keys_and_uuids_and_numbers_find_their_points(ids_only):
    uuid = "0f2a6e8c-9f0d-4b57-8f0e-1f8f6f6a3a10"
    qdrant = PointIdResolver(ids_only([uuid, 5], 2))
    qdrant.look_up([uuid.upper(), "5", 6])
    assert [qdrant.get(id_) for id_ in (uuid.upper(), "5", 6)] == [uuid, 5, None]
    assert qdrant.guess("9") == 9
    varchar = PointIdResolver(ids_only(["5", "x"], 2))
    varchar.look_up([5, "x"])
    assert [varchar.get(5), varchar.get("x"), varchar.guess(9)] == ["5", "x", "9"]


def test_an_id_is_looked_up_once(ids_only):
    collection = ids_only(range(10), 2)
    resolver = PointIdResolver(collection)
    for _ in range(2):
        resolver.look_up(["3", 4, "nowhere"])
    assert collection.reads == 1


def test_ids_have_one_order_whatever_their_type():
    assert sort_ids(["b", 10, "10", 2, "b", 10]) == [10, "10", 2, "b"]
