"""Annotations of another service, or of another environment, lead to the target of a change, or do not."""

from __future__ import annotations

import pytest

from sre_responder.effects import leads_to
from sre_responder.effects.effect import Change
from sre_responder.model.actions import ACTIONS

CHANGE = Change("x", {}, {})


@pytest.mark.parametrize("name", ACTIONS)
def test_every_action_says_which_of_its_options_tell_its_target(name: str) -> None:
    spec = ACTIONS[name]
    assert spec.locates and set(spec.locates) <= set(spec.annotations)


def test_options_that_say_how_and_not_what_tell_no_targets_apart() -> None:
    given = {"url": "http://cache/", "method": "purge"}
    assert leads_to("http_cache_purge", given, CHANGE, {"responder/cache-url": "http://CACHE:80"})
    assert not leads_to("http_cache_purge", given, CHANGE, {"responder/cache-url": "http://cache/other"})
    assert not leads_to("http_cache_purge", given, CHANGE, {"responder/cache-method": "purge"})


def test_a_service_that_names_nothing_of_a_platform_is_not_reached_through_it() -> None:
    assert not leads_to("kubernetes_drain", {"node": "n"}, CHANGE, {"responder/probe-url": "http://shop/"})
    assert leads_to("kubernetes_drain", {"node": "n"}, CHANGE, {"backstage.io/kubernetes-id": "shop"})


@pytest.mark.parametrize(
    ("own", "other", "expected"),
    [
        ("http://127.0.0.1:26081/x/../item", "http://127.0.0.1:26081/item", True),
        ("http://127.0.0.1:26081/./item", "http://localhost:26081/item", True),
        ('http://cache.invalid/item?q="a"', "http://cache.invalid/item?q=%22a%22", True),
        ("http://cache.invalid/?q=ä", "http://cache.invalid/?q=%C3%A4", True),
        ("http://cache.invalid/item", " http://cache.invalid/item ", True),
        ("http://localhost/item", "http://site.localhost/item", True),
        ("http://one.invalid/item", "http://two.invalid/item", False),
    ],
)
def test_an_object_of_a_cache_is_known_by_what_is_sent(own: str, other: str, expected: bool) -> None:
    assert leads_to("http_cache_purge", {"url": own}, CHANGE, {"responder/cache-url": other}) is expected


def test_two_names_of_one_machine_are_two_sites_of_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.getaddrinfo", lambda *_: [(0, 0, 0, "", ("192.0.2.7", 0))])
    for name, expected in (("www.example", False), ("192.0.2.7", True), ("staging.example", True)):
        way = {"responder/cache-url": f"http://{name}/item"}
        assert leads_to("http_cache_purge", {"url": "http://staging.example/item"}, CHANGE, way) is expected, name


def test_a_name_of_another_zone_is_another_target_and_what_cannot_be_asked_may_be_the_same() -> None:
    change, own = (
        Change("route53:Z00000000001:www.shop.example.", {}, {}),
        {"zone": "shop.example", "record": "www.shop.example"},
    )
    nobody = {"responder/route53-endpoint-url": "http://127.0.0.1:9"}
    for way, expected in (
        ({"responder/route53-profile": "ops"}, False),  # names no target
        ({"responder/route53-record": "WWW.Shop.Example."}, True),
        ({"responder/route53-record": "api.shop.example"}, False),
        ({"responder/route53-zone": "/hostedzone/Z00000000001", "responder/route53-record": "www.shop.example"}, True),
        ({"responder/route53-zone": "other.example", "responder/route53-record": "www.shop.example"}, False),
        ({"responder/route53-zone": "shop.example", "responder/route53-record": "www.shop.example", **nobody}, True),
    ):
        assert leads_to("route53_failover", own, change, way) is expected, way
