"""`route53_failover` against moto, behind a proxy that compares and sets as Route 53 itself does."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from bypass.world import world as new_world
from support.checking_route53 import Checking, error, serve
from support.control_plane import wait_until

from sre_responder.effects import EFFECTS, Change
from sre_responder.effects.route53.api import _client
from sre_responder.effects.route53.names import written
from sre_responder.errors import EffectFailed, InputError, OutcomeUnknown, ResponderError, StateMoved

pytestmark = pytest.mark.contract

FAILOVER = EFFECTS["route53_failover"]
SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"
NAME = "www.shop.example."
Undo = Callable[[str, Change], subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """The address of a moto server of its own process."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    url, command = f"http://127.0.0.1:{port}", [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        wait_until(lambda: process.poll() is not None or _answers(f"{url}/moto-api/data.json"), "moto answers")
        assert process.poll() is None, "moto did not start"
        yield url
        process.terminate()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Credentials of nobody, and no settings of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    _client.cache_clear()


@dataclass
class Dns:
    """A zone with weighted records, by way of the checking proxy."""

    checking: Checking
    client: Any
    zone: str = ""

    @property
    def words(self) -> dict[str, Any]:
        return {
            "zone": self.zone,
            "record": "www.shop.example",
            "to": "green",
            "endpoint_url": self.checking.url,
            "timeout_s": 20,
        }

    def create(self, name: str, reference: str, **more: Any) -> str:
        made = self.client.create_hosted_zone(Name=name, CallerReference=reference, **more)
        return str(made["HostedZone"]["Id"]).removeprefix("/hostedzone/")

    def put(self, *records: dict[str, Any], action: str = "UPSERT", zone: str = "") -> None:
        changes = [{"Action": action, "ResourceRecordSet": record} for record in records]
        self.client.change_resource_record_sets(HostedZoneId=zone or self.zone, ChangeBatch={"Changes": changes})

    def weights(self, name: str = NAME) -> dict[str, int]:
        listed = self.client.get_paginator("list_resource_record_sets").paginate(HostedZoneId=self.zone)
        return {
            f"{one['Type']} {one['SetIdentifier']}": one["Weight"]
            for page in listed
            for one in page["ResourceRecordSets"]
            if one["Name"] == name and "Weight" in one
        }

    def check(self, **config: Any) -> str:
        made = self.client.create_health_check(
            CallerReference=str(config),
            HealthCheckConfig={"Type": "HTTP", "IPAddress": "192.0.2.2", "Port": 80, **config},
        )
        return str(made["HealthCheck"]["Id"])


def weighted(identifier: str, weight: int, value: str = "192.0.2.1", **more: Any) -> dict[str, Any]:
    """A weighted record set; None leaves a field out."""
    record = {
        "Name": NAME, "Type": "A", "SetIdentifier": identifier, "Weight": weight, "TTL": 300, "ResourceRecords": [{"Value": value}], **more,
    }  # fmt: skip
    return {key: value for key, value in record.items() if value is not None}


@pytest.fixture
def dns(moto: str) -> Iterator[Dns]:
    """A zone where blue has all weight and green none; green is healthy by its health check."""
    httpx.post(f"{moto}/moto-api/reset", trust_env=False)
    checking = Checking(moto)
    server = serve(checking)
    client = boto3.client("route53", endpoint_url=checking.url, region_name="us-east-1")
    made = Dns(checking, client)
    made.zone = made.create("shop.example", "1")
    made.put(weighted("blue", 100), weighted("green", 0, "192.0.2.2", HealthCheckId=made.check()))
    checking.asked.clear()
    yield made
    server.shutdown()
    server.server_close()


# What is moved


def test_plan_changes_nothing_and_tells_weights_health_and_time_to_effect(dns: Dns) -> None:
    change = FAILOVER.plan(dns.words)
    assert change.target == f"route53:{dns.zone}:{NAME}"
    assert {key: one["Weight"] for key, one in change.before.items()} == {"A blue": 100, "A green": 0}
    assert {key: one["Weight"] for key, one in change.after.items()} == {"A blue": 0, "A green": 100}
    assert "1 of 1 checkers" in change.evidence["health"][0]
    assert (
        "360 s" in change.evidence["time_to_effect"] and "360 s" in change.undo_note and "360 s" in change.diff["after"]
    )
    assert not [one for one in dns.checking.asked if one.startswith("POST")]
    assert dns.weights() == {"A blue": 100, "A green": 0}


