"""From a fault to health without a hand: real Prometheus, two real Alertmanagers, `responder serve`, and the lab."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from contract.conftest import Component, FreePort, Start, listens
from support.alerting import TOKEN
from support.serving import Server, all_jobs, end_workers, until

from sre_responder.lab import sandbox
from sre_responder.lab.lab import Lab
from sre_responder.ledger import Ledger, alerts, audit, incidents

pytestmark = [pytest.mark.contract, pytest.mark.slow, pytest.mark.xdist_group("lab")]

TEMPLATE = '{{ "{{" }} lookup("pipe", "touch %s") {{ "}}" }}'
"""Prometheus makes of it the template that Ansible would run."""


@pytest.fixture
def lab(short: Path) -> Iterator[Lab]:
    here = sandbox.up(short / "lab")
    yield here
    end_workers(here.ledger)
    assert sandbox.down(here.folder) == []


@pytest.fixture
def exporter(lab: Lab) -> Iterator[int]:
    """The port of what shows the shop's success rate to Prometheus."""

    class Metrics(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            rate = sandbox.rate(lab)
            body = f"shop_success_rate {'NaN' if rate is None else rate}\n".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metrics) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def server(lab: Lab, tmp_path: Path) -> Iterator[Server]:
    policy = lab.home / "policy.yml"
    (tmp_path / "token").write_text(TOKEN)
    section = {"serve": {"credentials": [{"name": "alertmanager", "token": {"file": str(tmp_path / "token")}}]}}
    policy.write_text(policy.read_text() + yaml.safe_dump(section))
    here = Server({"HOME": str(tmp_path), "RESPONDER_HOME": str(lab.home), "RESPONDER_LEDGER": lab.ledger}, tmp_path)
    here.start()
    yield here
    assert here.end() == 0, here.said()


@pytest.fixture
def alertmanager(component: Component, start: Start, free_port: FreePort, tmp_path: Path) -> Callable[[str], int]:
    """`alertmanager(URL)` starts one that sends to that receiver; its port."""
    program = component("prometheus-alertmanager", "prometheus-alertmanager")

    def run(url: str) -> int:
        port = free_port()
        folder = tmp_path / f"am-{port}"
        folder.mkdir()
        hook = {
            "url": url, "send_resolved": True,
            "http_config": {"authorization": {"credentials_file": str(tmp_path / "token")}},
        }  # fmt: skip
        route = {"receiver": "r", "group_by": ["alertname", "service"], "group_wait": "0s", "group_interval": "1s"}
        (folder / "c.yml").write_text(
            yaml.safe_dump({"route": route, "receivers": [{"name": "r", "webhook_configs": [hook]}]})
        )
        command: list[object] = [program, f"--config.file={folder}/c.yml", f"--storage.path={folder}"]
        start([*command, f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="], lambda: listens(port))
        return port

    return run


@pytest.fixture
def prometheus(component: Component, start: Start, free_port: FreePort, tmp_path: Path) -> Callable[..., None]:
    """`prometheus(exporter, alertmanagers, summary)` watches the shop, and fires at both."""
    program = component("prometheus", "prometheus")

    def run(exporter: int, alertmanagers: list[int], summary: str) -> None:
        port = free_port()
        labels = {"service": "checkout", "environment": "staging", "severity": "high"}
        rule = {
            "alert": "ServiceErrors",
            "expr": "shop_success_rate < 0.9",
            "labels": labels,
            "annotations": {"summary": summary},
        }
        (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "shop", "rules": [rule]}]}))
        configuration = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(tmp_path / "rules.yml")],
            "scrape_configs": [{"job_name": "shop", "static_configs": [{"targets": [f"127.0.0.1:{exporter}"]}]}],
            "alerting": {
                "alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{am}" for am in alertmanagers]}]}]
            },
        }
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        command: list[object] = [
            program,
            f"--config.file={tmp_path}/prometheus.yml",
            f"--storage.tsdb.path={tmp_path}/tsdb",
        ]
        start([*command, f"--web.listen-address=127.0.0.1:{port}"], lambda: listens(port))

    return run


@pytest.mark.parametrize("fault", ["cache", "process"])
def test_a_fault_fires_and_is_healed_once_without_a_hand(
    lab: Lab, server: Server, exporter: int, alertmanager: Any, prometheus: Any, tmp_path: Path, fault: str
) -> None:
    ledger, touched = Ledger(lab.ledger), tmp_path / "touched"
    prometheus(exporter, [alertmanager(f"{server.url}/a"), alertmanager(f"{server.url}/b")], TEMPLATE % touched)
    sandbox.break_(lab, fault)
    until(lambda: [job for job in all_jobs(ledger) if job.ended_at], f"a run ended: {server.said()}", 180)
    [job] = all_jobs(ledger)
    assert job.ending == "healed", (lab.home.parent / "state" / "jobs" / f"{job.id}.log").read_text()

    def incident() -> Any:
        with ledger.transaction(reading=True) as connection:
            return incidents.get(connection, job.incident)

    until(lambda: incident().status == "closed", "the evidence closed the incident")

    def ended() -> bool:
        with ledger.transaction(reading=True) as connection:
            [row] = alerts.recent(connection, 10)
        return row.ends_at is not None and row.times >= 4

    until(ended, "both Alertmanagers said that it fired, and that it is over", 60)
    with ledger.transaction(reading=True) as connection:
        totals = alerts.totals(connection)
        started = [entry for entry in audit.entries(connection, type="run.started") if entry.incident == job.incident]
    assert (totals.lost, totals.ended, len(all_jobs(ledger)), len(started)) == (0, {"started": 1}, 1, 1)
    assert sandbox.rate(lab) == pytest.approx(1, abs=0.02)
    assert "{{ lookup(" in incident().title and not touched.exists()
    assert json.loads(job.holder)["pid"] != server.process.pid  # type: ignore[union-attr]
