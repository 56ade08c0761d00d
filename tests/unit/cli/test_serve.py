"""`responder serve` starts only where it is safe to; `work` runs one job; `alerts` shows what became of each."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support import alerting
from support.alerting import TOKEN, alert, webhook
from support.serving import Server
from typer.testing import CliRunner

from sre_responder import cli
from sre_responder.cli.serve import serve, work, worker
from sre_responder.errors import InputError
from sre_responder.home import Home
from sre_responder.home.policy import Policy
from sre_responder.intake.receive import receive
from sre_responder.intake.sources import parse
from sre_responder.ledger import Ledger, alerts, audit, jobs


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Whoever calls a command has the home in this folder."""
    monkeypatch.setenv("RESPONDER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RESPONDER_LEDGER", f"sqlite:///{tmp_path}/state/ledger.db")
    return tmp_path


def home(folder: Path, **serve: Any) -> Home:
    return alerting.home(folder, f"sqlite:///{folder}/state/ledger.db", **serve)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"credentials": []}, "nobody could prove"),
        ({"listen": "0.0.0.0:8787"}, "in the clear"),
        ({"listen": "[::]:8787"}, "in the clear"),
        ({"listen": "localhost:8787"}, "write an address and a port"),
        ({"listen": "127.0.0.1:http"}, "write an address and a port"),
        ({"tls": {"certificate": "/absent.pem", "key": "/absent.key"}}, "serve.tls cannot be used: .*No such file"),
        ({"heartbeats": [{"name": "a", "when": "labels."}]}, "not JMESPath"),
        ({"credentials": [{"name": "a", "token": {"env": "A"}, "hmac": {"env": "A"}}]}, "name one of token and hmac"),
    ],
)
def test_a_server_that_would_not_be_safe_does_not_start(folder: Path, section: dict[str, Any], words: str) -> None:
    home(folder, **section)
    with pytest.raises(InputError, match=words):
        serve(listen=None, json=False)