def test_all_weight_is_moved_in_one_batch_and_a_second_act_of_the_plan_is_refused(dns: Dns) -> None:
    change = FAILOVER.plan(dns.words)
    observed = FAILOVER.act(dns.words, change)
    assert observed == change.after and dns.weights() == {"A blue": 0, "A green": 100}
    assert dns.checking.asked.count("POST rrset") == 1
    with pytest.raises(StateMoved, match="changed since they were planned"):
        FAILOVER.act(dns.words, change)
    assert dns.checking.asked.count("POST rrset") == 1


def test_all_traffic_there_already_is_no_change_and_asks_nothing_of_its_health(dns: Dns) -> None:
    change = FAILOVER.plan({**dns.words, "to": "blue"})
    assert not change.changed and change.undo == []
    assert "GET status" not in dns.checking.asked


def test_record_that_has_a_weight_keeps_it_and_all_others_go_to_0(dns: Dns) -> None:
    dns.put(weighted("green", 7, "192.0.2.2", HealthCheckId=dns.check(Port=81)), weighted("red", 50, "192.0.2.3"))
    FAILOVER.act(dns.words, FAILOVER.plan(dns.words))
    assert dns.weights() == {"A blue": 0, "A green": 7, "A red": 0}


def test_weights_of_0_everywhere_mean_the_same_for_each_and_are_moved(dns: Dns) -> None:
    dns.put(weighted("blue", 0))
    FAILOVER.act(dns.words, FAILOVER.plan(dns.words))
    assert dns.weights() == {"A blue": 0, "A green": 1}


def test_weight_that_all_together_have_is_at_most_255(dns: Dns) -> None:
    dns.put(weighted("blue", 200), weighted("red", 200, "192.0.2.3"))
    FAILOVER.act(dns.words, FAILOVER.plan(dns.words))
    assert dns.weights() == {"A blue": 0, "A green": 255, "A red": 0}


def test_records_of_every_type_are_moved_in_one_batch_unless_a_type_is_named(dns: Dns) -> None:
    check = dns.check(Port=82)
    six = {"Type": "AAAA", "HealthCheckId": check}
    dns.put(weighted("blue", 9, "2001:db8::1", **six), weighted("green", 0, "2001:db8::2", **six))
    dns.put({"Name": NAME, "Type": "TXT", "TTL": 60, "ResourceRecords": [{"Value": '"v=1"'}]})
    dns.checking.asked.clear()
    FAILOVER.act({**dns.words, "type": "A"}, FAILOVER.plan({**dns.words, "type": "A"}))
    assert dns.weights() == {"A blue": 0, "A green": 100, "AAAA blue": 9, "AAAA green": 0}
    FAILOVER.act(dns.words, FAILOVER.plan(dns.words))
    assert dns.weights() == {"A blue": 0, "A green": 100, "AAAA blue": 0, "AAAA green": 9}
    assert dns.checking.asked.count("POST rrset") == 2


def test_alias_records_are_moved_with_all_that_they_say(dns: Dns, origin: Callable[..., Any]) -> None:
    target = {
        "HostedZoneId": "Z35SXDOTRQ7X7K",
        "DNSName": "lb.us-east-1.elb.amazonaws.com.",
        "EvaluateTargetHealth": True,
    }
    alias = {"Name": "app.shop.example.", "TTL": None, "ResourceRecords": None, "AliasTarget": target}
    dns.put(weighted("blue", 3, **alias), weighted("green", 0, **alias))
    words = {**dns.words, "record": "app.shop.example", "probe_url": f"http://127.0.0.1:{origin().port}/"}
    change = FAILOVER.plan(words)
    assert FAILOVER.act(words, change)["A green"]["AliasTarget"] == target
    assert "120 s" in change.undo_note
    assert dns.weights("app.shop.example.") == {"A blue": 0, "A green": 3}


