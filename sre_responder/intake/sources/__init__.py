"""Who sends alerts, one file each: it says whether a payload is its own, and reads it. A new source is a new file here.

A source module has `claims(payload, headers)` and `read(payload, headers)`; `claims` are written so that no two hold at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from sre_responder.errors import InputError
from sre_responder.intake.alert import BYTES_LIMIT, Webhook
from sre_responder.model.names import shown
from sre_responder.registry import modules

Reader = Callable[[Any], Webhook | None]
"""What reads a payload that no source claims, as a home describes it; None if it is not one either."""
SOURCES = modules(__name__, __path__)


def parse(text: str, headers: Mapping[str, str] | None = None, plain: Reader = lambda _: None) -> Webhook:
    """The alerts of a payload, whoever sent it; the names of `headers` are in lower case. InputError says what is wrong with the whole."""
    payload, headers = _json(text), headers or {}
    for module in SOURCES.values():
        if module.claims(payload, headers):
            found: Webhook = module.read(payload, headers)
            return found
    if found_here := plain(payload):
        return found_here
    raise InputError(
        f"this is not a payload of {', '.join(SOURCES)}.",
        cure="Send one of these, or describe yours in serve.mapping of policy.yml.",
    )


def _json(text: str) -> Any:
    if len(text.encode("utf-8", "replace")) > BYTES_LIMIT:
        raise InputError(
            f"the alert is larger than {BYTES_LIMIT >> 20} MiB.",
            cure="Set max_alerts in Alertmanager's webhook_configs, or shorten annotations.",
        )
    cure = "Send Alertmanager's webhook."
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"the alert is not JSON: line {error.lineno}, column {error.colno}: {error.msg}.", cure=cure
        ) from error
    except ValueError as error:  # a number of thousands of digits
        raise InputError(f"the alert is not JSON: {shown(error, 100)}.", cure=cure) from error
    except RecursionError as error:
        raise InputError("the alert is nested too deeply.", cure=cure) from error
