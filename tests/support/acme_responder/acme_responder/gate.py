"""Gate: nothing that handles payments is rolled back."""

from __future__ import annotations

from sre_responder.guard.snapshot import Snapshot
from sre_responder.model.gate import Gate


def payments(s: Snapshot) -> Gate:
    if s.spec is None or not s.spec.rollback or s.request.service != "checkout":
        return Gate("payments", "passed", "no rollback of a service that handles payments")
    return Gate("payments", "failed", f"{s.request.service} handles payments", clears_by="the payments team")
