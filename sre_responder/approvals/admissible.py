"""When a signature counts: the one copy of these rules, for the gates and for whoever signs."""

from __future__ import annotations

from sre_responder.approvals import approval
from sre_responder.errors import Refused
from sre_responder.home import Home
from sre_responder.home.people import Person
from sre_responder.ledger import audit, plans
from sre_responder.model.facts import CLOCK_SLACK_SECONDS
from sre_responder.model.statement import Statement


def require_another(person: Person, requester: str) -> None:
    """Refuse a person who would approve their own request (spec section 4)."""
    if person.name == requester:
        raise Refused(
            f"{person.name} requested this plan and cannot approve their own request.", cure="Ask another approver."
        )


def admissible(now: float, home: Home, requester: str) -> plans.Verify:
    """A check for requests of `requester`: returns the person who signed, or raises Refused if the signature does not count."""
    policy = home.policy

    def verify(statement: Statement, signature: str) -> Person:
        if statement.kind == "reset" and not policy.requires.approvals:
            return Person(name=statement.person, principal=statement.person)  # this policy requires no approvals
        person = approval.verify(statement, signature, home.people, at=now)
        approves = statement.kind in ("approval", "break_glass")
        if approves and statement.decision == "grant":
            require_another(person, requester)
        offline = statement.kind == "break_glass"
        if offline and not policy.break_glass.allowed:
            raise Refused("the policy does not allow break-glass.")
        if statement.signed_at > now + CLOCK_SLACK_SECONDS:
            raise Refused("this was signed in the future.")
        if approves and statement.decision == "grant" and approval.outlived(statement):
            raise Refused("this approval is older than its time says: a clock was set.")
        longest = (policy.break_glass if offline else policy.approvals).valid_minutes * 60
        if approves and statement.expires_at - statement.signed_at > longest + 1:
            raise Refused(f"this approval is valid for longer than the policy's {longest // 60} minutes.")
        if statement.kind == "reset":
            approval.require_role(person, "incident_commander", "only an incident commander resets a lockout")
        if not approves and statement.expires_at <= now:
            raise Refused(f"this signature expired at {audit.iso(statement.expires_at)}.")
        return person

    return verify
