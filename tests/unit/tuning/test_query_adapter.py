"""The map that applications load: its formula, its file, and what it refuses."""

from __future__ import annotations

import base64
import json
import subprocess
import sys

import numpy as np
import pytest

from nudge_sync import QueryAdapter
from nudge_sync.errors import InputError

DIMENSION = 7


@pytest.fixture
def adapter() -> QueryAdapter:
    rng = np.random.default_rng(3)
    matrix = (np.eye(DIMENSION) + 0.2 * rng.normal(size=(DIMENSION, DIMENSION))).astype(np.float32)
    offset = (0.1 * rng.normal(size=DIMENSION)).astype(np.float32)
    return QueryAdapter(matrix, offset, {"collection": "docs"})


def map_one(adapter: QueryAdapter, query: np.ndarray) -> np.ndarray:
    """The formula on one query, in float64."""
    length = np.sqrt((query.astype(np.float64) ** 2).sum())
    moved = adapter.offset.astype(np.float64)
    for index, value in enumerate(query):
        moved = moved + float(value) / length * adapter.matrix[index].astype(np.float64)
    return length * moved / np.sqrt((moved**2).sum())


def test_each_query_is_mapped_and_keeps_its_length(adapter):
    queries = np.random.default_rng(0).normal(size=(20, DIMENSION)).astype(np.float32) * 3
    before = queries.copy()

    adapted = adapter(queries)

    assert adapted.dtype == np.float32
    np.testing.assert_allclose(adapted, [map_one(adapter, one) for one in queries], rtol=1e-5)
    np.testing.assert_allclose(
        np.linalg.norm(adapted, axis=1), np.linalg.norm(queries, axis=1), rtol=1e-6
    )
    assert queries.tobytes() == before.tobytes()


def test_one_query_and_a_list_are_taken_too(adapter):
    queries = np.random.default_rng(1).normal(size=(3, DIMENSION)).astype(np.float32)
    together = adapter(queries)

    one = adapter(queries[1])
    listed = adapter(queries.tolist())

    assert one.shape == (DIMENSION,)
    np.testing.assert_allclose(one, together[1], rtol=1e-6)
    assert isinstance(listed, list)
    assert isinstance(listed[0][0], float)
    np.testing.assert_allclose(listed, together, rtol=1e-6)
    assert adapter(queries[:0]).shape == (0, DIMENSION)


def test_what_has_no_direction_comes_back_as_it_is(adapter):
    queries = np.ones((4, DIMENSION), np.float32)
    queries[1] = 0
    queries[2, 3] = np.nan
    queries[3, 0] = np.inf

    adapted = adapter(queries)

    assert adapted[1:].tobytes() == queries[1:].tobytes()
    assert np.isfinite(adapted[0]).all()


def test_another_dimension_is_refused(adapter):
    for shape in ((DIMENSION + 1,), (2, DIMENSION - 1), (1, 1, DIMENSION), ()):
        with pytest.raises(InputError, match="7 dimensions"):
            adapter(np.ones(shape, np.float32))


def test_a_file_holds_every_bit(adapter, tmp_path):
    path = tmp_path / "docs.adapter.json"
    path.write_text("an older one", encoding="utf-8")

    adapter.save(path)
    loaded = QueryAdapter.load(str(path))

    assert loaded.matrix.tobytes() == adapter.matrix.tobytes()
    assert loaded.offset.tobytes() == adapter.offset.tobytes()
    assert loaded.details == {"collection": "docs"}
    assert loaded.version == adapter.version
    assert [each.name for each in tmp_path.iterdir()] == ["docs.adapter.json"]


def test_the_version_tells_maps_apart(adapter):
    other = adapter.matrix.copy()
    other[2, 2] = np.nextafter(other[2, 2], np.float32(9))

    assert QueryAdapter(adapter.matrix, adapter.offset, {}).version == adapter.version
    assert QueryAdapter(other, adapter.offset).version != adapter.version


def change(content: dict, **changes) -> dict:
    return {**content, **changes}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: change(content, format=2), "format is 2"),
        (lambda content: change(content, more=1), "nothing else"),
        (lambda content: {"format": 1}, "it has to hold"),
        (lambda content: [content], "it has to hold"),
        (lambda content: change(content, dimension=8), "cut short"),
        (lambda content: change(content, dimension=-1), "another type"),
        (lambda content: change(content, dimension=True), "another type"),
        (lambda content: change(content, dimension="7"), "another type"),
        (lambda content: change(content, details=[]), "another type"),
        (lambda content: change(content, matrix=content["matrix"][:-8]), "cut short"),
        (lambda content: change(content, matrix=None), "no base64"),
        (lambda content: change(content, offset="é" * 8), "not a query adapter"),
        (lambda content: change(content, version="0" * 16), "not those that were saved"),
        (
            lambda content: change(
                content, offset=base64.b64encode(np.full(7, np.nan, "<f4").tobytes()).decode()
            ),
            "not finite",
        ),
    ],
)
def test_a_damaged_file_is_refused_by_name(adapter, tmp_path, damage, message):
    path = tmp_path / "docs.adapter.json"
    adapter.save(path)
    path.write_text(json.dumps(damage(json.loads(path.read_text()))), encoding="utf-8")

    with pytest.raises(InputError, match=message) as refused:
        QueryAdapter.load(path)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"null"])
def test_what_is_no_json_object_is_refused(tmp_path, content):
    path = tmp_path / "adapter"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a query adapter"):
        QueryAdapter.load(path)


def test_a_file_that_cannot_be_read_or_written_is_named(adapter, tmp_path):
    with pytest.raises(InputError, match="No such file"):
        QueryAdapter.load(tmp_path / "missing")
    with pytest.raises(InputError, match="cannot be written"):
        adapter.save(tmp_path / "missing" / "adapter")


def test_shapes_have_to_agree():
    with pytest.raises(InputError, match=r"\(d, d\)"):
        QueryAdapter(np.eye(3, dtype=np.float32), np.zeros(4, np.float32))


def test_an_application_loads_neither_scipy_nor_a_database(adapter, tmp_path):
    path = tmp_path / "docs.adapter.json"
    adapter.save(path)
    script = (
        "import sys; from nudge_sync import QueryAdapter\n"
        f"QueryAdapter.load({str(path)!r})([1.0] * {DIMENSION})\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert not {"scipy", "pydantic", "typer", "threadpoolctl"} & set(done.stdout.split())