def test_a_zone_of_thousands_is_read_from_the_name_on_and_page_by_page(dns: Dns) -> None:
    simple = {"Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "192.0.2.9"}]}
    for first in range(0, 2000, 500):
        dns.put(*({"Name": f"a{n:05}.shop.example.", **simple} for n in range(first, first + 500)))
    dns.checking.asked.clear()
    FAILOVER.plan(dns.words)
    assert dns.checking.asked.count("GET rrset") == 1


def test_what_check_asks_names_zone_and_weights(dns: Dns) -> None:
    assert FAILOVER.look is not None
    assert FAILOVER.look(dns.words) == f"{NAME} in {dns.zone} (public zone shop.example.): A blue 100, A green 0"


# Compare and set


def test_a_stale_batch_is_refused_by_the_platform_and_what_somebody_else_set_stays(dns: Dns) -> None:
    change = FAILOVER.plan(dns.words)
    theirs = [lambda: dns.put(weighted("blue", 42))]
    dns.checking.meanwhile = lambda: theirs.pop()() if theirs else None
    with pytest.raises(StateMoved, match="A blue 42"):
        FAILOVER.act(dns.words, change)
    assert not theirs and dns.weights() == {"A blue": 42, "A green": 0}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("theirs", [weighted("green", 1, "192.0.2.2"), weighted("green", 0, "203.0.113.1")])
def test_a_change_of_the_record_that_takes_the_traffic_is_noticed_too(
    dns: Dns, theirs: dict[str, Any], legacy: bool
) -> None:
    dns.checking.legacy = legacy
    change, moves = FAILOVER.plan(dns.words), [theirs]
    dns.checking.meanwhile = lambda: dns.put(moves.pop()) if moves else None
    with pytest.raises(StateMoved):
        FAILOVER.act(dns.words, change)
    assert dns.weights()["A blue"] == 100


def test_records_that_moved_before_the_act_are_not_written_at_all(dns: Dns) -> None:
    change = FAILOVER.plan(dns.words)
    dns.put(weighted("blue", 42))
    dns.checking.asked.clear()
    with pytest.raises(StateMoved, match="A blue 42"):
        FAILOVER.act(dns.words, change)
    assert "POST rrset" not in dns.checking.asked


def test_a_batch_that_is_refused_though_nothing_moved_is_a_failure_with_the_words_of_the_platform(dns: Dns) -> None:
    change = FAILOVER.plan(dns.words)
    dns.checking.instead["POST rrset"] = [(400, error("InvalidChangeBatch", "Protected: ask the DNS team"))]
    with pytest.raises(EffectFailed, match="made none of it: Protected: ask the DNS team"):
        FAILOVER.act(dns.words, change)


# The change on its way


def test_act_waits_until_the_change_is_in_sync(dns: Dns) -> None:
    change, dns.checking.pending = FAILOVER.plan(dns.words), 2
    FAILOVER.act(dns.words, change)
    assert dns.checking.asked.count("GET change") == 3


def test_a_change_that_stays_pending_is_an_unknown_outcome_which_the_state_settles(dns: Dns) -> None:
    words = {**dns.words, "timeout_s": 0.1}
    change, dns.checking.pending = FAILOVER.plan(words), 99
    with pytest.raises(OutcomeUnknown, match=r"still PENDING.*aws route53 get-change --id"):
        FAILOVER.act(words, change)
    assert FAILOVER.became(change, FAILOVER.read(words)) == "done"


@pytest.mark.parametrize("status", [0, 503])
def test_an_answer_that_is_lost_is_an_unknown_outcome_and_the_batch_is_not_sent_again(dns: Dns, status: int) -> None:
    change = FAILOVER.plan(dns.words)
    assert FAILOVER.became(change, FAILOVER.read(dns.words)) == "not_done"
    dns.checking.after["POST rrset"] = [status]
    with pytest.raises(OutcomeUnknown):
        FAILOVER.act(dns.words, change)
    assert dns.checking.asked.count("POST rrset") == 1
    assert FAILOVER.became(change, FAILOVER.read(dns.words)) == "done"


def test_what_became_of_it_is_not_told_where_somebody_else_changed_the_records(dns: Dns) -> None:
    change = FAILOVER.plan(dns.words)
    dns.put(weighted("blue", 42))
    assert FAILOVER.became(change, FAILOVER.read(dns.words)) is None


def test_a_call_that_aws_did_not_begin_is_made_again_and_only_so_often(dns: Dns) -> None:
    busy = (400, error("PriorRequestNotComplete", "busy"))
    change, dns.checking.instead["POST rrset"] = FAILOVER.plan(dns.words), [busy]
    FAILOVER.act(dns.words, change)
    assert dns.weights() == {"A blue": 0, "A green": 100}
    dns.checking.asked.clear()
    back = {**dns.words, "to": "blue", "probe_url": None}
    dns.put(weighted("blue", 0, HealthCheckId=dns.check(Port=83)))
    change, dns.checking.instead["POST rrset"] = FAILOVER.plan(back), [busy] * 9
    dns.checking.asked.clear()
    with pytest.raises(EffectFailed, match="limits the rate of calls"):
        FAILOVER.act(back, change)
    assert 1 < dns.checking.asked.count("POST rrset") < 5
    dns.checking.instead.clear()
    assert dns.weights() == {"A blue": 0, "A green": 100}


def test_records_that_read_otherwise_after_the_change_are_a_failure(dns: Dns) -> None:
    change = FAILOVER.plan(dns.words)
    late = [lambda: dns.put(weighted("blue", 42))]

    def overwrite(request: str, body: str) -> str:
        if request == "GET change" and late:
            late.pop()()
        return body

    dns.checking.rewrite = overwrite
    with pytest.raises(EffectFailed, match="read otherwise: A blue 42"):
        FAILOVER.act(dns.words, change)


# Health of the side that takes the traffic


def test_side_whose_checkers_fail_takes_no_traffic(dns: Dns) -> None:
    dns.checking.rewrite = lambda request, body: (
        body.replace("Success:", "Failure:") if request == "GET status" else body
    )
    with pytest.raises(InputError, match=r"A green is unhealthy: 0 of 1 checkers"):
        FAILOVER.plan(dns.words)


def test_side_that_fails_between_plan_and_act_takes_no_traffic(dns: Dns) -> None:
    change = FAILOVER.plan(dns.words)
    dns.checking.rewrite = lambda request, body: (
        body.replace("Success:", "Failure:") if request == "GET status" else body
    )
    with pytest.raises(StateMoved, match="A green is unhealthy"):
        FAILOVER.act(dns.words, change)
    assert dns.weights() == {"A blue": 100, "A green": 0}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"Disabled": True}, "nothing says .* is disabled"),
        ({"Inverted": True}, "unhealthy: .* is inverted"),
        ({"Type": "CALCULATED", "HealthThreshold": 1}, "nothing says .* type CALCULATED"),
    ],
)
def test_health_check_that_does_not_tell_is_refused(dns: Dns, config: dict[str, Any], said: str) -> None:
    if config.get("Type"):
        config = {**config, "IPAddress": "192.0.2.2"}
    dns.put(weighted("green", 0, "192.0.2.2", HealthCheckId=dns.check(**config)))
    with pytest.raises(InputError, match=said):
        FAILOVER.plan(dns.words)


