"""A cluster that changes what is written, hangs, goes away, or knows us no longer: what was planned is what was done, or it is told."""

from __future__ import annotations

import base64
import ipaddress
import json
import shlex
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from bypass.world import World, world
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from support.control_plane import Cluster, wait_until
from support.kubernetes_shop import Shop

from sre_responder.effects import EFFECTS, Change
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
    with pytest.raises(InputError, match=r"namespace .* does not exist"):
        ROLLBACK.plan(arguments(shop))


Review = dict[str, Any]
Answer = Callable[[Review], list[dict[str, Any]]]
"""The operations of a JSON patch with which a webhook answers the request of an AdmissionReview."""


@dataclass
class Webhook:
    """A real webhook of the shop's namespace; `real` answers the real writes of Responder, dry runs are let through as they are."""

    real: Answer = lambda request: []
    seen: int = 0
    taken: threading.Event = field(default_factory=threading.Event)
    free: threading.Event = field(default_factory=threading.Event)
    """A request of `kubectl annotate` is not answered, once it was `taken`, before it is `free`."""

    def answer(self, review: Review) -> Review:
        request = review["request"]
        self.seen += 1
        if request["options"].get("fieldManager") == "kubectl-annotate":
            self.taken.set()
            self.free.wait(25)
        ours = not request["dryRun"] and request["options"].get("fieldManager") == api.MANAGER
        patch = base64.b64encode(json.dumps(self.real(request) if ours else []).encode()).decode()
        response = {"uid": request["uid"], "allowed": True, "patchType": "JSONPatch", "patch": patch}
        return {"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}


def self_signed(folder: Path) -> tuple[Path, str]:
    """A certificate of 127.0.0.1 with its key in one file, and the bundle by which it is known."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    here, now = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
    certificate = made.add_extension(here, critical=True).sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    file = folder / "webhook.pem"
    file.write_bytes(certificate + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return file, base64.b64encode(certificate).decode()


@contextmanager
def serving(webhook: Webhook, folder: Path) -> Iterator[tuple[str, str]]:
    """Its address, and the bundle by which it is known."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = json.dumps(webhook.answer(review)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    file, bundle = self_signed(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"https://127.0.0.1:{server.server_port}/", bundle
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def webhook(shop: Shop, tmp_path: Path) -> Iterator[Webhook]:
    here = Webhook()
    with serving(here, tmp_path) as (url, bundle):
        everything = {"apiGroups": ["apps", "networking.k8s.io"], "apiVersions": ["v1"], "resources": ["*"]}
        registered = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": shop.namespace},
            "webhooks": [
                {
                    "name": "adversity.responder.test",
                    "clientConfig": {"url": url, "caBundle": bundle},
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": shop.namespace}},
                    "rules": [{**everything, "operations": ["CREATE", "UPDATE"]}],
                    "sideEffects": "NoneOnDryRun",
                    "admissionReviewVersions": ["v1"],
                    "timeoutSeconds": 30,
                    "failurePolicy": "Fail",
                }
            ],
        }
        shop.cluster.apply(json.dumps(registered))
        try:
            wait_until(lambda: _tried(shop) and here.seen, "the webhook is asked")
            yield here
        finally:
            shop.cluster.kubectl("delete", "mutatingwebhookconfiguration", shop.namespace)


def put(path: str, value: object) -> Answer:
    return lambda request: [{"op": "add", "path": path, "value": value}]


