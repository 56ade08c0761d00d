"""A cluster that changes what is written, hangs, or goes away: what was planned is what was done, or it is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from control_plane import Cluster, wait_until
from kubernetes_shop import Shop

from sre_responder.effects import EFFECTS
from sre_responder.effects.kubernetes import api
from sre_responder.errors import EffectFailed, InputError, OutcomeUnknown

pytestmark = pytest.mark.contract

ROLLBACK = EFFECTS["kubernetes_rollback"]


@pytest.fixture
def shop(own_cluster: Cluster, namespace: str) -> Shop:
    shop = Shop(own_cluster, namespace)
    shop.release("1")
    shop.release("2")
    return shop


def arguments(shop: Shop) -> dict[str, Any]:
    return {**shop.arguments, "to": "previous", "_plan": "a1b2c3d4e5f6a7b8", "_incident": "INC-1234"}


@pytest.fixture
def mutation(shop: Shop) -> Iterator[str]:
    """Admission that puts a label on every template written in the shop's namespace, as a mesh or a policy engine does."""
    name = f"mark-{shop.namespace}"
    expression = (
        'Object{spec: Object.spec{template: Object.spec.template{metadata: '
        'Object.spec.template.metadata{labels: {"seen": "yes"}}}}}'
    )  # fmt: skip
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": shop.namespace}},
                "resourceRules": [
                    {
                        "apiGroups": ["apps"],
                        "apiVersions": ["v1"],
                        "operations": ["UPDATE"],
                        "resources": ["deployments"],
                    }
                ],
            },
            "mutations": [
                {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}},
            ],
        },
    }
    binding = {
        "apiVersion": policy["apiVersion"],
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name},
    }
    text = yaml.safe_dump_all([policy, binding])
    shop.cluster.apply(text)
    try:
        wait_until(lambda: "seen" in _tried(shop), "the policy is at work")
        yield name
    finally:
        shop.cluster.kubectl("delete", "-f", "-", input=text)


def _tried(shop: Shop) -> dict[str, str]:
    """The labels that a template would have if it were written now."""
    patch = json.dumps({"metadata": {"annotations": {"tried": "yes"}}})
    told = shop.kubectl("patch", "deployment", "shop", "-p", patch, "--dry-run=server", "-o", "json")
    return dict(json.loads(told)["spec"]["template"]["metadata"]["labels"])


def test_what_admission_adds_is_in_the_plan_and_so_in_the_approval(shop: Shop, mutation: str) -> None:
    change = ROLLBACK.plan(arguments(shop))
    assert "seen: 'yes'" in change.diff["after"]
    ROLLBACK.act(arguments(shop), change)
    assert shop.document["spec"]["template"]["metadata"]["labels"]["seen"] == "yes"
    assert (shop.tag, ROLLBACK.became(change, ROLLBACK.read(shop.arguments))) == ("1", "done")


def test_a_store_that_hangs_is_waited_for_no_longer_than_told_and_changes_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = ROLLBACK.plan(arguments(shop))
    monkeypatch.setattr(api, "READ_SECONDS", 1)
    with shop.cluster.paused("etcd"), pytest.raises((EffectFailed, OutcomeUnknown), match="does not answer"):
        ROLLBACK.act(arguments(shop), change)
    wait_until(lambda: shop.tag == "2", "the API server answers again")
    assert ROLLBACK.became(change, ROLLBACK.read(shop.arguments)) == "not_done"


def test_an_api_server_that_is_gone_is_told_with_its_address(shop: Shop) -> None:
    shop.cluster.stop("kube-apiserver")
    try:
        with pytest.raises(EffectFailed, match=f"cannot get Deployment shop.*{shop.cluster.server} does not answer"):
            ROLLBACK.plan(arguments(shop))
    finally:
        shop.cluster.start("kube-apiserver")


def test_a_workload_whose_namespace_goes_away_is_told_as_gone(own_cluster: Cluster, namespace: str) -> None:
    shop = Shop(own_cluster, f"{namespace}-going")
    own_cluster.kubectl("create", "namespace", shop.namespace)
    shop.release("1")
    own_cluster.kubectl("delete", "namespace", shop.namespace)
    with pytest.raises(InputError, match="there is none"):
        ROLLBACK.plan(arguments(shop))
