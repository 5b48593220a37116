"""Generated requests to every address that the OpenAPI descriptions name: no answer is a 500."""

from __future__ import annotations

import os
from contextlib import suppress
from http import HTTPStatus

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode

from nudge_sync.console.app import create_console_app
from nudge_sync.console.guards import PROOF_FIELD
from nudge_sync.console.work.action_list import ACTIONS
from nudge_sync.feedback.ingest.batches import BatchImporter
from nudge_sync.serve.experiments.api import add_experiment_routes
from nudge_sync.serve.experiments.service import ExperimentService
from nudge_sync.serve.feedback_api import create_app
from nudge_sync.serve.traces.api import add_trace_route
from nudge_sync.serve.traces.receiver import open_receivers
from nudge_sync.settings.feedback import FeedbackSettings
from nudge_sync.settings.traces import TraceIntakeSettings
from tests.support.console.console_site import ACTION_TOKEN, find_proof, open_console
from tests.support.sample_collection import DIMENSION, open_sample_collection

AUTHORIZATION = {"Authorization": f"Bearer {ACTION_TOKEN}"}
STEADY = settings(
    max_examples=40,
    deadline=None,
    derandomize=os.environ.get("HYPOTHESIS_PROFILE") != "long",
    suppress_health_check=list(HealthCheck),
)
NAMES = {"name": ["docs", "nowhere"], "action_name": [*ACTIONS, "nothing"], "side": ["won", "lost"]}
"""Values that a generator would not come upon."""


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    with open_sample_collection("memory", tmp_path_factory.mktemp("surface")) as opened:
        opened.add_judgements()
        yield opened


@pytest.fixture(scope="module")
def console(sample):
    """Give a console that has computed a plan, and the proof that its forms carry."""
    with open_console(sample) as site:
        site.compute_plan(site.browse(ACTION_TOKEN))
        app = create_console_app(site.console)
        client = TestClient(app, base_url="http://localhost", headers=AUTHORIZATION)
        yield app, find_proof(client.get("/"))


@pytest.fixture(scope="module")
def console_schema(console):
    app, _ = console
    client = TestClient(app, base_url="http://localhost", headers=AUTHORIZATION)
    description = client.get("/openapi.json").json()
    for operations in description["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                if parameter["name"] in NAMES:
                    parameter["schema"] = {"enum": NAMES[parameter["name"]]}
    return load_schema(description, app)


@pytest.fixture(scope="module")
def feedback_schema(sample):
    importer = BatchImporter(sample.reopen, {"docs": ""})
    service = ExperimentService(importer)
    app = create_app(importer)
    add_experiment_routes(app, service, "")
    takes_traces = {"docs": FeedbackSettings(traces=TraceIntakeSettings())}
    add_trace_route(app, open_receivers(importer, takes_traces))
    description = TestClient(app, base_url="http://localhost").get("/openapi.json").json()
    # Protobuf is not generated; that it may be anything is tested beside its reader.
    traces = description["paths"]["/v1/traces"]["post"]["requestBody"]["content"]
    del traces["application/x-protobuf"]
    set_dimension(description)
    yield load_schema(description, app)
    service.close()


def set_dimension(schema) -> None:
    """Let half of all vectors have the dimension of the collection."""
    if isinstance(schema, list):
        for inner in schema:
            set_dimension(inner)
    elif isinstance(schema, dict):
        for name, inner in schema.items():
            set_dimension(inner)
            if name == "query_vector":
                fitting = {**inner, "minItems": DIMENSION, "maxItems": DIMENSION}
                schema[name] = {"anyOf": [fitting, inner]}


def load_schema(description, app):
    schema = schemathesis.openapi.from_dict(description)
    schema.app = app
    return schema


def send_requests(schema, send) -> None:
    """Let `send` have generated requests to each address, as described and otherwise."""
    for found in schema.get_all_operations():
        operation = found.ok()
        for mode in GenerationMode:

            @STEADY
            @given(operation.as_strategy(generation_mode=mode))
            def answer_is_no_failure(case: Case) -> None:
                answer = send(case)
                assert answer.status_code != HTTPStatus.INTERNAL_SERVER_ERROR, (
                    case.as_curl_command(),
                    answer.text,
                )

            # What takes nothing cannot be given something wrong.
            with suppress(*([Unsatisfiable] if mode is GenerationMode.NEGATIVE else [])):
                answer_is_no_failure()


def test_the_console_answers_whatever_is_sent(console, console_schema) -> None:
    _, proof = console

    def send(case: Case):
        if isinstance(case.body, dict):
            case.body[PROOF_FIELD] = proof
        return case.call(headers=AUTHORIZATION, base_url="http://localhost")

    send_requests(console_schema, send)


def test_the_feedback_api_answers_whatever_is_sent(feedback_schema) -> None:
    send_requests(feedback_schema, lambda case: case.call(base_url="http://localhost"))
