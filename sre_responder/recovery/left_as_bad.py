"""Whether a service is again in a state that a rollback left as bad: asked of its platform or host, changing nothing."""

from __future__ import annotations

from typing import Any

from sre_responder.home import Home
from sre_responder.ledger import Ledger, left_as_bad
from sre_responder.recovery import probe


def again(home: Home, ledger: Ledger, service: str, environment: str) -> list[str]:
    """A sentence for each target of a service that is in such a state now. InputError or EffectFailed where one cannot be read."""
    with ledger.transaction(reading=True) as connection:
        known = left_as_bad.of_service(connection, service, environment)
    said, states = [], dict[tuple[str, str], dict[str, Any]]()
    for left in known:
        here = left.host, left.plan.target
        if here not in states:
            states[here] = probe.state(home, left.plan, left.host)
        if left.is_state(states[here]):
            said.append(f"{left.plan.target} is again in the state that {left}")
    return said
