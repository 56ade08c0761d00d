"""The account under which Responder acts in a cluster, as manifests: its rights, and the admission that holds it to stop and plan."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from sre_responder.effects.kubernetes.api import Document
from sre_responder.effects.kubernetes.rights import OUTSIDE, READING, RIGHTS, WIDE, WORKLOADS, Rule
from sre_responder.effects.kubernetes.workload import PLAN, PLANNED
from sre_responder.errors import InputError
from sre_responder.model.names import shown

ACCOUNT = "responder"
NAMESPACE = "responder"
STOPPED, REASON = "responder.sre/stopped", "responder.sre/stop-reason"
"""Annotations of the account: the stop is written on whom it stops."""
PROOF = "responder.sre/proof"

PLANNED_KINDS = {
    "": ("configmaps", "limitranges", "nodes", "pods", "resourcequotas", "services"), "apps": WORKLOADS, "autoscaling": ("horizontalpodautoscalers",),
    "networking.k8s.io": ("networkpolicies",),
    "argoproj.io": ("applications",), "helm.toolkit.fluxcd.io": ("helmreleases",),
    "kustomize.toolkit.fluxcd.io": ("kustomizations",),
}  # fmt: skip
"""What is written by plan only: all that an action writes but the Lease by which it holds its target."""
DELETED = ("configmaps", "networkpolicies", "pods", "services")
"""What of it an action deletes, where it bears a plan."""

_WRITES = ("CREATE", "UPDATE", "DELETE", "CONNECT")


def manifests(namespace: str = NAMESPACE, watched: Sequence[str] = ()) -> list[Document]:
    """Everything, in the order in which it is applied. Rights hold in the watched namespaces; where none is named, in all."""
    for name in (namespace, *watched):
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name, re.ASCII):
            raise InputError(f"'{shown(name)}' is no namespace.", cure="Use a-z 0-9 -, 63 at most.")
    roles = {action.replace("_", "-"): rules for action, rules in RIGHTS.items()}
    roles["reading"] = READING
    wide = {action.replace("_", "-") for action in WIDE}
    bound = [
        _bound(namespace, name, one)
        for name in roles
        for one in watched or ("",)
        if not (watched and name in wide)  # what reaches every namespace is for a person to bind
    ]
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": namespace}},
        *(_role(f"{namespace}-{name}", rules) for name, rules in roles.items()),
        _role(f"{namespace}-outside", OUTSIDE),
        _own_role(namespace),
        *bound,
        _bound(namespace, "outside"),
        _bound(namespace, "stop", namespace, role="Role"),
        *_stop(namespace),
        *_plan(namespace),
        *_account(namespace),
    ]


def policy_name(namespace: str) -> str:
    """The policy that denies under a stop; its denial names it."""
    return f"{namespace}-stop"


def user(namespace: str) -> str:
    """How the API server calls the account."""
    return f"system:serviceaccount:{namespace}:{ACCOUNT}"


def _role(name: str, rules: Iterable[Rule]) -> Document:
    return _object("ClusterRole", name, rules=[rule.manifest for rule in rules])


def _own_role(namespace: str) -> Document:
    """To see the stop and to set it; that it is never lifted thereby is the policy's part."""
    rule = Rule("", ("serviceaccounts",), ("get", "patch")).manifest | {"resourceNames": [ACCOUNT]}
    return _object("Role", f"{namespace}-stop", namespace, rules=[rule])


def _bound(namespace: str, name: str, within: str = "", role: str = "ClusterRole") -> Document:
    """The account's right to a role: in one namespace, or in the whole cluster."""
    return _object(
        "RoleBinding" if within else "ClusterRoleBinding", f"{namespace}-{name}", within,
        roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": f"{namespace}-{name}"},
        subjects=[{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace}],
    )  # fmt: skip


def _object(kind: str, name: str, namespace: str = "", **rest: Any) -> Document:
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata, **rest}


