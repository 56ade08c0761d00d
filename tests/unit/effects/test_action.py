"""What an effect's file says of its action is what the guard knows of it."""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys
from importlib import import_module

import pytest

import sre_responder.effects
from sre_responder.effects import EFFECTS, PROBES
from sre_responder.effects.action import described
from sre_responder.effects.effect import Effect, HostProbe
from sre_responder.model.actions import ACTIONS

MODULES = [found.name for found in pkgutil.walk_packages(sre_responder.effects.__path__, "sre_responder.effects.")]


def test_the_allowlist_is_what_the_files_of_effects_declare() -> None:
    declared = {
        value.action.name: value.action.spec(f"{module}:{name}")
        for module in MODULES
        for name, value in vars(import_module(module)).items()
        if isinstance(value, Effect | HostProbe)
    }
    assert declared == dict(ACTIONS), "run scripts/generate"


@pytest.mark.parametrize("name", ACTIONS)
def test_every_example_is_one_that_its_options_take(name: str) -> None:
    action = ({**PROBES} | {**EFFECTS})[name].action
    for _, options in action.examples:
        filled = {name: "filled" for name, option in described(action.options).items() if option.annotation}
        action.options.model_validate({**{k: v for k, v in filled.items() if k in ACTIONS[name].needs}, **options})


def test_the_names_of_all_actions_are_known_without_loading_one() -> None:
    code = """
import sys
from sre_responder.effects import EFFECTS, PROBES
assert "haproxy_drain" in EFFECTS and "release_rollback" in PROBES and len([*EFFECTS]) > 5
EFFECTS["haproxy_drain"]
loaded = [name for name in sys.modules if name.startswith("sre_responder.effects.kubernetes")]
print(loaded, [name for name in ("kubernetes", "boto3", "psycopg", "redis") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ}, check=False)
    assert (done.stdout, done.stderr) == ("[] []\n", "")
