"""The section `graph` of the policy: where it is observed who calls whom, and for how long that is believed."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from sre_responder import registry
from sre_responder.home.section import Section, named_apart
from sre_responder.model.names import shown

KINDS = registry.found("sre_responder.radius.sources", "SOURCE")
"""Each kind of source by its name, loaded when a home uses it."""


class Source(Section):
    """One place where calls are observed."""

    kind: str = Field(description="istio, linkerd, opentelemetry (by PromQL), jaeger or zipkin (their dependencies).")
    connection: str = Field(description="Name in connections.yml.")

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        if kind not in KINDS:
            raise ValueError(f"'{shown(kind, 40)}' is not known; use one of {', '.join(KINDS)}")
        return kind

    @property
    def name(self) -> str:
        return f"{self.kind}@{self.connection}"

    @property
    def platform(self) -> str:
        """That of its connection."""
        return str(KINDS[self.kind].platform)


class Observing(Section):
    """Where it is observed who calls whom; `responder graph refresh` asks them. Without sources the catalogue alone counts."""

    sources: tuple[Source, ...] = ()
    lookback_minutes: float = Field(60, gt=0, description="Calls of so long before each refresh are read.")
    keep_days: float = Field(30, gt=0, description="A call that was not seen again is a dependency for so long.")
    max_age_minutes: float = Field(
        60, gt=0, description="What a source showed longer ago is unknown, and then an action needs an approval."
    )

    @field_validator("sources")
    @classmethod
    def _each_once(cls, sources: tuple[Source, ...]) -> tuple[Source, ...]:
        named_apart(source.name for source in sources)
        return sources


EXAMPLE = """\
# Example; write it in place of "sources: []" above. See docs/blast-radius.md.
#   sources:
#     - {kind: istio, connection: mesh}     # also linkerd, opentelemetry: a connection of platform prometheus
#     - {kind: jaeger, connection: traces}  # also zipkin
"""


def login_of(platform: str) -> Any:
    """What a connection of that platform may say; None if no kind of source has it."""
    return next((kind.login for kind in KINDS.values() if kind.platform == platform), None)
