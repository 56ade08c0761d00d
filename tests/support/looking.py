"""One sample of one look, as a criterion takes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sre_responder.evidence.looks import taken
from sre_responder.model.actions import KUBERNETES
from sre_responder.model.look import Look, Place, Sample


def sample(look: Look, arguments: Mapping[str, Any]) -> Sample:
    """Of the workload that an action with these options has for its target."""
    way = {KUBERNETES[option]: str(value) for option, value in arguments.items() if option in KUBERNETES}
    return taken("must", look, Place("checkout", "dev", way)).sample
