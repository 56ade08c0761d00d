"""The sources that need nothing but this machine: files, TCP, DNS; and Loki by answers that its API documents."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sre_responder.evidence.looks import taken
from sre_responder.evidence.series import TenantLogin
from sre_responder.evidence.sources import dns
from sre_responder.evidence.sources.dns import Dns
from sre_responder.evidence.sources.file import File
from sre_responder.evidence.sources.loki import Loki
from sre_responder.evidence.sources.tcp import Tcp
from sre_responder.evidence.sources.tls import Tls
from sre_responder.evidence.sources.victorialogs import Victorialogs
from sre_responder.model.criterion import SOURCES, look
from sre_responder.model.look import Look, Place, Sample

HERE = Place("checkout", "production", {"responder/label-port": "8080"})


def sample(one: Look, place: Place = HERE) -> Sample:
    return taken("must", one, place).sample


@pytest.mark.parametrize(
    ("text", "age_s", "ok", "words"),
    [
        ("errors=3\nerrors=0\n", 0, True, "file 0 is below 1"),
        ("errors=0\nerrors=3\n", 0, False, "file 3 is not below 1"),
        ("errors=0\n", 600, None, "stale: "),
        ("no number\n", 0, None, "no data: nothing in"),
        ("errors=none\n", 0, None, "is no number: 'none'"),
        ("", 0, None, "no data"),
        ("errors=9\n" + "x" * 100_000 + "\nerrors=0\n", 0, True, ""),
        ("errors=nan\n", 0, None, "is nan, which is no number"),
    ],
)
def test_the_last_number_of_a_fresh_file_counts(
    tmp_path: Path, text: str, age_s: float, ok: bool | None, words: str
) -> None:
    path = tmp_path / "status"
    path.write_text(text)
    os.utime(path, (time.time() - age_s,) * 2)
    found = sample(File(path=path, pattern=r"errors=(\S+)", below=1))
    assert (found.ok, words in found.reason) == (ok, True), found.reason


def test_a_file_that_cannot_be_read_is_not_measured(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "nowhere", tmp_path, tmp_path / "pipe"):
        found = sample(File(path=path, pattern="(x)", below=1))
        assert (found.ok, "cannot be read" in found.reason) == (None, True)


@pytest.mark.parametrize("pattern", ["errors", "(a)(b)", "("])
def test_a_pattern_without_one_number_is_refused(pattern: str) -> None:
    with pytest.raises(ValidationError, match="pattern"):
        File(path=Path("/x"), pattern=pattern, below=1)


def test_a_port_that_listens_is_good_and_one_that_refuses_is_bad() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert sample(Tcp(host="127.0.0.1", port=port)).ok is True
        assert sample(Tcp(host="127.0.0.1", port=port, max_latency_ms=0.000001)).ok is False
    refused = sample(Tcp(host="127.0.0.1", port=port))
    assert (refused.ok, refused.reason) == (False, f"127.0.0.1:{port} refuses connections")


def test_a_name_server_that_never_answers_holds_no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(dns.socket, "getaddrinfo", lambda *_, **__: over.wait(20) and [])
    for one in (Tcp(host="checkout.test", port=1, timeout_s=0.1), Tls(host="checkout.test", timeout_s=0.1)):
        found = sample(one)
        assert (found.ok, "took longer than 0.1 s" in found.reason) == (None, True), found.reason
    over.set()


@pytest.mark.parametrize(
    ("answer", "addresses", "ok", "words"),
    [
        (["10.0.0.1"], ["10.0.0.1"], True, "checkout.test is 10.0.0.1"),
        (["10.0.0.1"], [], True, ""),
        (["10.0.0.1", "10.0.0.2"], ["10.0.0.2", "10.0.0.1"], True, ""),
        (["10.0.0.9"], ["10.0.0.1"], False, "where 10.0.0.1 was meant"),
        (["10.0.0.1", "10.0.0.9"], ["10.0.0.1"], False, ""),
        (socket.gaierror(socket.EAI_NONAME, "unknown"), [], False, "does not exist"),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), [], None, "cannot be resolved: try again"),
        (None, [], None, "resolving checkout.test took longer than 0.2 s"),
    ],
)
def test_a_name_is_good_if_it_leads_where_it_should(
    monkeypatch: pytest.MonkeyPatch, answer: Any, addresses: list[str], ok: bool | None, words: str
) -> None:
    def resolve(host: str, port: None) -> list[Any]:
        assert host == "checkout.test"
        if isinstance(answer, OSError):
            raise answer
        if answer is None:
            time.sleep(0.6)
        return [(socket.AF_INET, 0, 0, "", (one, 0)) for one in answer or ()]

    monkeypatch.setattr(dns.socket, "getaddrinfo", resolve)
    found = sample(Dns(host="$service.test", addresses=tuple(addresses), timeout_s=0.2))
    assert (found.ok, words in found.reason) == (ok, True), found.reason


def vector(*values: str) -> dict[str, Any]:
    """An answer of Loki's HTTP API as its reference shows one."""
    rows = [{"metric": {"level": "error"}, "value": [1588889221, value]} for value in values]
    return {"status": "success", "data": {"resultType": "vector", "result": rows, "stats": {}}}


