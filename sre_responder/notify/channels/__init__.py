"""Where messages to people go: one file a kind, found by folder."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from sre_responder.notify.channel import Channel
from sre_responder.registry import modules


def _kinds() -> list[type[Channel]]:
    """The channel that each file of this folder defines."""
    defined: list[type[Channel]] = []
    for module in modules(__name__, __path__).values():
        own: list[Any] = [value for value in vars(module).values() if isinstance(value, type)]
        defined += [kind for kind in own if issubclass(kind, Channel) and kind.__module__ == module.__name__]
    return defined


KINDS = {str(kind.model_fields["kind"].annotation.__args__[0]): kind for kind in _kinds()}  # type: ignore[union-attr]

if TYPE_CHECKING:
    AnyChannel = Channel
else:
    AnyChannel = Annotated[reduce(or_, KINDS.values()), Field(discriminator="kind")]
