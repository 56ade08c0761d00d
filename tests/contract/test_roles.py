"""The roles, run by ansible-playbook against folders of this machine: first in check mode, then for real, then once more."""

from __future__ import annotations

import getpass
import grp
import os
import secrets
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy.engine import make_url
from support.postgresql import Server
from support.roles import play, recap

pytestmark = [pytest.mark.contract, pytest.mark.slow]


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=dana", "-c", "user.email=dana@example.org"]
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True)


@pytest.fixture
def controller(tmp_path: Path) -> dict[str, Any]:
    """Variables of a controller in folders of its own, with the package that is installed here."""
    home = tmp_path / "repository"
    home.mkdir()
    (home / "policy.yml").write_text(f"profile: team\nstop: {{file: {tmp_path / 'stop' / 'EMERGENCY_STOP'}}}\n")
    component = {"apiVersion": "backstage.io/v1alpha1", "kind": "Component", "metadata": {"name": "checkout"}}
    (home / "catalogue.yml").write_text(yaml.safe_dump({**component, "spec": {"lifecycle": "staging"}}))
    git(home, "init", "-q", "-b", "main")
    git(home, "add", "-A")
    git(home, "commit", "-qm", "Begin")
    (tmp_path / "units").mkdir()
    return {
        "controller_home_repository": str(home),
        "controller_home": str(tmp_path / "home"),
        "controller_user": getpass.getuser(),
        "controller_become": False,
        "controller_virtualenv": sys.prefix,
        "controller_state": str(tmp_path / "state"),
        "controller_stop_folder": str(tmp_path / "stop"),
        "controller_environment_file": str(tmp_path / "environment"),
        "controller_units": str(tmp_path / "units"),
        "controller_timers": False,
    }


def test_a_controller_is_set_up_once_and_left_alone_afterwards(
    tmp_path: Path, controller: dict[str, Any], component: Callable[[str, str], Path]
) -> None:
    before = sorted(tmp_path.iterdir())
    checked = play(tmp_path, "controller", controller, "--check")
    assert checked.returncode == 0 and recap(checked)["changed"] > 0, checked.stdout
    assert {path.name for path in set(tmp_path.iterdir()) - set(before)} == {
        "controller.yml",
        "controller-inventory.yml",
        "account",
    }

    refused = play(tmp_path, "controller", controller)
    assert refused.returncode == 2 and "A lost ledger forgets attempts and stops" in refused.stdout, refused.stdout

    first = play(tmp_path, "controller", {**controller, "controller_upgrade_ledger": True})
    assert first.returncode == 0 and recap(first)["changed"] > 0, first.stdout
    again = play(tmp_path, "controller", controller)
    assert (again.returncode, recap(again)["changed"], recap(again)["failed"]) == (0, 0, 0), again.stdout

    settings = dict(line.split("=", 1) for line in (tmp_path / "environment").read_text().splitlines() if "=" in line)
    variables = yaml.safe_load((Path(__file__).parents[2] / "roles/controller/vars/main.yml").read_text())
    names = [command["name"] for command in variables["controller_commands"]]
    for unit in names:
        words = (tmp_path / "units" / f"{unit}.service").read_text().partition("ExecStart=")[2].splitlines()[0].split()
        done = subprocess.run(
            words, env={**settings, "HOME": str(tmp_path)}, text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "state" / "sre-responder" / "ledger.db").exists()
    analyze = component("systemd-analyze", "systemd")
    units = sorted(map(str, (tmp_path / "units").iterdir()))
    assert len(units) == 2 * len(names)
    verified = subprocess.run([analyze, "verify", "--man=no", *units], text=True, capture_output=True, check=False)
    ours = [line for line in (verified.stdout + verified.stderr).splitlines() if "responder-" in line]
    assert (verified.returncode, ours) == (0, []), verified.stderr


