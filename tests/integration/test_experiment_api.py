"""Experiments over HTTP: ranking and searching through a real socket, and what is logged of it."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager

import pytest

from nudge_sync.errors import Unreachable
from nudge_sync.experiment.watch import WatchSettings
from nudge_sync.feedback.ingest.batches import BatchImporter
from nudge_sync.serve.experiments.api import add_experiment_routes
from nudge_sync.serve.experiments.service import ExperimentService
from nudge_sync.serve.feedback_api import create_app
from nudge_sync.serve.feedback_server import serve_feedback_api
from nudge_sync.serve.prometheus import PrometheusMetrics
from tests.support.experiments.sample_experiment import (
    K,
    find_query_that_needs_more,
    read_searches,
    search_arm,
    search_live,
    start_sample_canary,
)
from tests.support.feedback_client import FeedbackClient
from tests.support.sample_collection import open_sample_collection


@pytest.fixture
def sample(tmp_path):
    with open_sample_collection("memory", tmp_path) as opened:
        start_sample_canary(opened)
        yield opened


@contextmanager
def serve(sample, token="", metrics=None, open_database=None):
    importer = BatchImporter(open_database or sample.reopen, {"docs": ""})
    service = ExperimentService(importer, WatchSettings(refresh_seconds=0.05))
    app = create_app(importer, token)
    add_experiment_routes(app, service, token, metrics)
    try:
        with serve_feedback_api("127.0.0.1", 0, app) as port:
            yield FeedbackClient(port, token)
    finally:
        service.close()


def list_results(sample, query, limit):
    """What an application that searches the collection itself sends."""
    return [{"id": id_, "score": score} for id_, score in search_live(sample, query, limit)]


def test_results_are_ranked_and_the_search_is_logged(sample):
    query = sample.data.queries[0]
    metrics = PrometheusMetrics()
    body = {"query_vector": query.tolist(), "k": K, "session": "s1", "text": "wings"}
    with serve(sample, metrics=metrics) as client:
        results = list_results(sample, query, 60)
        status, answer = client.post("/v1/rank", body | {"results": results, "limit": 60})
        assert status == 200
        assert [result["id"] for result in answer["results"]] == search_arm(sample, query)
        assert (answer["arm"], answer["experiment"]) == ("treatment", "canary:1")
        assert (answer["fallback"], answer["wanted"]) == ("", 0)
        assert answer["depth"] >= K
        click = {"query_id": answer["query_id"], "action": "click"}
        click |= {"point": answer["results"][0]["id"]}
        assert client.post("/v1/events", click)[0] == 200
        assert client.post("/v1/rank", body | {"results": results[:K], "query_id": "q7"})[0] == 200
    searches = read_searches(sample)
    assert searches.keys() == {answer["query_id"], "q7"}
    logged = searches[answer["query_id"]]
    assert list(logged.shown) == search_arm(sample, query)
    assert (logged.exposure.arm, logged.session_id, logged.text) == ("treatment", "s1", "wings")
    series = (
        r'nudge_sync_rankings_total\{arm="treatment",collection="docs",fallback="(\w*)"\} (\S+)'
    )
    counted = dict(re.findall(series, metrics.render().decode()))
    assert sum(map(float, counted.values())) == 2


def test_a_list_that_is_too_short_says_how_long_it_should_be(sample):
    query = find_query_that_needs_more(sample)
    body = {"query_vector": query.tolist(), "k": K, "session": "s1"}
    with serve(sample) as client:
        short = list_results(sample, query, K)
        _, answer = client.post("/v1/rank", body | {"results": short})
        assert (answer["fallback"], answer["results"]) == ("depth", short)
        longer = list_results(sample, query, answer["wanted"])
        again = {"results": longer, "query_id": answer["query_id"]}
        _, answer = client.post("/v1/rank", body | again)
        assert [result["id"] for result in answer["results"]] == search_arm(sample, query)


def test_a_search_may_have_the_database_s_own_filter(sample):
    payloads = [{"even": id_ % 2 == 0} for id_ in range(400)]
    sample.application.store.upsert("docs", range(400), sample.data.vectors, payloads)
    query = sample.data.queries[1]
    body = {"query_vector": query.tolist(), "k": K, "session": "s1"}
    with serve(sample) as client:
        status, answer = client.post("/v1/search", body)
        assert status == 200
        assert [result["id"] for result in answer["results"]] == search_arm(sample, query)
        _, even = client.post("/v1/search", body | {"filter": {"even": True}})
        assert all(result["id"] % 2 == 0 for result in even["results"])
        assert (even["arm"], len(even["results"])) == ("treatment", K)


WRONG_FIELDS = [
    {"k": 0},
    {"k": "ten"},
    {"query_vector": []},
    {"query_vector": ["a"]},
    {"query_vector": None},
    {"session": 7},
    {"unknown": 1},
]
WRONG_RESULTS = [
    {"results": [{"id": 1}]},
    {"results": [{"id": 1.5, "score": 1}]},
    {"results": "all"},
    {"limit": -1},
    {"filter": {"even": True}},
]
WRONG_SEARCHES = [{"filter": 7}, {"filter": []}, {"results": []}]


@pytest.mark.parametrize(
    ("path", "change"),
    [
        *(("/v1/rank", change) for change in WRONG_FIELDS + WRONG_RESULTS),
        *(("/v1/search", change) for change in WRONG_FIELDS + WRONG_SEARCHES),
    ],
)
def test_what_is_wrong_is_named(sample, path, change):
    body = {"query_vector": [1.0] * 32, "k": K, "session": "s1"}
    body |= {"results": []} if path == "/v1/rank" else {}
    [name] = change
    with serve(sample) as client:
        assert client.post(path, body)[0] == 200
        status, answer = client.post(path, body | change)
        assert status == 422
        assert answer["detail"].startswith(name)


def test_a_query_of_another_dimension(sample):
    body = {"query_vector": [1.0, 2.0], "k": K, "session": "s1"}
    with serve(sample) as client:
        assert client.post("/v1/search", body)[0] == 422
        results = list_results(sample, sample.data.queries[0], K)
        status, answer = client.post("/v1/rank", body | {"results": results})
        assert (status, answer["fallback"], answer["results"]) == (200, "error", results)


def test_only_bearers_of_the_token_are_let_in(sample):
    with serve(sample, "s3cret") as client:
        for wrong in ("", "Bearer wrong"):
            assert client.call("/v1/rank", b"{}", Authorization=wrong)[0] == 401
            assert client.call("/v1/search", b"{}", Authorization=wrong)[0] == 401
        assert client.call("/v1/rank", b"{}", Content_Type="text/plain")[0] == 415
        assert client.post("/v1/rank?collection=other", {})[0] == 404


def test_a_database_that_is_away_is_no_reason_to_fail_a_ranking(sample):
    def fail():
        raise Unreachable("no answer from 10.0.0.7")

    query = sample.data.queries[0]
    results = list_results(sample, query, K)
    body = {"query_vector": query.tolist(), "k": K, "session": "s1"}
    with serve(sample, open_database=fail) as client:
        status, answer = client.post("/v1/rank", body | {"results": results})
        assert (status, answer["results"], answer["arm"]) == (200, results, "")
        status, answer, headers = client.call("/v1/search", json.dumps(body).encode())
        assert (status, "10.0.0.7" in json.dumps(answer)) == (503, False)
        assert headers["retry-after"] == "5"


def test_the_routes_are_described(sample):
    with serve(sample) as client:
        status, document, _ = client.call("/openapi.json", None)
    assert status == 200
    for path in ("/v1/rank", "/v1/search"):
        [content] = document["paths"][path]["post"]["requestBody"]["content"].values()
        assert "query_vector" in content["schema"]["required"]
        assert "$ref" not in json.dumps(content)
