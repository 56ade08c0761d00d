"""The manifests as data: who gets which right, and what admission is asked to hold."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from sre_responder import cli
from sre_responder.effects.kubernetes.manifests import manifests
from sre_responder.effects.kubernetes.rights import OUTSIDE, READING, RIGHTS
from sre_responder.errors import InputError
from sre_responder.model.actions import ACTIONS

WRITING = {"create", "update", "patch", "delete", "deletecollection"}


def of_kind(kind: str, *arguments: Any) -> dict[str, dict[str, Any]]:
    """The manifests of a kind, by name; of bindings in several namespaces the last."""
    return {one["metadata"]["name"]: one for one in manifests(*arguments) if one["kind"] == kind}


def test_every_action_on_kubernetes_has_its_rights_and_nothing_else_has() -> None:
    assert set(RIGHTS) == {name for name in ACTIONS if name.startswith("kubernetes_")}


@pytest.mark.parametrize("action", RIGHTS)
def test_each_action_is_a_role_of_its_own_with_exactly_its_rules(action: str) -> None:
    role = of_kind("ClusterRole")[f"responder-{action.replace('_', '-')}"]
    assert role["rules"] == [rule.manifest for rule in RIGHTS[action]]


def test_no_rule_of_any_role_has_a_star() -> None:
    roles = [*of_kind("ClusterRole").values(), *of_kind("Role").values()]
    assert [role for role in roles if "*" in str(role["rules"])] == []


def test_reading_changes_nothing_and_sees_no_secret_and_no_configuration() -> None:
    for rule in (*READING, *OUTSIDE):
        assert not WRITING & {*rule.verbs}
        assert not {"secrets", "configmaps"} & {*rule.resources}


def test_an_account_that_watches_namespaces_has_rights_in_them_alone() -> None:
    found = [one for one in manifests("responder", ["shop", "bank"]) if one["kind"] == "RoleBinding"]
    for role in ("kubernetes-rollback", "reading"):
        of_role = [one for one in found if one["roleRef"]["name"] == f"responder-{role}"]
        assert [one["metadata"]["namespace"] for one in of_role] == ["shop", "bank"]
        assert all(one["subjects"][0]["namespace"] == "responder" for one in of_role)
    assert set(of_kind("ClusterRoleBinding", "responder", ["shop"])) == {"responder-outside"}


def test_what_reaches_every_namespace_is_not_bound_to_an_account_that_watches_some() -> None:
    name = "responder-kubernetes-drain"
    assert name in of_kind("ClusterRole", "responder", ["shop"])
    assert name not in of_kind("ClusterRoleBinding", "responder", ["shop"]) | of_kind(
        "RoleBinding", "responder", ["shop"]
    )
    assert name in of_kind("ClusterRoleBinding")


def test_an_account_that_watches_no_namespace_has_its_rights_in_all() -> None:
    assert {f"responder-{name}" for name in ("kubernetes-rollback", "reading", "outside")} <= set(
        of_kind("ClusterRoleBinding")
    )
    assert set(of_kind("RoleBinding")) == {"responder-stop"}


def test_the_account_may_write_no_account_but_itself_and_no_policy() -> None:
    [own] = of_kind("Role").values()
    assert own["rules"] == [
        {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["get", "patch"], "resourceNames": ["responder"]}
    ]
    groups = {
        group for role in of_kind("ClusterRole").values() for rule in role["rules"] for group in rule["apiGroups"]
    }
    assert not groups & {"admissionregistration.k8s.io", "rbac.authorization.k8s.io"}


def test_each_policy_denies_what_it_cannot_judge_and_is_bound_to_deny() -> None:
    policies, bindings = of_kind("ValidatingAdmissionPolicy"), of_kind("ValidatingAdmissionPolicyBinding")
    assert set(policies) == set(bindings) == {"responder-stop", "responder-plan", "responder-account"}
    assert {one["spec"]["failurePolicy"] for one in policies.values()} == {"Fail"}
    assert all(one["spec"]["validationActions"] == ["Deny"] for one in bindings.values())


def test_a_stop_covers_every_resource_and_every_operation() -> None:
    [rule] = of_kind("ValidatingAdmissionPolicy")["responder-stop"]["spec"]["matchConstraints"]["resourceRules"]
    assert (rule["apiGroups"], rule["resources"]) == (["*"], ["*/*"])
    assert rule["operations"] == ["CREATE", "UPDATE", "DELETE", "CONNECT"]


def test_the_account_is_applied_without_the_annotation_of_a_stop_so_that_applying_again_lifts_none() -> None:
    assert "annotations" not in of_kind("ServiceAccount")["responder"]["metadata"]


def test_two_installations_share_no_name_in_the_cluster() -> None:
    one, other = (
        {(m["kind"], m["metadata"]["name"]) for m in manifests(name) if "namespace" not in m["metadata"]}
        for name in ("responder", "responder-blue")
    )
    assert not one & other


@pytest.mark.parametrize("name", ["", "a'b", "Shop", "shop\n", "-shop", "s" * 64])
def test_what_is_no_namespace_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="is no namespace"):
        manifests(name)
    with pytest.raises(InputError, match="is no namespace"):
        manifests("responder", [name])


def test_the_command_prints_the_manifests_as_plain_yaml() -> None:
    told = CliRunner().invoke(cli.app, ["kubernetes", "manifests", "--namespace", "sre", "--watch", "shop"])
    assert told.exit_code == 0
    assert [*yaml.safe_load_all(told.output)] == manifests("sre", ["shop"])
    assert "&id" not in told.output
