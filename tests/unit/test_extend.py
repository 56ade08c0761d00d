"""What docs/extend.md tells is enough: its examples, done in a copy of the repository, work."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/extend.md").read_text(encoding="utf-8")


def block(heading: str, number: int = 0) -> str:
    """One block of code below a heading, or below the sentence that ends with these words."""
    return re.findall(r"```python\n(.*?)```", PAGE[PAGE.index(heading) :], re.DOTALL)[number]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The repository, where nothing else is installed from."""
    litter = shutil.ignore_patterns(".git", ".venv*", "__pycache__", ".*_cache", ".hypothesis")
    shutil.copytree(ROOT, tmp_path / "copy", symlinks=True, ignore=litter)
    return tmp_path / "copy"


def python(copy: Path, *words: str) -> str:
    surroundings = {**os.environ, "PYTHONPATH": f"{copy}:{copy / '.dev'}", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=copy, env=surroundings, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, old
    path.write_text(text.replace(old, new), encoding="utf-8")


formats = pytest.mark.skipif(
    importlib.util.find_spec("ruff") is None and "RESPONDER_TEST_ALL" not in os.environ,
    reason="ruff is missing, which formats what is generated: pip install -e '.[lint]'",
)


@formats
def test_an_action_is_one_file(copy: Path) -> None:
    (copy / "sre_responder/effects/flag_file.py").write_text(block("`sre_responder/effects/flag_file.py`"))
    written = python(copy, "scripts/generated.py").split()
    told = re.search(r"\$ scripts/generate\n(.*?)\$", PAGE, re.DOTALL)
    assert told
    assert written == told[1].split()
    (copy / "flag").write_text("on\n")
    code = """
from ansible_collections.sre.responder.plugins.modules import flag_file_off
from sre_responder.effects import EFFECTS
from sre_responder.model.actions import ACTIONS
assert flag_file_off.ARGUMENT_SPEC["path"] == {"type": "path"}, flag_file_off.ARGUMENT_SPEC
assert (ACTIONS["flag_file_off"].rung, ACTIONS["flag_file_off"].needs) == (1, ("path",))
effect = EFFECTS["flag_file_off"]
change = effect.plan({"path": "flag"})
print(effect.act({"path": "flag"}, change), open("flag").read().strip())
"""
    assert python(copy, "-c", code) == "{'value': 'off'} off\n"
    tests = "tests/unit/plugins/test_module_docs.py", "tests/unit/effects/test_action.py"
    python(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, "-k", "flag_file or allowlist")


def test_a_gate_is_one_file_and_its_limit_one_line(copy: Path) -> None:
    (copy / "sre_responder/guard/gates/ceiling.py").write_text(block("### The gate:"))
    policy, tests = copy / "sre_responder/home/policy.py", copy / "tests/unit/guard/test_gates.py"
    edit(policy, "\n\ndef strictest(", f"{block('### Its limit:')}\n\ndef strictest(")
    edit(tests, "\nCASES: ", f"\n{block('### Its tests: `tests/unit/guard')}\n\nCASES: ")
    edit(tests, '    "a free target": (', f'{block("### Its tests: `tests/unit/guard", 1)}    "a free target": (')
    python(
        copy,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/unit/guard/test_gates.py",
        "-k",
        "ceiling or every_gate",
    )


def test_a_channel_is_one_file(copy: Path) -> None:
    (copy / "sre_responder/notify/channels/journal.py").write_text(block("`sre_responder/notify/channels/journal.py`"))
    code = """
import socket
from sre_responder.home.policy import Policy
from sre_responder.notify.message import Message
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
    journal.bind("journal.socket")
    [channel] = Policy.model_validate({"notifications": [{"kind": "journal", "path": "journal.socket"}]}).notifications
    fields = {name: "" for name in Message.model_fields}
    print(channel.send(Message.model_construct(**{**fields, "summary": "checkout is healed", "incident": "INC-1"})))
    print(journal.recv(4096).decode())
"""
    said = python(copy, "-c", code)
    assert "written to the journal" in said
    assert "MESSAGE=checkout is healed" in said


@formats
def test_a_source_of_evidence_is_one_file(copy: Path) -> None:
    place = "sre_responder/evidence/sources/disk.py"
    (copy / place).write_text(block(f"`{place}`"))
    code = """
from sre_responder.evidence.looks import taken
from sre_responder.model.criterion import Criterion
from sre_responder.model.look import Place
for path, above in (("/", 0), ("/", 1), ("/nowhere", 0)):
    [look] = Criterion.model_validate({"source": "disk", "path": path, "above": above}).must
    print(taken("must", look, Place("checkout", "production")).sample.ok)
"""
    assert python(copy, "-c", code).split() == ["True", "False", "None"]
    assert python(copy, "scripts/generated.py").split() == ["docs/sources.md"]
    tests = "tests/unit/evidence/test_sources.py"
    python(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests, "-k", "every_source")


def test_the_distribution_that_it_shows_is_the_one_that_the_tests_install() -> None:
    acme = ROOT / "tests/support/acme_responder"
    assert f"```toml\n{(acme / 'pyproject.toml').read_text()}```" in PAGE
    assert block("`acme_responder/gate.py`") == (acme / "acme_responder/gate.py").read_text()
