"""What a step records of an effect that did not simply succeed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from light import Light, home_with, take
from sqlalchemy import select

from sre_responder.effects import Change
from sre_responder.errors import EffectFailed, OutcomeUnknown, Refused, ResponderError, StateMoved
from sre_responder.home import Home
from sre_responder.ledger import Ledger, attempts, schema


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return home_with(tmp_path, f"sqlite:///{tmp_path / 'state' / 'ledger.db'}")


class Stuck(Light):
    """A light that fails to turn on, after `half` of it was done or before."""

    def __init__(self, error: ResponderError, *, half: bool) -> None:
        super().__init__()
        self.error, self.half = error, half

    def act(self, change: Change, plan: str) -> dict[str, Any]:
        self.on = self.half
        raise self.error


CASES = {
    "the platform's own guard denied it": (Refused("no"), False, Refused, "not_done"),
    "it was denied in the middle": (Refused("no"), True, OutcomeUnknown, "unknown"),
    "the world moved": (StateMoved("moved"), False, StateMoved, "not_done"),
    "it failed and changed nothing": (EffectFailed("no"), False, EffectFailed, "not_improved"),
    "it failed in the middle": (EffectFailed("no"), True, OutcomeUnknown, "unknown"),
    "nobody knows": (OutcomeUnknown("who knows"), False, OutcomeUnknown, "unknown"),
}


@pytest.mark.parametrize("case", CASES)
def test_only_what_may_have_changed_something_freezes_its_target(home: Home, case: str) -> None:
    error, half, told, outcome = CASES[case]
    with pytest.raises(told) as raised:
        take(home, Stuck(error, half=half))
    assert type(raised.value) is told
    with Ledger(home.ledger_url).transaction(reading=True) as connection:
        assert connection.execute(select(schema.attempts.c.outcome)).scalars().all() == [outcome]
        assert (len(attempts.unknown(connection)), len(attempts.held(connection))) == (int(outcome == "unknown"), 0)


@pytest.mark.parametrize("kind", [EffectFailed, Refused, OutcomeUnknown])
def test_what_froze_a_target_is_told_with_its_cure(home: Home, kind: type[ResponderError]) -> None:
    with pytest.raises(OutcomeUnknown, match=r"the key is void. Renew the key."):
        take(home, Stuck(kind("the key is void.", cure="Renew the key."), half=True))
    with Ledger(home.ledger_url).transaction(reading=True) as connection:
        assert [row.reason for row in attempts.unknown(connection)] == ["the key is void. Renew the key."]
