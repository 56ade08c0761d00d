"""Progress of a run, from the record: rungs, gates, evidence, time. Plain lines in a pipe."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.markup import escape

from sre_responder.cli.output import error_console
from sre_responder.home.policy import Policy
from sre_responder.home.runbook import Runbook
from sre_responder.ledger.audit import Entry
from sre_responder.model.names import shown

_MARKS = {
    "improved": ("✔", "green"),
    "not_improved": ("✗", "yellow"),
    "unknown": ("?", "red"),
    "healthy": ("·", "dim"),
    "tried": ("·", "dim"),
    "not_applicable": ("·", "dim"),
}


_FRAMES = "|/-\\"
ALIVE_SECONDS = 5
_DOING = {
    "run.started": "waiting for the first step",
    "scope.identified": "measuring the success criterion",
    "action.started": "{action} is at work",
    "effect.done": "measuring whether it helped",
    "action.ended": "measuring the success criterion",
    "action.skipped": "measuring the success criterion",
    "gate.blocked": "waiting for the play to end",
}
"""What goes on after an entry of the record."""


class Progress:
    """Tells each entry of the record as one line on stderr, with the seconds since the run began."""

    def __init__(self, runbook: Runbook, policy: Policy) -> None:
        self.doing, self.drawn = "starting", False
        specs = [policy.action(str(step.action)) for step in runbook.steps]
        self.rungs = {spec.name: spec.rung for spec in specs if spec}

    def __enter__(self) -> Progress:
        self.began = self.last = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clear()

    def tick(self) -> None:
        """Show that the run is alive: a spinner on a terminal, a line every few seconds in a pipe."""
        now = time.monotonic()
        if error_console.is_terminal:
            frame = _FRAMES[int(now * 8) % len(_FRAMES)]
            error_console.print(f"\r[dim]{now - self.began:5.1f}s {frame} {escape(self.doing)}[/]", end="\r")
            self.drawn = True
        elif now - self.last >= ALIVE_SECONDS:
            self._line("·", "dim", "      ", f"still at work: {self.doing}")

    def _clear(self) -> None:
        if self.drawn:
            error_console.print(" " * (error_console.width - 1), end="\r")
            self.drawn = False

    def entry(self, entry: Entry) -> None:
        """One line for an entry that a person wants to see."""
        self.doing = _DOING.get(entry.type, self.doing).format(action=entry.data.get("action", ""))
        data, action = entry.data, str(entry.data.get("action", ""))
        rung = f"rung {self.rungs[action]}" if action in self.rungs else "      "
        if entry.type == "action.started":
            self._started(rung, action, data)
        elif entry.type == "action.ended":
            mark, style = _MARKS.get(str(data.get("outcome")), (" ", ""))
            self._line(mark, style, rung, entry.summary)
        elif entry.type == "action.skipped":
            mark, style = _MARKS.get(str(data.get("reason")), ("·", "dim"))
            self._line(mark, style, rung, entry.summary)
        elif entry.type == "plan.made":
            blocks = [gate["name"] for gate in data.get("gates", []) if gate["status"] in ("failed", "unknown")]
            words = f"would be refused as things stand ({', '.join(blocks)})" if blocks else "would be done"
            self._line("○", "dim", rung, entry.summary if data.get("skipped") else f"{action} {words}")
        elif entry.type == "gate.blocked":
            self._line("■", "red", rung, f"{action} refused")
            gates = data.get("gates", [])
            for gate in gates:
                self._line(" ", "red", "      ", f"{gate['name']}: {gate['reason']}")
                if gate.get("clears_by") and not gate.get("clears_by_approval"):  # for those the command says it
                    self._line(" ", "dim", "      ", f"cleared by {gate['clears_by']}")
            for command in dict.fromkeys(gate["command"] for gate in gates if gate.get("command")):
                self._line(" ", "bold", "      ", command)
        elif entry.type in (
            "scope.identified",
            "handoff.made",
            "run.started",
            "stop.raised",
            "undo.started",
            "undo.failed",
        ):
            self._line("·", "dim", "      ", entry.summary)

    def _started(self, rung: str, action: str, data: Mapping[str, Any]) -> None:
        gates = data.get("gates", {}).values()
        passed = sum(value.startswith("passed") for value in gates)
        self._line("▶", "bold", rung, f"{action}: {passed} of {len(gates)} gates passed")
        for warning in (data.get("evidence") or {}).get("warnings", ()):
            self._line("!", "yellow", "      ", shown(warning, 400))

    def _line(self, mark: str, style: str, rung: str, text: str) -> None:
        self._clear()
        self.last = time.monotonic()
        seconds = self.last - self.began
        head = f"[dim]{seconds:5.1f}s[/] [{style or 'none'}]{mark}[/] {rung} "
        for number, line in enumerate(
            textwrap.wrap(text, max(error_console.width - 17, 40), break_long_words=False, break_on_hyphens=False)
        ):
            error_console.print((head if not number else " " * 16) + escape(line), soft_wrap=True)
