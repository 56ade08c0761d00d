"""`haproxy_failover` and `haproxy_drain` against a real HAProxy: every state is read from HAProxy itself, not from the effect."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from sre_responder.effects import EFFECTS, Change
from sre_responder.errors import InputError, StateMoved

pytestmark = pytest.mark.contract

CHECK = "check inter 50ms fall 1 rise 1"
Haproxy = Callable[..., Any]
UndoByHand = Callable[[str, Change], subprocess.CompletedProcess[str]]


@dataclass(frozen=True)
class Case:
    """A state that an admin had set, an action, the state it is to lead to, and who answers then."""

    before: dict[str, str]
    action: str
    arguments: dict[str, str]
    after: dict[str, str]
    answering: set[str]


def states(east: str, west: str) -> dict[str, str]:
    return {"east": east, "west": west}


CASES = {
    "failover": Case(
        states("ready", "ready"), "haproxy_failover", {"to": "west"}, states("drain", "ready"), {"west"}
    ),
    "failover to a drained server": Case(
        states("ready", "drain"), "haproxy_failover", {"to": "west"}, states("drain", "ready"), {"west"}
    ),
    "drain": Case(states("ready", "ready"), "haproxy_drain", {"server": "east"}, states("drain", "ready"), {"west"}),
}  # fmt: skip
every = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
FAILOVER, DRAIN = CASES["failover"], CASES["drain"]
both = pytest.mark.parametrize("case", [FAILOVER, DRAIN], ids=["failover", "drain"])


def arguments(proxy: Any, case: Case, level: str = "admin", **changed: str) -> dict[str, Any]:
    return {"socket": proxy.sockets[level], "backend": "checkout", **case.arguments, **changed}


def prepared(haproxy: Haproxy, case: Case) -> tuple[Any, dict[str, Any]]:
    """A HAProxy in the state before, and the arguments of the action."""
    proxy = haproxy()
    for name, state in case.before.items():
        proxy.set_state(name, state)
    assert proxy.states() == case.before
    return proxy, arguments(proxy, case)


@every
def test_plan_sets_nothing(haproxy: Haproxy, case: Case) -> None:
    proxy, words = prepared(haproxy, case)
    change = EFFECTS[case.action].plan(words)
    assert (change.before, change.after) == (case.before, case.after)
    assert proxy.states() == case.before


@every
def test_act_sets_the_planned_state_and_traffic_follows(haproxy: Haproxy, case: Case) -> None:
    proxy, words = prepared(haproxy, case)
    effect = EFFECTS[case.action]
    observed = effect.act(words, effect.plan(words))
    assert observed == case.after == proxy.states()
    assert proxy.answering() == case.answering


@every
def test_second_plan_has_nothing_to_change_and_the_first_one_is_void(haproxy: Haproxy, case: Case) -> None:
    proxy, words = prepared(haproxy, case)
    effect = EFFECTS[case.action]
    first = effect.plan(words)
    effect.act(words, first)
    assert not effect.plan(words).changed
    with pytest.raises(StateMoved, match="changed since they were planned"):
        effect.act(words, first)
    assert proxy.states() == case.after


@every
def test_undo_playbook_restores_the_states_by_hand(haproxy: Haproxy, case: Case, undo_by_hand: UndoByHand) -> None:
    proxy, words = prepared(haproxy, case)
    effect = EFFECTS[case.action]
    change = effect.plan(words)
    effect.act(words, change)
    done = undo_by_hand(case.action, change)
    assert done.returncode == 0, done.stdout
    assert proxy.states() == case.before


def test_undo_playbook_fails_aloud_where_haproxy_refuses_it(haproxy: Haproxy, undo_by_hand: UndoByHand) -> None:
    proxy, words = prepared(haproxy, FAILOVER)
    effect = EFFECTS["haproxy_failover"]
    change = effect.plan(words)
    effect.act(words, change)
    written = repr(change.undo).replace(proxy.sockets["admin"], proxy.sockets["operator"])
    done = undo_by_hand("haproxy_failover", replace(change, undo=ast.literal_eval(written)))
    assert done.returncode != 0 and "Permission denied" in done.stdout
    assert proxy.states() == FAILOVER.after


@pytest.mark.parametrize(
    ("case", "option", "value", "told"),
    [
        (FAILOVER, "to", "north", "to 'north' is not a server of this backend; it has: east, west"),
        (DRAIN, "server", "north", "server 'north' is not a server of this backend; it has: east, west"),
        (FAILOVER, "backend", "payments", "backend 'payments' has no servers; HAProxy knows: checkout"),
        (DRAIN, "backend", "payments", "backend 'payments' has no servers; HAProxy knows: checkout"),
        (FAILOVER, "to", "west; disable frontend shop", "is not a name of HAProxy"),
        (DRAIN, "server", "west\ndisable frontend shop", "is not a name of HAProxy"),
        (DRAIN, "server", "", "is not a name of HAProxy"),
    ],
)  # fmt: skip
def test_unknown_name_is_bad_input_that_names_the_known_ones(
    haproxy: Haproxy, case: Case, option: str, value: str, told: str
) -> None:
    proxy = haproxy()
    with pytest.raises(InputError, match=told):
        EFFECTS[case.action].plan(arguments(proxy, case, **{option: value}))
    assert proxy.states() == case.before


@pytest.mark.parametrize("command", ["state drain", "state maint", "weight 0"])
def test_last_server_that_takes_traffic_is_not_drained(haproxy: Haproxy, command: str) -> None:
    proxy = haproxy()
    assert proxy.ask(f"set server checkout/west {command}").strip() == ""
    before = proxy.states()
    with pytest.raises(InputError, match="'east' is the last usable server of checkout"):
        EFFECTS["haproxy_drain"].plan(arguments(proxy, DRAIN))
    assert proxy.states() == before


def test_last_server_that_is_up_is_not_drained(haproxy: Haproxy) -> None:
    proxy = haproxy(CHECK, down=("west",))
    with pytest.raises(InputError, match="'east' is the last usable server of checkout"):
        EFFECTS["haproxy_drain"].plan(arguments(proxy, DRAIN))


def test_traffic_is_not_sent_to_a_server_that_is_down(haproxy: Haproxy) -> None:
    proxy = haproxy(CHECK, down=("west",))
    with pytest.raises(InputError, match="server 'west' is ready, down, weight 1; traffic"):
        EFFECTS["haproxy_failover"].plan(arguments(proxy, FAILOVER))
    assert proxy.states() == FAILOVER.before


def test_traffic_is_not_sent_to_a_server_without_weight(haproxy: Haproxy) -> None:
    proxy = haproxy()
    assert proxy.ask("set server checkout/west weight 0").strip() == ""
    with pytest.raises(InputError, match="west"):
        EFFECTS["haproxy_failover"].plan(arguments(proxy, FAILOVER))
    assert proxy.states() == FAILOVER.before


@both
def test_server_that_is_down_is_drained_all_the_same(haproxy: Haproxy, case: Case) -> None:
    """The very case of a failover: the region that the traffic is to leave answers no more."""
    proxy = haproxy(CHECK, down=("east",))
    effect, words = EFFECTS[case.action], arguments(proxy, case, timeout_s="1")
    assert effect.act(words, effect.plan(words)) == case.after == proxy.states()
    assert not effect.plan(words).changed


def test_state_of_a_server_that_is_down_is_what_the_admin_set(haproxy: Haproxy) -> None:
    proxy = haproxy(CHECK, down=("east",))
    proxy.set_state("east", "drain")
    assert EFFECTS["haproxy_drain"].read(arguments(proxy, DRAIN)) == proxy.states() == states("drain", "ready")


@pytest.mark.parametrize("level", ["operator", "user"])
@both
def test_socket_without_the_level_admin_is_told_and_changes_nothing(haproxy: Haproxy, case: Case, level: str) -> None:
    proxy = haproxy()
    effect, words = EFFECTS[case.action], arguments(proxy, case, level)
    with pytest.raises(InputError, match=f"may not set servers: its level is {level}, not admin"):
        effect.plan(words)
    assert proxy.states() == case.before


@both
def test_servers_that_somebody_else_set_since_the_plan_are_left_alone(haproxy: Haproxy, case: Case) -> None:
    proxy, words = prepared(haproxy, case)
    effect = EFFECTS[case.action]
    change = effect.plan(words)
    proxy.set_state("west", "maint")
    with pytest.raises(StateMoved, match="'west': 'maint'"):
        effect.act(words, change)
    assert proxy.states() == states("ready", "maint")


def test_what_became_of_a_failover_is_told_by_the_servers(haproxy: Haproxy) -> None:
    proxy, words = prepared(haproxy, CASES["failover to a drained server"])
    effect = EFFECTS["haproxy_failover"]
    change = effect.plan(words)
    told = [effect.became(change, effect.read(words))]
    for server, state in (("west", "ready"), ("east", "drain"), ("east", "maint")):
        proxy.set_state(server, state)
        told.append(effect.became(change, effect.read(words)))
    assert told == ["not_done", "cut_short", "done", None]


def test_socket_where_no_haproxy_answers_is_bad_input(haproxy: Haproxy, tmp_path: Any) -> None:
    words = arguments(haproxy(), FAILOVER)
    with pytest.raises(InputError, match=r"'show servers state checkout' to HAProxy at .* failed"):
        EFFECTS["haproxy_failover"].plan({**words, "socket": f"{tmp_path}/none"})


def test_standby_that_the_configuration_disables_takes_over_and_goes_back(
    haproxy: Haproxy, undo_by_hand: UndoByHand
) -> None:
    proxy = haproxy(disabled=("west",))
    effect, words = EFFECTS["haproxy_failover"], arguments(proxy, FAILOVER)
    change = effect.plan(words)
    assert change.before == proxy.states() == states("ready", "maint")
    assert effect.act(words, change) == proxy.states() == states("drain", "ready")
    assert proxy.answering() == {"west"}
    assert effect.became(change, effect.read(words)) == "done"
    assert undo_by_hand("haproxy_failover", change).returncode == 0
    assert proxy.states() == states("ready", "maint")
    assert effect.plan(words).before == change.before


def test_server_that_a_person_put_into_maintenance_takes_no_traffic(haproxy: Haproxy) -> None:
    proxy = haproxy()
    proxy.set_state("west", "maint")
    with pytest.raises(InputError, match="server 'west' is in maintenance: a person put it there"):
        EFFECTS["haproxy_failover"].plan(arguments(proxy, FAILOVER))
    assert not EFFECTS["haproxy_failover"].plan(arguments(proxy, FAILOVER, to="east")).changed


def test_spare_slots_of_a_template_count_neither_way(haproxy: Haproxy) -> None:
    proxy = haproxy(more="server-template web 6 nope.invalid:80 init-addr none resolvers r")
    effect, words = EFFECTS["haproxy_drain"], arguments(proxy, DRAIN)
    change = effect.plan(words)
    assert change.capacity == 0.5
    observed = effect.act(words, change)
    assert {name for name, state in observed.items() if state != "ready"} == {"east"}
    assert change.evidence["web1"].startswith("maint (it has no address)")
    assert not effect.plan({**words, "server": "web1"}).changed


def test_a_backend_without_servers_is_named_with_those_that_there_are(haproxy: Haproxy) -> None:
    proxy = haproxy(more="backend empty")
    with pytest.raises(InputError, match="backend 'empty' has no servers; HAProxy knows: checkout, empty"):
        EFFECTS["haproxy_drain"].plan(arguments(proxy, DRAIN, backend="empty"))


def test_a_follower_goes_out_with_the_server_that_it_tracks(haproxy: Haproxy) -> None:
    proxy = haproxy(CHECK, more="server v6.east:a [::1]:9 track checkout/east")
    proxy.set_state("west", "drain")
    with pytest.raises(InputError, match="'east' is the last usable server of checkout"):
        EFFECTS["haproxy_drain"].plan(arguments(proxy, DRAIN))
