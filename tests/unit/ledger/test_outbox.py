"""The outbox: written with the decision, delivered apart from it, at least once, whatever dies in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import size

from sre_responder.ledger import Ledger, audit, outbox
from sre_responder.notify.channel import Channel
from sre_responder.notify.channels.pagerduty import PagerDuty
from sre_responder.notify.channels.terminal import Terminal
from sre_responder.notify.message import Delivery, Message

ONE, TWO = Terminal(kind="terminal", name="one"), Terminal(kind="terminal", name="two")


class Post:
    """Takes messages, but for the channels that are dead."""

    def __init__(self, *dead: str) -> None:
        self.dead, self.taken = set(dead), list[tuple[str, str]]()

    def __call__(self, messages: Sequence[Message], channels: Sequence[Channel]) -> list[Delivery]:
        found = [Delivery(m.id, c.name, c.name not in self.dead) for m in messages for c in channels]
        self.taken += [(m.summary, c.name) for m in messages for c in channels if c.name not in self.dead]
        return found


def leave(ledger: Ledger, *summaries: str) -> None:
    """Messages as a decision leaves them: with the entry of the record, in its transaction."""
    for summary in summaries:
        with ledger.transaction() as connection:
            audit.append(
                connection, ledger.now(connection), "gate.blocked", "dana", summary, incident="INC-1234",
                notify="incident_commander", gates=["stop"],
            )  # fmt: skip


def test_a_message_carries_the_entry_that_it_tells_of(ledger: Ledger) -> None:
    leave(ledger, "refused")
    seen: list[Message] = []

    def keep(messages: Sequence[Message], channels: Sequence[Channel]) -> list[Delivery]:
        seen.extend(messages)
        return [Delivery(m.id, c.name, True) for m in messages for c in channels]

    assert outbox.deliver(ledger, [ONE], keep) == 0
    [message] = seen
    assert (message.id, message.incident, message.type, message.summary, message.data, message.audience) == (
        1, "INC-1234", "gate.blocked", "refused", {"gates": ["stop"]}, "incident_commander",
    )  # fmt: skip


def test_what_is_delivered_everywhere_is_not_sent_again(ledger: Ledger, now: list[float]) -> None:
    leave(ledger, "a", "b")
    post = Post()
    assert outbox.deliver(ledger, [ONE, TWO], post) == 0
    now[0] += 10_000
    outbox.deliver(ledger, [ONE, TWO], post)
    assert post.taken == [("a", "one"), ("a", "two"), ("b", "one"), ("b", "two")]


def test_a_decision_that_is_taken_back_tells_nobody(ledger: Ledger) -> None:
    with pytest.raises(RuntimeError), ledger.transaction() as connection:
        audit.append(connection, 1.0, "gate.blocked", "dana", "never was", notify="on_call")
        raise RuntimeError
    post = Post()
    assert outbox.deliver(ledger, [ONE], post) == 0
    assert post.taken == []


def test_a_crash_between_sending_and_recording_sends_again(ledger: Ledger) -> None:
    leave(ledger, "a", "b")
    post = Post()

    def sends_and_dies(messages: Sequence[Message], channels: Sequence[Channel]) -> list[Delivery]:
        post(messages, channels)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outbox.deliver(ledger, [ONE], sends_and_dies)
    assert outbox.waiting(ledger) == 2
    assert outbox.deliver(ledger, [ONE], post) == 0
    assert post.taken == [("a", "one"), ("a", "one"), ("b", "one")]


def test_a_dead_receiver_leaves_the_message_waiting_and_blocks_neither_channels_nor_messages(
    ledger: Ledger, now: list[float]
) -> None:
    leave(ledger, "a", "b")
    post = Post("one")
    assert outbox.deliver(ledger, [ONE, TWO], post) == 2
    assert post.taken == [("a", "two"), ("b", "two")]
    leave(ledger, "c")
    assert outbox.deliver(ledger, [ONE, TWO], post) == 3
    assert post.taken[2:] == [("c", "two")]
    post.dead.clear()
    now[0] += 3600
    assert outbox.deliver(ledger, [ONE, TWO], post) == 0
    assert post.taken[3:] == [("a", "one"), ("b", "one"), ("c", "one")], "who was told is not told again"


def test_many_messages_that_wait_for_a_dead_receiver_hold_up_no_new_one(ledger: Ledger) -> None:
    leave(ledger, *(f"old {number}" for number in range(120)))
    post = Post("one")
    for _ in range(3):
        outbox.deliver(ledger, [ONE], post)
    leave(ledger, "new")
    outbox.deliver(ledger, [ONE, TWO], post)
    assert ("new", "two") in post.taken


def test_decisions_go_on_while_a_message_is_being_sent(ledger: Ledger) -> None:
    leave(ledger, "a")

    def meanwhile(messages: Sequence[Message], channels: Sequence[Channel]) -> list[Delivery]:
        leave(ledger, "another decision")
        return [Delivery(m.id, c.name, True) for m in messages for c in channels]

    assert outbox.deliver(ledger, [ONE], meanwhile) == 1


def test_without_channels_nothing_waits_for_ever(ledger: Ledger) -> None:
    leave(ledger, "a")
    assert outbox.deliver(ledger, [], Post()) == 0


def test_retries_come_ever_later_up_to_an_hour(ledger: Ledger, now: list[float]) -> None:
    leave(ledger, "a")
    tries: list[float] = []

    def fails(messages: Sequence[Message], channels: Sequence[Channel]) -> list[Delivery]:
        tries.append(now[0])
        return [Delivery(m.id, c.name, False, "dead") for m in messages for c in channels]

    outbox.deliver(ledger, [ONE], fails)
    for done, wait in enumerate((15, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600), 1):
        now[0] += wait - 1
        outbox.deliver(ledger, [ONE], fails)
        assert len(tries) == done, "too early"
        now[0] += 1.5  # the ledger's own time is ahead by a tick an entry
        outbox.deliver(ledger, [ONE], fails)
        assert len(tries) == done + 1


def answers(ledger: Ledger, now: list[float], seconds: float, **answer: Any) -> int:
    """One pass, so much later, in which channel one does not take what it gets; what still waits."""
    now[0] += seconds

    def send(messages: Sequence[Message], channels: Sequence[Channel]) -> list[Delivery]:
        return [Delivery(m.id, c.name, c.name != "one", **(answer if c.name == "one" else {})) for m in messages for c in channels]  # fmt: skip

    return outbox.deliver(ledger, [ONE, TWO], send)


def told(ledger: Ledger) -> list[outbox.Trouble]:
    with ledger.transaction(reading=True) as connection:
        return outbox.troubles(connection, ledger.now(connection))


def test_a_message_that_a_receiver_does_not_take_is_given_up_after_eight_tries(
    ledger: Ledger, now: list[float]
) -> None:
    leave(ledger, "a")
    found = [answers(ledger, now, 3600, reason="slack answered 400 no_text", rejected=True) for _ in range(8)]
    assert found == [1] * 7 + [0]
    [trouble] = told(ledger)
    assert (trouble.channel, trouble.messages, trouble.given_up) == ("one", 1, True)
    assert trouble.reason == "slack answered 400 no_text"


def test_a_message_that_one_gave_up_still_waits_for_another_that_is_dead(ledger: Ledger, now: list[float]) -> None:
    leave(ledger, "a")
    tried = []

    def send(messages: Sequence[Message], channels: Sequence[Channel]) -> list[Delivery]:
        tried.append([c.name for c in channels])
        return [Delivery(m.id, c.name, False, "no", rejected=c.name == "one") for m in messages for c in channels]

    for _ in range(10):
        now[0] += 3601
        assert outbox.deliver(ledger, [ONE, TWO], send) == 1
    assert tried == [["one", "two"]] * 8 + [["two"]] * 2
    assert [(one.channel, one.given_up) for one in told(ledger)] == [("one", True), ("two", False)]


def test_a_dead_receiver_is_tried_for_ever_and_told_with_its_reason(ledger: Ledger, now: list[float]) -> None:
    leave(ledger, "a", "b")
    assert {answers(ledger, now, 3601, reason="one did not answer within 5 s") for _ in range(20)} == {2}
    [trouble] = told(ledger)
    assert (trouble.messages, trouble.given_up, trouble.reason) == (2, False, "one did not answer within 5 s")


def test_what_was_given_up_is_told_for_a_week(ledger: Ledger, now: list[float]) -> None:
    leave(ledger, "a")
    for _ in range(8):
        answers(ledger, now, 3600, reason="no", rejected=True)
    now[0] += 6 * 86400
    assert len(told(ledger)) == 1
    now[0] += 2 * 86400
    assert told(ledger) == []


def test_what_was_delivered_late_is_no_trouble_any_more(ledger: Ledger, now: list[float]) -> None:
    leave(ledger, "a")
    answers(ledger, now, 0, reason="down")
    now[0] += 60
    assert outbox.deliver(ledger, [ONE, TWO], Post()) == 0
    assert told(ledger) == []


def test_a_receiver_is_left_alone_for_as_long_as_it_asks(ledger: Ledger, now: list[float]) -> None:
    leave(ledger, "a")
    answers(ledger, now, 0, reason="slack answered 429", after_s=120)
    post = Post()
    now[0] += 110
    outbox.deliver(ledger, [ONE, TWO], post)
    assert post.taken == []
    now[0] += 20
    assert outbox.deliver(ledger, [ONE, TWO], post) == 0
    assert post.taken == [("a", "one")]


def test_a_page_that_could_not_be_sent_does_not_open_again_what_is_closed(ledger: Ledger, now: list[float]) -> None:
    pager = PagerDuty(kind="pagerduty", routing_key="k")
    leave(ledger, "refused")
    post = Post("pagerduty")
    assert outbox.deliver(ledger, [pager, ONE], post) == 1
    with ledger.transaction() as connection:
        audit.append(
            connection,
            ledger.now(connection),
            "incident.closed",
            "dana",
            "closed",
            incident="INC-1234",
            notify="on_call",
        )
    post.dead.clear()
    now[0] += 60
    assert outbox.deliver(ledger, [pager, ONE], post) == 0
    assert post.taken == [("refused", "one"), ("closed", "pagerduty"), ("closed", "one")]


@settings(max_examples=size.of(8, 25), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.fixed_dictionaries({"one": st.booleans(), "two": st.booleans(), "dies": st.booleans()}), max_size=6))
def test_every_message_reaches_every_channel_at_least_once_once_they_live(
    ledger: Ledger, now: list[float], passes: list[dict[str, Any]]
) -> None:
    post = Post()
    leave(ledger, "a")

    def send(messages: Sequence[Message], channels: Sequence[Channel]) -> list[Delivery]:
        found = post(messages, channels)
        if dies:
            raise KeyboardInterrupt
        return found

    for state in passes:
        post.dead, dies = {name for name in ("one", "two") if state[name]}, bool(state["dies"])
        try:
            outbox.deliver(ledger, [ONE, TWO], send)
        except KeyboardInterrupt:
            pass
        now[0] += 3600
    post.dead, dies = set(), False
    assert outbox.deliver(ledger, [ONE, TWO], send) == 0
    assert set(post.taken) == {("a", "one"), ("a", "two")}
