"""A home that receives alerts, and the alerts that it gets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from sre_responder import home as homes
from sre_responder.home import Home
from sre_responder.ledger import Ledger
from support import ledgers

TOKEN = "an-open-secret-of-the-tests"


def home(folder: Path, ledger_url: str, **serve: Any) -> Home:
    """A home of two services whose errors `service-errors` serves, and its ledger; `serve` is the policy's section."""
    credentials = [{"name": "am", "token": {"file": str(folder / "token")}}]
    policy = {
        "profile": "homelab",
        "stop": {"file": str(folder / "stop" / "EMERGENCY_STOP")},
        "serve": {"credentials": credentials, **serve},
        "notifications": [{"kind": "file", "path": str(folder / "messages.jsonl")}],
    }
    (folder / "stop").mkdir(parents=True)
    (folder / "token").write_text(TOKEN)
    here = Home(folder / "home", ledger_url, folder / "state")
    homes.write(here.folder, "homelab")
    (here.folder / "policy.yml").write_text(yaml.safe_dump(policy))
    (here.folder / "catalogue.yml").write_text(yaml.safe_dump_all([_component("hello"), _component("other")]))
    ledgers.make(Ledger(ledger_url))
    return here


def _component(name: str) -> dict[str, Any]:
    annotations = {"responder/environments": "dev,production", "responder/probe-url": "http://127.0.0.1:1/"}
    metadata = {"name": name, "annotations": annotations}
    spec = {"type": "service", "lifecycle": "production", "owner": "o", "dependsOn": []}
    return {"apiVersion": "backstage.io/v1alpha1", "kind": "Component", "metadata": metadata, "spec": spec}


def alert(status: str = "firing", start: str = "10:00", end: str | None = None, **labels: str) -> dict[str, Any]:
    """An alert as Alertmanager sends it, with times of one day."""
    known = {"alertname": "ServiceErrors", "service": "hello", "environment": "dev", "severity": "warning"}
    return {
        "status": status,
        "labels": {name: value for name, value in {**known, **labels}.items() if value},
        "annotations": {"summary": "hello answers badly"},
        "startsAt": f"2026-11-01T{start}:00Z",
        "endsAt": f"2026-11-01T{end}:00Z" if end else "0001-01-01T00:00:00Z",
    }


def webhook(*alerts: dict[str, Any], **more: Any) -> str:
    return json.dumps({"version": "4", "alerts": list(alerts), **more})
