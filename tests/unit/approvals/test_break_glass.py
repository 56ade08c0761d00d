"""Break-glass: signed on a laptop, carried as text, used once, owed a review that another person signs."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.history import DAY, History

from sre_responder.approvals import approval, break_glass
from sre_responder.approvals.break_glass import BEGIN, END, Debt
from sre_responder.errors import InputError, Refused, ResponderError
from sre_responder.home.people import Person
from sre_responder.ledger import audit
from sre_responder.model.gate import Gate

SECOND = 1 / 60
PRODUCTION = {"environment": "production", "target": "t"}


@pytest.fixture
def history(tmp_path: Path, component: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch) -> History:
    """A purge in production was refused; the laptop's clock agrees with the ledger's."""
    component("ssh-keygen", "openssh-client")
    told = History(tmp_path / "told")
    monkeypatch.setattr(break_glass, "time", SimpleNamespace(time=lambda: told.clock))
    asked(told.attested(0), 0)
    return told


def asked(history: History, minute: float, **ask: Any) -> Gate:
    return history.asks(minute, **{**PRODUCTION, **ask})["approval"]


def planned(history: History) -> str:
    """The digest of the plan that was last asked for."""
    assert history.last.plan is not None
    return history.last.plan.digest


def signed(history: History, person: str = "iris", *, key: str = "", valid: int = 240, plan: str = "") -> str:
    """What a person signs on the laptop."""
    return break_glass.sign(plan or planned(history), person, history.key(key or person), valid, "the VPN is down")


def used(history: History, minute: float, text: str) -> dict[str, Any]:
    history.minute = minute
    return break_glass.use(history.home, history.ledger, text)


def reviewed(history: History, minute: float, id: str, person: str = "dana", note: str = "seen") -> None:
    history.minute = minute
    who = history.home.people.named(person)
    break_glass.review(history.home, history.ledger, id, who, history.key(person), note)


def owed(history: History) -> list[Debt]:
    with history.ledger.transaction(reading=True) as connection:
        return break_glass.owed(connection)


def test_a_carried_approval_lets_its_plan_through_exactly_once(history: History) -> None:
    used(history, 1, signed(history))
    assert asked(history, 2).evidence["given_by"] == ["iris"]
    assert history.last.allowed
    history.ended("improved")
    gate = asked(history, 3)
    assert (gate.status, gate.evidence["given_by"], gate.evidence["expired_or_used"]) == ("failed", [], ["iris"])


def test_its_use_is_on_the_record_with_its_reason_and_owed_a_review(history: History) -> None:
    answer = used(history, 1, signed(history))
    [debt] = owed(history)
    assert (debt.id, debt.person, debt.plan) == (answer["review"], "iris", planned(history))
    with history.ledger.transaction(reading=True) as connection:
        [entry] = audit.entries(connection, type="approval.break_glass")
    assert "the VPN is down" in entry.summary and entry.data["plan"] == debt.plan


def test_the_command_signs_where_there_is_neither_home_nor_ledger(
    tmp_path: Path, component: Callable[[str, str], Path]
) -> None:
    component("ssh-keygen", "openssh-client")
    history, laptop = History(tmp_path / "told", epoch=time.time()), tmp_path / "laptop"
    asked(history, 0)
    laptop.mkdir()
    environ = {"HOME": str(laptop), "RESPONDER_HOME": str(laptop / "none"), "PATH": os.environ["PATH"]}
    environ |= {"RESPONDER_LEDGER": f"sqlite:///{laptop / 'none.db'}", "LANG": "C.UTF-8"}
    command = [Path(sys.executable).parent / "responder", "break-glass", "sign", planned(history)]
    words = ["--as", "iris", "--key", history.key("iris"), "--reason", "the VPN is down"]
    done = subprocess.run([*command, *words], env=environ, capture_output=True, text=True, timeout=60, check=True)
    assert used(history, 1, done.stdout)["person"] == "iris"
    assert list(laptop.iterdir()) == []


CARRIED: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "in a mail": lambda text: f"Hello,\n\nplease run this:\n{text}\n\nYours, Iris\n-- \nSent from a phone",
    "quoted in an answer": lambda text: "You wrote:\n" + "".join(f"> {line}\n" for line in text.splitlines()),
    "quoted twice": lambda text: "".join(f"> > {line}\n" for line in text.splitlines()),
    "indented": lambda text: "".join(f"    {line}\n" for line in text.splitlines()),
    "with the line ends of Windows": lambda text: text.replace("\n", "\r\n"),
    "with blanks at its line ends": lambda text: text.replace("\n", "  \n"),
    "on one line": lambda text: text.replace("\n", " "),
    "with empty lines between": lambda text: text.replace("\n", "\n\n"),
    "in a code block": lambda text: f"```\n{text}\n```",
    "twice": lambda text: f"{text}\n{text}",
}


@pytest.mark.parametrize("case", CARRIED)
def test_what_a_mail_or_a_chat_puts_around_it_is_ignored(history: History, case: str) -> None:
    used(history, 1, CARRIED[case](signed(history)))
    assert asked(history, 2).evidence["given_by"] == ["iris"]


def statement(text: str) -> dict[str, Any]:
    """Statement and signature as they stand in the text."""
    both: dict[str, Any] = json.loads(base64.b64decode(text.partition(BEGIN)[2].partition(END)[0]))
    return both


def wrapped(both: Any) -> str:
    return f"{BEGIN}\n{base64.b64encode(json.dumps(both).encode()).decode()}\n{END}"


def edited(text: str, **changes: Any) -> str:
    """The text with its statement edited under the old signature."""
    both = statement(text)
    return wrapped({**both, "statement": json.dumps({**json.loads(both["statement"]), **changes})})


def ordinary(history: History) -> str:
    """An ordinary approval in the wrapping of break-glass."""
    said = approval.state("approval", planned(history), Person(name="iris", principal="iris"), history.clock, 600)
    return wrapped({"statement": said.text, "signature": approval.sign(said, history.key("iris"))})


def shortened(history: History, line: int) -> str:
    lines = signed(history).splitlines()
    del lines[line]
    return "\n".join(lines)


REFUSED: dict[str, tuple[type[Exception], str, Callable[[History], str]]] = {
    "nothing": (InputError, "not a break-glass text", lambda h: ""),
    "another text": (InputError, "not a break-glass text", lambda h: "go ahead\n"),
    "without its end": (InputError, "not a whole", lambda h: signed(h).replace(END, "")),
    "without its beginning": (InputError, "not a break-glass text", lambda h: signed(h).replace(BEGIN, "")),
    "without its last line": (InputError, "not a break-glass text", lambda h: shortened(h, -2)),
    "without a line in its middle": (ResponderError, "not a|does not hold", lambda h: shortened(h, 5)),
    "with a letter that is none of base64": (
        InputError, "not a break-glass text", lambda h: signed(h).replace("\n", "\n!", 1)
    ),
    "empty between its marks": (InputError, "not a break-glass text", lambda h: f"{BEGIN}\n{END}"),
    "a list in its place": (InputError, "not a break-glass text", lambda h: wrapped([])),
    "no signature in it": (
        InputError, "not a break-glass text", lambda h: wrapped({"statement": statement(signed(h))["statement"]})
    ),
    "no statement of ours in it": (
        InputError, "not a signed statement", lambda h: wrapped({"statement": "{}", "signature": ""})
    ),
    "an ordinary approval in it": (InputError, "not a whole", ordinary),
    "valid for longer, by hand": (Refused, "does not hold", lambda h: edited(signed(h), expires_at=h.clock + 9e6)),
    "for another plan, by hand": (
        Refused, "does not hold", lambda h: edited(signed(h, plan="0" * 64), subject=planned(h))
    ),
    "of another person, by hand": (Refused, "does not hold", lambda h: edited(signed(h, "rosa"), person="iris")),
    "with another nonce, by hand": (Refused, "does not hold", lambda h: edited(signed(h), nonce="0" * 32)),
    "signed with another key": (Refused, "does not hold", lambda h: signed(h, key="dana")),
    "by a stranger": (InputError, "not in people.yml", lambda h: signed(h, "mallory", key="dana")),
    "by a person without a role": (Refused, "no role", lambda h: signed(h, "otto")),
    "by the requester": (Refused, "cannot approve their own request", lambda h: signed(h, "rosa")),
    "by the requester under her principal": (
        Refused, "cannot approve their own request", lambda h: signed(h, "rosa@example.org", key="rosa")
    ),
    "for a plan that nobody made": (InputError, "0 plans", lambda h: signed(h, plan="0" * 64)),
    "valid for longer than the policy allows": (Refused, "240 minutes", lambda h: signed(h, valid=241)),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_text_that_does_not_hold_is_refused_and_leaves_nothing(history: History, case: str) -> None:
    error, words, write = REFUSED[case]
    with pytest.raises(error, match=words):
        used(history, 1, write(history))
    assert owed(history) == []
    assert asked(history, 2).evidence["given_by"] == []


@pytest.mark.parametrize(("minute", "holds"), [(240 - SECOND, True), (240 + SECOND, False)])
def test_it_is_refused_once_it_expired(history: History, minute: float, holds: bool) -> None:
    text = signed(history)
    if holds:
        used(history, minute, text)
    else:
        with pytest.raises(Refused, match="expired at"):
            used(history, minute, text)
    assert (asked(history, minute).status == "passed") is holds


def test_it_expires_after_it_was_accepted_too(history: History) -> None:
    used(history, 1, signed(history, valid=60))
    assert [asked(history, minute).status for minute in (60 - SECOND, 60 + SECOND)] == ["passed", "failed"]


def test_a_text_dated_ahead_is_refused_by_its_use_not_silently_by_the_guard(history: History) -> None:
    """The laptop's clock is two hours ahead."""
    history.minute = 120
    text = signed(history)
    with pytest.raises(Refused):
        used(history, 0, text)
    assert owed(history) == []


