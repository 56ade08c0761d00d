"""One sample of a criterion: each of its looks is taken at once, and the worst of them counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from sre_responder.evidence import http, kubernetes
from sre_responder.evidence.http import Sample
from sre_responder.model.actions import KUBERNETES
from sre_responder.model.criterion import Criterion, Look

Take = Callable[[], Sample]
ELSEWHERE = "cause elsewhere: the workload is as it should be, and its users are not served"


def probe(criterion: Criterion, annotations: Mapping[str, str]) -> Take | str:
    """What takes a sample of a service with these annotations, or why nothing can."""
    found = [(look, _take(look, annotations)) for look in criterion.looks]
    known = [(look, take) for look, take in found if not isinstance(take, str)]
    missing = [take for look, take in found if isinstance(take, str) and (look.required or not known)]
    if missing:
        return "; ".join(dict.fromkeys(missing))
    if len(known) == 1:
        return known[0][1]
    return lambda: together([(look, take()) for look, take in known])


def together(taken: Sequence[tuple[Look, Sample]]) -> Sample:
    """Several samples as one: bad where any of them is, else not measured where any of them is not, else good."""
    samples = [sample for _, sample in taken]
    ok = next((word for word in (False, None) if any(one.ok is word for one in samples)), True)
    reason = "; ".join(one.reason for one in samples if one.ok is ok)
    return Sample(min(one.at for one in samples), ok, f"{ELSEWHERE}: {reason}" if _elsewhere(taken) else reason)


def _elsewhere(taken: Sequence[tuple[Look, Sample]]) -> bool:
    """Whether users are not served although everything of the workload is good."""
    users = [sample.ok for look, sample in taken if look.source == "http"]
    workload = [sample.ok for look, sample in taken if look.source == "kubernetes"]
    return False in users and bool(workload) and all(workload)


def _take(look: Look, annotations: Mapping[str, str]) -> Take | str:
    """What takes a sample of one look, or why nothing can."""
    if look.source == "kubernetes":
        where = {name: annotations[key] for name, key in KUBERNETES.items() if key in annotations}
        if "namespace" not in where:
            return f"no workload: the annotation {KUBERNETES['namespace']} is not set"
        return partial(kubernetes.sample, look, where)
    url = look.url or annotations.get("responder/probe-url")
    if url is None:
        return "no probe: neither success.url nor the annotation responder/probe-url is set"
    return partial(http.sample, look, url)
