"""Ways round the guard by what surrounds a task: blocks, roles, inventories, facts, settings, plugins. Each asserts by the disk."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from bypass.world import World, plain_play

from sre_responder.home import runbook
from sre_responder.lint import findings

MODULE = "sre.responder.release_rollback"
CHECKOUT = Path(__file__).parents[2]
Change = Callable[[dict[str, Any]], None]
HARMLESS = {"ansible.builtin.debug": {"msg": "x"}}


def on_task(**keywords: Any) -> Change:
    return lambda play: play["tasks"][1].update(keywords)


def on_play(**keywords: Any) -> Change:
    return lambda play: play.update(keywords)


def in_block(**keywords: Any) -> Change:
    return lambda play: play["tasks"].append({"block": [play["tasks"].pop()], **keywords})


def in_blocks(**keywords: Any) -> Change:
    return lambda play: play["tasks"].append({"block": [{"block": [play["tasks"].pop()]}], **keywords})


def instead(**task: Any) -> Change:
    """Another task stands in the runbook; the rollback is in a file beside it, and in a role."""
    return lambda play: play["tasks"].__setitem__(1, task)


def spelled(key: str, **keywords: Any) -> Change:
    """The same module and arguments under another spelling."""

    def change(play: dict[str, Any]) -> None:
        arguments = play["tasks"][1].pop(MODULE)
        written = {"module": MODULE, **arguments} if key in ("action", "local_action") else arguments
        play["tasks"][1].update({key: written})
        play.update(keywords)

    return change


def with_text(text: str) -> Change:
    """`action: module argument='value'` as one text, or the arguments under `args`."""

    def change(play: dict[str, Any]) -> None:
        task = play["tasks"][1]
        task["args" if text == "args" else "action"] = (
            task[MODULE] if text == "args" else f"{MODULE} " + " ".join(f"{k}='{v}'" for k, v in task[MODULE].items())
        )
        task.pop(MODULE)
        if text == "args":
            task[MODULE] = None

    return change


REFUSED: dict[str, tuple[Change, str]] = {
    "ignore_errors as a template on the task": (on_task(ignore_errors="{{ true }}"), "ignore_errors"),
    "ignore_errors as a template on a block": (in_block(ignore_errors="{{ true }}"), "ignore_errors"),
    "ignore_errors as a template on the play": (on_play(ignore_errors="{{ true }}"), "ignore_errors"),
    "failed_when as a template of nothing": (on_task(failed_when="{{ [] }}"), "failed_when"),
    "rescue around an outer block": (in_blocks(rescue=[HARMLESS]), "rescue"),
    "delegate_to on a block": (in_block(delegate_to="localhost"), "delegate_to"),
    "run_once on a block": (in_block(run_once="{{ true }}"), "run_once"),
    "run_once on the play": (on_play(run_once=True), "run_once"),
    "local_action": (spelled("local_action"), "delegate_to"),
    "a short name": (spelled("release_rollback", collections=["sre.responder"]), "not a declared step"),
    "the guard by its own name": (spelled("sre.responder.guarded"), "allowlist"),
    "include_role": (instead(**{"ansible.builtin.include_role": {"name": "x"}}), "not part of a registered runbook"),
    "a role of the play": (on_play(roles=["x"], tasks=[]), "not part of a registered runbook"),
    "import_tasks with ignore_errors": (
        instead(**{"ansible.builtin.import_tasks": "extra.yml"}, ignore_errors=True), "ignore_errors"
    ),
    "include_tasks in a loop": (
        instead(**{"ansible.builtin.include_tasks": "extra.yml"}, loop=[1, 2]), "not part of a registered runbook"
    ),
    "options of the module that only the guard may set": (
        lambda play: play["tasks"][1][MODULE].update(_plan="x", _expect={"release": "2"}), "no option _expect, _plan"
    ),
}  # fmt: skip


def declare(world: World, change: Change) -> None:
    """Write and register the runbook, with its rollback in a file and in a role beside it too."""
    rollback = yaml.safe_dump([plain_play()["tasks"][1]])
    (world.book / "roles" / "x" / "tasks").mkdir(parents=True)
    for path in (world.book / "extra.yml", world.book / "roles" / "x" / "tasks" / "main.yml"):
        path.write_text(rollback)
    world.write(change)


@pytest.mark.parametrize("way", REFUSED)
def test_what_surrounds_the_step_does_not_weaken_its_guard(world: World, way: str) -> None:
    change, cause = REFUSED[way]
    declare(world, change)
    done = world.play()
    assert (world.release, world.started()) == ("2", 0), done.stdout
    assert cause in world.refusals(), done.stdout + done.stderr


ALLOWED: dict[str, Change] = {
    "serial": on_play(serial=1),
    "throttle": on_task(throttle=1),
    "any_errors_fatal": on_play(any_errors_fatal=True),
    "failed_when of nothing": on_task(failed_when=[]),
    "a debugger": on_task(debugger="on_failed"),
    "action as a mapping": spelled("action"),
    "action as a text": with_text("action"),
    "arguments under args": with_text("args"),
    "connection ssh on the play": on_play(connection="ssh"),
    "a proxy and a language": on_task(environment={"https_proxy": "http://127.0.0.1:9", "LC_ALL": "C"}),
    "order, diff and timeout": on_play(order="reverse_inventory", diff=True, timeout=60),
}


@pytest.mark.parametrize("way", ALLOWED)
def test_a_keyword_that_weakens_nothing_lets_the_step_act_once_under_its_guard(world: World, way: str) -> None:
    declare(world, ALLOWED[way])
    done = world.play()
    assert done.returncode == 0, done.stdout + done.stderr
    assert (world.release, world.started()) == ("1", 1)


@pytest.mark.parametrize("result", ["9", "../../etc", "1; reboot"])
def test_a_result_of_an_earlier_step_is_only_an_argument(world: World, result: str) -> None:
    def change(play: dict[str, Any]) -> None:
        play["tasks"].insert(1, {"ansible.builtin.set_fact": {"earlier": result}, "register": "earlier_result"})
        play["tasks"][2][MODULE]["to"] = "{{ earlier_result.ansible_facts.earlier }}"

    world.write(change)
    world.play()
    assert (world.release, world.started()) == ("2", 0)
    assert "is not in" in world.refusals()


def test_a_debugger_that_corrects_a_refused_step_and_runs_it_again_is_refused(world: World) -> None:
    def change(play: dict[str, Any]) -> None:
        play["tasks"][1]["debugger"] = "on_failed"
        play["tasks"][1][MODULE]["to"] = "9"

    world.write(change)
    typed = """printf "task.args['to'] = '1'\\nredo\\nredo\\ncontinue\\n" | "$@" """
    done = world.play(through=("sh", "-c", typed, "sh"))
    assert (world.release, world.started()) == ("2", 0), done.stdout
    assert "this run was halted" in world.refusals(), done.stdout


def inventory(world: World, hosts: dict[str, Any], **files: dict[str, Any]) -> tuple[str, str]:
    """An inventory, with variables in files beside it; the arguments that name it."""
    folder = world.root / "inventory"
    folder.mkdir()
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
    for name, variables in files.items():
        path = folder / name / ("localhost.yml" if name == "host_vars" else "all.yml")
        path.parent.mkdir()
        path.write_text(yaml.safe_dump(variables))
    return "-i", str(folder)


LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}


def test_variables_of_hosts_and_groups_choose_no_policy(world: World, tmp_path: Path) -> None:
    names = ("responder_home", "RESPONDER_HOME", "policy", "profile", "stop_file", "gates", "runbook")
    other = tmp_path / "other"
    other.mkdir()
    (other / "policy.yml").write_text("profile: homelab\n")
    (world.root / "stop" / "EMERGENCY_STOP").write_text("hold")
    poisoned = dict.fromkeys(names, str(other))
    world.write(on_play(vars_files=["vars.yml"]))
    (world.book / "vars.yml").write_text(yaml.safe_dump(poisoned))
    world.play(*inventory(world, {"localhost": {**LOCAL, **poisoned}}, host_vars=poisoned, group_vars=poisoned))
    assert (world.release, world.started()) == ("2", 0)
    assert "emergency stop" in world.refusals()


def test_facts_and_variables_named_like_those_of_ansible_deceive_nobody(world: World) -> None:
    """Facts poisoned on the host, facts that are set and kept, and extra variables: hosts and criterion stay the real ones."""
    facts = world.root / "facts"
    facts.mkdir()
    (facts / "poison.fact").write_text('{"ansible_play_hosts": [], "ansible_check_mode": true}')
    names = {"ansible_play_hosts": ["a", "b"], "ansible_check_mode": True}
    criterion = {"id": "roll-back", "failure_class": "other", "success": {"expect": "`true`"}}

    def change(play: dict[str, Any]) -> None:
        play.update(gather_facts=True, fact_path=str(facts))
        play["tasks"].insert(0, {"ansible.builtin.set_fact": {**names, "cacheable": True}})

    world.write(change)
    done = world.play("-e", json.dumps({**names, "runbook": criterion}))
    assert (done.returncode, world.release, world.started()) == (0, "1", 1), done.stdout
    assert [entry.data["outcome"] for entry in world.entries("action.ended")] == ["not_improved"]


def test_the_record_names_no_host_that_is_not_there(world: World) -> None:
    """Ansible lets a variable say which host this is; undo and settle would ask that one."""
    world.play("-e", "inventory_hostname=elsewhere")
    assert {entry.data["host"] for entry in world.entries("action.started")} <= {"localhost"}
    assert world.release == ("1" if world.started() else "2")


def test_a_run_whose_refused_host_is_cleared_of_its_error_stays_halted(world: World) -> None:
    def change(play: dict[str, Any]) -> None:
        look, honest = play["tasks"]
        refused = {**honest, "name": "first", "retries": 1, "until": True, "when": "inventory_hostname == 'a'"}
        play.update(hosts="all", tasks=[look, refused, {"ansible.builtin.meta": "clear_host_errors"}, honest])

    world.write(change)
    done = world.play(*inventory(world, {"a": LOCAL, "b": LOCAL}))
    assert (world.release, world.started()) == ("2", 0), done.stdout
    assert "this run was halted" in world.refusals()


def test_facts_of_another_host_are_only_arguments(world: World) -> None:
    other = {"web9": {"release": "9", "root": str(world.root)}}
    world.write(lambda play: play["tasks"][1][MODULE].update(to="{{ hostvars['web9'].release }}"))
    world.play(*inventory(world, {"localhost": LOCAL, **other}))
    assert (world.release, world.started()) == ("2", 0)
    assert "release '9' is not in" in world.refusals()


@pytest.mark.parametrize("arguments", [(), ("-e", "ansible_connection=local")])
def test_whatever_a_host_is_called_the_target_names_the_machine_that_is_changed(
    world: World, arguments: tuple[str, ...]
) -> None:
    """The inventory says a far machine; the connection goes to this one."""
    connection = {} if arguments else {"ansible_connection": "local"}
    far = {"web1": {**LOCAL, **connection, "ansible_host": "192.0.2.1"}}

    def change(play: dict[str, Any]) -> None:
        play["hosts"] = "web1"
        play.pop("connection")

    world.write(change)
    world.play(*inventory(world, far), *arguments)
    assert (world.release, world.started()) == ("1", 1)
    started = world.entries("action.started")[0].data
    assert (started["host"], started["target"]) == ("web1", f"{socket.gethostname()}:release:{world.root}/app")


def test_one_machine_under_two_names_is_changed_once_and_the_second_is_refused(world: World) -> None:
    world.write(on_play(hosts="all"))
    done = world.play(*inventory(world, {"a": LOCAL, "b": LOCAL}))
    assert (world.release, world.started()) == ("1", 1)
    assert "two names of one target" in world.refusals(), done.stdout


@pytest.mark.parametrize(
    "task",
    [{"become": True, "become_exe": "/nowhere/sudo", "become_user": "nobody"}, {"port": 1}],
    ids=["become fails", "unreachable"],
)
def test_a_host_that_cannot_be_planned_on_is_left_alone_and_that_is_on_the_record(
    world: World, task: dict[str, Any]
) -> None:
    world.write(on_task(**task))
    reached = "local" if "become" in task else "ssh"
    done = world.play(*inventory(world, {"localhost": {**LOCAL, "ansible_host": "127.0.0.1"}}), "-e", f"ansible_connection={reached}")  # fmt: skip
    assert done.returncode != 0
    assert (world.release, world.started()) == ("2", 0)
    assert "release_rollback refused: inputs" in world.refusals(), done.stdout


def test_code_that_an_environment_brings_into_planning_changes_nothing(world: World) -> None:
    """Python runs `sitecustomize` from PYTHONPATH before the module's first line."""
    code, link = world.root / "code", world.root / "app" / "current"
    code.mkdir()
    (code / "sitecustomize.py").write_text(
        f"import os\nos.unlink({str(link)!r})\nos.symlink('releases/1', {str(link)!r})\n"
    )
    world.write(on_task(environment={"PYTHONPATH": str(code)}))
    done = world.play()
    assert (world.release, world.started()) == ("2", 0), done.stdout
    assert "environment" in world.refusals()


