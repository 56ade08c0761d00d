"""Results go to stdout, messages to stderr; what is to be copied is not broken into lines."""

from __future__ import annotations

import errno
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from sre_responder import cli
from sre_responder.cli.output import print_json, say
from sre_responder.cli.progress import Progress
from sre_responder.emergency import stop
from sre_responder.errors import InputError, LedgerUnavailable, OutcomeUnknown, Refused, ResponderError, Stopped
from sre_responder.home.policy import Policy
from sre_responder.home.runbook import SHIPPED, Runbook
from sre_responder.ledger.audit import Entry

COMMAND = "responder settle haproxy:db1.example.org:/run/haproxy/a-rather-long-folder-name/admin.sock:checkout-backend"


def fail(monkeypatch: pytest.MonkeyPatch, error: ResponderError, *arguments: str) -> None:
    def fails() -> None:
        raise error

    monkeypatch.setattr(cli, "app", fails)
    monkeypatch.setattr(sys, "argv", ["responder", *arguments])
    with pytest.raises(SystemExit):
        cli.main()


@pytest.mark.parametrize("kind", [ResponderError, InputError, Refused, Stopped, OutcomeUnknown, LedgerUnavailable])
def test_without_json_nothing_of_an_error_goes_to_stdout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: type[ResponderError]
) -> None:
    fail(monkeypatch, kind("what is wrong", cure="what to do", guard={"decision": "refused"}))
    assert capsys.readouterr() == ("", "what is wrong\nwhat to do\n")


def test_with_json_the_message_goes_to_people_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail(monkeypatch, Refused("what is wrong", cure="what to do"), "--json")
    out, err = capsys.readouterr()
    assert (json.loads(out)["message"], err) == ("what is wrong", "what is wrong\nwhat to do\n")


def test_an_error_without_a_cure_is_its_message_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail(monkeypatch, Refused("what is wrong"))
    assert capsys.readouterr().err == "what is wrong\n"


@pytest.mark.parametrize("text", ["[bold]x[/bold]", "[/]", "a [link=http://x]b", ":boom: 12 :x:"])
def test_text_of_an_error_is_shown_as_it_is_and_never_as_markup(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    fail(monkeypatch, InputError(text, cure=text))
    assert capsys.readouterr().err == f"{text}\n{text}\n"


def test_a_command_to_type_stays_on_one_line_so_that_it_can_be_copied(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail(monkeypatch, OutcomeUnknown("what is wrong", cure=COMMAND))
    assert COMMAND in capsys.readouterr().err.splitlines()


def test_a_refusal_of_many_lines_keeps_each_on_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail(monkeypatch, Refused(f"refused; nothing was changed.\n  target failed: frozen.\n    {COMMAND}"))
    assert f"    {COMMAND}" in capsys.readouterr().err.splitlines()


def test_a_result_as_json_is_one_document_never_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"text": "x" * 300, "markup": "[bold]", "list": [1, None, True]}
    print_json(value)
    out, err = capsys.readouterr()
    assert (json.loads(out), err) == (value, "")
    assert max(map(len, out.splitlines())) > 300


def test_a_message_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    say("[bold]opened")
    assert capsys.readouterr() == ("", "[bold]opened\n")


class Gone(io.StringIO):
    """A stream whose reader went away, or whose disk is full."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


BROKEN = [
    BrokenPipeError(errno.EPIPE, "Broken pipe"),
    OSError(errno.ENOSPC, "No space left on device"),
    ValueError("closed"),
]


@pytest.mark.parametrize("error", BROKEN, ids=["gone", "full", "closed"])
def test_a_message_that_nobody_can_read_stops_nothing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(sys, "stderr", Gone(error))
    say("still at work")
    stop.to_stderr("stopped")


@pytest.mark.parametrize(
    ("error", "code", "expected"),
    [(BROKEN[0], 0, 0), (BROKEN[1], 0, 1), (BROKEN[1], 6, 6), (BROKEN[2], 3, 3)],
)
def test_what_was_done_decides_the_exit_code_and_a_lost_result_makes_a_one_of_a_zero(
    monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, expected: int
) -> None:
    def done() -> None:
        print_json({"ending": "x"})
        sys.exit(code)

    monkeypatch.setattr(cli, "app", done)
    monkeypatch.setattr(sys, "stdout", Gone(error))
    with pytest.raises(SystemExit) as raised:
        cli.main()
    assert raised.value.code == expected


@pytest.mark.parametrize(
    ("redirected", "code"), [("> /dev/full", 1), (">&-", 0), ("2>&-", 0), ("| true", 0), ("2>&1 | true", 0)]
)
def test_a_real_command_with_a_lost_output_has_no_traceback(tmp_path: Path, redirected: str, code: int) -> None:
    command = f"set -o pipefail; {Path(sys.executable).parent}/responder policy schema {redirected}"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False
    )
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr


def test_a_run_that_is_watched_in_a_pipe_shows_that_it_is_alive(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 3.0, 6.0, 6.0, 7.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    with Progress(Runbook(SHIPPED / "service-errors", None, shipped=True), Policy()) as progress:
        for _ in range(3):
            progress.tick()
    assert capsys.readouterr().err.splitlines() == ["  6.0s ·        still at work: starting"]


@pytest.mark.parametrize(("approving", "told"), [(False, True), (True, False)])
def test_a_refusal_says_who_clears_it_where_no_command_does(
    capsys: pytest.CaptureFixture[str], approving: bool, told: bool
) -> None:
    gate = {"name": "budget", "reason": "all are used", "clears_by": "you: repair it", "clears_by_approval": approving}
    with Progress(Runbook(SHIPPED / "service-errors", None, shipped=True), Policy()) as progress:
        progress.entry(
            Entry(1, "2026-01-01T00:00:00Z", "INC-1234", "gate.blocked", "dana", "refused", {"gates": [gate]}, "", "")
        )
    assert ("cleared by you: repair it" in capsys.readouterr().err) is told
