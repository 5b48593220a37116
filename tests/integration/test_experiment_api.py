"""Experiments over HTTP: ranking and searching through a real socket, and what is logged of it."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager

import pytest

from nudge_sync.errors import Unreachable
from nudge_sync.experiment.watch import WatchSettings
from nudge_sync.feedback.ingest.batches import BatchImporter
from nudge_sync.feedback.schema.records import parse_search_record
from nudge_sync.serve.experiments.api import add_experiment_routes
from nudge_sync.serve.experiments.service import ExperimentService
from nudge_sync.serve.feedback_api import create_app
from nudge_sync.serve.feedback_server import serve_feedback_api
from nudge_sync.serve.prometheus import PrometheusMetrics
from tests.support.experiments.sample_experiment import start_canary, turn_vectors
from tests.support.feedback_client import FeedbackClient
from tests.support.sample_collection import open_sample_collection

K = 10
MOVED = list(range(60))


@pytest.fixture
def sample(tmp_path):
    with open_sample_collection("memory", tmp_path) as opened:
        vectors = turn_vectors(opened.data.vectors[MOVED])
        start_canary(opened.target(), MOVED, vectors)
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


def search_live(sample, query, limit):
    hits = sample.database.collection("docs").search(query[None], limit)
    pairs = zip(hits.ids[0], hits.scores[0].tolist(), strict=True)
    return [{"id": id_, "score": score} for id_, score in pairs]


def search_arm(sample, query):
    vectors = sample.data.vectors.copy()
    vectors[MOVED] = turn_vectors(sample.data.vectors[MOVED])
    return (-(vectors @ query)).argsort(kind="stable")[:K].tolist()


def test_results_are_ranked_and_the_search_is_logged(sample):
    query = sample.data.queries[0]
    metrics = PrometheusMetrics()
    body = {"query_vector": query.tolist(), "k": K, "session": "s1", "text": "wings"}
    with serve(sample, metrics=metrics) as client:
        results = search_live(sample, query, 60)
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
    records = {record.key: record for batch in sample.target().queries.scan() for record in batch}
    assert records.keys() == {answer["query_id"], "q7"}
    logged = parse_search_record(records[answer["query_id"]])
    assert list(logged.shown) == search_arm(sample, query)
    assert (logged.exposure.arm, logged.session_id, logged.text) == ("treatment", "s1", "wings")
    series = (
        r'nudge_sync_rankings_total\{arm="treatment",collection="docs",fallback="(\w*)"\} (\S+)'
    )
    counted = dict(re.findall(series, metrics.render().decode()))
    assert sum(map(float, counted.values())) == 2


def test_a_list_that_is_too_short_says_how_long_it_should_be(sample):
    query = next(
        query
        for query in sample.data.queries
        if len(set(MOVED) & {hit["id"] for hit in search_live(sample, query, K)})
        > len(set(MOVED) & set(search_arm(sample, query)))
    )
    body = {"query_vector": query.tolist(), "k": K, "session": "s1"}
    with serve(sample) as client:
        short = search_live(sample, query, K)
        _, answer = client.post("/v1/rank", body | {"results": short})
        assert (answer["fallback"], answer["results"]) == ("depth", short)
        longer = search_live(sample, query, answer["wanted"])
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


@pytest.mark.parametrize("path", ["/v1/rank", "/v1/search"])
@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"k": 0}, 422),
        ({"k": "ten"}, 422),
        ({"query_vector": []}, 422),
        ({"query_vector": ["a"]}, 422),
        ({"query_vector": None}, 422),
        ({"session": 7}, 422),
        ({"unknown": 1}, 422),
        ({"results": [{"id": 1}], "filter": 7}, 422),
        ({"results": [{"id": 1.5, "score": 1}], "filter": []}, 422),
        ({"results": "all", "filter": {"a": 1}, "limit": -1}, 422),
    ],
)
def test_what_is_wrong_is_named(sample, path, change, status):
    body = {"query_vector": [1.0] * 32, "k": K, "session": "s1"}
    body |= {"results": []} if path == "/v1/rank" else {}
    with serve(sample) as client:
        answered, answer = client.post(path, {**body, **change})
        assert answered == status
        assert answer["detail"]


def test_a_query_of_another_dimension(sample):
    body = {"query_vector": [1.0, 2.0], "k": K, "session": "s1"}
    with serve(sample) as client:
        assert client.post("/v1/search", body)[0] == 422
        results = search_live(sample, sample.data.queries[0], K)
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
    results = search_live(sample, query, K)
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
