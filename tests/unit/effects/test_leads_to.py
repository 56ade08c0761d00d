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
