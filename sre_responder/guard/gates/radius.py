"""Gate: affected services, capacity left and repairs nearby are within limits (spec section 5).

Beyond the severity's limits of traffic and tier 0, or while it is not known who calls the service, people decide: the gate `approval`.
"""

from __future__ import annotations

from sre_responder.guard.snapshot import Snapshot
from sre_responder.model.gate import Gate

PLACE = 100


def radius(s: Snapshot) -> Gate:
    if s.radius is None:
        return Gate(
            "radius",
            "unknown",
            "the service is not in the catalogue, so its radius is not known",
            clears_by="an operator",
        )
    limits = s.policy.radius
    acted_on = {attempt.service for attempt in s.incident_attempts} | {s.request.service}
    most = s.limits.services if s.limits else None
    capacity = s.plan.capacity if s.plan else None
    evidence = {
        **s.radius.as_dict(),
        "services": sorted(acted_on),
        "capacity_left": capacity,
        "repairs_nearby": list(s.repairs_nearby),
    }
    wanted = limits.capacity_left_for.get(s.request.action, limits.capacity_left)
    problems = []
    if most is not None and len(acted_on) > most:
        problems.append(f"this incident would act on {len(acted_on)} services, its severity allows {most}")
    if limits.downstream is not None and len(s.radius.downstream) > limits.downstream:
        problems.append(
            f"{len(s.radius.downstream)} services depend on this one, the policy allows {limits.downstream}"
        )
    if capacity is not None and capacity < wanted:
        problems.append(f"this would leave {capacity:.0%} of capacity; the policy requires {wanted:.0%}")
    if len(s.repairs_nearby) > limits.repairs_nearby:
        problems.append(f"repairs run within two hops: {', '.join(s.repairs_nearby)}")
    if problems:
        return Gate(
            "radius",
            "failed",
            "; ".join(problems),
            evidence,
            clears_by="the end of the repairs nearby, or a policy change",
        )
    known = f" as far as is known ({s.radius.unknown})" if s.radius.unknown else ""
    leaves = "" if capacity is None else f"; leaves {capacity:.0%} of capacity"
    return Gate("radius", "passed", f"acts on {s.request.service}; {s.radius}{leaves}{known}", evidence)
