"""A number by LogsQL, from VictoriaLogs."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from sre_responder.evidence.fetch import Login
from sre_responder.evidence.promql import seconds
from sre_responder.evidence.series import after_the_action, ask, only
from sre_responder.model.look import NotMeasured, Number, Place

_QUERY = "/select/logsql/stats_query"
_TIME = re.compile(r"\b_time:\s*((?:\d+(?:ms|[smhdw]))+)")


class Victorialogs(Number):
    """The one number of a `stats` query. Where a service logs nothing at all, no error line says nothing."""

    login = Login
    source: Literal["victorialogs"] = "victorialogs"
    query: str = Field(description="LogsQL that ends in `| stats ...` of one number, with _time:1m or the like.")
    alive: str = Field(description="LogsQL filter that matches anything that the service logs, with _time too.")
    connection: str | None = Field(
        None, description="Name in connections.yml; default: responder/victorialogs-connection."
    )

    @field_validator("query", "alive")
    @classmethod
    def _bounded(cls, value: str) -> str:
        if not _TIME.search(value):
            raise ValueError("says no time: begin it with _time:1m or the like")
        return value

    def missing(self, place: Place) -> str | None:
        known = place.login(self.source, self.connection)
        return None if known else "no VictoriaLogs: responder/victorialogs-connection is not set"

    @classmethod
    def reached(cls, login: Login) -> str:
        only(ask(login, _QUERY, 5, query="_time:1s | stats count() lines"))
        return "it answers queries"

    def read(self, place: Place) -> float:
        login: Login | None = place.login(self.source, self.connection)
        if login is None:
            raise NotMeasured(str(self.missing(place)))
        query = place.filled(self.query)
        after_the_action(place, max(seconds(one) for one in _TIME.findall(query)))
        alive = f"{place.filled(self.alive)} | stats count() lines"
        if not only(ask(login, _QUERY, self.timeout_s, query=alive))[-1] > 0:
            raise NotMeasured("no data: the service has logged nothing of late")
        return only(ask(login, _QUERY, self.timeout_s, query=query))[-1]


SOURCE = Victorialogs
