"""The command where a caller's surroundings lack something: a working directory, a home, a program, a language."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sre_responder import cli
from sre_responder.approvals import approval
from sre_responder.errors import InputError
from sre_responder.ledger.connection import REVISION

RESPONDER = str(Path(sys.executable).parent / "responder")


def responder(*words: str, cwd: Path = Path("/"), **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [RESPONDER, *words], env=environ, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def test_in_a_working_directory_that_was_deleted_a_command_says_so_and_works(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    words = 'rmdir "$PWD" && exec "$0" runbooks'
    done = subprocess.run(
        ["sh", "-c", words, RESPONDER], cwd=gone, env={"RESPONDER_HOME": str(tmp_path), "RESPONDER_LEDGER": "sqlite:////x/y"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, "service-errors" in done.stdout) == (0, True), done.stderr
    assert done.stderr == "The working directory does not exist any more; relative paths start from / now.\n"


@pytest.mark.parametrize("home", ["/proc/nope", "/dev/null"])
def test_a_home_that_cannot_be_written_is_one_sentence(home: str) -> None:
    done = responder("init", HOME=home)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith(home) and "cannot be used: No" in done.stderr


def test_an_account_without_a_home_has_the_one_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    cli._stand_somewhere()
    assert os.environ["HOME"] == "/nonexistent"


def test_an_empty_home_is_none_and_not_the_working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "")
    cli._stand_somewhere()
    assert "HOME" not in os.environ


def test_without_git_the_keys_of_openssh_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InputError, match="no SSH key was found"):
        approval.default_key()
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_rsa").touch()
    assert approval.default_key() == tmp_path / ".ssh" / "id_rsa"


@pytest.mark.parametrize("locale", ["C", "POSIX", "de_DE.ISO-8859-1", "xx_YY.UTF-8"])
def test_in_any_locale_a_command_says_what_it_has_to(tmp_path: Path, locale: str) -> None:
    """Python would take an installed one that is not UTF-8 as it is: PYTHONUTF8=0 and no coercion are that case."""
    plain = {
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "HOME": str(tmp_path),
        "RESPONDER_HOME": str(tmp_path / "hé"),
    }
    done = responder("status", LANG=locale, LC_ALL=locale, **plain)
    assert (done.returncode, "does not exist" in done.stderr, "Traceback" in done.stderr) == (2, True, False), (
        done.stderr
    )


def test_what_only_writes_tells_a_program_what_it_wrote(tmp_path: Path) -> None:
    environ = {
        "RESPONDER_HOME": str(tmp_path),
        "RESPONDER_LEDGER": f"sqlite:///{tmp_path / 'ledger.db'}",
        "HOME": str(tmp_path),
    }
    made = json.loads(responder("init", "--profile", "homelab", "--json", **environ).stdout)
    assert made["home"] == str(tmp_path) and str(tmp_path / "policy.yml") in made["wrote"]
    registered = json.loads(responder("runbooks", "register", "service-errors", "--json", **environ).stdout)
    assert list(registered["registered"]) == ["service-errors"]
    assert json.loads(responder("ledger", "upgrade", "--json", **environ).stdout)["revision"] == REVISION


def test_init_leaves_a_policy_that_was_there_as_it_is_where_its_stop_folder_cannot_be_made(tmp_path: Path) -> None:
    mine = "profile: homelab\nstop: {file: /dev/null/stop/STOP}\n# file: /dev/null/stop/STOP\n"
    (tmp_path / "policy.yml").write_text(mine)
    done = responder("init", RESPONDER_HOME=str(tmp_path), RESPONDER_LEDGER=f"sqlite:///{tmp_path / 'ledger.db'}")
    assert done.returncode == 2 and "Make it, or set stop.file" in done.stderr
    assert (tmp_path / "policy.yml").read_text() == mine


@pytest.mark.parametrize("word", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_outside_a_run_says_where_to_look_and_ends_with_130(tmp_path: Path, word: signal.Signals) -> None:
    environ = {
        "RESPONDER_HOME": str(tmp_path),
        "RESPONDER_LEDGER": f"sqlite:///{tmp_path / 'ledger.db'}",
        "HOME": str(tmp_path),
    }
    assert responder("init", "--profile", "homelab", **environ).returncode == 0
    words = [RESPONDER, "respond", "--alert", "-"]
    with subprocess.Popen(words, env=environ, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waiting:
        assert waiting.stdin is not None
        waiting.stdin.write(" " * (1 << 17))  # more than a pipe holds: once it is written, the command reads
        waiting.stdin.flush()
        waiting.send_signal(word)
        said = waiting.communicate()[1]
    assert waiting.returncode == 130
    assert said == "Interrupted; whatever was done until now is on the record.\nSee: responder status\n"