def test_a_library_that_is_missing_is_one_sentence_with_the_command(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home(folder)
    monkeypatch.delitem(sys.modules, "sre_responder.intake.server", raising=False)
    monkeypatch.delattr("sre_responder.intake.server", raising=False)
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    with pytest.raises(InputError, match="needs the package starlette") as raised:
        serve(listen=None, json=False)
    assert raised.value.cure == "pip install 'sre-responder[serve]'"


def test_the_schema_of_the_policy_describes_every_setting_of_the_server() -> None:
    schema = Policy.model_json_schema()["$defs"]
    for name in ("Serve", "Credential", "Tls", "PlainJson"):
        undescribed = [key for key, value in schema[name]["properties"].items() if "description" not in value]
        assert undescribed in ([], ["annotations"])


def received(folder: Path, *given: dict[str, Any], **section: Any) -> Ledger:
    here = home(folder, **section)
    ledger = Ledger(here.ledger_url)
    receive(here, ledger, parse(webhook(*given)), "am")
    return ledger


def test_alerts_shows_what_became_of_each_and_the_sum(folder: Path) -> None:
    received(folder, alert(), alert(pod="b"), alert(service="nowhere"))
    shown = CliRunner().invoke(cli.app, ["alerts"], env={"COLUMNS": "300"})
    assert shown.exit_code == 0
    for words in ("started", "joined INC-00001", "job 1 waits: service-errors", "refused", "'nowhere'", "lost 0"):
        assert words in shown.output
    only = json.loads(CliRunner().invoke(cli.app, ["alerts", "--outcome", "refused", "--json"]).output)
    assert (only["received"], only["lost"], len(only["alerts"]), len(only["queue"])) == (3, 0, 1, 1)


def test_a_lost_alert_is_an_exit_code(folder: Path) -> None:
    ledger = received(folder, alert())
    with ledger.transaction() as connection:
        alerts.count(connection, 1.0, alerts.RECEIVED, 2)
    assert CliRunner().invoke(cli.app, ["alerts"]).exit_code == 1


def test_an_outcome_that_no_alert_has_is_bad_input(folder: Path) -> None:
    home(folder)
    assert isinstance(CliRunner().invoke(cli.app, ["alerts", "--outcome", "lost"]).exception, InputError)


def test_a_job_whose_runbook_is_gone_is_given_up_and_calls_a_person(folder: Path) -> None:
    ledger = received(folder, alert())
    with ledger.transaction() as connection:
        connection.execute(jobs.jobs.update().values(runbook="gone"))
    with pytest.raises(InputError, match="'gone' is not known"):
        work(1, json=False)
    with ledger.transaction(reading=True) as connection:
        [entry] = audit.entries(connection, type="job.given_up")
    assert "'gone' is not known" in entry.summary
    assert "job.given_up" in (folder / "messages.jsonl").read_text()


def test_a_job_that_another_one_keeps_waiting_is_left(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = received(folder, alert())
    with ledger.transaction() as connection:
        jobs.claim(connection, ledger.now(connection), 1, 4)
    work(1, json=False)
    assert "Job 1 is running" in capsys.readouterr().err


def test_a_worker_with_a_label_that_no_service_names_does_not_start(folder: Path) -> None:
    here = home(folder)
    with pytest.raises(InputError, match="no service names the label 'dmz'"):
        worker(["dmz"], json=False)
    catalogue = here.folder / "catalogue.yml"
    catalogue.write_text(catalogue.read_text().replace("annotations:", "annotations:\n    responder/worker: lan"))
    with pytest.raises(InputError) as raised:
        worker(["lan", "dmz"], json=False)
    assert raised.value.cure == "Set responder/worker of a service in the catalogue, or take lan."


def certificate(folder: Path, name: str) -> Path:
    """A certificate that is its own authority, with its key beside it."""
    path = folder / f"{name}.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
         f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", path.with_suffix(".key"), "-out", path],
        check=True, capture_output=True,
    )  # fmt: skip
    return path


@pytest.fixture
def mutual(folder: Path) -> Iterator[Server]:
    """A server that wants certificates and no token."""
    here, client = certificate(folder, "server"), certificate(folder, "client")
    tls = {"certificate": str(here), "key": str(here.with_suffix(".key")), "client_ca": str(client)}
    made = home(folder, credentials=[], tls=tls)
    server = Server(
        {"HOME": str(folder), "RESPONDER_HOME": str(made.folder), "RESPONDER_LEDGER": made.ledger_url}, folder
    )
    server.url = server.url.replace("http:", "https:")
    server.verify = trusting(folder, "client")
    server.start()
    yield server
    assert server.end(signal.SIGTERM) == 0


def trusting(folder: Path, client: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=folder / "server.pem")
    if client:
        context.load_cert_chain(folder / f"{client}.pem", folder / f"{client}.key")
    return context


def test_an_address_that_is_taken_is_bad_input(folder: Path) -> None:
    home(folder)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(InputError, match=r"cannot listen on .*in use"):
        serve(listen=f"127.0.0.1:{taken.getsockname()[1]}", json=False)


@pytest.mark.slow
def test_with_mutual_tls_only_a_client_with_a_certificate_gets_in(folder: Path, mutual: Server) -> None:
    assert mutual.post(webhook(alert(service="nowhere"))).json()["refused"] == 1
    certificate(folder, "stranger")
    for client in (None, "stranger"):
        with pytest.raises(httpx.TransportError):
            httpx.post(mutual.url, content=webhook(alert()), verify=trusting(folder, client))
    with Ledger(f"sqlite:///{folder}/state/ledger.db").transaction(reading=True) as connection:
        assert [row.sender for row in alerts.recent(connection, 5)] == ["mutual-tls"]


def test_a_token_never_reaches_the_record_or_an_answer(folder: Path) -> None:
    ledger = received(folder, alert())
    with ledger.transaction(reading=True) as connection:
        assert TOKEN not in json.dumps([vars(entry) for entry in audit.entries(connection)])
