"""The diagnosis: every collector apart, in parallel, within a deadline, and never an error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sre_responder import diagnosis
from sre_responder.diagnosis import LOG_LINES, diagnose
from sre_responder.home.catalogue import Service
from sre_responder.model.criterion import Criterion

Serve = Callable[..., str]
COLLECTORS = {"probe", "processes", "releases", "log", "kubernetes", "host", "left_as_bad", "dependencies"}


def service(name: str = "checkout", **annotations: str) -> Service:
    written = {f"responder/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return Service(name, "payments", None, (), written)


def part(name: str, one: Service, criterion: Criterion | None = None) -> dict[str, Any]:
    """One collector's part; every part says how it ended and how long it took."""
    found = diagnose(one, [], criterion)
    assert set(found) == COLLECTORS
    assert all(
        set(each) == {"status", "seconds", "data" if each["status"] == "ok" else "reason"} for each in found.values()
    )
    json.dumps(found)  # it goes into the record
    return dict(found[name])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "releases" / "2").mkdir(parents=True)
    (tmp_path / "current").symlink_to("releases/2")
    (tmp_path / "deployments.log").write_text("".join(f"2026-01-0{n}T00:00:00Z {n}\n" for n in range(1, 8)))
    return tmp_path


@pytest.mark.parametrize(
    ("collector", "annotation"),
    [("probe", "probe-url"), ("processes", "process"), ("releases", "release-root"), ("log", "log-file")],
)
def test_what_the_catalogue_does_not_tell_is_skipped_with_the_annotation_that_would(
    collector: str, annotation: str
) -> None:
    found = part(collector, service())
    assert found["status"] == "skipped" and f"annotation responder/{annotation}" in found["reason"], found


@pytest.mark.parametrize(
    ("collector", "annotations"),
    [
        ("releases", {"release_root": "/nowhere"}),
        ("releases", {"release_root": "/proc/self"}),
        ("log", {"log_file": "/nowhere"}),
        ("log", {"log_file": "/"}),
        ("log", {"log_file": "a\0b"}),
    ],
)
def test_what_cannot_be_read_has_failed_with_its_reason(collector: str, annotations: dict[str, str]) -> None:
    found = part(collector, service(**annotations))
    assert (found["status"], bool(found["reason"])) == ("failed", True)


@pytest.mark.parametrize(
    ("body", "ok"), [(b'{"ok": true}', True), (b'{"ok": false}', False), (b"<html>", None), (b'{"ok": "x"}', None)]
)
def test_probe_is_measured_by_the_runbooks_criterion(serve: Serve, body: bytes, ok: bool | None) -> None:
    found = part("probe", service(probe_url=serve([body])), Criterion(expect="ok"))
    assert (found["status"], found["data"]["ok"], bool(found["data"]["reason"])) == ("ok", ok, True)


def test_probe_of_the_criterion_comes_before_that_of_the_catalogue(serve: Serve) -> None:
    found = part("probe", service(probe_url=serve(status=500)), Criterion(url=serve()))
    assert found["data"]["ok"] is True


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"ok": "x"}'], ids=["nested too deeply", "what cannot be compared"])
def test_a_probe_that_answers_nonsense_is_not_measured(serve: Serve, body: bytes) -> None:
    assert part("probe", service(probe_url=serve([body])), Criterion(expect="ok > `1`"))["data"]["ok"] is None


def test_processes_are_those_with_the_services_word_in_their_command() -> None:
    word = f"checkout-{os.getpid()}"
    with subprocess.Popen([sys.executable, "-c", "input()", word], stdin=subprocess.PIPE) as process:
        found = part("processes", service(process=word))
        process.communicate(b"\n")
    [one] = found["data"]
    assert (one["pid"], one["command"].endswith(word), one["rss"] > 0, one["age_s"] >= 0) == (
        process.pid,
        True,
        True,
        True,
    )


def test_releases_are_the_current_one_and_the_last_deployments(root: Path) -> None:
    found = part("releases", service(release_root=str(root)))
    assert found["data"]["current"] == "2"
    assert found["data"]["last"] == [f"2026-01-0{n}T00:00:00Z {n}" for n in range(3, 8)]


def test_log_is_its_last_lines_escaped_and_cut(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"\n".join([b"old"] * 100_000 + [b"line"] * (LOG_LINES - 2) + [b"\x1b[2J\xff", b"x" * 5000]))
    lines = part("log", service(log_file=str(log)))["data"]
    assert lines[:-2] == ["line"] * (LOG_LINES - 2)
    assert lines[-2] == "\\x1b[2J�"
    assert len(lines[-1]) < 400 and "cut at 300" in lines[-1]


def test_an_empty_log_is_no_line(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    assert part("log", service(log_file=str(tmp_path / "log")))["data"] == []


def test_host_is_disk_memory_and_load() -> None:
    found = part("host", service())["data"]
    assert 0 <= found["disk_used_percent"] <= 100
    assert 0 <= found["memory_used_percent"] <= 100
    assert len(found["load"]) == 3


def test_health_of_each_dependency_is_told(serve: Serve) -> None:
    needed = [
        service("stock", probe_url=serve()),
        service("mail", probe_url=serve(status=500)),
        service("pay", probe_url="http://["),
        service("db"),
    ]
    found = diagnose(service(), needed, None)["dependencies"]["data"]
    assert {name: text.split(":")[0] for name, text in found.items()} == {
        "stock": "answers",
        "mail": "answers badly",
        "pay": "unknown",
        "db": "unknown",
    }


def test_collectors_work_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(6)
    for name in ("_probe", "_processes", "_releases", "_log", "_kubernetes", "_host"):
        monkeypatch.setattr(diagnosis, name, lambda *_: together.wait(10))
    found = diagnose(service(), [], None)
    assert {each["status"] for each in found.values()} == {"ok"}


def test_a_collector_that_does_not_answer_is_told_and_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(diagnosis, "DEADLINE_SECONDS", 0.2)
    monkeypatch.setattr(diagnosis, "_host", lambda: release.wait(30))
    try:
        found = diagnose(service(), [], None)
    finally:
        release.set()
    assert (found["host"]["status"], found["host"]["reason"]) == ("timeout", "no answer in 0.2 s")
    assert found["dependencies"]["status"] == "ok"


@pytest.mark.parametrize("error", [OSError, ValueError, AttributeError, RecursionError])
def test_a_collector_that_breaks_is_told_and_hides_no_other(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def broken() -> None:
        raise error("broken")

    monkeypatch.setattr(diagnosis, "_host", broken)
    found = diagnose(service(), [], None)
    assert (found["host"]["status"], "broken" in found["host"]["reason"]) == ("failed", True)
    assert found["dependencies"]["status"] == "ok"


def test_a_collector_that_never_answers_does_not_keep_the_process_alive() -> None:
    code = (
        "import time; from sre_responder import diagnosis; from sre_responder.home.catalogue import Service;"
        "diagnosis.DEADLINE_SECONDS, diagnosis._log = 0.2, lambda service: time.sleep(600);"
        "one = Service('checkout', 'x', None, (), {});"
        "print(diagnosis.diagnose(one, [], None)['log']['status'])"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        try:
            output, _ = process.communicate(timeout=300)
        finally:
            process.kill()
    assert (process.returncode, output) == (0, "timeout\n")


def test_a_pipe_in_the_place_of_a_log_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")
    found = diagnose(Service("checkout", "x", None, (), {"responder/log-file": str(tmp_path / "log")}), [], None)
    assert found["log"]["status"] == "failed" and "a named pipe" in found["log"]["reason"]