LABEL = put("/spec/template/metadata/labels/seen", "yes")
MUTATED: dict[str, tuple[str, dict[str, Any], Answer]] = {
    "rollback, and a label of its template": ("kubernetes_rollback", {"to": "previous"}, LABEL),
    "rollback, and its image": (
        "kubernetes_rollback", {"to": "previous"}, put("/spec/template/spec/containers/0/image", "registry.test:5000/shop:3"),
    ),
    "restart, and a label of its template": ("kubernetes_restart", {}, LABEL),
    "scale, and the count": ("kubernetes_scale", {"replicas": 3}, put("/spec/replicas", 4)),
    "scale to zero, and the count": ("kubernetes_isolate", {"how": "scale_to_zero", "timeout_s": 1}, put("/spec/replicas", 1)),
    "network policy, and what it lets through": (
        "kubernetes_isolate", {"how": "network_policy"}, put("/spec/egress", [{}]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MUTATED)
def test_what_a_webhook_makes_of_the_real_write_alone_is_not_called_done_as_planned(
    shop: Shop, webhook: Webhook, case: str
) -> None:
    action, options, webhook.real = MUTATED[case]
    asked, effect = {**arguments(shop), **options}, EFFECTS[action]
    change = effect.plan(asked)
    with pytest.raises((EffectFailed, OutcomeUnknown), match=r"not what the plan predicted|these pods of it go on"):
        effect.act(asked, change)
    assert effect.became(change, effect.read(asked)) is None


@pytest.fixture
def guarded(shop: Shop, tmp_path: Path) -> Iterator[Callable[[Shop], World]]:
    """`guarded(SHOP)` is a home whose one service is the shop, as that account sees it, and whose runbook returns it to `previous`."""
    with world(tmp_path) as here:

        def at(seen: Shop) -> World:
            file = here.home.folder / "catalogue.yml"
            service = yaml.safe_load(file.read_text())
            words = {"kubernetes-namespace": shop.namespace, "kubernetes-id": shop.name}
            annotations = {f"backstage.io/{name}": value for name, value in words.items()}
            annotations["responder/kubeconfig"] = str(seen.cluster.kubeconfig)
            service["metadata"]["annotations"].update(annotations)
            file.write_text(yaml.safe_dump(service))
            here.write(lambda play: play["tasks"][1].update(rollback_of(play["tasks"][1])))
            return here

        yield at


def rollback_of(task: dict[str, Any]) -> dict[str, Any]:
    """The same step as one of Kubernetes."""
    return {"sre.responder.kubernetes_rollback": {**task.pop("sre.responder.release_rollback"), "timeout_s": 20}}


def test_a_run_whose_write_was_mutated_leaves_its_target_frozen(
    shop: Shop, webhook: Webhook, guarded: Callable[[Shop], World]
) -> None:
    webhook.real, run = LABEL, guarded(shop)
    done = run.drive()
    assert (done.returncode, shop.tag) == (5, "1"), done.stdout + done.stderr
    [entry] = run.entries("action.ended")
    assert entry.data["outcome"] == "unknown"
    [frozen] = json.loads(run.responder("status", "--json").stdout)["frozen"]
    assert "is not what the plan predicted" in frozen["what"]
    settled = run.responder(*shlex.split(frozen["command"])[1:])
    assert settled.returncode != 0, "the cluster cannot tell either: a person must look"


@pytest.fixture
def bot(shop: Shop) -> Shop:
    """The shop as an account of its namespace sees it, which may do everything there."""
    seen = shop.as_account("bot")
    account = f"--serviceaccount={shop.namespace}:bot"
    shop.kubectl("create", "rolebinding", "bot", "--clusterrole=cluster-admin", account)
    return seen


@pytest.fixture
def planned(bot: Shop) -> Change:
    """A rollback that the account has planned, and not begun."""
    return ROLLBACK.plan(arguments(bot))


def recreate(shop: Shop) -> None:
    """The account anew: its name is the same, and every token of the old one is void once the API server looks again."""
    shop.kubectl("delete", "serviceaccount", "bot")
    shop.kubectl("create", "serviceaccount", "bot")


def until_void(bot: Shop) -> None:
    wait_until(lambda: "Unauthorized" in bot.kubectl("auth", "whoami", check=False) or "must be logged in" in bot.kubectl(
        "auth", "whoami", check=False), "the API server looks again at the token"
    )  # fmt: skip


NOT_ACCEPTED = r"does not accept these credentials .*try `kubectl auth whoami`"


@pytest.mark.slow  # the API server believes a token for ten seconds after it last looked
def test_a_token_that_is_void_between_plan_and_act_changes_nothing_and_is_told_with_the_cure(
    shop: Shop, bot: Shop, planned: Change
) -> None:
    recreate(shop)
    until_void(bot)
    with pytest.raises(EffectFailed, match=NOT_ACCEPTED):
        ROLLBACK.act(arguments(bot), planned)
    assert (shop.tag, ROLLBACK.became(planned, ROLLBACK.read(shop.arguments))) == ("2", "not_done")


def void_while_written(shop: Shop) -> Answer:
    """Before the write is answered its account is made anew, and the API server forgets that it knew the token."""

    def answer(request: Review) -> list[dict[str, Any]]:
        if request["kind"]["kind"] == "Deployment":
            recreate(shop)
            time.sleep(12)  # it believes a token for ten seconds after it last looked
        return []

    return answer


@pytest.mark.slow
def test_a_token_that_is_void_after_the_patch_leaves_the_outcome_unknown(
    shop: Shop, bot: Shop, planned: Change, webhook: Webhook
) -> None:
    webhook.real = void_while_written(shop)
    with pytest.raises(OutcomeUnknown, match=NOT_ACCEPTED):
        ROLLBACK.act(arguments(bot), planned)
    assert "responder-" in shop.kubectl("get", "leases", "-o", "name"), "other healers are told"
    assert ROLLBACK.became(planned, ROLLBACK.read(shop.arguments)) == "done"


@pytest.mark.slow
def test_a_run_whose_token_is_void_after_the_patch_is_settled_with_a_new_one(
    shop: Shop, bot: Shop, webhook: Webhook, guarded: Callable[[Shop], World]
) -> None:
    run, webhook.real = guarded(bot), void_while_written(shop)
    done = run.drive()
    said = " ".join((done.stdout + done.stderr).split())
    assert (done.returncode, shop.tag) == (5, "1"), said
    [entry] = run.entries("action.ended")
    assert entry.data["outcome"] == "unknown"
    [frozen] = json.loads(run.responder("status", "--json").stdout)["frozen"]
    assert "try `kubectl auth whoami`" in frozen["what"]
    command = shlex.split(frozen["command"])[1:]
    assert run.responder(*command).returncode != 0
    shop.cluster.as_account("bot", shop.namespace)
    settled = run.responder(*command, "--json")
    assert json.loads(settled.stdout)["became"] == "done", settled.stderr


@pytest.fixture
def plugin(bot: Shop, tmp_path: Path) -> Callable[[float | None], tuple[Shop, Path]]:
    """`plugin(SECONDS)` is the shop as a kubeconfig sees it whose token comes from a program, which says that it holds so long, or
    says nothing; and the file from which the program takes it."""

    def made(seconds: float | None) -> tuple[Shop, Path]:
        token, program, kubeconfig = (tmp_path / name for name in ("token", "plugin", "kubeconfig"))
        kind = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
        status = {"token": "TOKEN"}
        if seconds is not None:
            until = datetime.now(UTC) + timedelta(seconds=seconds)
            status["expirationTimestamp"] = until.strftime("%Y-%m-%dT%H:%M:%SZ")
        said = json.dumps({**kind, "status": status})
        program.write_text(f"#!/bin/sh\ntest -s {token} && echo '{said}' | sed \"s/TOKEN/$(cat {token})/\"\n")
        program.chmod(0o700)
        config = json.loads(bot.cluster.kubeconfig.read_text())
        called = {"apiVersion": kind["apiVersion"], "command": str(program), "interactiveMode": "Never"}
        config["users"][0]["user"] = {"exec": called}
        kubeconfig.write_text(json.dumps(config))
        token.write_text(bot.cluster.kubectl("create", "token", "bot", "-n", bot.namespace))
        return replace(bot, cluster=replace(bot.cluster, kubeconfig=kubeconfig)), token

    return made


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [60, None])
def test_a_token_that_a_plugin_renews_is_taken_in_mid_run(
    shop: Shop, plugin: Callable[[float | None], tuple[Shop, Path]], seconds: float | None
) -> None:
    seen, token = plugin(seconds)
    change = ROLLBACK.plan(arguments(seen))
    recreate(shop)
    until_void(seen)
    token.write_text(shop.kubectl("create", "token", "bot"))
    ROLLBACK.act(arguments(seen), change)
    assert (shop.tag, ROLLBACK.became(change, ROLLBACK.read(shop.arguments))) == ("1", "done")


@pytest.mark.slow
def test_a_context_that_names_another_cluster_by_now_gets_none_of_its_credentials_taken(
    shop: Shop, plugin: Callable[[float | None], tuple[Shop, Path]]
) -> None:
    """One step asks one cluster: the credentials of another are not sent to it."""
    seen, token = plugin(None)
    change = ROLLBACK.plan(arguments(seen))
    recreate(shop)
    until_void(seen)
    token.write_text(shop.kubectl("create", "token", "bot"))
    config = json.loads(seen.cluster.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.2:1"
    seen.cluster.kubeconfig.write_text(json.dumps(config))
    with pytest.raises(EffectFailed, match=NOT_ACCEPTED):
        ROLLBACK.act(arguments(seen), change)
    assert shop.tag == "2"


@pytest.mark.parametrize("seconds", [60, None])
def test_a_plugin_that_gives_no_token_is_told_as_credentials_and_not_as_a_right_that_is_missing(
    plugin: Callable[[float | None], tuple[Shop, Path]], seconds: float | None
) -> None:
    seen, token = plugin(seconds)
    token.write_text("")
    with pytest.raises(EffectFailed, match=r"no credentials for the cluster of .*exec: process returned 1"):
        ROLLBACK.plan(arguments(seen))


@pytest.fixture
def throttled(shop: Shop, bot: Shop, webhook: Webhook) -> Iterator[None]:
    """API Priority and Fairness has one seat for the account, and a request of its own that the webhook keeps sits there: every
    other one is answered with 429 and Retry-After, until the webhook is `free`."""
    flow = "flowcontrol.apiserver.k8s.io/v1"
    # No share is one seat: what is alone is always let in.
    nothing = {"nominalConcurrencyShares": 0, "lendablePercent": 0, "borrowingLimitPercent": 0}
    account = {"kind": "ServiceAccount", "serviceAccount": {"name": "bot", "namespace": shop.namespace}}
    whatever = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"], "namespaces": ["*"], "clusterScope": True}
    level = {
        "apiVersion": flow, "kind": "PriorityLevelConfiguration", "metadata": {"name": shop.namespace},
        "spec": {"type": "Limited", "limited": {**nothing, "limitResponse": {"type": "Reject"}}},
    }  # fmt: skip
    schema = {
        "apiVersion": flow, "kind": "FlowSchema", "metadata": {"name": shop.namespace},
        "spec": {
            "priorityLevelConfiguration": {"name": shop.namespace}, "matchingPrecedence": 3,
            "rules": [{"subjects": [account], "resourceRules": [whatever]}],
        },
    }  # fmt: skip
    text = yaml.safe_dump_all([level, schema])
    shop.cluster.apply(text)
    words = ("annotate", "deployment", "shop", "a=b", "--dry-run=server")
    sitting = threading.Thread(target=bot.kubectl, args=words)
    try:
        shop.cluster.kubectl("wait", f"flowschema/{shop.namespace}", "--for=condition=Dangling=False", "--timeout=30s")
        sitting.start()
        assert webhook.taken.wait(20)
        yield
    finally:
        webhook.free.set()
        sitting.join()
        shop.cluster.kubectl("delete", "-f", "-", input=text)


def test_a_cluster_that_asks_to_wait_is_waited_for_with_patience_and_then_nothing_was_changed(
    shop: Shop, bot: Shop, planned: Change, throttled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "PATIENCE_SECONDS", 3.5)
    began = time.monotonic()
    with pytest.raises(EffectFailed, match="Try again later: the cluster asks to wait"):
        ROLLBACK.act(arguments(bot), planned)
    assert 2 <= time.monotonic() - began < 5, "it came back as asked, a second later each time"
    assert shop.kubectl("get", "leases", "-o", "name") == ""
    assert (shop.tag, ROLLBACK.became(planned, ROLLBACK.read(shop.arguments))) == ("2", "not_done")


def test_a_call_goes_on_once_the_cluster_asks_to_wait_no_more(
    shop: Shop, bot: Shop, planned: Change, throttled: None, webhook: Webhook
) -> None:
    relief = threading.Timer(1.5, webhook.free.set)
    relief.start()
    began = time.monotonic()
    ROLLBACK.act(arguments(bot), planned)
    assert time.monotonic() - began > 1.5
    assert (shop.tag, ROLLBACK.became(planned, ROLLBACK.read(shop.arguments))) == ("1", "done")
