"""A rule of a team: where it is true of a plan, the plan is refused, or needs more people. It can allow nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jmespath
from pydantic import Field, RootModel, model_validator

from sre_responder.home.graph import Radius
from sre_responder.home.section import Section
from sre_responder.model.expression import Expression, looked_up
from sre_responder.model.names import shown
from sre_responder.model.plan import Plan

FACTS: Mapping[str, frozenset[str]] = {
    **{name: frozenset() for name in ("action", "rung", "service", "environment", "requester", "undo", "severity")},
    **{name: frozenset() for name in ("repairs_nearby", "contained", "attempts", "rollbacks")},
    "plan": frozenset(Plan.model_fields),
    "radius": frozenset(Radius.__dataclass_fields__),
    "time": frozenset(["hour", "minute", "weekday", "date"]),
}
"""What a rule sees, and the parts of what has known ones: another name would be null, and a comparison with null is silently false."""


class Rule(Section):
    """One rule; what is neither true nor false refuses."""

    refuse_when: Expression | None = Field(None, description="JMESPath; where it is true, the plan is refused.")
    needs_when: Expression | None = Field(
        None, description="JMESPath; where it is true, `approvals` people must approve."
    )
    approvals: int = Field(1, ge=1, description="How many people `needs_when` asks for.")
    because: str = Field(min_length=1, description="What a person who is refused reads.")

    @model_validator(mode="after")
    def _one(self) -> Rule:
        if (self.refuse_when is None) == (self.needs_when is None):
            raise ValueError("write one of refuse_when and needs_when")
        unknown = [place for place in looked_up(self.expression) if not _known(*place)]
        if unknown:
            words = ", ".join(sorted(".".join(place) for place in unknown))
            literal = next((name for name, *_ in unknown if name in ("null", "true", "false")), "")
            hint = f" (the value is written with backticks: `{literal}`)" if literal else ""
            raise ValueError(f"a rule sees no {words}{hint}; it sees {', '.join(FACTS)}")
        return self

    @property
    def expression(self) -> str:
        return self.refuse_when or self.needs_when or ""

    def holds(self, facts: Mapping[str, Any]) -> bool:
        """Whether it is true of these facts. ValueError if it cannot be told."""
        expression = self.expression
        try:
            found = jmespath.search(expression, facts)
        except (TypeError, ArithmeticError, jmespath.exceptions.JMESPathError) as error:
            raise ValueError(f"{expression} cannot be judged: {shown(error, 100)}") from error
        if not isinstance(found, bool):
            raise ValueError(f"{expression} is {shown(repr(found), 60)}, neither true nor false")
        return found


def _known(name: str, part: str = "") -> bool:
    return name in FACTS and (not part or not FACTS[name] or part in FACTS[name])


class Judged(NamedTuple):
    """What all rules say of one plan."""

    true: Mapping[str, Rule]
    unclear: Mapping[str, str]
    """Rules that are neither true nor false, and why."""

    @property
    def refusing(self) -> Mapping[str, Rule]:
        return {name: rule for name, rule in self.true.items() if rule.refuse_when}

    @property
    def asking(self) -> Mapping[str, Rule]:
        return {name: rule for name, rule in self.true.items() if rule.needs_when}

    @property
    def approvals(self) -> int:
        """How many people must approve."""
        return max((rule.approvals for rule in self.asking.values()), default=0)


def judged(rules: Mapping[str, Rule], facts: Mapping[str, Any]) -> Judged:
    """Each rule on these facts."""
    true, unclear = dict[str, Rule](), dict[str, str]()
    for name, rule in rules.items():
        try:
            if rule.holds(facts):
                true[name] = rule
        except ValueError as error:
            unclear[name] = str(error)
    return Judged(true, unclear)


class Case(Section):
    """What the rules should say of a plan: a test of a team for its own policy."""

    name: str = Field(min_length=1)
    facts: Mapping[str, Any] = Field(description="What the rules see, as far as they name it.")
    refuses: frozenset[str] = Field(frozenset(), description="The rules that refuse it.")
    approvals: int = Field(0, ge=0, description="How many people the rules ask for.")

    def wrong(self, rules: Mapping[str, Rule]) -> list[str]:
        """Where the rules say something else; empty where they do not."""
        for name, rule in rules.items():
            if missing := sorted({place[0] for place in looked_up(rule.expression)} - set(self.facts)):
                return [f"{name} reads {', '.join(missing)}, which facts does not have"]
        said = judged(rules, self.facts)
        found = [f"{name} cannot be judged: {why}" for name, why in said.unclear.items() if name not in self.refuses]
        found += [f"{name} refuses it" for name in said.refusing if name not in self.refuses]
        found += [f"{name} does not refuse it" for name in sorted(self.refuses - {*said.refusing, *said.unclear})]
        if said.approvals != self.approvals:
            found.append(f"the rules ask for {said.approvals} approvals, not {self.approvals}")
        return found


class Cases(RootModel[tuple[Case, ...]]):
    """Every case of one file."""


EXAMPLE = """\
# Examples; delete "rules: {}" above, and the # of what you use. See docs/operate.md#rules-of-your-own.
# rules:
#   no-failover-at-night:
#     refuse_when: "rung == `4` && (time.hour < `6` || time.hour >= `22`)"  # hours of UTC
#     because: the other region is under maintenance at night
#   payments-by-two:
#     needs_when: "contains(['payments', 'ledger'], service) && rung >= `3`"
#     approvals: 2
#     because: payments are changed by two people
"""
