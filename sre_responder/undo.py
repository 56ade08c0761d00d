"""The undo capsule: a playbook that restores the before-state by hand, without Responder, durable before anything changes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from sre_responder import literal
from sre_responder.errors import LedgerUnavailable
from sre_responder.model.names import shown
from sre_responder.model.plan import Plan


def playbook(plan: Plan, host: str) -> str:
    """The undo of a plan as a plain playbook; where there is nothing to undo it says so."""
    note = plan.undo_note or ("There is nothing to undo." if not plan.undo else "Restores the state before the action.")
    title = f"Undo of {plan.action} on {shown(plan.target, 1000)} (plan {plan.digest})."
    head = f"# {title}\n# {shown(note, 1000)}\n# ansible-playbook THIS_FILE\n---\n"
    tasks = plan.undo or [{"name": "Change nothing", "ansible.builtin.debug": {"msg": "There is nothing to undo."}}]
    host = host if plan.undo else "localhost"
    place = {"connection": "local"} if host == "localhost" else {}
    play = {
        "name": f"Undo {plan.action} on {plan.service}",
        "hosts": host,
        **place,
        "gather_facts": False,
        "tasks": tasks,
    }
    return head + literal.dump([play])


def digest(text: str) -> str:
    """SHA-256 of a capsule, as the record of the act keeps it, so that nothing else is ever run as its undo."""
    return hashlib.sha256(text.encode()).hexdigest()


def write(folder: Path, plan: Plan, text: str) -> Path:
    """Write the capsule and make it durable: file and folder are synced. LedgerUnavailable where the disk does not take it."""
    path = folder / f"{plan.digest}.yml"
    draft = path.with_suffix(f".{os.getpid()}")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(draft, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise LedgerUnavailable(
            f"the undo playbook cannot be written into {folder}: {error.strerror}.",
            cure="Nothing was changed. Free or repair that disk.",
        ) from error
    return path