@pytest.mark.parametrize("report", ["", "<CheckedTime>2020-01-01T00:00:00Z</CheckedTime>"])
def test_health_check_without_a_fresh_report_is_refused(dns: Dns, report: str) -> None:
    dns.checking.rewrite = lambda request, body: (
        re.sub(r"<CheckedTime>.*?</CheckedTime>", report, body) if request == "GET status" else body
    )
    with pytest.raises(InputError, match="has reported nothing for 5 minutes"):
        FAILOVER.plan(dns.words)


def test_side_without_a_health_check_needs_a_probe_that_is_answered(
    dns: Dns, origin: Callable[..., Any], free_port: Callable[[], int]
) -> None:
    dns.put(weighted("green", 0, "192.0.2.2"))
    with pytest.raises(InputError, match=r"it has no health check.*probe_url"):
        FAILOVER.plan(dns.words)
    with pytest.raises(InputError, match="does not answer"):
        FAILOVER.plan({**dns.words, "probe_url": f"http://127.0.0.1:{free_port()}/"})
    for wrong in ("ftp://green/", "http://ann:pw@green/", "green"):
        with pytest.raises(InputError, match="probe_url") as refused:
            FAILOVER.plan({**dns.words, "probe_url": wrong})
        assert "pw" not in str(refused.value)
    served = origin()
    change = FAILOVER.plan({**dns.words, "probe_url": f"http://127.0.0.1:{served.port}/health"})
    assert served.requests == ["GET /health"] and "answers 200" in change.evidence["health"][0]


