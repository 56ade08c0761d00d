"""The receiver's interface as OpenAPI 3.1."""

from __future__ import annotations

from typing import Any, get_args

from sre_responder import __version__
from sre_responder.intake.sources import SOURCES
from sre_responder.intake.verdict import Outcome

_SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"signature": []}, {"certificate": []}]
_COUNT = {"type": "integer", "minimum": 0}
_ERROR = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}


def document() -> dict[str, Any]:
    """The document that `/openapi.json` answers."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Responder's alert receiver", "version": __version__},
        "paths": {
            "/alerts": {"post": _receive()},
            "/healthz": {"get": _health()},
            "/metrics": {"get": _metrics()},
            "/openapi.json": {"get": {"summary": "This document", "responses": {"200": _json("OpenAPI 3.1", {"type": "object"})}}},
        },
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "signature": {
                    "type": "apiKey", "in": "header", "name": "X-Responder-Signature",
                    "description": "HMAC-SHA-256 of the body in hexadecimal; the name of the header is the credential's.",
                },
                "certificate": {"type": "mutualTLS"},
            }
        },
    }  # fmt: skip


def _receive() -> dict[str, Any]:
    receipt = {
        "type": "object",
        "required": ["received", "repeated", "incidents"],
        "properties": {
            "received": _COUNT,
            "repeated": _COUNT,
            **{outcome: _COUNT for outcome in get_args(Outcome)},
            "incidents": {"type": "array", "items": {"type": "string", "pattern": "^INC-[0-9]{4,8}$"}},
        },
    }
    refusals = {
        "400": "It is not JSON in UTF-8, or holds no alerts in any known form. Never send it again.",
        "401": "No valid credential.",
        "413": "The payload is larger than serve.body_mib.",
        "415": "The payload is compressed.",
        "503": "It cannot be committed now. Send it again after Retry-After seconds.",
    }
    return {
        "summary": f"Receive alerts of {', '.join(SOURCES)}, or other JSON by serve.mapping",
        "description": "Every path takes alerts; this one is for documents.",
        "security": _SECURITY,
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": ["object", "array"]}}}},
        "responses": {
            "200": _json("Committed to the ledger, each alert with what became of it.", receipt),
            **{status: _json(text, _ERROR) for status, text in refusals.items()},
        },
    }


def _health() -> dict[str, Any]:
    state = {"type": "object", "properties": {"ok": {"type": "boolean"}, "problem": {"type": ["string", "null"]}}}
    return {
        "summary": "Whether an alert could be committed now",
        "responses": {"200": _json("It could.", state), "503": _json("It could not, and why.", state)},
    }


def _metrics() -> dict[str, Any]:
    text = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "summary": "What the ledger knows, for Prometheus; responder_up is 0 if it cannot be read",
        "security": _SECURITY,
        "responses": {
            "200": {"description": "Metrics in Prometheus' text format.", "content": text},
            "401": _json("No valid credential.", _ERROR),
        },
    }


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