@pytest.mark.parametrize("action", [False, True], ids=["before it acted", "after it acted"])
def test_a_text_holds_once_and_its_replay_is_refused(history: History, action: bool) -> None:
    text = signed(history)
    used(history, 1, text)
    if action:
        assert asked(history, 2).status == "passed"
        history.ended("not_improved")
    with pytest.raises(Refused, match="given before"):
        used(history, 3, text)
    assert len(owed(history)) == 1


def test_the_policy_may_forbid_it(history: History) -> None:
    text = signed(history)
    history.policy(break_glass={"allowed": False})
    with pytest.raises(Refused, match="policy does not allow"):
        used(history, 1, text)
    assert owed(history) == []


def test_a_drift_voids_what_was_carried_too(history: History) -> None:
    used(history, 1, signed(history))
    gate = asked(history.edited(), 2)
    assert (gate.status, [drift["field"] for drift in gate.evidence["drift"]]) == ("failed", ["runbook_digest"])


def test_it_is_one_of_the_approvals_that_are_needed(history: History) -> None:
    asked(history.policy(approvals={"needed": {"SEV4": 2}}), 0)
    used(history, 1, signed(history))
    history.signs(2, "iris")
    assert asked(history, 3).status == "failed", "one person is one, however she signs"
    used(history, 4, signed(history, "dana"))
    assert asked(history, 5).status == "passed"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"digest": "abcdef012345"}, "whole digest"),
        ({"digest": "x" * 64}, "whole digest"),
        ({"reason": " "}, "needs a reason"),
        ({"key": Path("/nonexistent")}, "does not exist"),
    ],
)
def test_signing_needs_a_whole_digest_a_reason_and_a_key(history: History, changes: dict[str, Any], words: str) -> None:
    wanted = {"digest": "0" * 64, "person": "iris", "key": history.key("iris"), "valid_minutes": 9, "reason": "x"}
    with pytest.raises(InputError, match=words):
        break_glass.sign(**{**wanted, **changes})