def test_probe_does_not_outweigh_a_health_check_that_fails(dns: Dns, origin: Callable[..., Any]) -> None:
    dns.checking.rewrite = lambda request, body: (
        body.replace("Success:", "Failure:") if request == "GET status" else body
    )
    with pytest.raises(InputError, match="unhealthy"):
        FAILOVER.plan({**dns.words, "probe_url": f"http://127.0.0.1:{origin().port}/"})


# What cannot be moved by weight


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"Failover": "PRIMARY"}, r"failover routing \(PRIMARY\).*health check of PRIMARY"),
        ({"Region": "eu-west-1"}, r"latency routing \(eu-west-1\)"),
        ({"GeoLocation": {"ContinentCode": "EU"}}, "geolocation routing"),
        ({"MultiValueAnswer": True}, "multivalue answer routing"),
        ({"SetIdentifier": None}, "simple routing.*weighted records"),
    ],
)
def test_other_routing_is_refused_with_its_name_and_what_to_do(dns: Dns, more: dict[str, Any], said: str) -> None:
    dns.put(weighted("one", 0, Name="other.shop.example.", **{"Weight": None, **more}))
    with pytest.raises(InputError, match=said):
        FAILOVER.plan({**dns.words, "record": "other.shop.example", "to": "one"})


def test_record_of_a_traffic_policy_is_refused(dns: Dns) -> None:
    tag = "<TrafficPolicyInstanceId>12345678</TrafficPolicyInstanceId></ResourceRecordSet>"
    dns.checking.rewrite = lambda request, body: (
        body.replace("</ResourceRecordSet>", tag) if request == "GET rrset" else body
    )
    with pytest.raises(InputError, match="traffic policy instance 12345678"):
        FAILOVER.plan(dns.words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"to": "purple"}, "no record 'purple'; it has: blue, green"),
        ({"to": "Green"}, "no record 'Green'"),
        ({"to": "*"}, "no record"),
        ({"type": "MX"}, "no record of type MX in zone .*; it has: A"),
        ({"record": "nothing.shop.example"}, "no record in zone .*; it has: none"),
        ({"record": "www"}, r"www\. is not in zone .* www\.shop\.example\."),
        ({"record": "www.notshop.example"}, "is not in zone"),
        ({"record": ""}, "is not a domain name"),
        ({"record": "www..shop.example"}, "is not a domain name"),
        ({"record": "w\\9.shop.example"}, "three octal digits"),
        ({"record": "w\nw.shop.example"}, "space or a control character"),
        ({"record": f"{'x' * 64}.shop.example"}, "1 to 63"),
        ({"zone": "other.example"}, "no hosted zone other.example"),
        ({"zone": "Z000000000000"}, "NoSuchHostedZone"),
        ({"endpoint_url": "ftp://x"}, "endpoint_url"),
    ],
)
def test_what_does_not_exist_is_bad_input_that_names_it(dns: Dns, words: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        FAILOVER.plan({**dns.words, **words})


# Names


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("WWW.Shop.Example", "www.shop.example."),
        ("www.shop.example.", "www.shop.example."),
        ("*.shop.example", "\\052.shop.example."),
        ("\\052.shop.example.", "\\052.shop.example."),
        ("bücher.example", "xn--bcher-kva.example."),
        ("Straße.example", "xn--strae-oqa.example."),
        ("xn--bcher-kva.example", "xn--bcher-kva.example."),
        ("_sip._tcp.shop.example", "_sip._tcp.shop.example."),
        ("a\\056b.example", "a\\056b.example."),
        ("\\101.example", "a.example."),
    ],
)
def test_a_name_has_one_spelling_that_of_route_53(given: str, expected: str) -> None:
    assert written(given) == expected


