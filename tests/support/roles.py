"""A role of ours, run by ansible-playbook as a user would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

BIN = Path(sys.executable).parent
HERE = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}


def recap(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """The numbers of the play's last line."""
    return {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", done.stdout.partition("PLAY RECAP")[2])}


def play(
    folder: Path, role: str, variables: Mapping[str, Any], *words: str, host: Mapping[str, Any] = HERE
) -> subprocess.CompletedProcess[str]:
    """Play a role with these variables on a host, by default this machine."""
    book, inventory = folder / f"{role}.yml", folder / f"{role}-inventory.yml"
    roles = [{"role": f"sre.responder.{role}"}]
    written = {"name": role, "hosts": "all", "gather_facts": False, "roles": roles, "vars": dict(variables)}
    book.write_text(yaml.safe_dump([written]))
    inventory.write_text(yaml.safe_dump({"all": {"hosts": {"localhost": dict(host)}}}))
    (folder / "account").mkdir(exist_ok=True)
    environ = {"HOME": str(folder / "account"), "LANG": "C.UTF-8", "PATH": f"{BIN}:{os.environ['PATH']}"}
    return subprocess.run(
        [str(BIN / "ansible-playbook"), "-i", str(inventory), *words, str(book)], env=environ, cwd=folder, text=True,
        capture_output=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
