"""Every command: its group, its module, and what it does in one line; `--help` prints this table."""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """The module of a command in this folder, imported when the command is called; and its line in the list."""

    module: str
    summary: str


GROUPS: dict[str, dict[str, Command]] = {
    "At 3 a.m.": {
        "status": Command("state", "What is open, running, waiting, stopped or frozen."),
        "stop": Command("state", "Raise an emergency stop; return only after proof."),
        "run": Command("running", "Run one runbook until it is healed or handed over."),
        "approve": Command("people", "Show one plan and sign it."),
        "deny": Command("people", "Refuse one plan."),
        "approvals": Command("people", "List the plans that wait for approval."),
        "timeline": Command("record", "What happened in an incident, in order."),
        "handoff": Command("looking", "What whoever takes over an incident must know."),
        "undo": Command("recovery", "Restore the state before an attempt."),
        "settle": Command("recovery", "Clear an unknown outcome by a read-only probe."),
        "reset": Command("people", "Allow one supervised retry of a lockout."),
        "lift": Command("people", "Lift an emergency stop."),
    },
    "Incidents and runbooks": {
        "serve": Command("serve", "Receive alerts over HTTP and run what serves them."),
        "worker": Command("serve", "Run jobs of the queue on this machine too."),
        "work": Command("serve", "Run one job of the queue that alerts fill."),
        "respond": Command("running", "Read an alert and run the runbook that serves it."),
        "plan": Command("running", "Preview a runbook: steps, gates, approvals, radius."),
        "incident": Command("record", "Open, list, show, note and close incidents."),
        "alerts": Command("alerts", "What became of each alert, and what one would become."),
        "runbooks": Command("house", "List and register runbooks."),
        "new": Command("new", "Write a starter for a runbook of your own."),
        "lint": Command("house", "Find what weakens a guardrail in a playbook."),
        "watch": Command("recovery", "Judge and undo what a dead run left unjudged."),
        "attest": Command("people", "Sign that a runbook was tried elsewhere."),
        "diagnose": Command("looking", "Collect what a person would look at first."),
        "radius": Command("radius", "Show what a change to a service may reach."),
        "graph": Command("graph", "Observe who calls whom; list the service graph."),
        "evidence": Command("evidence", "Measure a success criterion now, and draw it."),
        "check": Command("check", "Query every probe and credential of a service once."),
    },
    "The guard and its record": {
        "stops": Command("state", "List the active emergency stops."),
        "contained": Command("state", "List what is contained and not yet undone."),
        "guard": Command("record", "Report what the guard decided in a period."),
        "audit": Command("record", "Show, verify, export and archive the audit chain."),
        "metrics": Command("metrics", "Print metrics for Prometheus."),
        "break-glass": Command("people", "Approve offline; review each use."),
    },
    "Installation": {
        "init": Command("house", "Write a commented home and an empty ledger."),
        "doctor": Command("doctor", "Check this installation."),
        "people": Command("people", "List and add people who may sign."),
        "policy": Command("house", "Check the policy, or print its schema."),
        "ledger": Command("house", "Create, upgrade, copy and restrict the ledger."),
        "connections": Command("connections", "List and test the connections to platforms."),
        "notify": Command("notify", "Test the notification channels."),
        "deliver": Command("state", "Deliver pending notifications and stops."),
        "kubernetes": Command("kubernetes", "Manifests and rights for Kubernetes clusters."),
        "completion": Command("house", "Print the completion script of a shell."),
    },
    "Try it": {
        "demo": Command("sandbox", "Break an embedded shop and watch it heal."),
        "lab": Command("sandbox", "The same shop, to break and heal by hand."),
    },
}
"""What is needed at night comes first."""

MODULES = {name: command.module for commands in GROUPS.values() for name, command in commands.items()}
