"""`responder check` asks everything that heals a service once, changes nothing, and says what could not be reached."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.light import PLAY, home_with
from typer.testing import CliRunner, Result

from sre_responder import check, cli
from sre_responder.effects import EFFECTS
from sre_responder.home import Home
from sre_responder.home.runbook import register
from sre_responder.model.actions import ACTIONS

Serve = Callable[..., str]
Annotate = Callable[..., None]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    made = home_with(
        tmp_path,
        f"sqlite:///{tmp_path / 'state' / 'no-ledger.db'}",
        PLAY.replace('url: "http://127.0.0.1:1/"', "expect: ok"),
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RESPONDER_HOME", str(made.folder))
    monkeypatch.setenv("RESPONDER_LEDGER", f"sqlite:///{tmp_path / 'nowhere' / 'ledger.db'}")
    return made


@pytest.fixture
def annotate(home: Home) -> Annotate:
    def write(**annotations: str) -> None:
        keys = {key.replace("_", "-"): value for key, value in annotations.items()}
        document = {
            "kind": "Component",
            "metadata": {"name": "checkout", "annotations": {f"responder/{key}": value for key, value in keys.items()}},
        }
        (home.folder / "catalogue.yml").write_text(yaml.safe_dump(document))

    return write


def call(*words: str) -> Result:
    return CliRunner().invoke(cli.app, ["check", *words])


def answers(*words: str) -> list[dict[str, Any]]:
    return list(json.loads(call(*words, "--json").output)["answers"])


def runtime_socket(path: Path, replies: dict[str, str]) -> Iterator[list[str]]:
    """A runtime socket that answers so, and the commands that it was sent."""
    seen: list[str] = []
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    command = connection.recv(4096).decode().strip()
                    seen.append(command)
                    connection.sendall(replies.get(command.partition(" a")[0], "").encode())

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield seen
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


STATES = (
    "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time\n"
    "1 app 1 east 127.0.0.1 2 0 1 1 1\n"
)
STAT = "# pxname,svname,status,weight,bck,act,tracked\napp,east,UP,1,0,1,\n"


def test_what_answers_is_reached_and_named_with_who_uses_it(annotate: Annotate, serve: Serve) -> None:
    annotate(probe_url=serve([b'{"ok": true}']), cache_url=serve([]))
    done = call("checkout")
    assert (done.exit_code, "(used by purge)" in done.output) == (0, True), done.output


@pytest.mark.parametrize(
    ("annotations", "words", "cure"),
    [
        ({"probe_url": "http://127.0.0.1:1/"}, "cannot reach http://127.0.0.1:1/", "Check the address"),
        ({"probe_url": "127.0.0.1/health"}, "does not start with http://", "Check the address"),
        ({"cache_url": "http://127.0.0.1:1/"}, "no cache answers", "the cache runs"),
        ({"haproxy_socket": "/nowhere.sock", "haproxy_backend": "app"}, "No such file", "Check socket"),
        ({"haproxy_socket": "/nowhere.sock"}, "responder/haproxy-backend not set", "Add it"),
        ({"supervisor_server": "unix:///nowhere", "supervisor_program": "x"}, "cannot be asked", "Check server"),
        ({"log_file": "/nowhere.log"}, "is not a file", "Correct responder/log-file"),
        ({}, "no annotation says how checkout is reached in production", "Annotate it"),
    ],
)
def test_what_cannot_be_reached_says_why_and_the_cure(
    annotate: Annotate, annotations: dict[str, str], words: str, cure: str
) -> None:
    annotate(**annotations)
    assert call("checkout").exit_code == 1
    [wrong] = [one for one in answers("checkout") if one["state"] != "reached"]
    assert words in wrong["reason"] and cure in wrong["cure"]


@pytest.mark.parametrize("status", [401, 403, 407])
def test_a_probe_that_asks_for_a_login_is_not_reached(annotate: Annotate, serve: Serve, status: int) -> None:
    annotate(probe_url=serve([], status=status))
    assert [one["state"] for one in answers("checkout")] == ["not reached"]


def test_an_unhealthy_service_is_reached(annotate: Annotate, serve: Serve) -> None:
    annotate(probe_url=serve([], status=503))
    assert [(one["state"], one["reason"]) for one in answers("checkout")] == [
        ("reached", "unhealthy: status 503, not 200")
    ]


def test_an_answer_that_the_criterion_cannot_judge_is_unknown(annotate: Annotate, serve: Serve) -> None:
    annotate(probe_url=serve([b"<html>"]))
    assert [one["state"] for one in answers("checkout")] == ["unknown"]


def test_a_runbook_for_other_services_does_not_make_a_good_probe_unknown(
    annotate: Annotate, serve: Serve, home: Home
) -> None:
    other = PLAY.replace('url: "http://127.0.0.1:1/"', "expect: rate > `1`").replace("id: ", "id: other-")
    book = home.folder / "runbooks" / "other"
    book.mkdir()
    (book / "runbook.yml").write_text(other)
    register(home.folder, [book])
    annotate(probe_url=serve([b'{"ok": true}']))
    [answer] = answers("checkout")
    assert answer["state"] == "reached" and "healthy: ok is true" in answer["reason"]
    assert "not a probe for other-" in answer["reason"]


def test_a_runbook_that_also_measures_a_workload_asks_nothing_of_a_service_without_one(
    annotate: Annotate, serve: Serve, home: Home
) -> None:
    looks = "must: [{expect: rate > `1`}, {source: kubernetes}]"
    book = home.folder / "runbooks" / "other"
    book.mkdir()
    text = PLAY.replace('url: "http://127.0.0.1:1/"', looks).replace("id: ", "id: other-")
    (book / "runbook.yml").write_text(text)
    register(home.folder, [book])
    annotate(probe_url=serve([b'{"ok": true}']))
    [answer] = answers("checkout")
    assert answer["state"] == "reached" and "other-" not in answer["reason"]


def test_a_probe_is_asked_once_for_all_runbooks_that_ask_it(annotate: Annotate, serve: Serve, home: Home) -> None:
    seen: list[bytes] = []
    annotate(probe_url=serve([b'{"ok": true}'], seen=seen))
    call("checkout")
    assert len(seen) == 1


@pytest.mark.parametrize(("level", "state"), [("admin", "reached"), ("user", "not reached")])
def test_a_socket_is_only_read_and_one_that_may_not_write_is_named(
    annotate: Annotate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str, state: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for seen in runtime_socket(
        Path("s"), {"show servers state": STATES, "show stat": STAT, "show cli level": f"{level}\n"}
    ):
        annotate(haproxy_socket="s", haproxy_backend="app")
        assert [one["state"] for one in answers("checkout")] == [state]
        assert seen == ["show servers state app", "show stat app 4 -1", "show cli level"]


def test_what_never_answers_keeps_nobody_longer_than_the_deadline(annotate: Annotate, tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        annotate(cache_url=f"http://127.0.0.1:{silent.getsockname()[1]}/", probe_url="http://127.0.0.1:1/")
        began = time.monotonic()
        found = answers("checkout", "--within", "1")
        assert time.monotonic() - began < 4
        assert sorted(one["reason"][:12] for one in found) == ["cannot reach", "no answer wi"]


def test_nothing_is_written_anywhere(annotate: Annotate, tmp_path: Path, serve: Serve) -> None:
    annotate(probe_url=serve([b'{"ok": true}']))
    before = sorted(tmp_path.rglob("*"))
    call("checkout")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name services, or --all"),
        (("--all", "checkout"), "name services, or --all"),
        (("nothing-such",), "is not in the catalogue"),
        (("checkout", "--environment", "dev"), "no environment dev"),
        (("--all", "--environment", "dev"), "no service exists in dev"),
    ],
)
def test_what_cannot_be_meant_is_bad_input(annotate: Annotate, words: tuple[str, ...], said: str) -> None:
    annotate()
    done = call(*words)
    assert said in str(done.exception)


def test_what_a_run_alone_computes_is_unknown(annotate: Annotate, home: Home) -> None:
    with pytest.raises(check._Unknown, match="computes root"):
        check._complete({"root": "{{ where }}"}, ("root",), {"root": "responder/release-root"})


def test_every_platform_has_a_way_to_be_asked() -> None:
    asked = [name for name, spec in ACTIONS.items() if not spec.on_host and spec.platform != "kubernetes"]
    assert asked and [name for name in asked if EFFECTS[name].look is None] == []


def test_a_log_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, os.strerror(13))

    (tmp_path / "log").touch()
    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(check.InputError, match="Permission denied"):
        check._log(tmp_path / "log")


def test_a_milder_environment_that_has_the_target_of_production_is_named_once(annotate: Annotate) -> None:
    annotate(environments="staging, production", release_root="/srv/checkout", hosts="localhost")
    found = [one for one in answers("checkout") if one["subject"].startswith("environment")]
    assert [(one["environment"], one["state"]) for one in found] == [("staging", "not reached")]
    assert "checkout in staging has the release folders of checkout in production" in found[0]["reason"]
    assert "staging.responder/release-root" in found[0]["cure"]


def test_no_time_at_all_is_bad_input(annotate: Annotate) -> None:
    annotate(probe_url="http://127.0.0.1:1/")
    assert "--within 0 leaves no time" in str(call("checkout", "--within", "0").exception)


def test_a_port_that_is_none_is_named_as_an_address_that_is_none(annotate: Annotate) -> None:
    annotate(supervisor_server="http://127.0.0.1:99999", supervisor_program="web")
    [one] = [one for one in answers("checkout") if one["subject"].startswith("supervisord")]
    assert "is not an address of supervisord" in one["reason"]


def test_a_connection_to_a_source_is_asked_whatever_the_runbooks_measure(
    home: Home, annotate: Annotate, serve: Serve
) -> None:
    good = json.dumps(
        {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [0, "1"]}]}}
    )
    url = serve([good.encode()])
    (home.folder / "connections.yml").write_text(f"metrics: {{platform: prometheus, url: '{url}'}}\n")
    annotate(prometheus_connection="metrics")
    [answer] = answers("checkout")
    assert (answer["kind"], answer["state"], answer["reason"]) == ("prometheus", "reached", "it answers queries")
    (home.folder / "connections.yml").write_text("metrics: {platform: prometheus, url: 'http://127.0.0.1:1'}\n")
    [answer] = answers("checkout")
    assert (answer["state"], "cannot reach http://127.0.0.1:1/api/v1/query" in answer["reason"]) == (
        "not reached",
        True,
    )
