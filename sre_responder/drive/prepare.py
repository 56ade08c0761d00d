"""A fresh folder for one run: the runbook's copy, variables that are never templated, a small environment."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from sre_responder.drive.environment import writable_home
from sre_responder.errors import EffectFailed, InputError
from sre_responder.home.runbook import copy
from sre_responder.system.prove import MARK

SHADOWS = frozenset(
    [
        "collections",
        "library",
        "module_utils",
        "action_plugins",
        "callback_plugins",
        "connection_plugins",
        "filter_plugins",
        "inventory_plugins",
        "lookup_plugins",
        "strategy_plugins",
        "test_plugins",
        "vars_plugins",
        "cache_plugins",
        "become_plugins",
        "cliconf_plugins",
        "doc_fragments",
        "httpapi_plugins",
        "netconf_plugins",
        "shell_plugins",
        "terminal_plugins",
        "ansible.cfg",
    ]
)
"""Names beside a play that would take the place of what is installed, the guard included."""
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where programs are looked for if the caller has no PATH, or an empty one."""
_LOCALHOST = {
    "all": {
        "hosts": {
            "localhost": {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
        }
    }
}


_SETTINGS = """\
[defaults]
host_key_checking = true
localhost_warning = false
retry_files_enabled = false
[inventory]
inventory_unparsed_warning = false
"""


@dataclass(frozen=True)
class Prepared:
    """What one run needs; `id` is the word by which its processes are found."""

    id: str
    folder: Path
    environment: Mapping[str, str]
    arguments: str = ""


def prepare(  # noqa: PLR0913 - all that a run is made of
    run: str,
    runbook: Path,
    folder: Path,
    variables: Mapping[str, str | bool],
    inventory: Path | None,
    inherited: Mapping[str, str],
    *,
    check: bool = False,
) -> Prepared:
    """Copy the runbook into a new private folder and write everything that the run reads.

    Raises InputError where the runbook's folder holds what would shadow an installed plugin.
    """
    shadows = sorted(path.name for path in runbook.iterdir() if path.name in SHADOWS)
    if shadows:
        raise InputError(
            f"{runbook} holds {', '.join(shadows)}, which would shadow what is installed.",
            cure="Remove it from the folder.",
        )
    try:
        folder.mkdir(parents=True, mode=0o700)
        copy(runbook, folder / "project")
        (folder / "env").mkdir()
        # The tag stands on the whole document: on a single text Ansible would read "10" and "on" as a number and a yes.
        text = f"--- !unsafe\n{yaml.safe_dump(dict(variables), allow_unicode=False)}"
        (folder / "env" / "extravars").write_text(text, encoding="utf-8")
        environment = surroundings(folder, run, inventory, inherited)
    except FileExistsError:
        raise
    except OSError as error:
        raise EffectFailed(
            f"the folder of this run, {folder}, cannot be written: {error.strerror or error}.",
            cure="Nothing was changed. Free or repair that disk.",
        ) from error
    return Prepared(run, folder, environment, "--check --diff" if check else "")


@contextmanager
def only(environment: Mapping[str, str], folder: Path) -> Iterator[None]:
    """This process has no other environment in the block, which ansible-runner hands on as it finds it, and stands in `folder`:
    the one from which it was called may be gone."""
    variables, place = dict(os.environ), os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    try:
        yield
    finally:
        os.fchdir(place)
        os.close(place)
        os.environ.clear()
        os.environ.update(variables)


def surroundings(folder: Path, run: str, inventory: Path | None, inherited: Mapping[str, str]) -> dict[str, str]:
    """Write inventory and settings into a run's folder; gives the whole environment that Ansible gets, `inherited` and ours."""
    (folder / "inventory").mkdir()
    if inventory is None:
        (folder / "inventory" / "hosts.yml").write_text(yaml.safe_dump(_LOCALHOST), encoding="utf-8")
    elif inventory.is_dir():
        shutil.copytree(inventory, folder / "inventory", dirs_exist_ok=True)
    else:
        shutil.copy(inventory, folder / "inventory" / inventory.name)
    settings = folder / "ansible.cfg"
    settings.write_text(_SETTINGS, encoding="utf-8")
    home = folder / "ansible"
    return {
        **inherited,
        MARK: run,
        "HOME": writable_home(inherited.get("HOME"), folder),
        "PATH": f"{Path(sys.executable).parent}:{inherited.get('PATH') or SYSTEM_PATH}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "ANSIBLE_HOME": str(home),
        "ANSIBLE_LOCAL_TEMP": str(home / "tmp"),
        "ANSIBLE_CONFIG": str(settings),
    }
