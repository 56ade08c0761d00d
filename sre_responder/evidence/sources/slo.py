"""How fast a service burns its error budget, by an objective that the team keeps as OpenSLO or Sloth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal

from pydantic import Field, ValidationError

from sre_responder.evidence import openslo, sloth
from sre_responder.evidence.objective import WINDOW, Objective, objective, told
from sre_responder.model import criterion
from sre_responder.model.look import Look, NotMeasured, Place, Sample

_READERS = (openslo.read, sloth.read)


class Slo(Look):
    """Good while the share of bad events over a short window is within what the objective allows; a threshold holds now."""

    source: Literal["slo"] = "slo"
    slo: str = Field(
        min_length=1,
        description="Name of the objective, or SERVICE-NAME; $service, $environment and $NAME are filled in.",
    )
    window_s: float = Field(300.0, ge=60, description="Over how long the share of bad events is taken.")
    burn: float = Field(
        1.0, gt=0, description="How fast the error budget may be used: 1 is as fast as the objective allows."
    )
    connection: str | None = Field(
        None, description="Name in connections.yml; default: metricSourceRef, then responder/prometheus-connection."
    )

    @property
    def usual(self) -> Mapping[str, float]:
        return {"watch_s": self.window_s, "hold_s": 60.0, "interval_s": 5.0, "minimum_samples": 13}

    def resolved(self, place: Place) -> Look:
        """The look at Prometheus that the objective stands for. NotMeasured where it stands for none."""
        asks = self._asks(place)
        name = place.filled(self.slo)
        written = {
            "source": "prometheus",
            "name": (self.name or name)[:64],
            "query": asks.query.replace(WINDOW, f"{self.window_s:.0f}s"),
            "connection": self.connection or asks.connection,
            "required": self.required,
            "timeout_s": self.timeout_s,
        }
        if asks.budget is None:
            written["expect"] = asks.expect
        elif (limit := asks.budget * self.burn) < 1:
            written["below"] = limit
        else:
            raise NotMeasured(f"'{name}' burns at most {1 / asks.budget:g} times its budget: set burn below that")
        try:
            return criterion.look(written)
        except ValidationError as error:
            raise NotMeasured(f"'{name}' cannot be measured: {told(error)}") from error

    def judged_by(self, place: Place) -> Any:
        try:
            return asdict(self._asks(place))
        except NotMeasured as error:
            return str(error)

    def measure(self, place: Place) -> Sample:
        return self.resolved(place).measure(place)

    def _asks(self, place: Place) -> Objective:
        if place.slos is None:
            raise NotMeasured("no folder of objectives is known here")
        return objective(place.slos, place.filled(self.slo), _READERS)


SOURCE = Slo
