"""A module of another collection, seen through its own check mode: what it would change, and what its answer says of the target."""

from __future__ import annotations

import ast
import hashlib
import posixpath
from collections.abc import Mapping
from typing import Any

import jmespath

from sre_responder.effects.action import Action, Options, option
from sre_responder.effects.effect import Became, Change, HostProbe
from sre_responder.errors import EffectFailed, InputError
from sre_responder.model.actions import PERFORM
from sre_responder.model.names import shown
from sre_responder.model.plan import canonical

_KEPT = 400
"""A longer value stands in plan and record by its digest."""
_SHOWN = 4000
"""A diff is cut there."""


class _Options(Options):
    module: str = option("Its whole name, written out, as C(perform) of C(policy.yml) allows it.")
    args: dict[str, Any] = option("Its arguments. Only those that the policy allows, with values that it allows.")


PERFORM_ACTION = Action(
    name=PERFORM,
    rung=None,
    platform="module",
    options=_Options,
    summary="Run a module of another collection through the guard",
    description=(
        "Runs a module that C(perform) of C(policy.yml) allows, on the host of the play. The policy says its rung, what its target is, which "
        "arguments a task may give, and how it is undone.",
        "The plan is the module's own check mode. After the act check mode must say that nothing is left to change.",
        "A module without check mode, or with an action plugin of its own, is refused.",
    ),
    examples=(
        (
            "Block the address that floods checkout",
            {"module": "community.general.ufw", "args": {"rule": "deny", "from_ip": "203.0.113.7"}},
        ),
    ),
    undo="The policy names the task that undoes it, or why there is none.",
)


def supports_check_mode(source: str) -> bool:
    """Whether a module's own source says that it has a check mode: what does not say so may act while it is asked."""
    for node in ast.walk(ast.parse(source)):
        given = [(node.arg, node.value)] if isinstance(node, ast.keyword) else []
        if isinstance(node, ast.Dict):
            given = [(getattr(key, "value", None), value) for key, value in zip(node.keys, node.values, strict=True)]
        if any(key == "supports_check_mode" and getattr(value, "value", None) is True for key, value in given):
            return True
    return False


def target(module: str, expression: str, args: Mapping[str, Any]) -> str:
    """What a module changes on its host, by the policy's expression over its arguments; never nothing."""
    found = _search(expression, dict(args))
    if found in (None, "", [], {}) or (isinstance(found, list) and not all(found)):
        raise InputError(
            f"the target of {module} is empty: {expression} finds nothing in its arguments.",
            cure=f"Give them, or correct perform.{module}.target in policy.yml; an empty target never means 'all'.",
        )
    text = found if isinstance(found, str) else canonical(found)
    text = posixpath.normpath(text) if text.startswith("/") else text.strip()
    if not text.isprintable() or "'" in text or len(text) > _KEPT:
        raise InputError(
            f"the target of {module} is not a name: '{shown(text, 60)}'.", cure="Give one that can be typed."
        )
    return text


def _search(expression: str, value: Any) -> Any:
    try:
        return jmespath.search(expression, value)
    except jmespath.exceptions.JMESPathError as error:
        raise InputError(f"'{expression}' cannot be read from the arguments: {shown(error, 200)}.") from error


def check(module: str, answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """An honest answer of check mode. InputError where the module has none, or contradicts itself."""
    why = None
    if answer.get("skipped"):
        why = "it skips itself in check mode"
    elif not isinstance(answer.get("changed"), bool):
        why = "it does not say in check mode whether it would change anything"
    elif not answer["changed"] and _differs(answer):
        why = "it says in check mode that nothing would change, and shows a difference"
    if why:
        raise InputError(
            f"{module} cannot be planned: {why}.", cure="Use a guarded module, or one that supports check mode."
        )
    return answer


def _parts(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    diff = answer.get("diff") or []
    return [part for part in (diff if isinstance(diff, list) else [diff]) if isinstance(part, Mapping)]


def _side(answer: Mapping[str, Any], name: str) -> list[Any]:
    return [part[name] for part in _parts(answer) if name in part]


def _differs(answer: Mapping[str, Any]) -> bool:
    return _side(answer, "before") != _side(answer, "after")


def _identity(values: list[Any]) -> Any:
    """What a diff shows of a side, in little room."""
    text = canonical(values)
    return values if len(text) <= _KEPT else f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def state(answer: Mapping[str, Any], *, hidden: bool) -> dict[str, Any]:
    """The state now, in the words of `before`: what there is to change, while there is something. A hidden one shows nothing else."""
    if not answer["changed"]:
        return {"as_wanted": True}
    before = _side(answer, "before")
    return {"as_wanted": False, **({"is": _identity(before)} if before and not hidden else {})}


def predicted(answer: Mapping[str, Any], *, hidden: bool) -> dict[str, Any]:
    """The state after the act."""
    after = _side(answer, "after")
    shows = answer["changed"] and after and not hidden
    return {"as_wanted": True, **({"is": _identity(after)} if shows else {})}


def diff(answer: Mapping[str, Any], *, hidden: bool) -> dict[str, Any]:
    """The difference as people read it."""
    if hidden or not answer["changed"]:
        return {}
    return {side: "\n".join(map(_text, _side(answer, side)))[:_SHOWN] for side in ("before", "after")}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else canonical(value)


def undo(
    module: str, expression: str, args: Mapping[str, Any], answer: Mapping[str, Any], become: Mapping[str, Any]
) -> dict[str, Any]:
    """The task that restores the state before, by the policy's expression over the arguments and what the diff shows before."""
    before = _side(answer, "before")
    seen = before[0] if len(before) == 1 else before
    found = _search(expression, {"args": dict(args), "before": seen})
    if not isinstance(found, dict) or not any(value is not None for value in found.values()):
        raise InputError(f"the undo cannot be written: {expression} gives no arguments for {module}.")
    given = {name: value for name, value in found.items() if value is not None}
    return {"name": f"Restore with {module}", module: given, **become}


def became(old: Change, now: Mapping[str, Any]) -> Became | None:
    """Made where check mode has nothing left to change, not begun where it would change what it would have changed before."""
    return "done" if now["as_wanted"] else "not_done" if now == old.before else None


def probe(module: str, *, hidden: bool) -> HostProbe:
    """How the state that a module changes is read from afar: by its own check mode."""

    def given(arguments: Mapping[str, Any]) -> dict[str, Any]:
        if hidden:
            raise EffectFailed(f"{module} has arguments that are written nowhere, so it cannot be asked again.")
        return dict(arguments)

    def understand(arguments: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
        return state(check(module, answer), hidden=hidden)

    return HostProbe(
        PERFORM_ACTION, module, given, understand, lambda arguments, now: str(now), became=became, check_mode=True
    )  # fmt: skip
