"""The edge's runtime socket gives the answers that were recorded from a real HAProxy 2.6."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from sre_responder.lab.shop.haproxy import Backend, Server

RECORDED: list[list[str]] = json.loads((Path(__file__).parent / "haproxy-2.6.json").read_text())


def test_every_answer_is_the_recorded_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sre_responder.lab.shop.haproxy._seconds", lambda since: 0)
    edge = Backend([Server("east", 18081), Server("west", 18082)])
    for command, recorded in RECORDED:
        if command != "show info":
            assert edge.answer(command) == recorded, command


def test_show_info_gives_known_facts_in_the_recorded_order() -> None:
    recorded = next(answer for command, answer in RECORDED if command == "show info")
    ours = Backend([Server("east", 1)]).answer("show info")
    names = [line.partition(":")[0] for line in ours.splitlines() if line]
    known = [line.partition(":")[0] for line in recorded.splitlines() if line]
    assert names == [name for name in known if name in names]
    assert ours.endswith("\n\n")


@pytest.mark.parametrize("line", ["", "bogus", "show", "show stat; bogus", "clear counters all"])
def test_what_it_does_not_know_is_said_so(line: str) -> None:
    assert "Unknown command. Please enter one of the following commands only:\n" in Backend([Server("east", 1)]).answer(
        line
    )


def test_traffic_goes_to_usable_servers_alone_and_is_counted() -> None:
    edge = Backend([Server("east", 1), Server("west", 2, "drain"), Server("south", 3)])
    edge.answer("set server checkout/south weight 0")
    chosen = [edge.choose() for _ in range(20)]
    assert {server.name for server in chosen if server} == {"east"}
    for server in chosen[:15]:
        assert server
        edge.done(server, 200)
    rows = {row["svname"]: row for row in csv.DictReader(io.StringIO(edge.answer("show stat")))}
    assert (rows["east"]["scur"], rows["east"]["stot"], rows["east"]["hrsp_2xx"]) == ("5", "20", "15")
    assert (rows["BACKEND"]["scur"], rows["BACKEND"]["stot"], rows["west"]["stot"]) == ("5", "20", "0")


def test_a_backend_without_usable_servers_is_down_and_takes_no_request() -> None:
    edge = Backend([Server("east", 1)])
    edge.answer("set server checkout/east state maint")
    assert edge.choose() is None
    rows = {row["svname"]: row for row in csv.DictReader(io.StringIO(edge.answer("show stat")))}
    assert rows["BACKEND"]["status"] == "DOWN"


def test_half_the_weight_takes_a_smaller_share() -> None:
    edge = Backend([Server("east", 1), Server("west", 2)])
    edge.answer("set server checkout/west weight 10%")
    names = [server.name for _ in range(600) if (server := edge.choose())]
    assert names.count("west") < names.count("east") / 3
