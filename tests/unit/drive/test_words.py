"""The last error of Ansible, as it is shown and recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from sre_responder.drive.words import brief, last_error

WRITTEN = {
    "\x1b[0;31mERROR: Ansible could not initialize the preferred locale: unsupported\r\n locale setting\x1b[0m\r\n":
        "Ansible could not initialize the preferred locale: unsupported locale setting",
    "PLAY [x] ****\n[WARNING]: no hosts\n[ERROR]: Attempting to decrypt but no vault secrets found\n":
        "Attempting to decrypt but no vault secrets found",
    "[ERROR]: first\nTASK [y]\nfatal: [web]: UNREACHABLE! => {}\nPLAY RECAP\n": "fatal: [web]: UNREACHABLE! => {} PLAY RECAP",
    "one\ntwo\nthree\nfour\n": "two three four",
    "\n\n": "",
}  # fmt: skip


@pytest.mark.parametrize("written", WRITTEN)
def test_the_last_error_that_ansible_wrote_is_found(tmp_path: Path, written: str) -> None:
    (tmp_path / "stdout").write_text(written)
    assert last_error(tmp_path / "stdout") == WRITTEN[written]


def test_a_run_that_wrote_nothing_has_no_last_error(tmp_path: Path) -> None:
    assert last_error(tmp_path / "stdout") == ""


def test_of_a_long_output_the_end_is_read_whatever_its_bytes_are(tmp_path: Path) -> None:
    (tmp_path / "stdout").write_bytes(b"\xff" * 100_000 + b"\nERROR! it ended\n")
    assert last_error(tmp_path / "stdout") == "it ended"


def test_a_message_is_cut_and_shows_no_login() -> None:
    assert brief("cannot reach https://ann:secret@example.org/x.") == "cannot reach https://example.org/x"
    assert len(brief("x" * 5000)) < 700
