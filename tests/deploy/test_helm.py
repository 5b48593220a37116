"""The chart makes what Kubernetes takes, locked down, for each way of running nudge-sync."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from nudge_sync.cli.app import app
from nudge_sync.config import load_config
from nudge_sync.connector.secrets import read_secret
from nudge_sync.serve.probes import ProbeEndpoints
from tests.conftest import skip_or_fail
from tests.support.operations.tools import TOOLS, find_tool, run_tool
from tests.support.source_code import ROOT

CHART = ROOT / "deploy" / "helm" / "nudge-sync"
VALUES = {path.stem: path for path in sorted((CHART / "ci").glob("*.yaml"))}
# A helm that go install compiles would take itself for one of an old Kubernetes.
TEMPLATE = ("helm", "template", "release", CHART, "--kube-version", "1.34")
ENDPOINTS = ProbeEndpoints(lambda: "", lambda: "", lambda: b"")


def render(name: str, *words: str) -> list[dict[str, Any]]:
    """Return what the chart makes with one file of values."""
    text = run_tool(*TEMPLATE, "--values", VALUES[name], *words)
    return [document for document in yaml.safe_load_all(text) if document]


def get_object(objects: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    [found] = [each for each in objects if each["kind"] == kind]
    return found


def list_pods(objects: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the specification of every pod, that of a sidecar's patch too."""
    for each in objects:
        if each["kind"] == "Deployment":
            yield each["spec"]["template"]["spec"]
        elif each["kind"] == "CronJob":
            yield each["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        elif "patch.yaml" in each.get("data", {}):
            yield yaml.safe_load(each["data"]["patch.yaml"])["spec"]["template"]["spec"]


def check_schemas(objects: list[dict[str, Any]]) -> str:
    """Have kubeconform compare objects with Kubernetes' schemas, and return what it counted."""
    find_tool("kubeconform")
    if not (TOOLS / "schemas").is_dir():
        skip_or_fail("no schemas of Kubernetes; make deploy-tools writes them")
    location = f"{TOOLS / 'schemas'}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    # A ServiceMonitor is not of Kubernetes itself.
    words = ("-strict", "-summary", "-skip", "ServiceMonitor", "-schema-location", location)
    return run_tool("kubeconform", *words, stdin=yaml.safe_dump_all(objects))


def refuse(*words: str) -> str:
    """Return what helm says of values that it has to refuse."""
    command = [find_tool("helm"), *map(str, TEMPLATE[1:]), *words]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode != 0, result.stdout
    return result.stderr


@pytest.mark.parametrize("path", VALUES.values(), ids=lambda path: path.stem)
def test_helm_finds_nothing_to_complain_of(path: Path):
    assert "0 chart(s) failed" in run_tool("helm", "lint", "--strict", CHART, "--values", path)


def test_there_are_values_for_every_mode():
    modes = {
        yaml.safe_load(path.read_text("utf-8")).get("mode", "daemon") for path in VALUES.values()
    }
    assert modes == {"daemon", "cronjob", "sidecar"}


def test_a_field_that_kubernetes_does_not_know_would_be_seen():
    objects = render("daemon")
    [pod] = list_pods(objects)
    pod["containers"][0]["securityContext"]["readOnlyRootFileSystem"] = True
    with pytest.raises(AssertionError, match="readOnlyRootFileSystem"):
        check_schemas(objects)


@pytest.mark.parametrize("name", VALUES)
def test_kubernetes_knows_every_field(name):
    assert "Invalid: 0, Errors: 0" in check_schemas(render(name))


def test_a_sidecar_fits_into_the_pod_of_an_application():
    [pod] = list_pods(render("sidecar"))
    labels = {"app": "shop"}
    pod["containers"].append({"name": "shop", "image": "shop:1"})
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "shop"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    assert "Invalid: 0, Errors: 0" in check_schemas([deployment])


@pytest.mark.parametrize("name", VALUES)
def test_every_container_is_locked_down(name):
    pods = [*list_pods(render(name))]
    assert len(pods) == 1
    [container] = pods[0]["containers"]
    context = container["securityContext"]
    assert context["runAsNonRoot"]
    assert context["runAsUser"] == 10001
    assert context["readOnlyRootFilesystem"]
    assert not context["allowPrivilegeEscalation"]
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["resources"]["limits"]["memory"]
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert pods[0]["terminationGracePeriodSeconds"] >= 60
    if name != "sidecar":
        assert pods[0]["automountServiceAccountToken"] is False


@pytest.mark.parametrize("name", VALUES)
def test_no_secret_is_in_what_it_makes(name):
    objects = render(name)
    assert "Secret" not in {each["kind"] for each in objects}
    [pod] = list_pods(objects)
    for container in pod["containers"]:
        plain = {variable["name"] for variable in container.get("env", [])}
        assert plain <= {"OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT"}
        references = container.get("envFrom", [])
        assert all(source.keys() == {"secretRef"} for source in references)


@pytest.mark.parametrize("name", VALUES)
def test_the_configuration_is_one_that_nudge_sync_takes(name, tmp_path):
    configs = [each for each in render(name) if "nudge-sync.toml" in each.get("data", {})]
    path = tmp_path / "nudge-sync.toml"
    path.write_text(configs[0]["data"]["nudge-sync.toml"], encoding="utf-8")
    assert load_config(path).collections.keys() == {"docs"}


@pytest.mark.parametrize("name", VALUES)
def test_the_arguments_are_those_of_a_verb(name):
    [pod] = list_pods(render(name))
    verb, *words = pod["containers"][0]["args"]
    command = get_command(app).commands[verb]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("name", ["daemon", "sidecar"])
def test_the_probes_ask_for_pages_that_the_daemon_has(name):
    [pod] = list_pods(render(name))
    [container] = pod["containers"]
    ports = {port["name"] for port in container["ports"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = container[probe]["httpGet"]
        assert ENDPOINTS.answer(asked["path"], "").status == 200, probe
        assert asked["port"] in ports
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_services_policies_and_monitors_name_ports_that_are_there():
    objects = render("daemon")
    [pod] = list_pods(objects)
    names = {port["name"] for port in pod["containers"][0]["ports"]}
    assert names == {"metrics", "feedback"}
    service = get_object(objects, "Service")
    assert {port["targetPort"] for port in service["spec"]["ports"]} == names
    [ingress] = get_object(objects, "NetworkPolicy")["spec"]["ingress"]
    assert {port["port"] for port in ingress["ports"]} == names
    monitor = get_object(objects, "ServiceMonitor")["spec"]
    [endpoint] = monitor["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert ENDPOINTS.answer(endpoint["path"], "").status == 200
    assert endpoint["authorization"]["credentials"]["name"] == "nudge-sync"
    labels = service["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"].items() <= labels.items()
    assert list_jobs(objects) == list_jobs(render("daemon", "--set", "nameOverride=vectors"))


def list_jobs(objects):
    """Return the names of the jobs that Prometheus scrapes; the alerts ask for one of them."""
    endpoints = get_object(objects, "ServiceMonitor")["spec"]["endpoints"]
    rules = [rule for endpoint in endpoints for rule in endpoint["relabelings"]]
    jobs = [rule["replacement"] for rule in rules if rule["targetLabel"] == "job"]
    assert jobs == ["nudge-sync"]
    return jobs


@pytest.mark.parametrize("name", ["daemon", "cronjob", "embedded"])
def test_a_policy_names_the_pods_and_lets_out_what_was_said(name):
    objects = render(name)
    policy = get_object(objects, "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert ("ingress" in policy) == (name == "daemon")
    ports = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    expected = {"daemon": {53, 6333, 4318}, "cronjob": {53, 6333, 6334, 19530}, "embedded": {53}}
    assert ports == expected[name]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--set", "mode=other"), "mode"),
        (("--set", "daemon.port=80"), "port"),
        (("--set", "secret.token=x"), "secret"),
        (("--set", "cronjob.schedule=daily"), "schedule"),
        (("--set", "config="), "config"),
        ((), "NUDGE_SYNC_TOKEN"),
    ],
)
def test_wrong_values_are_refused(words, expected):
    assert expected in refuse(*words)


def test_the_chart_is_of_this_version():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{chart["appVersion"]}"\n' in project


def test_the_token_that_it_demands_is_the_one_that_the_daemon_reads(monkeypatch):
    monkeypatch.setenv("NUDGE_SYNC_TOKEN", "s3cret")
    text = (CHART / "templates" / "servicemonitor.yaml").read_text(encoding="utf-8")
    [key] = [line.split(": ")[1] for line in text.splitlines() if line.strip().startswith("key:")]
    assert read_secret(key, None, "serve.token_file") == "s3cret"