CHOOSING = [
    ("HOME", "task"), ("PATH", "block"), ("XDG_CONFIG_HOME", "play"), ("GCONV_PATH", "template"), ("pythonhome", "task"),
    ("SOME_TOOL", "block"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "where"), CHOOSING)
def test_only_variables_that_choose_no_code_reach_a_guarded_task(world: World, name: str, where: str) -> None:
    """A template is judged by what it becomes."""
    given = (
        {"environment": "{{ given }}", "vars": {"given": {name: "x"}}}
        if where == "template"
        else {"environment": {name: "x"}}
    )
    declare(world, {"block": in_block, "play": on_play}.get(where, on_task)(**given))
    assert world.play().returncode != 0
    assert (world.release, world.started()) == ("2", 0)
    assert f"environment {name}: it could choose what code runs" in world.refusals()


def test_code_in_the_users_own_folder_of_a_host_is_not_run(world: World) -> None:
    """Python runs `usercustomize` from there before the first line of a module."""
    ran = world.root / "ran"
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    packages = world.root / ".local" / "lib" / version / "site-packages"
    packages.mkdir(parents=True)
    (packages / "usercustomize.py").write_text(f"open({str(ran)!r}, 'w').close()\n")
    python = world.root / "python"
    outside = Path(sys.executable).resolve()  # that of a virtual environment reads no such folder
    python.write_text(f'#!/bin/sh\n[ "${{PYTHONPATH-unset}}" ] || exec {outside} "$@"\n')
    python.chmod(0o755)
    world.write(lambda play: play["vars"].update(ansible_python_interpreter=str(python)))
    assert world.play().returncode == 0
    assert (world.release, world.started()) == ("1", 1)
    assert not ran.exists()


