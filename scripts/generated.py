"""The files that follow from `sre_responder/effects` and `sre_responder/evidence/sources`: run by `scripts/generate`."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

import sre_responder.effects
from sre_responder.effects.action import Action, Described, Options, described
from sre_responder.effects.effect import Effect, HostProbe
from sre_responder.effects.perform import PERFORM_ACTION
from sre_responder.home.annotations import connection
from sre_responder.model.action_spec import ActionSpec
from sre_responder.model.actions import READ_ONLY
from sre_responder.model.criterion import SOURCES
from sre_responder.model.look import Look, Number

ROOT = Path(__file__).parents[1]
TOLD = "# Written by scripts/generate from sre_responder/effects; change it there."
LICENCE = """\
# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""
TYPES = {str: "str", Path: "path", int: "int", float: "float", bool: "bool", list[str]: "list"}
GUARDED = {
    "incident": {"type": "str"},
    "service": {"type": "str"},
    "environment": {"type": "str"},
    "applies": {"type": "bool", "default": True},
    "because": {"type": "str"},
    "confirm_production": {"type": "bool", "default": False},
    "if_worse": {"type": "str", "choices": ["undo", "rollback", "hand_over"], "default": "undo"},
}
"""Options of every guarded module; doc_fragments/guarded.py describes them. The first three are not required of the task, since
`module_defaults` may give them, which linters do not see: the guard asks for them."""
BY_GUARD = {
    "_plan": {"type": "str"},
    "_expect": {"type": "dict"},
    "_deadline": {"type": "int"},
    "_others": {"type": "dict"},
}
"""What the guard alone hands to a module that runs on a host."""


class Text(yaml.SafeDumper):
    """YAML as people write it: entries of a list stand in from their key."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def as_yaml(value: Any) -> str:
    return yaml.dump(value, Dumper=Text, sort_keys=False, width=140, allow_unicode=True)


def found() -> list[tuple[str, Action]]:
    """Every action that a file below effects/ gives, with the place of its effect, by rung and name."""
    places = {
        f"{module.name}:{name}": value.action
        for module in pkgutil.walk_packages(sre_responder.effects.__path__, "sre_responder.effects.")
        for name, value in vars(import_module(module.name)).items()
        if isinstance(value, Effect | HostProbe) and not name.startswith("_")
    }
    return sorted(((place, action) for place, action in places.items()), key=lambda one: (one[1].rung, one[1].name))


# The allowlist


def allowlist(specs: list[ActionSpec]) -> str:
    lines = "\n".join(f"ActionSpec({_fields(spec)})," for spec in specs)
    return formatted(
        f'''{TOLD}
"""The allowlist: every guarded action, its rung, its platform, and where its options come from."""

from __future__ import annotations

from collections.abc import Mapping

from sre_responder.model.action_spec import ActionSpec

ACTIONS: Mapping[str, ActionSpec] = {{spec.name: spec for spec in ({lines})}}
'''
    )


def _fields(spec: ActionSpec) -> str:
    """What differs from the default of its field."""
    default = ActionSpec(spec.name, spec.rung, spec.platform, undoable=spec.undoable)
    given = {
        name: value for name, value in vars(spec).items() if name in ("undoable",) or value != getattr(default, name)
    }
    named = ", ".join(f"{name}={_literal(value)}" for name, value in given.items())
    return f"{spec.name!r}, {spec.rung}, {spec.platform!r}, {named}"


def _literal(value: Any) -> str:
    """As source, in one order: that of a set differs from run to run."""
    return f"frozenset({{{', '.join(map(repr, sorted(value)))}}})" if isinstance(value, frozenset) else repr(value)


# The page of a module, and its argument spec


def page(action: Action) -> str:
    own = described(action.options)
    if action.on_host:
        imports = f"\nfrom ansible_collections.sre.responder.plugins.module_utils._{action.name} import run\n"
        main = "run(AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True))"
    else:
        imports = ""
        main = f'''module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.fail_json(msg="{action.name} runs through its action plugin only. Install the collection whole; nothing was changed.")'''
    spec = {
        **GUARDED,
        **{name: argument(option) for name, option in own.items()},
        **(BY_GUARD if action.on_host else {}),
    }
    return formatted(
        f'''#!/usr/bin/python
{LICENCE}{TOLD}

from __future__ import annotations

DOCUMENTATION = r"""
{as_yaml(documentation(action, own))}"""

EXAMPLES = r"""
{as_yaml([example(action, *task) for task in action.examples])}"""

RETURN = r"""
{(ROOT / "scripts/guarded_return.yml").read_text(encoding="utf-8")}"""

from ansible.module_utils.basic import AnsibleModule
{imports}
ARGUMENT_SPEC = {spec!r}


def main() -> None:
    {main}


if __name__ == "__main__":
    main()
'''
    )


def documentation(action: Action, own: Mapping[str, Described]) -> dict[str, Any]:
    rung = {None: "The rung that the policy says.", 0: "Containment, before the ladder."}.get(
        action.rung, f"Rung {action.rung}."
    )
    options = {name: described_option(option) for name, option in own.items()}
    if action.on_host:
        alone = "Set by the guard alone; a task that sets it is refused."
        options |= {name: {"description": alone, **spec} for name, spec in BY_GUARD.items()}
    return {
        "module": action.name,
        "short_description": action.summary,
        "version_added": "0.1.0",
        "author": "Responder maintainers (@sre-responder)",
        "description": list(action.description),
        "extends_documentation_fragment": ["sre.responder.guarded", "sre.responder.attributes"],
        "attributes": {
            "check_mode": {"support": "full"},
            "diff_mode": {"support": "full", **({"details": action.diff} if action.diff else {})},
            "mutates": {"support": "full"},
            "undo": {"support": "full" if action.undoable else "none", "details": action.undo},
            "guard": {"support": "full", "details": rung},
        },
        "options": options,
    }


def described_option(option: Described) -> dict[str, Any]:
    sentences = list(option.description)
    if option.annotation:
        otherwise = f", else V({option.default})" if option.default is not None else ""
        sentences.append(f"Default is the annotation C({option.annotation}) of the service{otherwise}.")
        if option.required:
            sentences.append("One of both is needed.")
    spec = argument(option)
    below = spec.pop("options", None)
    for key in ("no_log", "mutually_exclusive", "required_one_of"):
        spec.pop(key, None)
    if below is not None:
        spec["suboptions"] = {name: described_option(inner) for name, inner in described(option.type).items()}
    return {"description": sentences, **spec}


def argument(option: Described) -> dict[str, Any]:
    """One option as Ansible's argument spec says it. What the catalogue may fill is not required of the task: the guard asks for it."""
    spec: dict[str, Any] = {"type": "str" if option.choices else TYPES.get(option.type, "dict")}
    if spec["type"] == "list":
        spec["elements"] = "str"
    if option.choices:
        spec["choices"] = list(option.choices)
    if option.required and not option.annotation:
        spec["required"] = True
    elif option.default is not None:
        spec["default"] = option.default
    if option.secret:
        spec["no_log"] = True
    if spec["type"] == "dict" and option.type != dict[str, Any]:
        inner: type[Options] = option.type
        spec["options"] = {name: argument(below) for name, below in described(inner).items()}
        if inner.one_of:
            spec |= {"mutually_exclusive": [inner.one_of], "required_one_of": [inner.one_of]}
    return spec


