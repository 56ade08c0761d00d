"""The collection alone, as `ansible-galaxy collection install` brings it: whatever needs the library says in one sentence how to get it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sre_responder import __version__

SENTENCE = (
    "sre.responder needs its Python library, which is not installed here: "
    f"{sys.executable} -m pip install sre-responder=={__version__}"
)
BLOCKED = "import sys; sys.modules['sre_responder'] = None\n"
EACH = """
import json
from ansible.errors import AnsibleError
from ansible.plugins.loader import action_loader, init_plugin_loader, lookup_loader
init_plugin_loader()
said = {}
for loader, names in ((action_loader, sys.argv[1].split()), (lookup_loader, sys.argv[2].split())):
    for name in names:
        try:
            loader.get(f"sre.responder.{name}", class_only=True)
        except AnsibleError as error:
            said[name] = str(error)
print(json.dumps(said))
"""
PLAY = BLOCKED + "from ansible.cli.playbook import main; main(['ansible-playbook', *sys.argv[1:]])"


def without_library(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)


def test_every_plugin_says_how_to_install_the_library() -> None:
    plugins = Path(__file__).parents[2] / "plugins"
    actions, lookups = ([file.stem for file in (plugins / kind).glob("*.py")] for kind in ("action", "lookup"))
    done = without_library(BLOCKED + EACH, " ".join(actions), " ".join(lookups))
    assert json.loads(done.stdout) == dict.fromkeys([*actions, *lookups], SENTENCE), done.stderr


@pytest.mark.parametrize(
    "task",
    [
        "sre.responder.diagnose: {service: checkout, environment: dev}",
        "sre.responder.haproxy_drain: {incident: INC-1234, service: checkout, environment: dev}",
        "sre.responder.kubernetes_evict: {incident: INC-1234, service: checkout, environment: dev}",
        "ansible.builtin.debug: {msg: \"{{ lookup('sre.responder.runbook', 'service-errors') }}\"}",
    ],
)
def test_a_play_ends_with_that_sentence_and_no_traceback(tmp_path: Path, task: str) -> None:
    (tmp_path / "play.yml").write_text(f"- hosts: localhost\n  gather_facts: false\n  tasks:\n    - {task}\n")
    done = without_library(PLAY, str(tmp_path / "play.yml"))
    told = done.stdout + done.stderr
    assert done.returncode != 0 and SENTENCE in told and "Traceback" not in told, told
