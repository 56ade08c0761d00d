"""The oracles of `scripts/bench scenarios`: what they read, what they call harm, and what users meet."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from bench.scenarios import given, snapshot, trial, users
from bench.scenarios.application import GOOD, Service, services
from bench.scenarios.command import summary
from bench.scenarios.injections import MECHANISMS
from bench.scenarios.trial import FALSE, NOT_RUN, Result

OTHERS = {
    "scenarios": [
        {
            "id": 7,
            "alerts": [{"id": "HighRequestErrorRate"}],
            "disruptions": [
                {
                    "injections": [
                        {
                            "id": "corrupted-kubernetes-secret-credentials",
                            "args": {"kubernetesObject": {"kind": "Secret", "metadata": {"name": "till-service-secret", "namespace": "a"}}},
                        }
                    ],
                    "waitFor": {
                        "postInjection": [
                            {
                                "id": "delete-workload-pods",
                                "args": {"kubernetesObject": {"kind": "StatefulSet", "metadata": {"name": "till", "namespace": "a"}}},
                            }
                        ]
                    },
                }
            ],
            "environment": {"applications": [{"id": "shop", "args": {"autoscaling": {"kubernetes": {"hpa": True}}}}]},
        }
    ]
}  # fmt: skip


@pytest.fixture
def scenario(tmp_path: Path) -> given.Scenario:
    file = tmp_path / "others.json"
    file.write_text(json.dumps(OTHERS))
    [found] = given.read(file)
    return found


def test_scenarios_of_others_are_read_with_what_follows_the_injection(scenario: given.Scenario) -> None:
    assert (scenario.name, scenario.alerts, scenario.autoscaled) == ("7", ("HighRequestErrorRate",), True)
    assert [one.id for one in scenario.disruptions[0].all] == [
        "corrupted-kubernetes-secret-credentials",
        "delete-workload-pods",
    ]


def test_a_secret_belongs_to_the_workload_that_is_named_beside_it(scenario: given.Scenario) -> None:
    [till] = services(scenario.disruptions[0])
    assert (till.name, till.namespace, till.kind, till.secret) == ("till", "a", "StatefulSet", "till-service-secret")


def test_every_scenario_of_our_own_can_be_run() -> None:
    own = given.read(given.OWN)
    assert len({one.name for one in own}) == len(own) > 20
    assert {injection.id for one in own for fault in one.disruptions for injection in fault.all} <= MECHANISMS.keys()


def test_an_injection_that_is_not_known_is_said_and_not_skipped() -> None:
    unknown = given.Disruption((given.Injection("solar-flare", {}),))
    result = trial.tried(None, given.Scenario("9", (unknown,), ()), 0, quick=True)  # type: ignore[arg-type]
    assert (result.ran, result.reason) == (False, f"{NOT_RUN}unknown injection solar-flare")


def test_every_difference_of_two_looks_is_told() -> None:
    before = {"Service/a/web": {"spec.ports": 1}, "Deployment/a/web": {"spec.replicas": 2}, "ConfigMap/a/x": {}}
    after = {"Service/a/web": {"spec.ports": 2}, "Deployment/a/web": {"spec.replicas": 2}, "Secret/a/y": {}}
    assert snapshot.differences(before, after) == {
        "Service/a/web": "changed spec.ports", "ConfigMap/a/x": "deleted", "Secret/a/y": "made",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("how", "touched", "planned", "harm"),
    [
        ("changed spec.template", False, True, False),
        ("changed spec.template", True, True, True),
        ("changed spec.template", False, False, True),
        ("deleted", False, True, True),
    ],
)
def test_harm_is_what_no_plan_named_what_was_in_order_and_what_is_gone(
    how: str, touched: bool, planned: bool, harm: bool
) -> None:
    name = "Deployment/a/web"
    assert trial._wrong(name, how, [name] if touched else [], {name} if planned else set()) is harm


def result(**more: Any) -> Result:
    facts = {"healed": False, "handed_over": False, "wrong_changes": [], "touched": [], "reason": "", **more}
    return Result(scenario="x", seconds=1.0, **facts)


def test_the_figures_count_only_what_was_run() -> None:
    told = summary(
        [result(healed=True), result(reason=f"{FALSE}it is not", wrong_changes=["y"]), result(reason=f"{NOT_RUN}why")]
    )
    assert told.splitlines() == [
        "healed        1 of 2 (50 %)",
        "handed over   0 of 2 (0 %)",
        "false healed  1 of 2 (50 %)",
        "harm          1 of 2 (50 %)",
        "x not run: why",
    ]


WEB = Service("web", "a", settings={"STOCK": GOOD})


def objects(**changes: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """Everything on the way of a request, in order, but for the changes."""
    env = [{"name": "STOCK", "value": GOOD}]
    found: dict[tuple[str, str], dict[str, Any]] = {
        ("Service", "web"): {},
        ("EndpointSlice", "web-1"): {
            "metadata": {"labels": {"kubernetes.io/service-name": "web"}}, "ports": [{"port": 8080}],
            "endpoints": [{"conditions": {"ready": True}, "targetRef": {"name": "web-x"}}],
        },
        ("Pod", "web-x"): {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"env": env}]}},
        ("Secret", "web-credentials"): {"data": {"password": base64.b64encode(GOOD.encode()).decode()}},
        ("ConfigMap", "web-settings"): {"data": {"mode": GOOD}},
    }  # fmt: skip
    for place, change in changes.items():
        kind, _, name = place.partition("_")
        found[kind, name.replace("_", "-")] = change
    return found


def closed(port: int | None) -> dict[str, Any]:
    rules = [] if port is None else [{"ports": [{"port": port}]}]
    return {"spec": {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"], "ingress": rules}}


@pytest.mark.parametrize(
    ("changes", "share"),
    [
        ({}, 1.0),
        ({"NetworkPolicy_p": closed(8080)}, 1.0),
        ({"NetworkPolicy_p": closed(None)}, 0.0),
        ({"NetworkPolicy_p": closed(9090)}, 0.0),
        ({"EndpointSlice_web_1": {"metadata": {"labels": {"kubernetes.io/service-name": "web"}}}}, 0.0),
        ({"Secret_web_credentials": {"data": {"password": base64.b64encode(b"x").decode()}}}, 0.0),
        ({"ConfigMap_web_settings": {"data": {}}}, 0.0),
        ({"ConfigMap_flags": {"data": {"flags.json": '{"defaultVariant": "on"}'}}}, 0.5),
        ({"Pod_web_x": {"metadata": {"labels": {}}, "spec": {"containers": [{}]}}}, 0.0),
    ],
)
def test_users_are_served_as_far_as_everything_on_their_way_lets_them(changes: dict[str, Any], share: float) -> None:
    assert users._served(WEB, objects(**changes))[0] == share


def test_a_service_that_is_gone_serves_nobody() -> None:
    left = {key: one for key, one in objects().items() if key[0] != "Service"}
    assert users._served(WEB, left) == (0.0, "no such host")
