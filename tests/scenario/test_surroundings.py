"""A driven run in the surroundings of cron, of a foreign locale, of a proxy, and with an inventory that is encrypted or wrong."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import bypass.world
import pytest
import yaml
from bypass.world import DRIVEN, Play, World

PROXY = "http://127.0.0.1:1"
SURROUNDINGS: dict[str, dict[str, str]] = {
    "nothing but the home, as cron and env -i": {},
    "a locale that is not installed": {"LANG": "xx_YY.UTF-8", "LC_ALL": "de_DE.ISO-8859-1", "LC_CTYPE": "POSIX"},
    "a home that does not exist, and proxies": {"HOME": "/proc/nope", "http_proxy": PROXY, "HTTPS_PROXY": PROXY, "ALL_PROXY": PROXY},
    "an empty PATH and code": {"PATH": "", "PYTHONSTARTUP": "/nowhere", "LD_LIBRARY_PATH": "/nowhere", "ANSIBLE_LIBRARY": "/nowhere"},
}  # fmt: skip


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with bypass.world.world(tmp_path, forked=True) as here:
        here.heals("1")
        yield here


def on_host(play: Play) -> None:
    """On a host of the inventory, which is asked first."""
    play["hosts"] = "web"
    del play["connection"], play["vars"]["ansible_python_interpreter"]
    play["tasks"].insert(1, {"name": "Ping", "ansible.builtin.ping": {}})


def inventory(world: World, **variables: object) -> Path:
    local = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    path = world.home.folder / "inventory.yml"
    path.write_text(yaml.safe_dump({"web": {"hosts": {"east": {**local, **variables}}}}, width=1000))
    return path


@pytest.mark.parametrize("case", SURROUNDINGS)
def test_a_run_acts_and_heals_whatever_surrounds_its_caller(world: World, case: str) -> None:
    needed = {name: world.environ[name] for name in ("RESPONDER_HOME", "RESPONDER_LEDGER")}
    done = subprocess.run(
        [str(Path(sys.executable).parent / "responder"), *DRIVEN], env={**needed, **SURROUNDINGS[case]}, cwd=world.root,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, world.release, world.started()) == (0, "1", 1), done.stdout + done.stderr


def test_a_vaulted_inventory_needs_its_password_and_the_error_names_file_and_line(world: World) -> None:
    password, program = world.root / "password", Path(sys.executable).parent / "ansible-vault"
    password.write_text("open")
    command = [str(program), "encrypt_string", "--vault-password-file", str(password), "sesame"]
    secret = subprocess.run(command, env=world.environ, capture_output=True, text=True, check=True).stdout
    path = inventory(world, ansible_become_password="SECRET")
    path.write_text(path.read_text().replace("SECRET", secret.replace("\n", "\n" + " " * 10).rstrip()))
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "$ANSIBLE_VAULT" in text)
    world.write(on_host)

    without = world.drive()
    assert (without.returncode, world.release) == (1, "2"), without.stdout + without.stderr
    assert f"{path}:{line} is encrypted" in without.stdout and "vault_password_file" in without.stdout
    doctor = world.responder("doctor")
    assert f"{path}:{line}" in doctor.stdout.replace("\n", "")
    (failed,) = world.entries("run.failed")
    assert f"{path}:{line} is encrypted" in failed.summary

    done = world.drive(ANSIBLE_VAULT_IDENTITY_LIST="web@password")  # as the caller names it, from its own folder
    assert (done.returncode, world.release, world.started()) == (0, "1", 1), done.stdout + done.stderr


def test_why_ansible_ended_a_run_is_on_the_screen_and_on_the_record(world: World) -> None:
    inventory(world, ansible_connection="nowhere", ansible_password="hunter22")
    world.write(on_host)
    done = world.drive()
    assert (done.returncode, world.release, world.started()) == (1, "2", 0)
    (failed,) = world.entries("run.failed")
    for said in (done.stdout, failed.summary):
        assert "connection plugin 'nowhere' was not found" in said and "hunter22" not in said
    plan = world.responder("plan", *DRIVEN[1:])
    assert (plan.returncode, "connection plugin 'nowhere' was not found" in plan.stderr) == (1, True)


def test_an_inventory_that_cannot_be_read_is_why_no_step_ran(world: World) -> None:
    inventory(world).write_text("web:\n  hosts:\n    east: {ansible_password: hunter22\n")
    world.write(on_host)
    done = world.drive()
    assert (done.returncode, world.release) == (1, "2")
    assert "YAML parsing failed" in done.stdout and "hunter22" not in done.stdout


def test_the_lab_works_under_a_proxy_without_a_home() -> None:
    responder, folder = str(Path(sys.executable).parent / "responder"), tempfile.mkdtemp(prefix="lab-")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [responder, "lab", *words, "--folder", folder], env={"http_proxy": PROXY, "HOME": "/proc/nope"}, cwd="/",
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    up = run("up")
    assert (up.returncode, run("down").returncode) == (0, 0), up.stderr
