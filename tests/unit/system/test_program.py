"""A program is heard only if it ends well, and run only where nobody else can replace it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
import pytest

from sre_responder.system import program


def script(folder: Path, text: str) -> Path:
    path = folder / "tool"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def said(path: Path, *words: str, seconds: float = 10, **variables: str) -> str:
    return program.printed([str(path), *words], variables, seconds)


def test_what_it_prints_is_returned_stripped(tmp_path: Path) -> None:
    assert said(script(tmp_path, 'echo " $1|$2 "'), "a b", "$(id);*") == "a b|$(id);*"


def test_it_gets_its_own_environment_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    monkeypatch.setenv("RESPONDER_RUN", "run-7")
    shown = said(script(tmp_path, "env | grep -v '^PWD\\|^_\\|^SHLVL' | sort | tr '\\n' ' '; pwd"), TOKEN="t")
    assert shown == "LANG=C.UTF-8 PATH=/usr/bin:/bin RESPONDER_RUN=run-7 TOKEN=t /"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("echo 5; exit 2", "exits 2"),
        ("echo 5; kill -9 $$", "was ended by signal 9"),
        ("true", "prints nothing"),
        ("echo; echo ' '", "prints nothing"),
        ("yes", "prints more than 4096 bytes"),
        ("echo 5; echo 6", "more than one line"),
        (r"printf '\377'", "not UTF-8"),
        ("cat; echo $0 | grep -q x", "exits 1"),
    ],
)
def test_what_does_not_end_well_says_why(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        said(script(tmp_path, text))


def gone(process: int) -> bool:
    """Whether it ended; a test that waits for one that does not is ended by its own limit."""
    while psutil.pid_exists(process) and psutil.Process(process).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    return True


@pytest.mark.parametrize("text", ["sleep 600 & wait", "exec >&-; sleep 600 & wait", "echo 5; sleep 600 & exec true"])
def test_what_does_not_end_in_time_is_ended_with_all_that_it_started(tmp_path: Path, text: str) -> None:
    left = tmp_path / "left"
    with pytest.raises(ValueError, match=r"did not end within 1 s"):
        said(script(tmp_path, text.replace(" & ", f" & echo $! > {left}; ", 1)), seconds=1)
    assert gone(int(left.read_text()))


def test_what_it_leaves_behind_is_ended(tmp_path: Path) -> None:
    left = tmp_path / "left"
    assert said(script(tmp_path, f"sleep 600 >/dev/null & echo $! > {left}; echo 5")) == "5"
    assert gone(int(left.read_text()))


def test_a_link_on_the_way_is_refused_with_the_place_to_write(tmp_path: Path) -> None:
    real = script(tmp_path, "echo 5")
    (tmp_path / "linked").symlink_to(real)
    (tmp_path / "folder").symlink_to(tmp_path)
    for path in (tmp_path / "linked", tmp_path / "folder" / "tool"):
        assert f"write {real}" in str(program.unfit(path))


@pytest.mark.parametrize("mode", [0o775, 0o757])
def test_a_program_or_a_folder_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = script(tmp_path, "echo 5")
    assert program.unfit(path) is None
    path.chmod(mode)
    assert "can be written by others" in str(program.unfit(path))
    path.chmod(0o755)
    tmp_path.chmod(mode)
    assert f"{tmp_path} can be written by others" in str(program.unfit(path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_a_program_or_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    path = script(tmp_path, "echo 5")
    for place in (path, tmp_path):
        os.chown(place, 65534, -1)
        assert f"{place} belongs to another user" in str(program.unfit(path))
        os.chown(place, 0, -1)


def test_what_is_no_program_is_refused(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("5")
    for path, words in ((plain, "not a program"), (tmp_path, "not a program"), (tmp_path / "gone", "cannot be run")):
        assert words in str(program.unfit(path))
