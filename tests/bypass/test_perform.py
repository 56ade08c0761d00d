"""Ways round the guard through `perform`. Each asserts by the disk what was changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bypass.world
import pytest
import yaml
from bypass.world import World
from support.performing import ALLOWED, LINE, LINEINFILE, POLICY, allow, collection, health, write

MARKS = """\
#!/usr/bin/python
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule(argument_spec={{"path": {{"type": "str"}}}}, supports_check_mode={check})
open(module.params["path"], "w").write("{{}}")
module.exit_json(changed=True)
"""
ANSWERS = """\
#!/usr/bin/python
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule(argument_spec={{"path": {{"type": "str"}}}}, supports_check_mode=True)
if module.check_mode:
    module.exit_json(**{answer})
open(module.params["path"], "w").write("{{}}")
module.exit_json(changed=True)
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with bypass.world.world(tmp_path, forked=True, **POLICY) as here:
        yield here


def test_the_world_is_real_an_honest_task_changes_it(world: World) -> None:
    write(world)
    done = world.play()
    assert (done.returncode, health(world).read_text(), world.started()) == (0, f"{LINE}\n", 1), done.stdout


def args(world: World, **more: Any) -> dict[str, Any]:
    return {"path": str(health(world)), "line": LINE, "create": True, **more}


REFUSED: dict[str, tuple[Callable[[World], Any], str]] = {
    "a module that the policy does not allow": (lambda w: write(w, module="ansible.builtin.file"), "does not allow ansible.builtin.file"),
    "a module that runs what it is given": (lambda w: write(w, {"cmd": "true"}, module="ansible.builtin.command"), "runs code"),
    "one of our own": (lambda w: write(w, {"to": "1"}, module="sre.responder.release_rollback"), "has its own guard"),
    "the folder of the play first": (lambda w: write(w, module="ansible.legacy.lineinfile"), "beside a playbook"),
    "a short name": (lambda w: write(w, module="lineinfile"), "not the whole name"),
    "a templated name": (lambda w: write(w, module="{{ 'ansible.builtin.lineinfile' }}"), "is a template"),
    "a name from module_defaults": (
        lambda w: write(w, module=None, module_defaults={"sre.responder.perform": {"module": LINEINFILE}}),
        "comes from elsewhere",
    ),
    "free text": (lambda w: write(w, {"_raw_params": "touch x"}), "does not allow _raw_params"),
    "an order to Ansible": (lambda w: write(w, args(w, _ansible_check_mode=False)), "does not allow _ansible_check_mode"),
    "an argument that is not allowed": (lambda w: write(w, args(w, validate="touch %s")), "does not allow validate"),
    "a value that is not allowed": (lambda w: write(w, args(w, line="anything")), "does not allow 'anything' for line"),
    "a newline behind a value": (lambda w: write(w, args(w, path=f"{health(w)}\n")), "for path"),
    "a true that is a one": (lambda w: write(w, args(w, create=1)), "does not allow '1' for create"),
    "arguments of module_defaults": (
        lambda w: write(w, None, module_defaults={"sre.responder.perform": {"gates": "off"}}),
        "no option gates",
    ),
    "delegate_to": (lambda w: write(w, delegate_to="localhost"), "delegate_to"),
    "a loop": (lambda w: write(w, loop=[1, 2]), "loop"),
    "a variable that chooses code": (lambda w: write(w, environment={"PYTHONPATH": str(w.root)}), "PYTHONPATH"),
    "ignore_errors": (lambda w: write(w, ignore_errors=True), "ignore_errors"),
}  # fmt: skip


@pytest.mark.parametrize("way", REFUSED)
def test_what_the_policy_does_not_allow_changes_nothing_and_is_on_the_record(world: World, way: str) -> None:
    build, cause = REFUSED[way]
    build(world)
    done = world.play()
    assert (health(world).exists(), world.started()) == (False, 0), done.stdout
    assert cause in world.refusals(), done.stdout + done.stderr


def test_another_action_spelling_of_the_task_changes_nothing(world: World) -> None:
    write(world, module=None, args={"module": LINEINFILE, "args": args(world)})
    done = world.play()
    assert (health(world).exists(), world.started()) == (False, 0), done.stdout


@pytest.mark.parametrize("words", [{}, {"check_mode": False}])
def test_a_dry_run_changes_nothing_whatever_the_task_says(world: World, words: dict[str, Any]) -> None:
    write(world, **words)
    done = world.play("--check")
    assert (health(world).exists(), world.started()) == (False, 0), done.stdout


