"""Where an inventory is encrypted."""

from __future__ import annotations

from pathlib import Path

import pytest

from sre_responder.drive.vault import encrypted, vault_of
from sre_responder.errors import InputError

INLINE = "all:\n  vars:\n    password: !vault |\n      $ANSIBLE_VAULT;1.1;AES256\n      6161\n"


def test_an_encrypted_value_and_an_encrypted_file_are_named_with_their_line(tmp_path: Path) -> None:
    (tmp_path / "inventory.yml").write_text(INLINE)
    assert encrypted(tmp_path / "inventory.yml") == f"{tmp_path / 'inventory.yml'}:4"
    folder = tmp_path / "inventory" / "group_vars"
    folder.mkdir(parents=True)
    (folder.parent / "hosts").write_bytes(b"\xff\n")
    (folder / "all.yml").write_text("$ANSIBLE_VAULT;1.2;AES256;prod\n6161\n")
    assert encrypted(folder.parent) == f"{folder / 'all.yml'}:1"


def test_a_plain_inventory_none_and_one_that_is_gone_are_not_encrypted(tmp_path: Path) -> None:
    (tmp_path / "inventory.yml").write_text("all: {hosts: {web: }}\n")
    assert [encrypted(path) for path in (tmp_path / "inventory.yml", None, tmp_path / "gone.yml")] == ["", "", ""]


def test_the_callers_passwords_are_named_by_whole_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    listed = vault_of({"ANSIBLE_VAULT_IDENTITY_LIST": "dev@a, prod@/b ,c"})
    assert listed == {"ANSIBLE_VAULT_IDENTITY_LIST": f"dev@{tmp_path}/a,prod@/b,{tmp_path}/c"}


@pytest.mark.parametrize("listed", ["prod@prompt", "prompt_ask_vault_pass", "dev@a,prod@prompt"])
def test_a_password_that_is_asked_for_at_a_terminal_is_refused(listed: str) -> None:
    with pytest.raises(InputError, match="at a terminal"):
        vault_of({"ANSIBLE_VAULT_IDENTITY_LIST": listed})
