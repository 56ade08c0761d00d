"""A runbook with one module of another collection, which writes what its service reads; and a policy that allows it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from bypass.world import World

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


def allow(world: World, module: str, entry: Mapping[str, Any]) -> None:
    """Allow a module in the policy, as whoever keeps it would."""
    path = world.home.folder / "policy.yml"
    policy = yaml.safe_load(path.read_text())
    policy["perform"] = {**policy.get("perform", {}), module: dict(entry)}
    path.write_text(yaml.safe_dump(policy))


def write(
    world: World, given: Mapping[str, Any] | None = None, *, module: str | None = LINEINFILE, **task: Any
) -> None:
    """Register a runbook whose one step runs `module` through `perform`; `task` are keywords beside it."""
    args = {"path": str(health(world)), "line": LINE, "create": True} if given is None else dict(given)
    names = {
        "incident": "{{ incident }}",
        "service": "{{ service }}",
        "environment": "{{ target }}",
        "if_worse": "rollback",
    }
    options = {**names, **({"module": module} if module else {}), "args": args}

    def change(play: dict[str, Any]) -> None:
        play["tasks"][1] = {"name": "Answer well", "sre.responder.perform": options, **task}

    world.write(change)


def collection(world: World, modules: Mapping[str, str], routing: Mapping[str, Any] | None = None) -> Path:
    """Where a collection acme.tools lies with these modules; for ANSIBLE_COLLECTIONS_PATH."""
    place = world.root / "collections"
    folder = place / "ansible_collections" / "acme" / "tools"
    (folder / "plugins" / "modules").mkdir(parents=True)
    (folder / "meta").mkdir()
    for name, source in modules.items():
        (folder / "plugins" / "modules" / f"{name}.py").write_text(source)
    runtime = {"requires_ansible": ">=2.19", "plugin_routing": dict(routing or {})}
    (folder / "meta" / "runtime.yml").write_text(yaml.safe_dump(runtime))
    return place
