"""The section `serve` of the policy: who may send alerts to `responder serve`, and what it does with them."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from sre_responder.home.alert_rule import NAME, AlertRule
from sre_responder.home.maintenance import Maintenance
from sre_responder.home.section import Section, named_apart
from sre_responder.model.expression import Expression
from sre_responder.system.secret import Secret


class Credential(Section):
    """One sender of alerts and how it proves who it is: by a bearer token, or by an HMAC-SHA-256 of the body."""

    name: str = Field(pattern=NAME, description="What the record calls this sender.")
    token: Secret | None = Field(None, description="The token of its header `Authorization: Bearer TOKEN`.")
    hmac: Secret | None = Field(None, description="The key with which it signs the body.")
    header: str = Field(
        "X-Responder-Signature",
        description="The header that holds the signature in hexadecimal, perhaps behind v1= or sha256=; several stand apart by commas.",
    )
    timestamp_header: str | None = Field(
        None,
        description="The header with the Unix time of the signature, which is then over TIME:BODY and valid for 5 minutes.",
    )

    @model_validator(mode="after")
    def _one(self) -> Credential:
        if (self.token is None) == (self.hmac is None):
            raise ValueError("name one of token and hmac")
        return self


class Tls(Section):
    """The server's certificate, and the authority of those that clients must show (mutual TLS)."""

    certificate: Path = Field(description="File in PEM with the certificate and those between it and its authority.")
    key: Path = Field(description="File in PEM with its key.")
    client_ca: Path | None = Field(
        None,
        description="File in PEM with the authority of client certificates: without one, nobody gets a connection.",
    )


class Heartbeat(AlertRule):
    """An alert that always fires, such as Prometheus's Watchdog: when it stops arriving, on-call is paged."""

    every_minutes: float = Field(10, gt=0, description="It is late after this long.")


class PlainJson(Section):
    """How a JSON payload that is of no known kind holds alerts; each value is JMESPath."""

    alerts: Expression = Field("@", description="Over the payload: an alert, or a list of them.")
    labels: Mapping[str, Expression] = Field(
        description="Over one of them: label to its text; what is null is left out."
    )
    annotations: Mapping[str, Expression] = Field(default_factory=dict)
    resolved: Expression = Field("`false`", description="Over one of them: true where it says that the alert is over.")
    starts_at: Expression | None = Field(None, description="Over one of them: when it began, in ISO 8601.")
    ends_at: Expression | None = Field(None, description="Over one of them: when it ended, in ISO 8601.")


class Serve(Section):
    """The alert receiver, `responder serve`."""

    listen: str = Field(
        "127.0.0.1:8787", description="Address and port; beyond this machine only with tls or plain_http."
    )
    credentials: tuple[Credential, ...] = Field(
        (), description="Who may send alerts; or demand certificates by tls.client_ca."
    )
    tls: Tls | None = Field(None, description="Its certificate; null means plain HTTP.")
    plain_http: bool = Field(
        False, description="TLS ends at a proxy in front of it, so it may listen beyond this machine."
    )
    body_mib: int = Field(8, ge=1, le=8, description="A larger payload is refused.")
    requests_per_minute: int = Field(
        600, ge=1, description="Of one credential; beyond it the answer is 503 for a while."
    )
    parallel_runs: int = Field(
        4, ge=1, le=64, description="Runs at once on a machine that alerts have started; one a target in any case."
    )
    again_after_minutes: float = Field(
        15, ge=0, description="An alert that fires again starts another run for its incident at most this often."
    )
    production: bool = Field(
        False, description="Alerts may start runs in production: this confirms each, as --confirm-production does."
    )
    ignore: tuple[AlertRule, ...] = Field((), description="Alerts that start nothing, by the name of the rule.")
    heartbeats: tuple[Heartbeat, ...] = Field((), description="Alerts that always fire; one that stops arriving pages.")
    maintenance: tuple[Maintenance, ...] = Field((), description="Times in which alerts start nothing.")
    mapping: PlainJson | None = Field(None, description="How other JSON payloads hold alerts.")

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def on_this_machine(self) -> bool:
        return ipaddress.ip_address(self.address[0]).is_loopback

    @field_validator("listen")
    @classmethod
    def _address_and_port(cls, listen: str) -> str:
        host, _, port = listen.rpartition(":")
        try:
            ipaddress.ip_address(host.strip("[]"))
            valid = port.isascii() and port.isdigit() and int(port) < 65536
        except ValueError:
            valid = False
        if not valid:
            raise ValueError("write an address and a port, such as 127.0.0.1:8787 or [::]:8787")
        return listen

    @field_validator("credentials", "ignore", "heartbeats", "maintenance")
    @classmethod
    def _named_apart(cls, ones: tuple[Any, ...]) -> tuple[Any, ...]:
        named_apart(one.name for one in ones)
        return ones


EXAMPLE = """\
  # Who may send alerts, and rules; delete the empty line of the same name above, and the # of what you use. See docs/alerts.md.
  # credentials:
  #   - {name: alertmanager, token: {file: /etc/sre-responder/alertmanager.token}}
  #   - {name: pagerduty, hmac: {env: PAGERDUTY_WEBHOOK_SECRET}, header: X-PagerDuty-Signature}
  # heartbeats:
  #   - {name: watchdog, when: labels.alertname == 'Watchdog', every_minutes: 10}
  # ignore:
  #   - {name: info-only, when: labels.severity == 'none'}
  # maintenance:
  #   - name: database-sundays
  #     when: labels.service == 'database'
  #     starts: 2026-12-06 02:00
  #     minutes: 120
  #     repeats: FREQ=WEEKLY;BYDAY=SU
  #     timezone: Europe/Berlin
"""
