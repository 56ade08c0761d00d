"""One scenario from a healthy world to its result: what the team typed, and what the oracles say of it afterwards."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.control_plane import Cluster, Refused, wait_until

from bench.scenarios import snapshot
from bench.scenarios.application import Service, build, services
from bench.scenarios.given import Disruption, Scenario
from bench.scenarios.injections import MECHANISMS, OWN_NODE, Place
from bench.scenarios.team import ENVIRONMENT, Team, settle
from bench.scenarios.users import probes, served
from sre_responder.errors import InputError
from sre_responder.home.runbook import registry

UNNAMED = "HighRequestErrorRate"
"""What a person is told of where a scenario names no alert: users get errors."""
BY_HAND = "kubernetes-bad-rollout"
"""What a person tries where no runbook serves the alert."""
NOT_RUN, FALSE = "not run: ", "false healed: "
VISIBLE_SECONDS, GONE_SECONDS = 30, 90
SETTLE_SECONDS = 2
"""The API keeps times by the second, and a fault comes later than the release before it."""


@dataclass(frozen=True)
class Result:
    """What became of one scenario: `touched` are the objects that changed beyond the faulty one, `wrong_changes` those that should not have."""

    scenario: str
    healed: bool
    handed_over: bool
    seconds: float
    wrong_changes: list[str]
    touched: list[str]
    reason: str

    @property
    def ran(self) -> bool:
        return not self.reason.startswith(NOT_RUN)

    @property
    def falsely_healed(self) -> bool:
        return self.reason.startswith(FALSE)


def tried(cluster: Cluster, scenario: Scenario, hold_s: float, *, quick: bool) -> Result:
    """The result of a scenario; one that cannot be run here says why."""
    unknown = {injection.id for one in scenario.disruptions for injection in one.all} - MECHANISMS.keys()
    if unknown:
        return _not_run(scenario, f"unknown injection {', '.join(sorted(unknown))}")
    groups = [services(disruption) for disruption in scenario.disruptions]
    if not all(groups):
        return _not_run(scenario, "an injection names no object")
    spared = Service("neighbour", groups[0][0].namespace if groups else "shop")
    everything = list({(one.namespace, one.name): one for group in [*groups, [spared]] for one in group}.values())
    try:
        with (
            _world(cluster, everything, scenario.autoscaled),
            probes(cluster, everything) as url,
            tempfile.TemporaryDirectory() as folder,
        ):
            team = settle(Path(folder), cluster.kubeconfig, everything, url, quick=quick)
            return _tried(cluster, scenario, groups or [[spared]], everything, team, hold_s)
    except (Refused, AssertionError) as error:
        return _not_run(scenario, str(error))


def _not_run(scenario: Scenario, why: str) -> Result:
    return Result(scenario.name, False, False, 0.0, [], [], f"{NOT_RUN}{why}")


@contextmanager
def _world(cluster: Cluster, services: Sequence[Service], autoscaled: bool) -> Iterator[None]:
    """The application, serving; afterwards nothing of it is left."""
    namespaces = sorted({service.namespace for service in services})
    try:
        build(cluster, services, autoscaled)
        time.sleep(SETTLE_SECONDS)
        yield
    finally:
        cluster.kubectl("delete", "namespace", *namespaces, "--wait=false", check=False)
        for name in (one["metadata"]["name"] for one in cluster.get("nodes")["items"]):
            cluster.kubectl(*(("delete", "node") if name.endswith(OWN_NODE) else ("uncordon",)), name)
        for one in cluster.get("priorityclasses")["items"]:
            if not one["metadata"]["name"].startswith("system-"):
                cluster.kubectl("delete", "priorityclass", one["metadata"]["name"])
        for name in namespaces:
            words = ("get", "namespace", name, "--ignore-not-found")
            wait_until(lambda words=words: not cluster.kubectl(*words), f"{name} is gone", GONE_SECONDS)


def _tried(
    cluster: Cluster, scenario: Scenario, groups: Sequence[Sequence[Service]], everything: Sequence[Service], team: Team, hold_s: float
) -> Result:  # fmt: skip
    wanted = {service.name: _replicas(cluster, service) for service in everything}
    pairs = zip(groups, scenario.disruptions, strict=False)
    faulty = [fault for group, disruption in pairs for fault in _break(cluster, group, disruption)]
    ill = [group[0] for group in groups]
    if scenario.disruptions:
        for service in ill:
            what = f"{scenario.name} shows at {service.name}"
            wait_until(lambda s=service: not _good(cluster, s, wanted[s.name]), what, VISIBLE_SECONDS)
    before, began = snapshot.take(cluster), time.monotonic()
    runs = [_handled(team, service, alert) for service, alert in zip(ill, _alerts(scenario, len(ill)), strict=True)]
    seconds = round(time.monotonic() - began, 1)
    claims = [run["ending"] == "healed" for run in runs]
    well = [claim and _well(cluster, service, wanted[service.name], hold_s) for claim, service in zip(claims, ill, strict=True)]  # fmt: skip
    changes = snapshot.differences(before, snapshot.take(cluster))
    planned = _planned(team)
    touched = sorted(name for name in changes if name not in faulty)
    wrong = [f"{name}: {how}" for name, how in sorted(changes.items()) if _wrong(name, how, touched, planned)]  # fmt: skip
    reason = "; ".join(run["message"] for run in runs)
    return Result(
        scenario=scenario.name,
        healed=all(well),
        handed_over=not all(well) and any(run["exit_code"] in (3, 6) for run in runs) and claims == well,
        seconds=seconds,
        wrong_changes=wrong,
        touched=touched,
        reason=reason if claims == well else FALSE + reason,
    )


def _break(cluster: Cluster, group: Sequence[Service], disruption: Disruption) -> list[str]:
    """Break what the disruption says; gives each faulty object as a snapshot names it."""
    faulty = []
    for injection in disruption.all:
        metadata = injection.object.get("metadata") or {}
        mine = [one for one in group if one.namespace == metadata.get("namespace", one.namespace)]
        names = (metadata.get("name"), None)
        service = next((one for one in mine if {one.name, one.secret, one.configuration} & {*names}), mine[0])
        faulty += MECHANISMS[injection.id](Place(cluster, service, injection))
    return faulty


def _alerts(scenario: Scenario, number: int) -> list[str]:
    """The alert that a person has for each service: its own where there are as many, else the first."""
    alerts = scenario.alerts or (UNNAMED,)
    return [*alerts] if len(alerts) == number else [alerts[0]] * number


def _handled(team: Team, service: Service, alert: str) -> dict[str, Any]:
    """What a person does about an alert: open an incident, and run the runbook that serves it."""
    book, names = _book(team, alert), ("--service", service.name, "--environment", ENVIRONMENT)
    incident = team.told("incident", "open", *names, "--severity", "SEV2", "--title", alert)["incident"]
    try:
        done = team.responder("run", book, "--incident", incident, *names, "--json")
    except subprocess.TimeoutExpired as late:
        return {"exit_code": 1, "ending": "none", "message": f"{book} did not end within {late.timeout:g} s"}
    try:
        outcome: dict[str, Any] = json.loads(done.stdout)
    except json.JSONDecodeError:
        outcome = {"ending": "none", "message": (done.stderr or done.stdout).strip()}
    steps = "; ".join(f"{step['action']} {step['result']}: {step['summary']}" for step in outcome.get("steps", ()))
    message = f"{service.name} by {book}: {outcome.get('message')}" + (f" [{steps}]" if steps else "")
    return {"exit_code": done.returncode, "ending": outcome.get("ending"), "message": message}


def _book(team: Team, alert: str) -> str:
    """The runbook that serves an alert, else what a person would try."""
    try:
        return registry(team.home).for_alert({"labels": {"alertname": alert}}).metadata.id
    except InputError:
        return BY_HAND


def _planned(team: Team) -> set[str]:
    """Every object that an action on the record named as its target, as a snapshot names it."""
    names = set()
    for incident in team.told("incident", "list"):
        for word in json.dumps(team.told("timeline", incident["id"])).split('"'):
            if word.startswith("kubernetes:") and word.count(":") in (2, 3):
                *_, object, _ = word.split(":")
                namespace = word.split(":")[1] if word.count(":") == 3 else ""
                kind, _, name = object.partition("/")
                names.add(f"{kind if namespace else 'Node'}/{namespace}/{name}")
    return names


def _wrong(name: str, how: str, touched: Sequence[str], planned: set[str]) -> bool:
    """Whether a change is harm: to what was in order, to what no plan named, or a deletion."""
    return name in touched or name not in planned or how == "deleted"


def _replicas(cluster: Cluster, service: Service) -> int:
    workload = cluster.get(service.kind, service.name, "-n", service.namespace)
    scheduled = workload["status"].get("desiredNumberScheduled", 0)
    return int(scheduled if service.kind == "DaemonSet" else workload["spec"]["replicas"])


def _well(cluster: Cluster, service: Service, wanted: int, hold_s: float) -> bool:
    """Whether a service that was ill is well now, and stays so."""
    until = time.monotonic() + hold_s
    while _good(cluster, service, wanted):
        if time.monotonic() >= until:
            return True
        time.sleep(1)
    return False


COUNTS: Mapping[str, tuple[str, str]] = {
    "DaemonSet": ("numberAvailable", "updatedNumberScheduled"),
    "Deployment": ("availableReplicas", "updatedReplicas"),
    "StatefulSet": ("availableReplicas", "updatedReplicas"),
}


def _good(cluster: Cluster, service: Service, wanted: int) -> bool:
    """Whether its users are served, and as many pods as there were are ready and of its newest template."""
    try:
        workload = cluster.get(service.kind, service.name, "-n", service.namespace)
        asked = _replicas(cluster, service)
    except Refused:
        return False
    status = workload["status"]
    seen = status.get("observedGeneration") == workload["metadata"]["generation"]
    counted = {status.get(name, 0) for name in COUNTS[service.kind]}
    return seen and asked >= wanted and counted == {asked} and served(cluster, service)[0] == 1.0