def _stop(namespace: str) -> tuple[Document, Document]:
    """Denies every write of the account while its annotation says stopped, and lets anybody prove that by a dry run on it: any, while
    a stop stands, and at all times one that would set it.

    The parameter is the account itself. One that is missing needs no denial: its tokens are void with it. (A parameter
    that is missing while `Deny` is asked for denies all writes of everybody: the API server looks for it before it asks
    who writes.)
    """
    proof = (
        "request.?dryRun.orValue(false) && request.resource.resource == 'serviceaccounts'"
        f" && request.namespace == '{namespace}' && request.name == '{ACCOUNT}'"
    )
    return _policy(
        policy_name(namespace),
        matched=[_matched("*", ["*/*"])],
        who=f"{_is_account(namespace)} || ({proof})",
        variables={
            "stopped": f"params.metadata.?annotations[?'{STOPPED}'].orValue('false')",
            "asked": f"{proof} && object.?metadata.?annotations[?'{STOPPED}'].orValue('false') != 'false'",
            "reason": f"params.metadata.?annotations[?'{REASON}'].orValue('no reason given')",
        },
        validation="variables.stopped == 'false' && !variables.asked",
        message="an emergency stop is set",
        told="'an emergency stop is set: ' + variables.reason",
        parameter=namespace,
    )


def _plan(namespace: str) -> tuple[Document, Document]:
    """Denies a write that names no plan: a token alone is not enough."""
    there = f".metadata.?annotations[?'{PLAN}'].orValue('')"
    return _policy(
        f"{namespace}-plan",
        matched=[
            _matched(group, [f"{kind}{part}" for kind in kinds for part in ("", "/*")])
            for group, kinds in PLANNED_KINDS.items()
        ],
        who=_is_account(namespace),
        variables={
            "plan": (
                f"request.operation != 'DELETE' ? object{there}"
                f" : request.resource.resource in {[*DELETED]} ? oldObject{there} : ''"
            ),
        },
        validation=(
            "variables.plan.matches('^[0-9a-f]{64}$')"
            f" || (variables.plan == '{PLANNED}' && request.?dryRun.orValue(false))"
        ),
        message=f"{user(namespace)} writes by plan only: annotation {PLAN} names none",
    )


def _account(namespace: str) -> tuple[Document, Document]:
    """Denies what the account would change of an account, its own too, but to set the stop: it never lifts one."""
    kept = (
        "object.metadata.?labels.orValue({}) == oldObject.metadata.?labels.orValue({})"
        " && object.?secrets.orValue([]) == oldObject.?secrets.orValue([])"
        " && object.?imagePullSecrets.orValue([]) == oldObject.?imagePullSecrets.orValue([])"
        " && object.?automountServiceAccountToken.orValue(true) == oldObject.?automountServiceAccountToken.orValue(true)"
        " && variables.now.all(k, k.startsWith('responder.sre/') || variables.old[?k].orValue('') == variables.now[k])"
        " && variables.old.all(k, k.startsWith('responder.sre/') || k in variables.now)"
    )
    return _policy(
        f"{namespace}-account",
        matched=[_matched("", ["serviceaccounts", "serviceaccounts/*"])],
        who=_is_account(namespace),
        variables={
            "now": "object.metadata.?annotations.orValue({})",
            "old": "oldObject.metadata.?annotations.orValue({})",
        },
        validation=f"request.operation == 'UPDATE' && variables.now[?'{STOPPED}'].orValue('') == 'true' && {kept}",
        message=f"{user(namespace)} may set the stop, and change nothing else of an account; a person lifts it",
    )


def _is_account(namespace: str) -> str:
    return f"request.userInfo.username == '{user(namespace)}'"


def _matched(group: str, resources: list[str]) -> Document:
    place = {"apiGroups": [group], "apiVersions": ["*"], "resources": resources, "scope": "*"}
    return {**place, "operations": [*_WRITES]}


def _policy(  # noqa: PLR0913 - the fields of one object
    name: str, *, matched: list[Document], who: str, variables: dict[str, str], validation: str, message: str,
    told: str = "", parameter: str = "",
) -> tuple[Document, Document]:  # fmt: skip
    """A policy and its binding. What cannot be judged is denied."""
    judged = {"expression": validation, "message": message, "reason": "Forbidden"}
    spec: Document = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": matched},
        "matchConditions": [{"name": "who", "expression": who}],
        "variables": [{"name": key, "expression": value} for key, value in variables.items()],
        "validations": [judged | ({"messageExpression": told} if told else {})],
    }
    bound: Document = {"policyName": name, "validationActions": ["Deny"]}
    if parameter:
        spec["paramKind"] = {"apiVersion": "v1", "kind": "ServiceAccount"}
        bound["paramRef"] = {"name": ACCOUNT, "namespace": parameter, "parameterNotFoundAction": "Allow"}
    api = "admissionregistration.k8s.io/v1"
    return (
        {"apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name}, "spec": spec},
        {"apiVersion": api, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name}, "spec": bound},
    )
