"""Alerts and dashboard ask for series that a running daemon has, and Prometheus takes them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.documentation import read_page
from tests.support.operations.prometheus_server import (
    PROMETHEUS,
    PrometheusServer,
    start_prometheus,
)
from tests.support.operations.running_daemon import (
    fetch_page,
    start_daemon,
    wait_until,
)
from tests.support.operations.tools import run_tool
from tests.support.source_code import ROOT
from tests.support.workspace import make_workspace

TOKEN = "a-token-of-some-length"
RULES = (PROMETHEUS / "rules.yml").read_text(encoding="utf-8")
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "nudge-sync.json").read_text("utf-8"))
SERIES = re.compile(r"(?<![\w:])((?:nudge_sync|process)_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)=~?"([^"]*)"')
DATABASE_LABELS = {"instance", "job", "collection"}
"""Labels that Prometheus adds, or that the dashboard's variables choose."""


@dataclass(frozen=True)
class Monitored:
    """A daemon after its first cycle, as it is and as a Prometheus sees it."""

    page: str
    prometheus: PrometheusServer


@pytest.fixture(scope="module")
def monitored(tmp_path_factory) -> Iterator[Monitored]:
    folder = tmp_path_factory.mktemp("monitored")
    workspace = make_workspace(folder / "shop")
    # Nothing answers on that port.
    source = (
        '[[feedback.sources]]\nsource = "phoenix"\nurl = "http://127.0.0.1:9"\nproject = "docs"'
    )
    workspace.write_config(f'[schedule]\nevery = "1d"\n{source}')
    workspace.run("feedback", "import", str(workspace.feedback_path))
    words = ("--now", "--feedback-port", "0")
    with (
        start_daemon(workspace, *words, NUDGE_SYNC_TOKEN=TOKEN) as (_, url),
        start_prometheus(folder, url, TOKEN) as prometheus,
    ):
        success = "nudge_sync_last_success_timestamp_seconds"
        wait_until(lambda: prometheus.query(success) != [])
        yield Monitored(fetch_page(f"{url}/metrics", TOKEN)[1], prometheus)


def list_rule_expressions() -> list[str]:
    """Return the expression of every rule, on one line each."""
    blocks = re.findall(r"^( +)expr: (.+\n(?:\1 +.+\n)*)", RULES, re.MULTILINE)
    return [" ".join(text.removeprefix(">-").split()) for _, text in blocks]


def list_dashboard_expressions() -> list[str]:
    """Return the expression of every panel and annotation."""
    targets = [target for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    return [entry["expr"] for entry in (*targets, *DASHBOARD["annotations"]["list"])]


def fill_variables(expression: str) -> str:
    """Return a dashboard's expression with Grafana's variables at some value."""
    for name, value in (
        ("$instance", ".*"),
        ("$collection", ".*"),
        ("$__rate_interval", "1m"),
        ("$__interval", "1m"),
    ):
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression


def find_missing_series(expression: str, page: str) -> list[str]:
    """Return each series, and each value of a label, that an expression names and `page` lacks."""
    families = list(text_string_to_metric_families(page))
    names = {sample.name for family in families for sample in family.samples}
    # A counter of what has not happened yet has a name and no samples.
    names |= {f"{family.name}_total" for family in families if family.type == "counter"}
    missing = []
    for name, matchers in SERIES.findall(expression):
        if name not in names:
            missing.append(name)
        for label, values in MATCHER.findall(matchers):
            if label in DATABASE_LABELS:
                continue
            there = {
                sample.labels.get(label)
                for family in families
                for sample in family.samples
                if sample.name == name
            }
            missing += [f"{name} {label}={value}" for value in {*values.split("|")} - there]
    return missing


def list_alerts() -> list[str]:
    return re.findall(r"^ +- alert: (\w+)$", RULES, re.MULTILINE)


@pytest.mark.parametrize("name", ["rules.yml"])
def test_promtool_accepts_the_rules(name):
    assert "SUCCESS" in run_tool("promtool", "check", "rules", PROMETHEUS / name)


def test_promtool_accepts_the_configuration():
    path = PROMETHEUS / "prometheus.yml"
    assert "SUCCESS" in run_tool("promtool", "check", "config", "--syntax-only", path)


def test_the_alerts_fire_when_they_should():
    run_tool("promtool", "test", "rules", PROMETHEUS / "rules.test.yml")
    tested = (PROMETHEUS / "rules.test.yml").read_text(encoding="utf-8")
    for alert in list_alerts():
        assert re.search(rf"alertname: {alert}\n +exp_alerts:", tested), alert
        assert re.search(rf"alertname: {alert}\}}$", tested, re.MULTILINE), alert


def test_every_alert_has_a_runbook():
    anchors = re.findall(r"^## (\w+)$", read_page("docs/alerts.md"), re.MULTILINE)
    links = re.findall(r"runbook_url: docs/alerts\.md#(\w+)$", RULES, re.MULTILINE)
    assert links == [alert.lower() for alert in list_alerts()]
    assert sorted(anchors) == sorted(list_alerts())


def test_a_running_daemon_has_every_series(monitored: Monitored):
    expressions = [*list_rule_expressions(), *list_dashboard_expressions()]
    assert len(expressions) > 30
    for expression in expressions:
        named = SERIES.findall(expression)
        assert named or "up{" in expression or "collection:" in expression, expression
        assert find_missing_series(expression, monitored.page) == [], expression


def test_the_page_is_what_prometheus_likes(monitored: Monitored):
    run_tool("promtool", "check", "metrics", stdin=monitored.page)


def test_prometheus_scrapes_it_with_the_token(monitored: Monitored):
    [target] = monitored.prometheus.ask("targets")["activeTargets"]
    assert (target["health"], target["labels"]["job"]) == ("up", "nudge-sync")


def test_prometheus_evaluates_every_rule(monitored: Monitored):
    def list_health() -> set[str]:
        groups = monitored.prometheus.ask("rules")["groups"]
        return {rule["health"] for group in groups for rule in group["rules"]}

    wait_until(lambda: "unknown" not in list_health())
    assert list_health() == {"ok"}
    firing = monitored.prometheus.query('ALERTS{alertstate="firing"}')
    assert [sample["metric"]["alertname"] for sample in firing] == []


def test_prometheus_answers_every_panel(monitored: Monitored):
    for expression in map(fill_variables, list_dashboard_expressions()):
        monitored.prometheus.query(expression)
    score = monitored.prometheus.query('nudge_sync_held_out{when="after"}')
    assert float(score[0]["value"][1]) > 0


def test_the_panels_lie_beside_each_other():
    fields = [
        (column, line)
        for panel in DASHBOARD["panels"]
        for place in [panel["gridPos"]]
        for column in range(place["x"], place["x"] + place["w"])
        for line in range(place["y"], place["y"] + place["h"])
    ]
    assert len(fields) == len(set(fields))
    assert max(column for column, _ in fields) < 24
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(numbers) == len(set(numbers))


def test_what_the_tests_would_catch():
    page = 'nudge_sync_cycles_total{collection="docs",outcome="failed"} 0.0\n'
    seen = 'rate(nudge_sync_cycles_total{outcome="failed",collection="x"}[1d])'
    assert find_missing_series(seen, page) == []
    assert find_missing_series('nudge_sync_cycles_total{outcome=~"failed|lost"}', page) == [
        "nudge_sync_cycles_total outcome=lost"
    ]
    assert find_missing_series("nudge_sync_cycle > 1", page) == ["nudge_sync_cycle"]