def test_wildcard_is_moved_by_either_spelling(dns: Dns) -> None:
    check = dns.check(Port=84)
    dns.put(
        *(
            weighted(one, weight, Name="\\052.shop.example.", HealthCheckId=check)
            for one, weight in (("blue", 5), ("green", 0))
        )
    )
    changes = [FAILOVER.plan({**dns.words, "record": name}) for name in ("*.shop.example", "\\052.SHOP.example.")]
    assert changes[0] == changes[1]
    FAILOVER.act({**dns.words, "record": "*.shop.example"}, changes[0])
    assert dns.weights("\\052.shop.example.") == {"A blue": 0, "A green": 5}


def test_public_and_private_zone_of_one_name_are_told_apart_by_id(dns: Dns) -> None:
    assert FAILOVER.plan({**dns.words, "zone": "Shop.Example"}).target == f"route53:{dns.zone}:{NAME}"
    private = dns.create(
        "shop.example", "2", HostedZoneConfig={"PrivateZone": True}, VPC={"VPCRegion": "us-east-1", "VPCId": "vpc-1"}
    )
    with pytest.raises(InputError, match="2 hosted zones of that name") as refused:
        FAILOVER.plan({**dns.words, "zone": "shop.example"})
    assert f"{private} (private zone" in str(refused.value) and f"{dns.zone} (public zone" in str(refused.value)
    assert FAILOVER.plan({**dns.words, "zone": f"/hostedzone/{dns.zone}"}).changed


def test_two_spellings_of_one_record_are_the_same_and_others_are_not(dns: Dns) -> None:
    change = FAILOVER.plan(dns.words)
    alias = {"HostedZoneId": dns.zone, "DNSName": "WWW.shop.example", "EvaluateTargetHealth": False}
    dns.put({"Name": "shop.example.", "Type": "A", "AliasTarget": alias})
    dns.put(
        {"Name": "go.shop.example.", "Type": "CNAME", "TTL": 60, "ResourceRecords": [{"Value": "www.shop.example"}]}
    )
    private = dns.create(
        "shop.example", "2", HostedZoneConfig={"PrivateZone": True}, VPC={"VPCRegion": "us-east-1", "VPCId": "vpc-1"}
    )
    there = {"endpoint_url": dns.checking.url}
    for other, expected in (
        ({"zone": dns.zone, "record": "WWW.SHOP.example."}, True),
        ({"zone": f"/hostedzone/{dns.zone}", "record": "www.shop.example"}, True),
        ({"zone": dns.zone}, True),
        ({"record": " www.shop.example"}, True),
        ({"zone": "shop.example", "record": NAME, **there}, True),  # two zones have that name: it may be this one
        ({"zone": private, "record": NAME}, False),
        ({"zone": dns.zone, "record": "shop.example", **there}, True),
        ({"zone": dns.zone, "record": "go.shop.example", **there}, True),
        ({"zone": dns.zone, "record": "api.shop.example", **there}, False),
        ({"zone": "other.example", "record": NAME, **there}, False),
        ({"zone": "..", "record": NAME, **there}, False),
        ({"zone": "shop.example", "record": NAME}, True),  # asked of the own account
        ({"zone": "example", "record": NAME, "endpoint_url": "http://127.0.0.1:9"}, True),  # nobody can be asked
        ({"zone": "example", "record": NAME, "profile": "none"}, True),
    ):
        assert FAILOVER.same(change, dns.words, other) is expected, other


# Undo


@pytest.fixture
def by_hand(undo_by_hand: Undo, tmp_path: Path) -> Undo:
    """`undo_by_hand` by a person whose credentials are in the file where AWS's tools look for them."""
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_text(
        f"[default]\naws_access_key_id = AKIAANN\naws_secret_access_key = {SECRET}\n"
    )
    return undo_by_hand