def test_a_play_whose_file_is_put_back_while_it_runs_is_not_the_registered_one(world: World) -> None:
    """What was loaded takes another history; the registered text is back on the disk when the guard looks."""
    registered, history = world.root / "registered.yml", world.root / "history"
    shutil.copy(world.book / "runbook.yml", registered)
    history.write_text("2026-01-01T00:00:00Z 1\n2026-01-02T00:00:00Z 2\n")

    def change(play: dict[str, Any]) -> None:
        play["module_defaults"] = {MODULE: {"history": str(history)}}
        put_back = {"src": str(registered), "dest": str(world.book / "runbook.yml")}
        play["tasks"].insert(0, {"ansible.builtin.copy": put_back})

    world.write(change, register=False)
    done = world.play()
    assert (world.release, world.started()) == ("2", 0), done.stdout
    assert "runbook" in world.refusals()


def test_a_secret_from_the_vault_does_not_make_another_play_of_it(world: World) -> None:
    password, program = world.root / "password", Path(sys.executable).parent / "ansible-vault"
    password.write_text("open")
    command = [str(program), "encrypt_string", "--vault-password-file", str(password), "--name", "secret", "a word"]
    secret = subprocess.run(command, env=world.environ, capture_output=True, text=True, check=True).stdout
    path = world.write()
    path.write_text(path.read_text().replace("  vars:\n", "  vars:\n" + textwrap.indent(secret, "    ")))
    runbook.register(world.home.folder, [world.book])
    done = world.play("--vault-password-file", str(password))
    assert (world.release, world.started()) == ("1", 1), done.stdout


