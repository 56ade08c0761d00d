"""The stop in a cluster: written on Responder's account, proven by a write that must be denied, lifted by a person."""

from __future__ import annotations

import shlex
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sre_responder.effects.kubernetes.api import Api, Document, Resource, connect
from sre_responder.effects.kubernetes.manifests import ACCOUNT, NAMESPACE, PROOF, REASON, STOPPED, policy_name
from sre_responder.errors import EffectFailed, Refused, ResponderError
from sre_responder.model.names import shown

PROOF_SECONDS = 3.0
"""How long the API server may take to see what was written (measured: 0.1 s)."""
REASON_LIMIT = 700


@dataclass(frozen=True)
class State:
    """How the stop of a cluster stands, and why; what cannot be read or contradicts itself is unknown."""

    word: Literal["clear", "stopped", "unknown"]
    reason: str = ""


def set_stop(arguments: Mapping[str, Any], reason: str) -> str:
    """Set the stop and prove it; gives the reason that stands, which is an earlier one where there was a stop already.

    Raises EffectFailed where it is not proven, and as every call to an API server does.
    """
    api, account = connect(arguments), _account(arguments)
    if _standing(api.get(account)) is None:
        try:
            _annotate(api, account, {STOPPED: "true", REASON: shown(reason, REASON_LIMIT)})
        except Refused as error:
            if not _by_the_stop(account, error):
                raise
            # somebody else set it meanwhile, and the account may not write any more
    if not _becomes(api, account, denied=True):
        raise EffectFailed(
            f"the stop is written on {account}, and a dry run was not denied within {PROOF_SECONDS:g} s.",
            cure="Apply the manifests: `responder kubernetes manifests | kubectl apply -f -`.",
        )
    return _standing(api.get(account)) or ""


def release(arguments: Mapping[str, Any], ours: Collection[str] | None = None) -> None:
    """Lift the stop, and see that it denies no more; with `ours` only one whose reason is among them.

    Raises EffectFailed where this account may not: Responder's own never may.
    """
    api, account = connect(arguments), _account(arguments)
    standing = _standing(api.get(account))
    if standing is None:
        return
    if ours is not None and standing not in {shown(one, REASON_LIMIT) for one in ours}:
        raise EffectFailed(f"somebody else stopped it: {standing}.", cure=_cure(account))
    try:
        _annotate(api, account, {STOPPED: None, REASON: None})
    except Refused as error:
        raise EffectFailed(f"this account may not lift it: {error.message}", cure=_cure(account)) from error
    if not _becomes(api, account, denied=False):
        raise EffectFailed(f"the stop was taken from {account}, and it denies still.", cure="Look at that policy.")


def state(arguments: Mapping[str, Any]) -> State:
    """How the stop stands: what is written must be what a dry run meets, and one that would set the stop is denied at any time."""
    try:
        api, account = connect(arguments), _account(arguments)
        reason, denied = _standing(api.get(account)), _denied(api, account)
        would_deny = denied or _denied(api, account, {STOPPED: "true"})
    except ResponderError as error:
        return State("unknown", str(error))
    if denied != (reason is not None):
        return State(
            "unknown", f"{account} says {reason or 'clear'}, and a dry run is {'' if denied else 'not '}denied"
        )
    if not would_deny:
        return State(
            "unknown",
            f"{account} says clear, and nothing would deny under a stop: {policy_name(account.namespace)} is not at work",
        )
    return State("clear") if reason is None else State("stopped", reason)


def by_hand(namespace: str, *where: str) -> str:
    """The command by which somebody who may change the account lifts its stop, whoever has set it."""
    return shlex.join(
        ["kubectl", *where, "annotate", "serviceaccount", ACCOUNT, "-n", namespace, f"{STOPPED}-", f"{REASON}-"]
    )


def _account(arguments: Mapping[str, Any]) -> Resource:
    return Resource("ServiceAccount", str(arguments.get("namespace") or NAMESPACE), ACCOUNT)


def _standing(account: Document) -> str | None:
    """The reason of the stop that is written on the account; None where there is none. In the words of the policy."""
    annotations = account["metadata"].get("annotations") or {}
    if annotations.get(STOPPED, "false") == "false":
        return None
    return str(annotations.get(REASON) or "no reason given")


def _annotate(api: Api, account: Resource, annotations: Mapping[str, str | None], *, dry_run: bool = False) -> None:
    api.merge(account, {"metadata": {"annotations": dict(annotations)}}, dry_run=dry_run)


def _denied(api: Api, account: Resource, annotations: Mapping[str, str | None] = {PROOF: "1"}) -> bool:
    """Whether the policy of the stop denies a dry run now; it judges this one whoever makes it."""
    try:
        _annotate(api, account, annotations, dry_run=True)
    except Refused as error:
        return _by_the_stop(account, error)
    return False


def _by_the_stop(account: Resource, error: Refused) -> bool:
    return f"'{policy_name(account.namespace)}'" in error.message


def _becomes(api: Api, account: Resource, *, denied: bool) -> bool:
    """The API server judges by a copy of the account that is a moment old: ask until it denies, or denies no more."""
    until = time.monotonic() + PROOF_SECONDS
    while _denied(api, account) != denied:
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def _cure(account: Resource) -> str:
    return f"As one who may change it: `{by_hand(account.namespace)}`."
