"""The runbook of a world under the driver, and the same runbook under ansible-runner alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bypass.world import DRIVEN, Play, World

from sre_responder.drive.environment import inherited
from sre_responder.drive.prepare import prepare
from sre_responder.system.prove import MARK

PROGRAMS = Path(sys.executable).parent


@dataclass(frozen=True)
class Runner:
    """One command in its surroundings."""

    words: tuple[str, ...]
    environ: Mapping[str, str]

    def start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.words, env=self.environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def run(self) -> None:
        """Run it to its end, which must be a good one."""
        process = self.start()
        if process.wait():
            raise AssertionError(f"{' '.join(self.words)} ended with {process.returncode}")


def driven(here: World) -> Runner:
    """`responder run`."""
    return Runner((str(PROGRAMS / "responder"), *DRIVEN), here.environ)


def bare(here: World, folder: Path, **environ: str) -> Runner:
    """`ansible-runner run` in a folder as the driver prepares it: same playbook, inventory, variables and settings."""
    variables = {"incident": "INC-1234", "service": "checkout", "target": "staging"}
    prepared = prepare("bare", here.book, folder, variables, None, inherited(here.environ, here.home))
    unmarked = {name: value for name, value in prepared.environment.items() if name != MARK}
    words = (str(PROGRAMS / "ansible-runner"), "run", str(folder), "-p", "runbook.yml", "--ident", "run", "-q")
    return Runner(words, {**unmarked, **environ})


def lengthen(play: Play, tasks: int) -> None:
    """Small tasks in front, until there are so many."""
    small = {"name": "Say", "ansible.builtin.debug": {"msg": "a small task"}}
    play["tasks"] = [small] * (tasks - len(play["tasks"])) + play["tasks"]
