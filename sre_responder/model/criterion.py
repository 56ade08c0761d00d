"""A runbook's success criterion: where to look, what is good, and how long it must stay good."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from sre_responder import registry
from sre_responder.model.look import Look, Role
from sre_responder.model.names import shown
from sre_responder.model.window import Window

SOURCES = registry.found("sre_responder.evidence.sources", "SOURCE")
"""The look of each source of evidence, by its name: each is loaded when a criterion names it."""
PLAIN = "http"
"""The source of a look that names none."""
_OBJECTIVE = "slo"
"""The source that a look may name by its one field alone: {slo: NAME}."""


def look(written: Any) -> Look:
    """A look as its source has it. ValueError, with the cure, for a source or a field that does not exist."""
    if isinstance(written, Look):
        return written
    if not isinstance(written, Mapping):
        raise ValueError("a look is a mapping: write {source: http, url: ...}")
    source = written.get("source", _OBJECTIVE if _OBJECTIVE in written else PLAIN)
    if not isinstance(source, str) or source not in SOURCES:
        near = difflib.get_close_matches(str(source), SOURCES, n=1)
        cure = f"Did you mean {near[0]}?" if near else f"Use one of {', '.join(sorted(SOURCES))}."
        raise ValueError(f"there is no source '{shown(source)}' of evidence. {cure}")
    kind: type[Look] = SOURCES[source]
    if unknown := [_unknown(source, name, value) for name, value in written.items() if name not in kind.model_fields]:
        raise ValidationError.from_exception_data(source, unknown)
    return kind.model_validate({**written, "source": source})


def _unknown(source: str, name: str, value: Any) -> InitErrorDetails:
    """The error of a field that a source does not have, with the cure: it may be another's."""
    others = [other for other in SOURCES if name in SOURCES[other].model_fields]
    if others:
        cure = f"write `source: {' or '.join(others)}` for it, or remove it"
    else:
        cure = f"it has {', '.join(SOURCES[source].model_fields)}"
    words = f"source {source} has no such field; {cure}"
    return InitErrorDetails(type=PydanticCustomError("unknown_field", words), loc=(name,), input=value)


AnyLook = Annotated[SerializeAsAny[Look], BeforeValidator(look)]


class Criterion(Window):
    """Looks that must be good, sampled over time: a single one stands beside the window, several in `must`."""

    must: tuple[AnyLook, ...] = Field((), description="Looks that must all be good.")
    should: tuple[AnyLook, ...] = Field(
        (), description="Looks that must be good while they can be measured; the others decide while they cannot."
    )
    shadow: tuple[AnyLook, ...] = Field((), description="Looks that are recorded, and never judged.")

    @model_validator(mode="before")
    @classmethod
    def _one_place_or_several(cls, written: Any) -> Any:
        if not isinstance(written, Mapping):
            return written
        single = {key: value for key, value in written.items() if key not in cls.model_fields}
        if not written.get("must"):
            one = look(single)
            return {**one.usual, **{key: value for key, value in written.items() if key not in single}, "must": (one,)}
        if single:
            raise ValueError(f"{', '.join(sorted(single))}: say so in each entry of must")
        return written

    @property
    def roles(self) -> Iterator[tuple[Role, Look]]:
        """Every look with its role."""
        yield from (("must", one) for one in self.must)
        yield from (("should", one) for one in self.should)
        yield from (("shadow", one) for one in self.shadow)

    @property
    def looks(self) -> tuple[Look, ...]:
        """Every look."""
        return tuple(one for _, one in self.roles)
