"""The lab, where each action is a runbook of one guarded step that is always due: what no small world has, a supervisor and a proxy."""

from __future__ import annotations

import csv
import io
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from bypass.world import plain_play
from crash.at import befalls, ended

from sre_responder.effects.supervisor import supervisord
from sre_responder.home import runbook
from sre_responder.lab.lab import Lab
from sre_responder.ledger import Ledger, attempts, audit, incidents

NEVER = {"expect": "success_rate > `2`", "minimum_samples": 1, "hold_s": 0, "interval_s": 0.05, "watch_s": 0.2}


@dataclass(frozen=True)
class Shop:
    """A lab that is up; every state of it is read from the thing itself."""

    lab: Lab
    ledger: Ledger
    environ: Mapping[str, str]

    def responder(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(Path(sys.executable).parent / "responder"), *words], env={**self.environ, **environ}, text=True,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False,
        )  # fmt: skip

    def run(self, action: str, incident: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Drive the runbook whose one step is the action; what it needs to know of the shop stands in the catalogue."""
        play, folder = plain_play(), self.lab.home / "runbooks" / action.replace("_", "-")
        names = play["tasks"][0]["sre.responder.diagnose"]
        play["vars"]["runbook"] = {"id": folder.name, "failure_class": folder.name, "success": NEVER}
        play["tasks"] = [play["tasks"][0], {"name": "Act", f"sre.responder.{action}": names}]
        folder.mkdir(exist_ok=True)
        (folder / "runbook.yml").write_text(yaml.safe_dump([play], sort_keys=False))
        runbook.register(self.lab.home, [folder])
        where = ("--incident", incident, "--service", "checkout", "--environment", "staging")
        return self.responder("run", folder.name, *where, **environ)

    def incident(self) -> str:
        """An open incident of its own, its scope known."""
        with self.ledger.transaction() as connection:
            now = self.ledger.now(connection)
            number, _ = incidents.open_(
                connection, now, service="checkout", environment="staging", severity="SEV3", title="ill", actor="test"
            )
            audit.append(connection, now, "scope.identified", "test", "seen", incident=number)
        return number

    def crash(self, action: str, point: str, mark: Path) -> tuple[str, Any]:
        """Everything dies at that point of the action; gives the incident, and the effect that its target is frozen for."""
        incident = self.incident()
        self.run(action, incident, **befalls("everything", point, mark))
        assert mark.exists(), f"the run never came to: {point}"
        ended(self)
        with self.ledger.transaction(reading=True) as connection:
            [frozen] = attempts.unknown(connection)
        return incident, frozen

    def release(self) -> bytes:
        return os.readlink(os.fsencode(self.lab.release_roots["east"] / "current"))

    def servers(self) -> dict[str, str]:
        """What the proxy says of each server of the shop."""
        rows = csv.DictReader(io.StringIO(self.proxy("show stat").removeprefix("# ")))
        return {row["svname"]: row["status"] for row in rows if row["pxname"] == "checkout"}

    def proxy(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as edge:
            edge.connect(self.lab.runtime_socket)
            edge.sendall(command.encode() + b"\n")
            with edge.makefile() as answer:
                return answer.read()

    def program(self) -> tuple[str, int]:
        """State and process of the app."""
        with supervisord(self.lab.supervisor) as server:
            info = server.getProcessInfo("checkout")
        return info["statename"], info["pid"]
