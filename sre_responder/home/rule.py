"""A rule of a team: where it is true of a plan, the plan is refused, or needs more people. It can allow nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import jmespath
from pydantic import Field, model_validator

from sre_responder.home.section import Section
from sre_responder.model.expression import Expression
from sre_responder.model.names import shown

RuleName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,63}$")]


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
        return self

    def holds(self, facts: Mapping[str, Any]) -> bool:
        """Whether it is true of these facts. ValueError if it cannot be told."""
        expression = self.refuse_when or self.needs_when or ""
        try:
            found = jmespath.search(expression, facts)
        except (TypeError, ArithmeticError, jmespath.exceptions.JMESPathError) as error:
            raise ValueError(f"{expression} cannot be judged: {shown(error, 100)}") from error
        if not isinstance(found, bool):
            raise ValueError(f"{expression} is {shown(repr(found), 60)}, neither true nor false")
        return found


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