def test_on_postgresql_the_role_gets_what_it_needs_and_cannot_change_the_record(
    tmp_path: Path, controller: dict[str, Any], postgresql: Server, database: str
) -> None:
    role, name = f"app_{secrets.token_hex(6)}", str(make_url(database).database)
    postgresql.sql(f"CREATE ROLE {role} LOGIN")
    url = {
        "controller_ledger": postgresql.url(name, role),
        "controller_ledger_owner": database,
        "controller_ledger_role": role,
    }
    try:
        done = play(tmp_path, "controller", {**controller, **url, "controller_upgrade_ledger": True})
        assert done.returncode == 0, done.stdout
        again = play(tmp_path, "controller", {**controller, **url})
        assert (again.returncode, recap(again)["changed"]) == (0, 0), again.stdout
        with pytest.raises(subprocess.CalledProcessError):
            postgresql.sql(f"SET ROLE {role}; DELETE FROM audit", name)
    finally:
        postgresql.sql(f"DROP OWNED BY {role}; DROP ROLE {role}", name)


@pytest.fixture
def target(tmp_path: Path) -> dict[str, Any]:
    for name in ("app/releases/1", "not/yet", "service"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "app").chmod(0o755)
    return {
        "target_user": getpass.getuser(),
        "target_group": grp.getgrgid(os.getgid()).gr_name,
        "target_home": str(tmp_path / "service"),
        "target_public_keys": ["ssh-ed25519 AAAA responder@controller"],
        "target_release_roots": [str(tmp_path / "app")],
        "target_sudoers": str(tmp_path / "sudoers"),
    }


def test_a_target_is_prepared_once_and_left_alone_afterwards(tmp_path: Path, target: dict[str, Any]) -> None:
    checked = play(tmp_path, "target", target, "--check")
    assert checked.returncode == 0 and recap(checked)["changed"] > 0, checked.stdout
    assert stat.S_IMODE((tmp_path / "app").stat().st_mode) == 0o755 and not list((tmp_path / "service").iterdir())

    first = play(tmp_path, "target", target)
    assert first.returncode == 0 and recap(first)["changed"] > 0, first.stdout
    again = play(tmp_path, "target", target)
    assert (again.returncode, recap(again)["changed"], recap(again)["failed"]) == (0, 0, 0), again.stdout
    modes = {path: stat.S_IMODE((tmp_path / path).stat().st_mode) for path in ("app", "app/releases", "service/.ssh")}
    assert modes["app"] == 0o775 and not modes["app/releases"] & 0o020 and modes["service/.ssh"] == 0o700
    assert (tmp_path / "service/.ssh/authorized_keys").read_text() == "ssh-ed25519 AAAA responder@controller\n"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"target_commands": ["/usr/bin/systemctl restart *"]}, "is not an absolute path with plain arguments"),
        (
            {"target_commands": ["/bin/true\nALL ALL=(ALL) NOPASSWD: ALL"]},
            "is not an absolute path with plain arguments",
        ),
        ({"target_release_roots": ["{{ playbook_dir }}/not/yet"]}, "holds no folder releases/"),
    ],
)
def test_what_would_allow_more_than_it_says_is_refused(
    tmp_path: Path, target: dict[str, Any], wrong: dict[str, Any], words: str
) -> None:
    done = play(tmp_path, "target", {**target, "target_public_keys": [], **wrong})
    assert done.returncode == 2 and words in done.stdout, done.stdout
    assert not (tmp_path / "sudoers").exists()


def test_a_sudo_rule_allows_the_exact_commands(
    tmp_path: Path, target: dict[str, Any], component: Callable[[str, str], Path]
) -> None:
    component("visudo", "sudo")
    commands = {"target_commands": ["/usr/bin/systemctl restart web.service", "/usr/local/bin/reload"]}
    done = play(tmp_path, "target", {**target, "target_public_keys": [], **commands})
    assert done.returncode == 0, done.stdout
    who = getpass.getuser()
    assert (tmp_path / "sudoers").read_text().splitlines()[1:] == [
        f"{who} ALL=(root) NOPASSWD: /usr/bin/systemctl restart web.service",
        f'{who} ALL=(root) NOPASSWD: /usr/local/bin/reload ""',
    ]
    done = play(tmp_path, "target", {**target, "target_public_keys": [], "target_commands": []})
    assert done.returncode == 0 and not (tmp_path / "sudoers").exists(), done.stdout