def example(action: Action, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    common = {"incident": "INC-1234", "service": "checkout", "environment": "staging"}
    return {"name": name, f"sre.responder.{action.name}": {**common, **options}}


# What Ansible must know


def runtime(actions: list[Action]) -> str:
    names = sorted(action.name for action in actions)
    routes = {name: {"action_plugin": "sre.responder.guarded"} for name in names}
    group = sorted({*names, *READ_ONLY} - {"open_incident"})
    routed = as_yaml({"plugin_routing": {"modules": routes}})
    return f"""---
{TOLD}
requires_ansible: ">=2.19.0"

# Every module that mutates goes through the one action that asks the guard first.
{routed}
# Defaults for this group reach every step of a ladder; the steps that only read or record take the same options.
{as_yaml({"action_groups": {"guarded": group}})}"""


def stub(action: Action) -> str:
    """By the module's own name the main process loads guard and client library once, before it forks, and may shorten what it prints."""
    guard = "plugin_utils.guarded_kubernetes" if action.platform == "kubernetes" else "action.guarded"
    return f'''{LICENCE}{TOLD}
"""The guard under the module's own name: by it the main process loads the guard once, before it forks."""

from __future__ import annotations

from ansible_collections.sre.responder.plugins.{guard} import ActionModule

__all__ = ["ActionModule"]
'''


# Tables in docs


def actions_page(actions: list[Action]) -> str:
    told = TOLD.removeprefix("# ")
    ladder = "\n".join(_row(action) for action in actions)
    return f"""<!-- {told} -->
# Actions

What each changes, on which rung. `ansible-doc sre.responder.NAME` has the whole page.

| action | rung | platform | what it does | undo |
|---|---|---|---|---|
{ladder}

## Annotations of the catalogue

They fill an option that a task leaves out; `ENVIRONMENT.KEY` holds for one environment alone.

| annotation | fills |
|---|---|
{_annotations(actions)}

## Options that a connection may fill

`connections.yml` names them by platform ([operate.md](operate.md#connections)); secrets, in italics, by reference only.

| platform | annotation that names the connection | options |
|---|---|---|
{_connections(actions)}
"""


def _row(action: Action) -> str:
    rung = {None: "by the policy", 0: "containment"}.get(action.rung, str(action.rung))
    return f"| `{action.name}` | {rung} | {action.platform} | {action.summary} | {'yes' if action.undoable else 'no'} |"


def _annotations(actions: list[Action]) -> str:
    filled: dict[str, dict[str, list[str]]] = {}
    for action in actions:
        for name, option in described(action.options).items():
            if option.annotation:
                filled.setdefault(option.annotation, {}).setdefault(name, []).append(action.name)
    return "\n".join(
        f"| `{annotation}` | {'; '.join(f'`{name}` of ' + _named(by) for name, by in sorted(options.items()))} |"
        for annotation, options in sorted(filled.items())
    )


def _connections(actions: list[Action]) -> str:
    found: dict[str, dict[str, Described]] = {}
    for action in actions:
        if action is not PERFORM_ACTION:
            found.setdefault(action.platform, {}).update(described(action.options))
    return "\n".join(
        f"| {platform} | `{connection(platform)}` | "
        f"{', '.join(f'*{name}*' if option.secret else f'`{name}`' for name, option in sorted(options.items()))} |"
        for platform, options in sorted(found.items())
    )


def sources_page() -> str:
    told = TOLD.removeprefix("# ").replace("effects", "evidence/sources")
    every = "\n".join(f"| `{name}` | {_summary(SOURCES[name])} |" for name in sorted(SOURCES))
    return f"""<!-- {told} -->
# Sources of evidence

Where a criterion may look, and what it may say there. [evidence.md](evidence.md) says how looks become a verdict.

| source | what it measures |
|---|---|
{every}

Every look may have these:

{_table(Look, {"source"})}

A source of one number has these too; one of `above`, `below` and `expect` is required:

{_table(Number, {*Look.model_fields})}

{chr(10).join(_source(name) for name in sorted(SOURCES))}"""


def _source(name: str) -> str:
    kind: type[Look] = SOURCES[name]
    general = Number if issubclass(kind, Number) else Look
    page = f"## {name}\n\n{_summary(kind)}\n\n{_table(kind, {*general.model_fields})}\n"
    if kind.login is None:
        return page
    return f"{page}\nIts connection, which `{connection(name)}` names:\n\n{_table(kind.login, set())}\n"


def _summary(kind: type[Look]) -> str:
    return str(sys.modules[kind.__module__].__doc__).splitlines()[0]


def _table(kind: type[BaseModel], without: set[str]) -> str:
    fields = {name: field for name, field in kind.model_fields.items() if name not in without}
    rows = "\n".join(
        f"| {_spelled(name, field)} | {_default(field)} | {field.description or ''} |" for name, field in fields.items()
    )
    return f"| field | default | what |\n|---|---|---|\n{rows}" if fields else "It has no fields of its own."


def _spelled(name: str, field: FieldInfo) -> str:
    return f"*{name}*" if "Secret" in str(field.annotation) and "Mapping" not in str(field.annotation) else f"`{name}`"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return (
        "none"
        if value is None or value in ((), {})
        else f"`{str(value).lower() if isinstance(value, bool) else value}`"
    )


def _named(actions: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(actions))


def formatted(text: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--config", ROOT / "pyproject.toml", "-"],
        input=text, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def files() -> Iterator[tuple[Path, str]]:
    """Every generated file and what it must say."""
    places = found()
    actions = [*(action for _, action in places), PERFORM_ACTION]
    yield ROOT / "sre_responder/model/allowlist.py", allowlist([action.spec(place) for place, action in places])
    yield ROOT / "meta/runtime.yml", runtime(actions)
    yield ROOT / "docs/actions.md", actions_page(actions)
    yield ROOT / "docs/sources.md", sources_page()
    for action in actions:
        yield ROOT / f"plugins/modules/{action.name}.py", page(action)
        yield ROOT / f"plugins/action/{action.name}.py", stub(action)


def main() -> int:
    stale = [(path, text) for path, text in files() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path, text in stale:
        print(path.relative_to(ROOT))
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
    if stale and "--check" in sys.argv:
        print("stale: run scripts/generate", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
