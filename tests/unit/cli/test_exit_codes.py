"""Exit codes and error codes: promises that scripts, AWX and tests rely on."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sre_responder import cli, errors
from sre_responder.errors import ResponderError

PROMISED: dict[type[ResponderError], tuple[str, int]] = {
    errors.ResponderError: ("internal", 1),
    errors.InternalError: ("internal", 1),
    errors.InputError: ("bad_input", 2),
    errors.Refused: ("refused", 3),
    errors.NotApplicable: ("not_applicable", 3),
    errors.StateMoved: ("state_moved", 3),
    errors.UnsafeDeclaration: ("unsafe_declaration", 3),
    errors.Stopped: ("stopped", 4),
    errors.OutcomeUnknown: ("outcome_unknown", 5),
    errors.EffectFailed: ("effect_failed", 1),
    errors.LedgerUnavailable: ("ledger_unavailable", 1),
    errors.Interrupted: ("interrupted", 130),
}


def tree(kind: type[ResponderError]) -> Iterator[type[ResponderError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from tree(below)


def ended(monkeypatch: pytest.MonkeyPatch, *arguments: str, error: ResponderError | None = None) -> object:
    """The exit code of `responder ARGUMENTS`, or of a command that raises."""

    def fails() -> None:
        assert error is not None
        raise error

    if error:
        monkeypatch.setattr(cli, "app", fails)
    monkeypatch.setattr(sys, "argv", ["responder", *arguments])
    with pytest.raises(SystemExit) as raised:
        cli.main()
    return raised.value.code


def test_every_error_has_its_promise() -> None:
    kinds = set(tree(ResponderError))
    own = {kind for kind in kinds if kind.__module__ == errors.__name__}
    assert own == set(PROMISED)
    assert [kind for kind in kinds - own if {"code", "exit_code"} & set(vars(kind))] == [], (
        "a platform's own has the code of one of these"
    )


@pytest.mark.parametrize("kind", PROMISED, ids=lambda kind: kind.__name__)
def test_an_error_ends_the_command_with_its_own_code(
    monkeypatch: pytest.MonkeyPatch, kind: type[ResponderError]
) -> None:
    assert (kind.code, ended(monkeypatch, error=kind("what", cure="cure"))) == PROMISED[kind]


@pytest.mark.parametrize("kind", PROMISED, ids=lambda kind: kind.__name__)
def test_as_json_an_error_is_one_object_with_its_code_message_cure_and_facts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: type[ResponderError]
) -> None:
    code = ended(
        monkeypatch, "run", "--json", error=kind("what", cure="how", guard={"decision": "refused"}, path=Path("/x"))
    )
    assert code == PROMISED[kind][1]
    assert json.loads(capsys.readouterr().out) == {
        "error": PROMISED[kind][0], "message": "what", "cure": "how", "guard": {"decision": "refused"}, "path": "/x",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["policy", "schema"], 0),
        (["no-such-command"], 2),
        (["run"], 2),
        (["lint", "/nowhere"], 2),
        (["policy", "check"], 2),
        (["run", "x-y", "--incident", "INC-1234", "--service", "checkout", "--environment", "dev"], 2),
        (["respond", "--alert", "/nowhere"], 2),
        (["init", "--profile", "big"], 2),
        (["stops"], 1),
    ],
)
def test_a_command_ends_with_the_promised_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], code: int
) -> None:
    home, ledger = tmp_path / "home", tmp_path / "state" / "ledger.db"
    monkeypatch.setenv("RESPONDER_HOME", str(home))
    monkeypatch.setenv("RESPONDER_LEDGER", f"sqlite:///{ledger}")
    assert ended(monkeypatch, *arguments) == code
    assert not home.exists() and not ledger.exists(), "nothing is written"
