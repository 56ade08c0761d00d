"""The alert: when customers see errors twice in a row, an Alertmanager webhook is written, once a fault."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

THRESHOLD = 0.9
LOOK_EVERY_SECONDS = 0.15


def webhook(fault: dict[str, str], rate: float, url: str) -> dict[str, object]:
    """Version 4 of Alertmanager's webhook, with one alert."""
    group = {"alertname": "ServiceErrors", "service": "checkout"}
    labels = {**group, "severity": fault["severity"], "environment": fault["environment"], "fault": fault["id"]}
    annotations = {"summary": f"checkout answers {1 - rate:.0%} of requests with errors"}
    alert = {
        "status": "firing",
        "labels": labels,
        "annotations": annotations,
        "startsAt": datetime.now(UTC).isoformat(),
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": url,
        "fingerprint": hashlib.sha256(json.dumps(labels, sort_keys=True).encode()).hexdigest()[:16],
    }
    return {
        "version": "4",
        "groupKey": f'{{}}:{{alertname="{group["alertname"]}", service="{group["service"]}"}}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "responder",
        "groupLabels": group,
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": url,
        "alerts": [alert],
    }


def success_rate(url: str) -> float | None:
    """What customers saw last; None when nobody can tell."""
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            rate = json.load(answer)["success_rate"]
    except (OSError, ValueError):
        return None
    return None if rate is None else float(rate)


def current_fault(folder: Path) -> dict[str, str] | None:
    try:
        fault: dict[str, str] = json.loads((folder / "fault.json").read_text())
    except (OSError, ValueError):
        return None
    return fault


def watch(url: str, folder: Path) -> None:
    bad = 0
    while True:
        time.sleep(LOOK_EVERY_SECONDS)
        rate = success_rate(url)
        bad = bad + 1 if rate is not None and rate < THRESHOLD else 0
        fault = current_fault(folder)
        if bad < 2 or rate is None or fault is None:
            continue  # without a fault the shop is starting or being put back, which nobody is called for
        path = folder / "alerts" / f"{fault['id']}.json"
        if not path.exists():
            draft = path.with_suffix(".draft")
            draft.write_text(json.dumps(webhook(fault, rate, url), indent=2))
            os.replace(draft, path)


if __name__ == "__main__":
    watch(sys.argv[1], Path(sys.argv[2]))
