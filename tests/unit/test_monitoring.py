"""What the monitoring role brings and what its page says are the same: alerts and their runbooks, metrics and their names."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.history import History

from sre_responder.record import metrics

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/monitoring.md").read_text()
RULES = (ROOT / "roles/monitoring/templates/rules.j2").read_text()
DASHBOARD = (ROOT / "roles/monitoring/files/dashboard.json").read_text()
GROUPS: list[dict[str, Any]] = yaml.safe_load(RULES)["groups"]
ALERTS = {rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule}
SECTIONS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    assert list(SECTIONS) == list(ALERTS)


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_leads_to_its_runbook_which_says_what_to_do(alert: str) -> None:
    assert ALERTS[alert]["annotations"]["runbook_url"] == f"<< monitoring_runbooks >>#{alert.lower()}"
    assert ALERTS[alert]["labels"]["severity"] in ("critical", "warning")
    assert re.findall(r"^- \*\*(\w+)\*\*: \S", SECTIONS[alert], re.MULTILINE) == [
        "Meaning",
        "Impact",
        "Diagnosis",
        "Steps",
    ]


def test_the_page_names_every_metric_and_no_other(history: History) -> None:
    families = [one.name for one in metrics.read(history.home, history.ledger) if "_oldest_" not in one.name]
    told = re.findall(r"^\| `(responder_[a-z_]+?)(?:_total|_count)?`", PAGE, re.MULTILINE)
    assert sorted(told) == sorted(families)


def test_rules_and_dashboard_use_only_metrics_that_there_are(history: History) -> None:
    suffixes = ("", "_total", "_count", "_sum")
    known = {f"{one.name}{end}" for one in metrics.read(history.home, history.ledger) for end in suffixes}
    known.add("responder_messages_waiting_oldest_timestamp_seconds")  # there only while one waits
    recorded = {rule["record"].split(":")[1] for group in GROUPS for rule in group["rules"] if "record" in rule}
    expressions = [rule["expr"] for group in GROUPS for rule in group["rules"]]
    expressions += [target["expr"] for panel in json.loads(DASHBOARD)["panels"] for target in panel["targets"]]
    used = {name for text in expressions for name in re.findall(r"responder_\w+", text)}
    assert used and used - known - recorded == set()