def test_undo_playbook_restores_the_weights_by_hand_and_only_them(dns: Dns, by_hand: Undo) -> None:
    change = FAILOVER.plan(dns.words)
    FAILOVER.act(dns.words, change)
    dns.put(weighted("blue", 0, "198.51.100.7"))
    for _ in range(2):
        done = by_hand("route53_failover", change)
        assert done.returncode == 0, done.stdout + done.stderr
        assert dns.weights() == {"A blue": 100, "A green": 0}
    assert SECRET not in str(change.undo)
    assert dns.checking.asked.count("POST rrset") == 3


def test_undo_of_records_with_hostile_names_is_taken_to_the_letter(dns: Dns, by_hand: Undo, tmp_path: Path) -> None:
    check, bad = dns.check(Port=85), f"{{{{ lookup('pipe', 'touch {tmp_path}/x') }}}} ' \" $(id); #jinja2 é"
    dns.put(
        weighted(bad, 30, "192.0.2.3", Name="\\052.shop.example.", HealthCheckId=check),
        weighted("green", 0, Name="\\052.shop.example.", HealthCheckId=check),
    )
    dns.checking.asked.clear()
    words = {**dns.words, "record": "*.shop.example"}
    change = FAILOVER.plan(words)
    FAILOVER.act(words, change)
    done = by_hand("route53_failover", change)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (tmp_path / "x").exists()


def test_undo_of_a_record_that_is_gone_says_so_and_changes_nothing(dns: Dns, by_hand: Undo) -> None:
    change = FAILOVER.plan(dns.words)
    FAILOVER.act(dns.words, change)
    dns.put(change.after["A blue"], action="DELETE")
    done = by_hand("route53_failover", change)
    assert done.returncode != 0 and f"{NAME} has no record A blue" in done.stdout + done.stderr
    assert dns.weights() == {"A green": 100}


def test_undo_without_credentials_is_a_line_and_no_traceback(dns: Dns, undo_by_hand: Undo) -> None:
    change = FAILOVER.plan(dns.words)
    FAILOVER.act(dns.words, change)
    done = undo_by_hand("route53_failover", change)
    assert done.returncode != 0 and "NoCredentialsError Unable to locate credentials" in done.stdout
    assert "Traceback" not in done.stdout


def test_undone_is_what_has_its_weights_again_whatever_else_was_changed_since(dns: Dns) -> None:
    change = FAILOVER.plan(dns.words)
    FAILOVER.act(dns.words, change)
    dns.put(weighted("blue", 0, "198.51.100.7"))
    now = FAILOVER.read(dns.words)
    assert FAILOVER.became(change, now) == "done" and not FAILOVER.restored(change, now)
    dns.put(weighted("blue", 100, "198.51.100.7"), {**change.before["A green"]})
    now = FAILOVER.read(dns.words)
    assert FAILOVER.restored(change, now) and FAILOVER.became(change, now) == "not_done"


def test_a_run_moves_the_traffic_undo_moves_it_back_and_neither_records_a_secret(
    dns: Dns, origin: Callable[..., Any], tmp_path: Path
) -> None:
    shop = origin(lambda: json.dumps({"ok": dns.weights()["A blue"] == 0}))
    quick = {"TTL": 1}  # the run waits until no resolver keeps the former answer
    dns.put(weighted("blue", 100, **quick), weighted("green", 0, "192.0.2.2", HealthCheckId=dns.check(), **quick))

    def fail_over(play: dict[str, Any]) -> None:
        play["vars"]["runbook"]["success"]["url"] = f"http://127.0.0.1:{shop.port}/"
        given = play["tasks"][1].pop("sre.responder.release_rollback")
        named = {key: given[key] for key in ("incident", "service", "environment")}
        play["tasks"][1]["sre.responder.route53_failover"] = {**named, **dns.words}

    login = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    with new_world(tmp_path / "world") as world:
        world.write(fail_over)
        done = world.drive(**login)
        assert (done.returncode, dns.weights()) == (0, {"A blue": 0, "A green": 100}), done.stdout + done.stderr
        undone = world.responder("undo", "1", **login)
        assert (undone.returncode, dns.weights()) == (0, {"A blue": 100, "A green": 0}), undone.stdout + undone.stderr
    files = [file for file in (tmp_path / "world").rglob("*") if file.is_file()]
    assert files and [file for file in files if SECRET.encode() in file.read_bytes()] == []


