"""A number by LogQL, from Grafana Loki."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sre_responder.evidence.promql import parsed
from sre_responder.evidence.series import TenantLogin, after_the_action, ask, only, single
from sre_responder.model.look import NotMeasured, Number, Place

_QUERY = "/loki/api/v1/query"


class Loki(Number):
    """The one number of a metric query. Where a service logs nothing at all, no error line says nothing."""

    login = TenantLogin
    source: Literal["loki"] = "loki"
    query: str = Field(
        min_length=1, description="LogQL that gives one number; $service, $environment and $NAME are filled in."
    )
    alive: str = Field(
        min_length=1,
        description="LogQL that gives more than 0 while the service logs anything, such as count_over_time of its stream.",
    )
    connection: str | None = Field(None, description="Name in connections.yml; default: responder/loki-connection.")

    def missing(self, place: Place) -> str | None:
        known = place.login(self.source, self.connection)
        return None if known else "no Loki: responder/loki-connection is not set"

    @classmethod
    def reached(cls, login: TenantLogin) -> str:
        only(ask(login, _QUERY, 5, query="vector(1)"))
        return "it answers queries"

    def read(self, place: Place) -> float:
        login: TenantLogin | None = place.login(self.source, self.connection)
        if login is None:
            raise NotMeasured(str(self.missing(place)))
        query = place.filled(self.query)
        after_the_action(place, parsed(query).reach_s)
        living = single(ask(login, _QUERY, self.timeout_s, query=place.filled(self.alive)))
        if living is None or not living.values[-1] > 0:
            raise NotMeasured("no data: the service has logged nothing of late")
        row = single(ask(login, _QUERY, self.timeout_s, query=query))
        return only([row])[-1] if row else 0.0  # it logs, and no line is counted


SOURCE = Loki
