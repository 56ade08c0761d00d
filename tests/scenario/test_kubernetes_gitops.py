"""A whole incident while Argo CD keeps the workload: held off, healed, put back into Git, and only then closed.

Argo CD itself is not here. What stands for it does what its documentation says of self-heal, sync status and skip-reconcile.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from sqlalchemy import update
from support.control_plane import wait_until
from support.kubernetes_shop import Shop, holder
from support.kubernetes_team import Team

from sre_responder.ledger import Ledger, schema

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("custom")]

APPLICATION = "application.argoproj.io"


class ArgoCD(threading.Thread):
    """Looks again and again at one application, and puts its Deployment back to what Git says."""

    def __init__(self, shop: Shop, git: str) -> None:
        super().__init__(daemon=True)
        self.shop, self.git, self.over = shop, git, threading.Event()
        shop.kubectl(
            "annotate", "deployment", "shop", f"argocd.argoproj.io/tracking-id={self.app}:apps/Deployment:shop/shop"
        )
        holder(shop, "Application", self.app, {"syncPolicy": {"automated": {"selfHeal": True}}})

    @property
    def app(self) -> str:
        return self.shop.namespace

    @property
    def application(self) -> dict[str, Any]:
        return dict(json.loads(self.shop.kubectl("get", APPLICATION, self.app, "-o", "json")))

    def run(self) -> None:
        while not self.over.wait(0.2):
            if (self.application["metadata"].get("annotations") or {}).get(
                "argocd.argoproj.io/skip-reconcile"
            ) != "true":
                self.reconcile()

    def reconcile(self) -> None:
        looked, synced = datetime.now(UTC), self.shop.tag == self.git
        resource = {
            "kind": "Deployment",
            "namespace": self.shop.namespace,
            "name": "shop",
            "status": "Synced" if synced else "OutOfSync",
        }
        status = {"reconciledAt": f"{looked:%Y-%m-%dT%H:%M:%SZ}", "resources": [resource]}
        self.shop.kubectl("patch", APPLICATION, self.app, "--type=merge", "-p", json.dumps({"status": status}))
        if not synced:
            words = ("apply", "--server-side", "--force-conflicts", "--field-manager=argocd-controller", "-f", "-")
            self.shop.kubectl(*words, input=self.shop.manifest(self.git))


@pytest.fixture
def argo(team: Team) -> Iterator[ArgoCD]:
    """The shop serves, and then its newest release, which Git says too, does not."""
    team.shop.release("1")
    team.shop.release_bad()
    argo = ArgoCD(team.shop, "bad-pull-2")
    argo.start()
    yield argo
    argo.over.set()
    argo.join()


RETURNED = ["kubernetes_restore not_applicable", "kubernetes_rollback improved", "kubernetes_restore healthy"]


def steps(told: str) -> list[str]:
    return [f"{step['action']} {step['result']}" for step in json.loads(told)["steps"]]


def test_gitops_is_left_alone_and_the_remedy_refused_where_the_policy_does_not_say_otherwise(
    team: Team, argo: ArgoCD
) -> None:
    refused = team.alert("BadRollout")
    assert refused.returncode == 3, refused.stdout + refused.stderr
    assert steps(refused.stdout) == [
        "kubernetes_hold not_applicable",
        "kubernetes_restore not_applicable",
        "kubernetes_rollback refused",
    ]
    assert "revert it in Git, or hold it off" in refused.stdout
    assert team.shop.tag == "bad-pull-2"


def test_gitops_is_held_off_until_git_says_what_heals_and_the_incident_closes_then(team: Team, argo: ArgoCD) -> None:
    team.policy(gitops="hold")
    healed = team.alert("BadRollout")
    assert healed.returncode == 0, healed.stdout + healed.stderr
    assert steps(healed.stdout) == ["kubernetes_hold improved", *RETURNED]
    incident = json.loads(team.responder("incident", "list", "--json").stdout)[0]["id"]
    [contained] = json.loads(team.responder("contained", "--json").stdout)
    assert f"Application/{argo.app}" in contained["what"] and " until " in contained["what"]

    again = team.alert("BadRollout")
    assert steps(again.stdout) == [f"kubernetes_{what} healthy" for what in ("hold", "restore", "rollback", "restore")]
    closed = team.responder("incident", "close", incident)
    assert closed.returncode == 3 and "contained: " in closed.stderr and "held off, so nobody can tell" in closed.stderr
    assert team.shop.tag == "1", "nobody has put it back"

    argo.git = "1"  # the revert is merged
    undone = team.responder(*contained["command"].split()[1:])
    assert undone.returncode == 0, undone.stderr
    wait_until(lambda: team.responder("incident", "close", incident).returncode == 0, "Argo CD has looked, and agrees")
    assert team.shop.serving() == {"1"}


def test_an_application_that_heals_nothing_keeps_the_incident_open_until_git_agrees(team: Team, argo: ArgoCD) -> None:
    """It is only out of sync: the rollback needs no hold, and is not forgotten either."""
    holder(team.shop, "Application", argo.app, {"syncPolicy": {}})
    argo.over.set()
    argo.join()
    healed = team.alert("BadRollout")
    assert steps(healed.stdout) == ["kubernetes_hold not_applicable", *RETURNED]
    incident = json.loads(team.responder("incident", "list", "--json").stdout)[0]["id"]
    closed = team.responder("incident", "close", incident)
    assert closed.returncode == 3 and "has not looked at it since" in closed.stderr, closed.stderr
    argo.git = "1"
    wait_until(lambda: argo.reconcile() or team.responder("incident", "close", incident).returncode == 0, "they agree")


def test_a_hold_whose_time_is_over_is_undone_by_the_timers_command_and_not_before(team: Team, argo: ArgoCD) -> None:
    team.policy(gitops="hold")
    assert team.alert("BadRollout").returncode == 0
    early = json.loads(team.responder("undo", "--due", "--json").stdout)
    assert early["undone"] == [] and team.shop.tag == "1"
    ledger = Ledger(team.environ["RESPONDER_LEDGER"])
    with ledger.transaction() as connection:  # an hour has gone by
        connection.execute(update(schema.effects).values(ended_at=schema.effects.c.ended_at - 3600))
    [row] = json.loads(team.responder("status", "--json").stdout)["contained"]
    assert "over: responder undo --due" in row["what"]
    done = team.responder("undo", "--due", "--json")
    assert done.returncode == 0, done.stderr
    assert [f"Application/{argo.app}" in target for target in json.loads(done.stdout)["undone"]] == [True]
    wait_until(lambda: team.shop.tag == "bad-pull-2", "Argo CD puts back what Git says")
    assert json.loads(team.responder("contained", "--json").stdout) == []


def test_where_no_timer_runs_the_next_run_for_another_service_ends_a_hold_whose_time_is_over(
    team: Team, argo: ArgoCD
) -> None:
    team.policy(gitops="hold")
    assert team.alert("BadRollout").returncode == 0
    catalogue = team.root / "home" / "catalogue.yml"
    shop = yaml.safe_load(catalogue.read_text())
    other = {**shop, "metadata": {**shop["metadata"], "name": "other"}}
    catalogue.write_text(yaml.safe_dump_all([shop, other]))
    with Ledger(team.environ["RESPONDER_LEDGER"]).transaction() as connection:
        connection.execute(update(schema.effects).values(ended_at=schema.effects.c.ended_at - 3600))
    assert team.alert("BadRollout").returncode == 0
    assert team.shop.tag == "1", "a run for its own service may need it still"
    names = ("--incident", "INC-00099", "--service", "other", "--environment", "staging")
    assert team.responder("incident", "open", *names[2:], "--severity", "SEV3", "--title", "x").returncode == 0
    done = team.responder("run", "kubernetes-bad-rollout", *names)
    assert "its time was over, undone" in done.stderr, done.stderr
    wait_until(lambda: team.shop.tag == "bad-pull-2", "Argo CD puts back what Git says")


def test_what_was_held_for_a_workload_that_is_gone_is_undone_by_hand_and_a_persons_word(
    team: Team, argo: ArgoCD
) -> None:
    team.policy(gitops="hold")
    assert team.alert("BadRollout").returncode == 0
    argo.over.set()
    argo.join()
    team.shop.kubectl("delete", "deployment", "shop")
    [contained] = json.loads(team.responder("contained", "--json").stdout)
    undo = contained["command"].split()[1:]
    assert "0 Deployments in namespace" in team.responder(*undo).stderr
    assert team.responder(*undo, "--verified").returncode == 0
    assert json.loads(team.responder("contained", "--json").stdout) == []
    incident = json.loads(team.responder("incident", "list", "--json").stdout)[0]["id"]
    assert "says that attempt 1 on" in team.responder("timeline", incident).stdout
    assert team.responder("incident", "close", incident).returncode == 0
    again = team.responder(*undo, "--verified")
    assert again.returncode == 2 and "nothing to undo" in again.stderr


def test_a_hold_whose_time_is_over_stays_under_a_stop_and_is_told(team: Team, argo: ArgoCD) -> None:
    team.policy(gitops="hold")
    assert team.alert("BadRollout").returncode == 0
    with Ledger(team.environ["RESPONDER_LEDGER"]).transaction() as connection:
        connection.execute(update(schema.effects).values(ended_at=schema.effects.c.ended_at - 3600))
    assert team.responder("stop", "hold").returncode == 0
    stopped = team.responder("undo", "--due")
    assert stopped.returncode == 4 and team.shop.tag == "1", stopped.stderr
