"""Services whose environments share a target are named before anybody is refused at night."""

from __future__ import annotations

from dataclasses import astuple

import pytest

from sre_responder.home.catalogue import Service
from sre_responder.home.shared import shared

RELEASES, HAPROXY = "release folders", "haproxy"


def service(name: str, *environments: str, **annotations: str) -> Service:
    keys = {key.replace("__", ".").replace("_", "-"): value for key, value in annotations.items()}
    said = {key if "/" in key else _full(key): value for key, value in keys.items()}
    return Service(name, "me", None, (), said, environments)


def _full(key: str) -> str:
    environment, _, plain = key.rpartition(".")
    return f"{environment}.responder/{plain}" if environment else f"responder/{plain}"


def found(*services: Service) -> list[tuple[str, str, str, str]]:
    return [astuple(one)[:4] for one in shared(services)]


def test_each_milder_environment_that_has_the_target_of_a_stricter_one_is_named() -> None:
    web = service("web", "dev", "staging", "production", release_root="/srv/web", dev__release_root="/srv/dev")
    assert found(web) == [("web", "staging", "web in production", RELEASES)]
    [one] = shared([web])
    assert one.problem == "web in staging has the release folders of web in production, so every run for it is refused"
    assert "its own staging.responder/release-root" in one.cure


def test_another_service_of_production_is_named_however_it_spells_the_target() -> None:
    web = service("web", "dev", supervisor_server="http://localhost:9001", supervisor_program="web")
    pay = service("pay", "production", supervisor_server="http://127.0.0.1:9001/", supervisor_program="web")
    assert found(web, pay) == found(pay, web) == [("web", "dev", "pay in production", "supervisord")]


@pytest.mark.parametrize(
    ("hosts", "expected"), [("d1", []), ("d1, p1", [("web", "dev", "web in production", RELEASES)])]
)
def test_one_path_on_hosts_of_their_own_is_not_shared(hosts: str, expected: list[tuple[str, str, str, str]]) -> None:
    web = service("web", "dev", "production", release_root="/srv/web", dev__hosts=hosts, production__hosts="p1, p2")
    assert found(web) == expected


def test_what_names_no_target_shares_none() -> None:
    both = ("dev", "production")
    assert found(service("a", *both), service("b", *both, haproxy_socket="/run/s.sock", kubeconfig="/k")) == []
    assert found(service("a", "production", release_root="/a"), service("b", "production", release_root="/a")) == []


def test_one_name_in_two_accounts_is_two_targets() -> None:
    zone = {"route53_zone": "shop.example", "route53_record": "www.shop.example"}
    web = service("web", "staging", "production", **zone)
    assert found(web) == [("web", "staging", "web in production", "route53")]
    assert found(service("web", "staging", "production", **zone, staging__route53_profile="staging")) == []