def test_a_playbook_that_imports_the_runbook_adds_nothing_to_it(world: World) -> None:
    wrapper = world.root / "wrapper.yml"
    imported = {"import_playbook": str(world.book / "runbook.yml"), "ignore_errors": True, "tags": ["x"]}
    after = {"hosts": "localhost", "gather_facts": False, "tasks": [plain_play()["tasks"][1]]}
    wrapper.write_text(yaml.safe_dump([imported, after]))
    world.play(playbook=wrapper)
    assert (world.release, world.started()) == ("1", 1)
    assert "is not part of a registered runbook" in world.refusals()


def old_collection(folder: Path) -> Path:
    """A copy of this collection in `folder`, of another version."""
    here = folder / "ansible_collections" / "sre" / "responder"
    for name in ("plugins", "meta"):
        shutil.copytree(CHECKOUT / name, here / name, ignore=shutil.ignore_patterns("__pycache__"))
    galaxy = yaml.safe_load((CHECKOUT / "galaxy.yml").read_text())
    (here / "galaxy.yml").write_text(yaml.safe_dump({**galaxy, "version": "0.0.1"}))
    return folder


def test_an_old_copy_of_the_collection_beside_the_play_does_not_act(world: World) -> None:
    old_collection(world.book / "collections")
    world.write()
    done = world.play()
    assert done.returncode != 0
    assert (world.release, world.started()) == ("2", 0)
    assert "is 0.0.1, the library is" in done.stdout


