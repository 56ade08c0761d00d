"""Text that commands are given: what cannot be read is one sentence and exit code 2."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sre_responder.cli.given import given_text
from sre_responder.errors import InputError

READ = "from sre_responder.cli.given import given_text; print(given_text('-', 10))"


def shell(command: str) -> subprocess.CompletedProcess[str]:
    words = ["sh", "-c", command.replace("READ", f'{sys.executable} -c "{READ}"')]
    return subprocess.run(words, capture_output=True, text=True, timeout=60)


def test_a_closed_standard_input_is_bad_input() -> None:
    assert "InputError: standard input is closed." in shell("READ <&-").stderr


def test_standard_input_that_is_not_utf8_is_bad_input() -> None:
    assert "standard input is not UTF-8: byte 1 is 0xff" in shell(r"printf 'a\377' | READ").stderr


def test_standard_input_is_read_with_or_without_a_byte_order_mark() -> None:
    assert shell(r"printf '\357\273\277h\303\251' | READ").stdout == "hé\n"


@pytest.mark.parametrize("name", ["/nowhere/alert.json", "/", "a\0b"])
def test_a_file_that_cannot_be_read_is_bad_input(name: str) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        given_text(name, 10)


def test_no_more_than_the_limit_is_read(tmp_path: Path) -> None:
    file = tmp_path / "alert"
    file.write_bytes("é".encode() * 100)
    assert len(given_text(str(file), 9)) <= 10
    assert len(given_text("/dev/zero", 9)) == 10
