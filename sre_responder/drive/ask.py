"""One module that changes nothing, on one host of the home's inventory, and its answer."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ansible_runner

from sre_responder import literal
from sre_responder.drive.environment import inherited
from sre_responder.drive.environment import secrets as secrets_of
from sre_responder.drive.prepare import only, surroundings
from sre_responder.drive.words import brief, last_error
from sre_responder.errors import EffectFailed
from sre_responder.home import Home

TIMEOUT_SECONDS = 60
_CHECK = {"check_mode": True, "diff": True}


def ask(
    host: str,
    module: str,
    arguments: Mapping[str, Any],
    home: Home,
    *,
    check: bool = False,
    become: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What a module that only reads answers, or one in check mode; EffectFailed where the host gives no answer."""
    folder = Path(tempfile.mkdtemp(prefix="sre-ask-"))
    try:
        given = inherited(os.environ, home)
        environment = surroundings(folder, f"ask-{secrets.token_hex(6)}", home.inventory, given)
        answers: list[dict[str, Any]] = []

        def keep(event: dict[str, Any]) -> bool:
            if event["event"].startswith("runner_on_") and "res" in event.get("event_data", {}):
                answers.append({"ok": event["event"] == "runner_on_ok", **event["event_data"]["res"]})
            return True

        play = {
            "name": "Ask",
            "hosts": host,
            "gather_facts": False,
            "tasks": [{"name": "Ask", module: dict(arguments), **(become or {}), **(_CHECK if check else {})}],
        }
        playbook = folder / "ask.yml"
        playbook.write_text(literal.dump([play]), encoding="utf-8")
        with only(environment, folder):
            ansible_runner.run(
                private_data_dir=str(folder), playbook=str(playbook), ident="ask", quiet=True,
                event_handler=keep, timeout=TIMEOUT_SECONDS, settings={"suppress_ansible_output": True},
            )  # fmt: skip
        said = last_error(folder / "artifacts" / "ask" / "stdout", secrets_of(given, home.variables))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if len(answers) != 1 or not answers[0]["ok"]:
        said = (
            brief(str(answers[0].get("msg", "no reason given")), secrets_of(given, home.variables))
            if answers
            else said or "no answer"
        )
        raise EffectFailed(f"{host} cannot be asked: {said}.", cure="Check the inventory and the connection.")
    return answers[0]