@pytest.mark.parametrize("name", ["collections", "ansible.cfg"])
def test_the_driver_takes_no_folder_that_shadows_what_is_installed(world: World, name: str) -> None:
    if name == "collections":
        old_collection(world.book / name)
    else:
        (world.book / name).write_text("[defaults]\nstrategy = free\n")
    world.write()
    done = world.drive()
    assert (done.returncode, world.release, world.started()) == (3, "2", 0)
    assert f"{name} beside a play would shadow what is installed" in done.stderr


def settings(world: World, how: str) -> dict[str, str]:
    """An Ansible that is told to take plugins, collections and a strategy from elsewhere."""
    rogue = world.root / "rogue"
    (rogue / "plugins").mkdir(parents=True)
    mark = f"open({str(world.root / 'mark')!r}, 'w').close()\n"
    for name in ("guarded", "release_rollback", "linear", "rogue"):
        (rogue / "plugins" / f"{name}.py").write_text(mark)
    plugins = dict.fromkeys(("action_plugins", "library", "module_utils"), str(rogue / "plugins"))
    match how:
        case "ansible.cfg":
            written = {**plugins, "strategy": "free"}
            text = "[defaults]\n" + "".join(f"{name} = {value}\n" for name, value in written.items())
            (world.root / "ansible.cfg").write_text(text)
            return {}
        case "strategy":
            return {"ANSIBLE_STRATEGY": "free"}
        case "collections":
            return {"ANSIBLE_COLLECTIONS_PATH": str(old_collection(rogue))}
        case _:
            folders = (
                "ACTION_PLUGINS",
                "LIBRARY",
                "MODULE_UTILS",
                "CALLBACK_PLUGINS",
                "STRATEGY_PLUGINS",
                "VARS_PLUGINS",
            )
            found = {f"ANSIBLE_{name}": str(rogue / "plugins") for name in folders}
            return {**found, "ANSIBLE_STRATEGY": "free", "ANSIBLE_COLLECTIONS_PATH": str(old_collection(rogue))}


@pytest.mark.parametrize(("how", "cause"), [("ansible.cfg", "strategy free"), ("strategy", "strategy free"), ("collections", "is 0.0.1")])  # fmt: skip
def test_settings_that_weaken_the_guard_change_nothing(world: World, how: str, cause: str) -> None:
    done = world.play(**settings(world, how))
    assert done.returncode != 0
    assert (world.release, world.started()) == ("2", 0)
    assert cause in done.stdout