@pytest.mark.parametrize(
    ("alive", "found", "ok", "words"),
    [
        (vector("250"), vector("3"), True, "loki 3 is below 5"),
        (vector("250"), vector("9"), False, "loki 9 is not below 5"),
        (vector("250"), vector(), True, "loki 0 is below 5"),
        (vector(), vector(), None, "the service has logged nothing of late"),
        (vector("0"), vector("0"), None, "the service has logged nothing of late"),
        (vector("250"), vector("3", "4"), None, "2 series where one was meant"),
        (vector("1", "2"), vector("3"), None, "2 series where one was meant"),
        ({"status": "error", "error": "parse error at line 1"}, vector(), None, "refused: parse error"),
    ],
)
def test_what_loki_counts_is_measured_while_the_service_logs(
    monkeypatch: pytest.MonkeyPatch, alive: dict[str, Any], found: dict[str, Any], ok: bool | None, words: str
) -> None:
    from sre_responder.evidence import series
    from sre_responder.evidence.fetch import Answer

    asked: list[str] = []

    def fetched(url: str, timeout_s: float, *, login: TenantLogin, form: dict[str, str], at_most: int) -> Answer:
        asked.append(f"{url} {form['query']}")
        return Answer(url, 200, json.dumps(alive if "level" not in form["query"] else found).encode(), 0.001)

    monkeypatch.setattr(series, "fetch", fetched)
    one = Loki(
        query='sum(count_over_time({app="$service"} | level="error" [1m]))', below=5,
        alive='sum(count_over_time({app="$service"}[1m]))',
    )  # fmt: skip
    place = Place("checkout", "production", {}, lambda *_: TenantLogin(url="http://loki.test", tenant="a"))
    taken_ = sample(one, place)
    assert (taken_.ok, words in taken_.reason) == (ok, True), taken_.reason
    assert asked[0] == 'http://loki.test/loki/api/v1/query sum(count_over_time({app="checkout"}[1m]))'


@pytest.mark.parametrize("field", ["query", "alive"])
def test_a_query_of_logs_without_a_time_is_refused(field: str) -> None:
    with pytest.raises(ValidationError, match="says no time"):
        Victorialogs.model_validate(
            {"query": "_time:1m | stats count() n", "alive": "_time:1m", "below": 1, field: "*"}
        )


@pytest.mark.parametrize("text", ['up{job="$missing"}', "up{job='${port}'}"])
def test_a_word_that_is_not_set_or_not_plain_is_not_sent(text: str) -> None:
    login: Callable[..., TenantLogin] = lambda *_: TenantLogin(url="http://127.0.0.1:1")  # noqa: E731
    place = Place("checkout", "production", {"responder/label-port": '8080"} or vector(1)'}, login)
    found = sample(look({"source": "prometheus", "query": text.replace("${port}", "$port"), "below": 1}), place)
    assert found.ok is None
    assert "is not set" in found.reason or "may not stand in a query" in found.reason


@pytest.mark.parametrize("name", [*SOURCES])
def test_every_source_is_a_look_of_its_own_name_that_is_frozen(name: str) -> None:
    kind = SOURCES[name]
    assert issubclass(kind, Look) and kind.model_config["frozen"]
    assert kind.model_fields["source"].default == name
    assert kind.login is None or "reached" in vars(kind)
    assert kind.__doc__


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({}, "says what is good by none of above, below and expect"),
        ({"above": 1, "expect": "value"}, "above and expect: write one of them"),
        ({"above": 2.0, "below": 1.0}, "no number is above 2 and below 1"),
        ({"below": {}}, "write a number"),
        ({"below": {"times": 2}}, "file keeps no history, so there is no baseline"),
        ({"expect": "value < baseline"}, "file keeps no history"),
        ({"below": float("inf")}, "finite"),
    ],
)
def test_a_comparison_that_says_nothing_is_refused(written: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        File.model_validate({"path": "/x", "pattern": "(x)", **written})


@pytest.mark.parametrize(
    ("text", "judged", "ok", "words"),
    [
        ("7", {"below": 10}, True, "depth 7 is below 10"),
        ("-1e3", {"above": 0}, False, "not above 0"),
        ("ready", {"below": 10}, None, "prints 'ready', which is not a number"),
        ("nan", {"below": 10}, None, "not a number"),
        ("1e999", {"above": 1}, None, "not a number"),
        ("1_000", {"above": 1}, None, "not a number"),
        ("ready", {"expect": "value == 'ready'"}, True, "depth 'ready': value == 'ready' is true"),
        ("starting", {"expect": "value == 'ready'"}, False, "is false"),
        ("7", {"expect": "value > `5`"}, True, "depth 7: value > 5 is true"),
        ("ready", {"expect": "value > `5`"}, None, "cannot judge 'ready'"),
        ("1e999", {"expect": "value > `5`"}, None, "cannot judge '1e999'"),
    ],
)
def test_a_command_s_number_or_text_is_judged(text: str, judged: dict[str, Any], ok: bool | None, words: str) -> None:
    asked: list[tuple[str, dict[str, str], float]] = []

    def printed(name: str, args: Any, timeout_s: float) -> str:
        asked.append((name, dict(args), timeout_s))
        return text

    place = Place("checkout", "production", printed=printed)
    one = look({"source": "command", "command": "depth", "args": {"queue": "$service"}, **judged})
    found = sample(one, place)
    assert (found.ok, words in found.reason) == (ok, True), found.reason
    assert asked == [("depth", {"queue": "checkout"}, 5.0)]


def test_a_command_is_not_measured_without_a_policy_that_allows_it() -> None:
    found = sample(look({"source": "command", "command": "depth", "below": 1}))
    assert (found.ok, found.reason) == (None, "the policy does not allow the command 'depth'")
