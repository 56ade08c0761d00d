"""An alert that is posted to `responder serve` is healed in the lab, and its text stays text all the way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from scenario.conftest import Shop
from support.alerting import TOKEN
from support.serving import Server, all_jobs, end_workers, until

from sre_responder.lab import sandbox
from sre_responder.ledger import Ledger, audit, incidents

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("lab")]


@pytest.fixture
def server(shop: Shop, tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "token").write_text(TOKEN)
    policy = shop.lab.home / "policy.yml"
    section = {"serve": {"credentials": [{"name": "am", "token": {"file": str(tmp_path / "token")}}]}}
    policy.write_text(policy.read_text() + yaml.safe_dump(section))
    here = Server(shop.environ, tmp_path)
    here.start()
    yield here
    here.end()
    end_workers(shop.lab.ledger)


def test_an_alert_is_healed_and_its_text_reaches_no_template(shop: Shop, server: Server, tmp_path: Path) -> None:
    ledger, touched = Ledger(shop.lab.ledger), tmp_path / "touched"
    attack = f"{{{{ lookup('pipe', 'touch {touched}') }}}}; touch {touched} #"
    record = sandbox.break_(shop.lab, "cache")
    payload: dict[str, Any] = json.loads(sandbox.await_alert(shop.lab, record["id"]).read_text())
    [alert] = payload["alerts"]
    alert["annotations"] = {"summary": attack, "runbook": attack}
    alert["labels"] |= {"pod": attack, "ansible_python_interpreter": attack}
    assert server.post(json.dumps(payload)).json()["started"] == 1
    until(lambda: all_jobs(ledger)[0].ended_at, f"the run ends: {server.said()}", 120)
    [job] = all_jobs(ledger)
    assert job.ending == "healed"
    with ledger.transaction(reading=True) as connection:
        row = incidents.get(connection, job.incident)
        [started] = [one for one in audit.entries(connection, type="run.started") if one.incident == job.incident]
    assert row is not None and "lookup('pipe'" in row.title
    folder = shop.lab.folder / "state" / "runs" / started.data["run"]
    read = [path for path in folder.rglob("*") if path.is_file() and "artifacts" not in path.parts]
    assert read and not any(b"lookup('pipe'" in path.read_bytes() for path in read)
    assert not touched.exists()
