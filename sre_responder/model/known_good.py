"""How the objects of a service were when it was last measured healthy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sre_responder.model.plan import canonical


@dataclass(frozen=True)
class KnownGood:
    """Objects as KIND/NAME, each with its metadata and what can be restored of it."""

    objects: Mapping[str, Mapping[str, Any]]
    looked: frozenset[str]
    """The kinds that could be read. What is of such a kind, and not among the objects, did not exist."""
    template: str = ""
    """What identifies what its pods ran."""
    at: float = 0.0

    @property
    def document(self) -> str:
        return canonical({"objects": dict(self.objects), "looked": sorted(self.looked), "template": self.template})

    @classmethod
    def of(cls, document: str, at: float) -> KnownGood:
        found = json.loads(document)
        return cls(found["objects"], frozenset(found["looked"]), found["template"], at)
