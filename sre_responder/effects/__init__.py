"""Effects: what changes the world through an API. They know nothing of gates or ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sre_responder.effects import haproxy, http_cache, release, supervisor
from sre_responder.effects.effect import Became, Change, Effect, HostProbe, by_state
from sre_responder.effects.kubernetes import drain as kubernetes_drain
from sre_responder.effects.kubernetes import evict as kubernetes_evict
from sre_responder.effects.kubernetes import hold as kubernetes_hold
from sre_responder.effects.kubernetes import isolate as kubernetes_isolate
from sre_responder.effects.kubernetes import pause as kubernetes_pause_rollout
from sre_responder.effects.kubernetes import restart as kubernetes_restart
from sre_responder.effects.kubernetes import rollback as kubernetes_rollback
from sre_responder.effects.kubernetes import scale as kubernetes_scale
from sre_responder.model.actions import ACTIONS, KUBERNETES

EFFECTS: Mapping[str, Effect] = {
    "haproxy_drain": haproxy.DRAIN,
    "haproxy_failover": haproxy.FAILOVER,
    "http_cache_purge": http_cache.PURGE,
    "kubernetes_drain": kubernetes_drain.DRAIN,
    "kubernetes_evict": kubernetes_evict.EVICT,
    "kubernetes_hold": kubernetes_hold.HOLD,
    "kubernetes_isolate": kubernetes_isolate.ISOLATE,
    "kubernetes_pause_rollout": kubernetes_pause_rollout.PAUSE,
    "kubernetes_restart": kubernetes_restart.RESTART,
    "kubernetes_rollback": kubernetes_rollback.ROLLBACK,
    "kubernetes_scale": kubernetes_scale.SCALE,
    "supervisor_restart": supervisor.RESTART,
}
"""The actions whose effect runs in the controller's process."""
PROBES: Mapping[str, HostProbe] = {"release_rollback": release.PROBE}
"""The actions whose effect is a module that runs on a host."""


def leads_to(action: str, arguments: Mapping[str, Any], change: Change, way: Mapping[str, str]) -> bool:
    """Whether annotations of the catalogue may lead to the target of a change that runs in the controller's process."""
    spec = ACTIONS[action]
    keys = (
        KUBERNETES if spec.platform == "kubernetes" else {option: spec.annotations[option] for option in spec.locates}
    )
    other = {option: way[key] for option, key in keys.items() if key in way}
    return bool(other) and EFFECTS[action].same(change, arguments, other)


__all__ = ["EFFECTS", "PROBES", "Became", "Change", "Effect", "HostProbe", "by_state", "leads_to"]
