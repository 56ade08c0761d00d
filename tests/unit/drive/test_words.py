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
    "[ERROR]: first\nTASK [y]\nfatal: [web]: UNREACHABLE! => {}\nPLAY RECAP\n": "fatal: [web]: UNREACHABLE! => {}",
    "one\ntwo\nthree\nfour\n": "two three four",
    "\n\n": "",
}  # fmt: skip


@pytest.mark.parametrize("written", WRITTEN)
def test_the_last_error_that_ansible_wrote_is_found(tmp_path: Path, written: str) -> None:
    (tmp_path / "stdout").write_text(written)
    assert last_error(tmp_path / "stdout") == WRITTEN[written]


PARSING = """\
[WARNING]: Failed to parse inventory with 'yaml' plugin: YAML parsing failed.

Failed to parse inventory with 'yaml' plugin.

<<< caused by >>>

YAML parsing failed.
Origin: /home/inventory.yml:3:5

2   hosts:
3     web: {ansible_password: hunter22
      ^ column 5

[WARNING]: Could not match supplied host pattern, ignoring: checkout

PLAY [x] ***
skipping: no hosts matched
"""
UNKNOWN = """\
[ERROR]: couldn't resolve module/action 'community.docker.x'. It may be missing.
Origin: /book/runbook.yml:5:7

4     - name: x
5       community.docker.x: {key: hunter22}
        ^ column 7
"""


def test_of_a_file_that_an_error_shows_only_the_place_is_kept(tmp_path: Path) -> None:
    (tmp_path / "stdout").write_text(UNKNOWN)
    said = last_error(tmp_path / "stdout")
    assert said == "couldn't resolve module/action 'community.docker.x'. It may be missing. (/book/runbook.yml:5:7)"


def test_warnings_tell_why_no_host_matched_if_there_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "stdout").write_text(PARSING)
    said = last_error(tmp_path / "stdout", failed=False)
    assert "YAML parsing failed" in said and "Could not match supplied host pattern, ignoring: checkout" in said
    assert "hunter22" not in said and "PLAY" not in said


def test_a_run_that_did_not_fail_has_no_last_lines(tmp_path: Path) -> None:
    (tmp_path / "stdout").write_text("PLAY RECAP ***\nweb : ok=1\n")
    assert last_error(tmp_path / "stdout", failed=False) == ""


@pytest.mark.parametrize("text", [
    "connecting with password=hunter22", "{'db_password': 'hunter22'}", '{"api_key": "hunter22"}', "token: hunter22;", "PGPASSWORD=hunter22",
    "the key is hunter22",
])  # fmt: skip
def test_what_is_secret_is_masked(text: str) -> None:
    assert "hunter22" not in brief(text, ["hunter22"] if "key is" in text else [])
    assert "***" in brief(text, ["hunter22"])


def test_a_run_that_wrote_nothing_has_no_last_error(tmp_path: Path) -> None:
    assert last_error(tmp_path / "stdout") == ""


def test_of_a_long_output_the_end_is_read_whatever_its_bytes_are(tmp_path: Path) -> None:
    (tmp_path / "stdout").write_bytes(b"\xff" * 100_000 + b"\nERROR! it ended\n")
    assert last_error(tmp_path / "stdout") == "it ended"


def test_a_message_is_cut_and_shows_no_login() -> None:
    assert brief("cannot reach https://ann:secret@example.org/x.") == "cannot reach https://example.org/x"
    assert len(brief("x" * 5000)) < 700