def test_check_mode_false_does_not_make_the_plan_an_act(world: World) -> None:
    """Refused by a gate after it was planned: so nothing may have happened."""
    (world.root / "stop" / "EMERGENCY_STOP").write_text("stop")
    write(world, check_mode=False)
    done = world.play()
    assert (done.returncode != 0, health(world).exists(), world.started()) == (True, False, 0), done.stdout


def test_defaults_of_the_module_itself_do_not_reach_it(world: World) -> None:
    write(world, module_defaults={LINEINFILE: {"line": "something else", "backup": True, "mode": "0777"}})
    done = world.play()
    assert (done.returncode, health(world).read_text()) == (0, f"{LINE}\n"), done.stdout
    assert health(world).stat().st_mode & 0o022 == 0


def test_arguments_that_differ_each_time_they_are_rendered_act_as_they_were_planned(world: World) -> None:
    count = world.root / "count"
    count.write_text("")
    allow(world, LINEINFILE, {**ALLOWED, "args": {**ALLOWED["args"], "line": "[0-9]+"}})
    write(world, args(world, line=f"{{{{ lookup('pipe', 'echo x >> {count}; wc -l < {count}') | trim }}}}"))
    done = world.play()
    [started] = world.entries("action.started")
    assert started.data["diff"]["after"] == health(world).read_text(), done.stdout


def test_a_changed_entry_of_the_policy_makes_another_plan(world: World) -> None:
    write(world)
    world.play("--check")
    allow(world, LINEINFILE, {**ALLOWED, "seconds": 59})
    world.play("--check")
    plans = [entry.data["plan"] for entry in world.entries("plan.made")]
    assert len(set(plans)) == len(plans) == 2


def test_an_upgraded_module_makes_another_plan(world: World) -> None:
    place = collection(world, {"tidy": MARKS.format(check=True)})
    module = place / "ansible_collections" / "acme" / "tools" / "plugins" / "modules" / "tidy.py"
    module.write_text(ANSWERS.format(answer={"changed": True}))
    allow(
        world,
        "acme.tools.tidy",
        {"rung": 1, "target": "path", "args": {"path": ".*"}, "undo": "none", "because": "a test"},
    )
    write(world, {"path": str(health(world))}, module="acme.tools.tidy")
    world.play("--check", ANSIBLE_COLLECTIONS_PATH=str(place))
    module.write_text(f"{module.read_text()}# 1.0.1\n")
    world.play("--check", ANSIBLE_COLLECTIONS_PATH=str(place))
    plans = [entry.data["plan"] for entry in world.entries("plan.made")]
    assert len(set(plans)) == len(plans) == 2


@pytest.mark.parametrize(
    ("hosts", "acts"),
    [
        ({}, False),
        ({"responder/hosts": "localhost"}, False),
        ({"responder/hosts": "localhost", "production.responder/hosts": "far"}, True),
        ({"responder/hosts": "near", "production.responder/hosts": "far"}, False),
    ],
    ids=["no hosts", "the hosts of both", "hosts of each", "this host is neither's"],
)
def test_a_host_that_may_be_production_s_is_not_acted_on_under_a_milder_name(
    world: World, hosts: dict[str, str], acts: bool
) -> None:
    path = world.home.folder / "catalogue.yml"
    service = yaml.safe_load(path.read_text())
    service["metadata"]["annotations"] |= {"responder/environments": "staging, production", **hosts}
    path.write_text(yaml.safe_dump(service))
    write(world)
    done = world.play()
    assert (health(world).exists(), world.started()) == (acts, int(acts)), done.stdout
    assert acts or "of checkout in production" in world.refusals()


def test_a_secret_argument_reaches_the_module_and_is_written_nowhere_else(world: World) -> None:
    args = {"dest": ".*", "content": ".*"}
    undo = {"module": "ansible.builtin.copy", "args": "{dest: args.dest, content: before || ''}"}
    allow(
        world, "ansible.builtin.copy", {"rung": 1, "target": "dest", "args": args, "undo": undo, "secrets": ["content"]}
    )
    write(world, {"dest": str(health(world)), "content": "{{ password }}"}, module="ansible.builtin.copy")
    done = world.play("-e", "password=correct-horse-battery", "-vvv")
    assert health(world).read_text() == "correct-horse-battery", done.stdout
    found = [path for path in world.root.rglob("*") if path.is_file() and b"correct-horse" in path.read_bytes()]
    assert (found, "correct-horse" in done.stdout + done.stderr) == ([health(world)], False)