# Credentials and refusals of AWS


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("ExpiredToken", "credentials have expired.*aws sso login"),
        ("InvalidClientTokenId", "does not accept the credentials.*get-caller-identity"),
        ("SignatureDoesNotMatch", "does not accept the credentials"),
        (
            "AccessDenied",
            "route53:ListResourceRecordSets failed: User arn:x .*needs .*route53:ChangeResourceRecordSets.*route53:GetChange",
        ),
        ("Throttling", "limits the rate of calls.*5 calls a second"),
    ],
)
def test_refusal_of_aws_is_a_sentence_with_its_cure(dns: Dns, code: str, said: str) -> None:
    dns.checking.instead["GET rrset"] = [
        (403, error(code, f"User arn:x is not authorized {SECRET * (code == 'SignatureDoesNotMatch')}"))
    ] * 9
    with pytest.raises(EffectFailed, match=said) as refused:
        FAILOVER.plan(dns.words)
    assert SECRET not in str(refused.value)
    assert dns.checking.asked.count("GET rrset") == (3 if code == "Throttling" else 1)


def test_change_that_may_not_be_made_names_the_right_that_is_missing(dns: Dns) -> None:
    change = FAILOVER.plan(dns.words)
    dns.checking.instead["POST rrset"] = [(403, error("AccessDenied", "User arn:x is not authorized"))]
    with pytest.raises(EffectFailed, match="route53:ChangeResourceRecordSets failed"):
        FAILOVER.act(dns.words, change)
    assert FAILOVER.plan(dns.words).before == change.before


def test_right_to_ask_for_the_change_that_is_missing_leaves_the_outcome_unknown(dns: Dns) -> None:
    change = FAILOVER.plan(dns.words)
    dns.checking.instead["GET change"] = [(403, error("AccessDenied", "no"))]
    with pytest.raises(OutcomeUnknown, match="route53:GetChange failed"):
        FAILOVER.act(dns.words, change)


def test_no_credentials_half_of_them_and_an_unknown_profile_are_sentences(
    dns: Dns, monkeypatch: pytest.MonkeyPatch
) -> None:
    _client.cache_clear()
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ResponderError, match="credentials are incomplete"):
        FAILOVER.plan(dns.words)
    _client.cache_clear()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(EffectFailed, match=r"no AWS credentials are found\. Set AWS_PROFILE"):
        FAILOVER.plan(dns.words)
    with pytest.raises(InputError, match=r"profile \(ops\) could not be found"):
        FAILOVER.plan({**dns.words, "profile": "ops"})


def test_profile_of_aws_s_files_is_used(dns: Dns, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    (tmp_path / "credentials").write_text(f"[ops]\naws_access_key_id = AKIAOPS\naws_secret_access_key = {SECRET}\n")
    _client.cache_clear()
    words = {**dns.words, "profile": "ops"}
    change = FAILOVER.plan(words)
    FAILOVER.act(words, change)
    assert SECRET not in repr(change) and "ops" in change.undo[0]["ansible.builtin.command"]["argv"]


def test_platform_that_does_not_answer_is_told_with_its_address(dns: Dns, free_port: Callable[[], int]) -> None:
    place = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(EffectFailed, match=f"cannot reach Route 53 at {place}"):
        FAILOVER.plan({**dns.words, "endpoint_url": place})


@pytest.mark.parametrize("body", ["", "<html>", "<ListResourceRecordSetsResponse/>"])
def test_what_is_not_route_53_is_told(dns: Dns, body: str) -> None:
    dns.checking.instead["GET rrset"] = [(200, body)] * 9
    with pytest.raises(ResponderError, match=r"no answer that can be read|is not Route 53"):
        FAILOVER.plan(dns.words)
