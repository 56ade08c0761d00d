"""An incident closes once nothing of it stands and what was changed is what is written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.light import Light, home_with, take

from sre_responder.effects import EFFECTS
from sre_responder.errors import EffectFailed, InputError, OutcomeUnknown, Refused
from sre_responder.home import Home
from sre_responder.ledger import Ledger, audit, incidents
from sre_responder.record.closing import close


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return home_with(tmp_path, f"sqlite:///{tmp_path / 'state' / 'ledger.db'}")


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`written(ANSWER)`: what the place says where the light's state is written down; an error is raised."""

    def say(answer: str | Exception | None) -> None:
        def disagreement(arguments: Mapping[str, Any]) -> str | None:
            if isinstance(answer, Exception):
                raise answer
            return answer

        changed = replace(EFFECTS["http_cache_purge"], disagreement=disagreement)
        monkeypatch.setattr("sre_responder.record.closing.EFFECTS", {"http_cache_purge": changed})

    return say


def status(home: Home) -> str:
    with Ledger(home.ledger_url).transaction(reading=True) as connection:
        row = incidents.get(connection, "INC-1234")
    assert row is not None
    return str(row.status)


DIFFERS = {
    "it says something else": ("Git says off", "Git says off"),
    "it cannot be asked": (EffectFailed("no answer"), "is not known: no answer"),
}


@pytest.mark.parametrize("case", DIFFERS)
def test_what_is_written_down_elsewhere_keeps_it_open_until_it_agrees(home: Home, written: Any, case: str) -> None:
    answer, words = DIFFERS[case]
    written(answer)
    take(home, Light())
    with pytest.raises(Refused, match=words) as refused:
        close(home, Ledger(home.ledger_url), "INC-1234", "dana")
    assert "--in-sync" in str(refused.value.cure) and status(home) == "open"
    written(None)
    close(home, Ledger(home.ledger_url), "INC-1234", "dana")
    assert status(home) == "closed"


def test_a_person_who_looked_closes_it_and_their_word_is_on_the_record(home: Home, written: Any) -> None:
    written("Git says off")
    take(home, Light())
    ledger = Ledger(home.ledger_url)
    close(home, ledger, "INC-1234", "dana", in_sync="commit 4711 is merged")
    assert status(home) == "closed"
    with ledger.transaction(reading=True) as connection:
        [entry] = audit.entries(connection, incident="INC-1234", type="incident.in_sync")
    assert (entry.actor, entry.summary) == ("dana", "dana says that Git and the cluster match: commit 4711 is merged")


def test_an_incident_in_which_nothing_was_done_asks_nobody(home: Home, written: Any) -> None:
    written(EffectFailed("asked"))
    close(home, Ledger(home.ledger_url), "INC-1234", "dana")
    assert status(home) == "closed"


def test_the_word_of_a_person_closes_nothing_that_is_frozen(home: Home, written: Any) -> None:
    class Lost(Light):
        def act(self, change: Any, plan: str) -> dict[str, Any]:
            raise OutcomeUnknown("who knows")

    with pytest.raises(OutcomeUnknown):
        take(home, Lost())
    with pytest.raises(Refused, match="frozen: light"):
        close(home, Ledger(home.ledger_url), "INC-1234", "dana", in_sync="I looked")
    assert status(home) == "open"


def test_an_incident_that_is_not_open_is_named(home: Home) -> None:
    ledger = Ledger(home.ledger_url)
    for number in ("INC-9999", "INC-1234"):
        if number == "INC-1234":
            close(home, ledger, number, "dana")
        with pytest.raises(InputError, match=f"{number} is not open"):
            close(home, ledger, number, "dana")
