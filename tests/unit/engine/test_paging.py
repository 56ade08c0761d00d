"""What follows a page: alerts alone move incidents up, and the first acknowledgement is on the record once."""

from __future__ import annotations

from typing import Any

import pytest
from support.history import History

from sre_responder.engine import paging
from sre_responder.ledger import audit
from sre_responder.notify.channel import Channel
from sre_responder.notify.message import Acknowledged, Message, Unreachable


class Pager(Channel):
    """A pager whose answer is given."""

    kind: str = "pager"
    answer: Any = None

    def send(self, message: Message) -> str:
        return ""

    def acknowledged(self, subject: str) -> Acknowledged | None:
        if isinstance(self.answer, Exception):
            raise self.answer
        found: Acknowledged | None = self.answer
        return found


@pytest.fixture
def outage(history: History) -> History:
    """Two services that fail together, by alerts alone."""
    return history.depends(login=["search"]).opened(0, service="search").opened(1, service="login")


def followed(h: History, *pagers: Channel) -> list[str]:
    object.__setattr__(h.home.policy, "notifications", pagers)
    return paging.follow(h.home, h.ledger)


def acknowledgements(h: History) -> list[tuple[str | None, str, str]]:
    with h.ledger.transaction(reading=True) as connection:
        made = audit.entries(connection, type="incident.acknowledged")
        return [(entry.incident, entry.data["who"], entry.data["channel"]) for entry in made]


def test_the_first_acknowledgement_of_each_paged_incident_is_on_the_record_once(outage: History) -> None:
    pagers = (
        Pager(name="one", answer=Acknowledged("dana", 200.0)),
        Pager(name="two", answer=Acknowledged("iris", 100.0)),
    )
    assert (followed(outage, *pagers), followed(outage, *pagers)) == ([], [])
    assert acknowledgements(outage) == [("INC-00001", "iris", "two"), ("INC-00002", "iris", "two")]


def test_an_incident_that_nobody_was_paged_for_is_not_asked_after(history: History) -> None:
    history.opened(0)
    assert followed(history, Pager(answer=Unreachable("asked"))) == []
    assert acknowledgements(history) == []


def test_a_receiver_that_cannot_say_is_named_and_hides_no_other(outage: History) -> None:
    pagers = (
        Pager(name="one", answer=Unreachable("one does not answer")),
        Pager(name="two", answer=Acknowledged("iris", 1.0)),
    )
    problems = followed(outage, *pagers)
    assert problems[0] == "who acknowledged INC-00001 is not known: one does not answer"
    assert len(acknowledgements(outage)) == 2


def test_nothing_acknowledged_is_nothing_recorded(outage: History) -> None:
    assert followed(outage, Pager()) == []
    assert acknowledgements(outage) == []


def test_a_catalogue_that_cannot_be_read_is_said_and_keeps_no_message_back(outage: History) -> None:
    (outage.folder / "home" / "catalogue.yml").unlink()
    [problem] = followed(outage.policy(), Pager(answer=Acknowledged("iris", 1.0)))
    assert problem.startswith("incidents are not escalated:") and "catalogue.yml does not exist" in problem
    assert acknowledgements(outage) == []