# Reviews


def test_another_person_reviews_it_and_the_debt_is_paid(history: History) -> None:
    used(history, 1, signed(history))
    [debt] = owed(history)
    reviewed(history, 2, debt.id)
    assert owed(history) == []
    with history.ledger.transaction(reading=True) as connection:
        [entry] = audit.entries(connection, type="break_glass.reviewed")
    assert (entry.actor, "seen" in entry.summary) == ("dana", True)


@pytest.mark.parametrize("name", ["iris", "iris@example.org"])
def test_whoever_signed_it_cannot_review_it_under_whatever_name_she_signed(history: History, name: str) -> None:
    used(history, 1, signed(history, name, key="iris"))
    [debt] = owed(history)
    with pytest.raises(Refused, match="cannot review their own use"):
        reviewed(history, 2, debt.id, "iris")
    assert owed(history) == [debt]


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ({"person": "otto"}, Refused, "no role"),
        ({"note": " "}, InputError, "needs a note"),
        ({"id": "0" * 12}, InputError, "names 0 uses"),
        ({"id": "%"}, InputError, "names 0 uses"),
    ],
    ids=str,
)
def test_a_review_that_does_not_hold_pays_nothing(
    history: History, how: dict[str, str], error: type[Exception], words: str
) -> None:
    used(history, 1, signed(history))
    [debt] = owed(history)
    with pytest.raises(error, match=words):
        reviewed(history, 2, **{"id": debt.id, **how})
    assert owed(history) == [debt]


def test_a_review_pays_one_debt_once(history: History) -> None:
    for minute, person in enumerate(("iris", "omar"), 1):
        used(history, minute, signed(history, person))
    first, second = owed(history)
    reviewed(history, 3, first.id)
    assert owed(history) == [second]
    with pytest.raises(InputError, match="names 0 uses"):
        reviewed(history, 4, first.id)


def test_an_overdue_review_blocks_the_next_until_it_is_signed(history: History) -> None:
    used(history, 0, signed(history))
    [debt] = owed(history)
    early, late = 3 * DAY - SECOND, 3 * DAY + SECOND
    asked(history, early, target="u")
    used(history, early, signed(history))
    asked(history, late, target="v")
    text = signed(history)
    with pytest.raises(Refused, match="not reviewed within 3 days") as raised:
        used(history, late, text)
    assert raised.value.cure == f"responder break-glass review {debt.id} --note TEXT"
    reviewed(history, late, debt.id)
    assert used(history, late, text)["person"] == "iris"


def test_a_debt_blocks_break_glass_and_nothing_else(history: History) -> None:
    used(history, 0, signed(history))
    asked(history, 30 * DAY)
    history.signs(30 * DAY, "dana")
    assert asked(history, 30 * DAY + 1).status == "passed"


def test_the_policy_says_after_how_many_days(history: History) -> None:
    history.policy(break_glass={"review_within_days": 0})
    asked(history, 0)
    used(history, 0, signed(history))
    asked(history, 1, target="u")
    with pytest.raises(Refused, match="within 0 days"):
        used(history, 1, signed(history))


def test_a_clock_set_back_makes_no_debt_young(history: History) -> None:
    used(history, 0, signed(history))
    asked(history, 4 * DAY, target="u")
    text = signed(history)
    with pytest.raises(Refused, match="not reviewed"):
        used(history, 1, text)
