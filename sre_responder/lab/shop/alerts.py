"""The alert: when customers see errors twice in a row, an Alertmanager webhook is written, once a fault."""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

if __name__ == "__main__":
    url, folder = sys.argv[1], Path(sys.argv[2])
    bad = 0
    while True:
        time.sleep(0.15)
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                rate = json.load(answer)["success_rate"]
        except OSError:
            continue
        bad = bad + 1 if rate is not None and rate < 0.9 else 0
        fault = json.loads((folder / "fault.json").read_text()) if (folder / "fault.json").exists() else None
        path = folder / "alerts" / f"{fault['id']}.json" if fault else None
        if bad >= 2 and fault and path and not path.exists():
            labels = {
                "alertname": "ServiceErrors", "service": "checkout", "severity": fault["severity"], "environment": fault["environment"],
                "fault": fault["id"],
            }  # fmt: skip
            alert = {
                "status": "firing", "labels": labels, "startsAt": datetime.now(UTC).isoformat(),
                "annotations": {"summary": f"checkout answers {1 - rate:.0%} of requests with errors"},
            }  # fmt: skip
            draft = path.with_suffix(".draft")
            draft.write_text(json.dumps({"version": "4", "status": "firing", "alerts": [alert]}, indent=2))
            os.replace(draft, path)
