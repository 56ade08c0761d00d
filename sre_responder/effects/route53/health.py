"""Whether one side may take all traffic: what Route 53's own health check of it reports, or a probe."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sre_responder.effects.route53.api import call
from sre_responder.errors import InputError
from sre_responder.model import address
from sre_responder.model.names import shown
from sre_responder.system.outbound import way

_FRESH = timedelta(minutes=5)
_PROBE_SECONDS = 5
_OBSERVED = ("HTTP", "HTTPS", "HTTP_STR_MATCH", "HTTPS_STR_MATCH", "TCP")
"""Health checks whose checkers' reports Route 53 shows."""


def confirmed(client: Any, records: Mapping[str, Mapping[str, Any]], probe: str | None) -> list[str]:
    """What says that these record sets are healthy. InputError if one is not, or if nothing says so."""
    said = [probed(probe)] if probe else []
    for name, record in records.items():
        check = record.get("HealthCheckId")
        healthy, why = checked(client, check) if check else (None, "it has no health check")
        if healthy is False:
            raise InputError(f"{name} is unhealthy: {why}.", cure="Bring that side up first.")
        if healthy is None and not probe:
            raise InputError(
                f"nothing says that {name} is healthy: {why}.",
                cure="Name an address that only that side answers: probe_url, or the annotation responder/route53-probe-url.",
            )
        said.append(f"{name}: {why}")
    return said


def checked(client: Any, id: str) -> tuple[bool | None, str]:
    """What a health check says, None where that is nothing, and why.

    Route 53 shows no verdict of its own, only its checkers' reports; it takes a side for healthy where more than 18 % of them do. All
    traffic is moved there only if more than half of them do.
    """
    settings = call(client, "get_health_check", "HealthCheck", HealthCheckId=id)["HealthCheck"]["HealthCheckConfig"]
    if settings.get("Inverted"):
        return False, f"health check {id} is inverted, so Route 53 sends nothing there while it works"
    if settings.get("Disabled"):
        return None, f"health check {id} is disabled"
    if settings["Type"] not in _OBSERVED:
        return None, f"Route 53 does not show what health check {id} of type {shown(settings['Type'], 40)} says"
    seen = call(client, "get_health_check_status", "HealthCheckObservations", HealthCheckId=id)[
        "HealthCheckObservations"
    ]
    since = datetime.now(UTC) - _FRESH
    reports = [one["StatusReport"] for one in seen if one.get("StatusReport", {}).get("CheckedTime", since) > since]
    if not reports:
        return None, f"health check {id} has reported nothing for {_FRESH.seconds // 60} minutes"
    good = sum(str(report.get("Status", "")).startswith("Success") for report in reports)  # there is no other field
    return good * 2 > len(reports), f"{good} of {len(reports)} checkers of health check {id} reach it"


def probed(url: str) -> str:
    """That an address answers with 2xx. InputError if it does not."""
    import httpx

    cure = "Bring that side up first, or correct probe_url."
    if wrong := address.problem(url):
        raise InputError(f"probe_url '{address.shown(url)}' {wrong}.", cure="Write http://host:port/path.")
    try:
        with httpx.Client(**way(url), timeout=_PROBE_SECONDS) as client, client.stream("GET", url) as answer:
            status = answer.status_code
    except (httpx.HTTPError, OSError) as error:
        raise InputError(f"{address.shown(url)} does not answer ({type(error).__name__}).", cure=cure) from error
    if not 200 <= status < 300:
        raise InputError(f"{address.shown(url)} answers {status}.", cure=cure)
    return f"{address.shown(url)} answers {status}"
