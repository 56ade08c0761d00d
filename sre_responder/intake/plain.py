"""JSON of no known kind, read by the JMESPath that the policy gives for it."""

from __future__ import annotations

from typing import Any

import jmespath

from sre_responder.home.serving import PlainJson
from sre_responder.intake.alert import Webhook, webhook

_CURE = "Correct serve.mapping in policy.yml, or what is sent."


def read(mapping: PlainJson | None, payload: Any) -> Webhook | None:
    """The alerts of a payload; None if this home describes none, or the payload holds none."""
    if mapping is None:
        return None
    found = _search(mapping.alerts, payload)
    given = found if isinstance(found, list) else [found]
    if found in (None, []):
        return None
    return webhook("mapping", [_alert(mapping, one) for one in given], cure=_CURE)


def _alert(mapping: PlainJson, given: Any) -> dict[str, Any]:
    def texts(expressions: dict[str, str]) -> dict[str, str]:
        found = {name: _search(expression, given) for name, expression in expressions.items()}
        return {
            name: value if isinstance(value, str) else str(value) for name, value in found.items() if value is not None
        }

    return {
        "status": "resolved" if _search(mapping.resolved, given) is True else "firing",
        "labels": texts(dict(mapping.labels)),
        "annotations": texts(dict(mapping.annotations)),
        "startsAt": mapping.starts_at and _search(mapping.starts_at, given),
        "endsAt": mapping.ends_at and _search(mapping.ends_at, given),
    }


def _search(expression: str, given: Any) -> Any:
    """What it finds; None where it breaks on this payload."""
    try:
        return jmespath.search(expression, given)
    except jmespath.exceptions.JMESPathError:
        return None