@pytest.mark.parametrize("how", ["ansible.cfg", "everything"])
def test_the_driver_takes_no_settings_of_the_caller(world: World, how: str) -> None:
    done = world.drive(**settings(world, how))
    assert (world.release, world.started()) == ("1", 1), done.stdout + done.stderr
    assert not (world.root / "mark").exists()


@pytest.mark.parametrize("word", ["{{ lookup('pipe', 'touch MARK') }}", "$(touch MARK)", "`touch MARK`", "INC-1234\n"])
@pytest.mark.parametrize("option", ["--incident", "--service", "--environment"])
def test_the_driver_takes_no_name_that_is_more_than_a_name(world: World, option: str, word: str) -> None:
    named = {"--incident": "INC-1234", "--service": "checkout", "--environment": "staging"}
    named[option] = word.replace("MARK", str(world.root / "mark"))
    done = world.responder("run", "roll-back", *(part for pair in named.items() for part in pair))
    assert (done.returncode, world.release, world.started()) == (2, "2", 0), done.stderr
    assert not (world.root / "mark").exists()


def test_the_driver_never_calls_a_run_done_in_which_no_step_ran(world: World) -> None:
    world.write(on_play(hosts="nosuch"))
    done = world.drive()
    assert (done.returncode, world.release, world.started()) == (1, "2", 0)
    assert "left no record: release_rollback" in done.stdout


@pytest.mark.parametrize(
    "change",
    [
        on_task(when=False),
        lambda play: play["tasks"].insert(1, {"ansible.builtin.meta": "end_host"}),
        lambda play: play["tasks"].insert(1, {"ansible.builtin.meta": "end_play"}),
    ],
    ids=["when", "end_host", "end_play"],
)
def test_the_driver_starts_no_run_whose_step_would_leave_no_record(world: World, change: Change) -> None:
    world.write(change)
    done = world.drive()
    assert (done.returncode, world.release, world.started()) == (3, "2", 0)
    assert "no task of it was run" in done.stderr and "record" in done.stderr


@pytest.mark.parametrize("word", ["import_playbook", "ansible.builtin.import_playbook"])
def test_a_playbook_that_a_runbook_imports_is_not_run(world: World, word: str) -> None:
    mark = world.root / "mark"
    play = {"name": "More", "hosts": "localhost", "tasks": [{"ansible.builtin.command": f"touch {mark}"}]}
    (world.book / "more.yml").write_text(yaml.safe_dump([play]))
    written = yaml.safe_load((world.book / "runbook.yml").read_text())
    (world.book / "runbook.yml").write_text(
        yaml.safe_dump([*written, {"name": "More", word: "more.yml"}], sort_keys=False)
    )
    runbook.register(world.home.folder, [world.book])  # by a careless reviewer
    done = world.drive()
    assert (done.returncode, mark.exists(), world.started()) == (3, False, 0), done.stderr
    assert "no digest covers what another playbook does" in done.stderr
    refused = world.responder("runbooks", "register", "roll-back")
    assert refused.returncode == 2 and word in refused.stderr


UNGUARDED: dict[str, Change] = {
    "gather_facts": lambda play: play["tasks"].append(
        {"ansible.builtin.gather_facts": {}, "vars": {"ansible_facts_modules": [MODULE]}}
    ),
    "facts of the play": on_play(gather_facts=True, vars={**plain_play()["vars"], "ansible_facts_modules": [MODULE]}),
    "service": lambda play: play["tasks"].append({"ansible.builtin.service": {"use": MODULE, "name": "x"}}),
    "command": lambda play: play["tasks"].append({"ansible.builtin.command": "ln -sfn releases/1 app/current"}),
    "file": lambda play: play["tasks"].append({"ansible.builtin.file": {"path": "app/current", "state": "absent"}}),
}


@pytest.mark.parametrize("way", UNGUARDED)
def test_lint_names_what_no_guard_can_see(world: World, way: str) -> None:
    """Another module's way to the same change is not the guard's to stop, not even where it calls our own module."""
    assert {finding.rule for finding in findings(world.book) if finding.level == "error"} == set()
    world.write(UNGUARDED[way])
    assert {finding.rule for finding in findings(world.book)} & {"unguarded", "undetermined"}