def test_a_module_beside_the_playbook_does_not_take_the_place_of_that_of_core(world: World) -> None:
    """The action plugin of `copy` calls its module as ansible.legacy.copy, and `stat` and `file` too."""
    library = world.root / "library"
    library.mkdir()
    for name in ("copy", "stat", "file"):
        (library / f"{name}.py").write_text(
            MARKS.format(check=True).replace('module.params["path"]', f'"{world.root}/mark"')
        )
    copy = {"rung": 1, "target": "dest", "args": {"dest": ".*", "content": ".*"}, "undo": "none", "because": "a test"}
    allow(world, "ansible.builtin.copy", copy)
    write(world, {"dest": str(health(world)), "content": LINE}, module="ansible.builtin.copy")
    done = world.play(ANSIBLE_LIBRARY=str(library))
    assert (done.returncode, (world.root / "mark").exists(), health(world).read_text()) == (0, False, LINE), done.stdout


ROGUE: dict[str, tuple[dict[str, Any], str, str]] = {
    "redirected to command": (
        {"modules": {"tidy": {"redirect": "ansible.builtin.command"}}}, MARKS.format(check=True), "leads to ansible.builtin.command",
    ),
    "redirected to an allowed name": (
        {"modules": {"tidy": {"redirect": LINEINFILE}}}, MARKS.format(check=True), f"leads to {LINEINFILE}",
    ),
    "an action plugin by routing": (
        {"modules": {"tidy": {"action_plugin": "ansible.builtin.command"}}}, MARKS.format(check=True), "action plugin of its own",
    ),
    "an action by redirect": (
        {"action": {"tidy": {"redirect": "ansible.builtin.command"}}}, MARKS.format(check=True), "action plugin of its own",
    ),
    "no check mode": ({}, MARKS.format(check=False), "does not support check mode"),
    "no Python": ({}, "#!/bin/sh\n# supports_check_mode=True\ntouch mark\n", "does not support check mode"),
    "skips itself": ({}, ANSWERS.format(answer={"skipped": True}), "skips itself in check mode"),
    "says nothing": ({}, ANSWERS.format(answer={"msg": "?"}), "does not say in check mode"),
    "contradicts itself": ({}, ANSWERS.format(answer={"changed": False, "diff": {"before": "a", "after": "b"}}), "shows a difference"),
}  # fmt: skip


@pytest.mark.parametrize("way", ROGUE)
def test_a_module_that_is_not_what_its_name_says_or_shows_no_plan_changes_nothing(world: World, way: str) -> None:
    routing, source, cause = ROGUE[way]
    place = collection(world, {"tidy": source}, routing)
    allow(
        world,
        "acme.tools.tidy",
        {"rung": 1, "target": "path", "args": {"path": ".*"}, "undo": "none", "because": "a test"},
    )
    write(world, {"path": str(health(world))}, module="acme.tools.tidy")
    done = world.play(ANSIBLE_COLLECTIONS_PATH=str(place))
    assert (health(world).exists(), world.started()) == (False, 0), done.stdout
    assert cause in world.refusals(), done.stdout + done.stderr


@pytest.mark.parametrize(("answer", "outcome"), [({"changed": True}, "not_improved"), ({"skipped": True, "changed": True}, "unknown")])  # fmt: skip
def test_a_module_that_changes_nothing_or_hides_it_afterwards_is_no_success(
    world: World, answer: dict[str, Any], outcome: str
) -> None:
    """Its check mode wants a change before and after; the second one hides what it did once it has acted."""
    source = (
        "#!/usr/bin/python\nimport os\nfrom ansible.module_utils.basic import AnsibleModule\n"
        'module = AnsibleModule(argument_spec={"path": {"type": "str"}}, supports_check_mode=True)\n'
        'acted = os.path.exists(module.params["path"])\n'
        f'if module.check_mode:\n    module.exit_json(**({answer} if acted else {{"changed": True}}))\n'
        + ('open(module.params["path"], "w").write("{}")\n' if outcome == "unknown" else "")
        + "module.exit_json(changed=True)\n"
    )
    place = collection(world, {"tidy": source})
    allow(
        world,
        "acme.tools.tidy",
        {"rung": 1, "target": "path", "args": {"path": ".*"}, "undo": "none", "because": "a test"},
    )
    write(world, {"path": str(health(world))}, module="acme.tools.tidy")
    done = world.play(ANSIBLE_COLLECTIONS_PATH=str(place))
    assert (done.returncode != 0, world.started()) == (True, 1), done.stdout
    assert [entry.data["outcome"] for entry in world.entries("action.ended")] == [outcome]
