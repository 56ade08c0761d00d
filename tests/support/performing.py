"""A runbook with one module of another collection, which writes what its service reads; and a policy that allows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bypass.world import World, plain_play

LINE = '{"ok": true}'
LINEINFILE = "ansible.builtin.lineinfile"
ALLOWED: dict[str, Any] = {
    "rung": 2,
    "target": "path",
    "args": {"path": ".*/health[.]json", "line": [LINE], "create": [True], "state": ["present"]},
    "undo": {"module": LINEINFILE, "args": "{path: args.path, line: args.line, state: 'absent'}"},
}
POLICY = {"perform": {LINEINFILE: ALLOWED}}


def health(world: World) -> Path:
    """The file that the task writes."""
    return world.root / "app" / "releases" / "2" / "health.json"


def write(
    world: World, args: dict[str, Any] | None = None, *, module: str = LINEINFILE, register: bool = True, **task: Any
) -> dict[str, Any]:
    """Register a runbook whose one step runs `module` through `perform`; `task` are keywords beside it. Return the play."""
    given = {"path": str(health(world)), "line": LINE, "create": True} if args is None else args
    plays: list[dict[str, Any]] = []

    def change(play: dict[str, Any]) -> None:
        names = {
            name: plain_play()["tasks"][0]["sre.responder.diagnose"][name]
            for name in ("incident", "service", "environment")
        }
        step = {"name": "Answer well", "sre.responder.perform": {**names, "module": module, "args": given}}
        play["tasks"][1] = {**step, **task}
        plays.append(play)

    world.write(change, register=register)
    return plays[0]
