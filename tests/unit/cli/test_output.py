"""Results go to stdout, messages to stderr; what is to be copied is not broken into lines."""

from __future__ import annotations

import json
import sys

import pytest

from sre_responder import cli
from sre_responder.cli.output import print_json, say
from sre_responder.errors import InputError, LedgerUnavailable, OutcomeUnknown, Refused, ResponderError, Stopped

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
