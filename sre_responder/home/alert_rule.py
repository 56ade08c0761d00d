"""A rule about alerts: its name, and which alerts it is about. What follows from it says who has such rules."""

from __future__ import annotations

from pydantic import Field

from sre_responder.home.section import Section
from sre_responder.model.expression import Expression

NAME = r"^[a-z][a-z0-9-]{0,40}$"


class AlertRule(Section):
    """A name and the alerts that it is about."""

    name: str = Field(pattern=NAME)
    when: Expression = Field(description="JMESPath over one alert (status, labels, annotations); exactly true counts.")
