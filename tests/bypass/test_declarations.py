"""Ways round the guard by how a task is declared or called. Each asserts by the disk that nothing was changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Change = Callable[[dict[str, Any]], None]


def on_task(**keywords: Any) -> Change:
    return lambda play: play["tasks"][1].update(keywords)


def on_play(**keywords: Any) -> Change:
    return lambda play: play.update(keywords)


def in_block(**keywords: Any) -> Change:
    def change(play: dict[str, Any]) -> None:
        play["tasks"][1] = {"block": [play["tasks"][1]], **keywords}

    return change


def moved_to(section: str) -> Change:
    """The rollback stands in `rescue` or `always` of a block that fails."""

    def change(play: dict[str, Any]) -> None:
        play["tasks"][1] = {"block": [{"ansible.builtin.fail": {"msg": "x"}}], section: [play["tasks"][1]]}

    return change


def as_handler(play: dict[str, Any]) -> None:
    play["force_handlers"] = True
    play["handlers"] = [{**play["tasks"].pop(1), "name": "roll back"}]
    play["tasks"].append({"ansible.builtin.command": "true", "changed_when": True, "notify": "roll back"})


HARMLESS = [{"ansible.builtin.debug": {"msg": "x"}}]
DECLARED: dict[str, tuple[Change, str]] = {
    "ignore_errors on the task": (on_task(ignore_errors=True), "ignore_errors"),
    "ignore_errors on a block": (in_block(ignore_errors=True), "ignore_errors"),
    "ignore_errors on the play": (on_play(ignore_errors=True), "ignore_errors"),
    "ignore_unreachable": (on_task(ignore_unreachable=True), "ignore_unreachable"),
    "failed_when false": (on_task(failed_when=False), "failed_when"),
    "changed_when false": (on_task(changed_when="1 == 2"), "changed_when"),
    "rescue around it": (in_block(rescue=HARMLESS), "rescue"),
    "always around it": (in_block(always=HARMLESS), "always"),
    "inside rescue": (moved_to("rescue"), "rescue"),
    "inside always": (moved_to("always"), "always"),
    "until and retries": (on_task(register="r", until="r is success", retries=3, delay=0), "until"),
    "a loop": (on_task(loop=[1, 2]), "loop"),
    "with_items": (on_task(with_items=[1, 2]), "loop"),
    "delegate_to": (on_task(delegate_to="localhost"), "delegate_to"),
    "run_once": (on_task(run_once=True), "run_once"),
    "strategy free": (on_play(strategy="free"), "strategy"),
    "max_fail_percentage": (on_play(max_fail_percentage=100), "max_fail_percentage"),
    "a forced handler": (as_handler, "handlers"),
}


def test_the_world_is_real_an_honest_runbook_changes_it(world: Any) -> None:
    done = world.play()
    assert (done.returncode, world.release, world.started()) == (0, "1", 1), done.stdout


@pytest.mark.parametrize("way", DECLARED)
def test_unsafe_declaration_changes_nothing_and_is_on_the_record(world: Any, way: str) -> None:
    change, cause = DECLARED[way]
    world.write(change)
    done = world.play()
    assert (world.release, world.started()) == ("2", 0), done.stdout
    assert cause in world.refusals(), done.stdout + done.stderr


def test_async_is_refused_by_ansible_itself(world: Any) -> None:
    world.write(on_task(**{"async": 10, "poll": 0}))
    done = world.play()
    assert done.returncode != 0
    assert (world.release, world.started()) == ("2", 0)
    assert "async" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (["--tags", "all,never"], "--tags"),
        (["--skip-tags", "x"], "--skip-tags"),
        (["--start-at-task", "Roll back"], "--start-at-task"),
        (["--limit", ""], "--limit"),
    ],
)
def test_a_command_line_that_leaves_steps_out_changes_nothing(world: Any, arguments: list[str], cause: str) -> None:
    done = world.play(*arguments)
    assert (world.release, world.started()) == ("2", 0), done.stdout
    assert cause in world.refusals(), done.stdout


@pytest.mark.parametrize("change", [on_task(), on_task(check_mode=False), on_play(check_mode=False)])
def test_a_dry_run_changes_nothing_whatever_the_task_says(world: Any, change: Change) -> None:
    world.write(change)
    done = world.play("--check")
    assert (world.release, world.started()) == ("2", 0), done.stdout


def test_any_errors_fatal_with_an_ignored_error_changes_nothing(world: Any) -> None:
    world.write(on_play(any_errors_fatal=True, ignore_errors=True))
    world.play()
    assert (world.release, world.started()) == ("2", 0)


def test_a_later_step_of_a_run_whose_refusal_was_caught_is_refused_too(world: Any) -> None:
    """The halt latch: the first refusal is swallowed by rescue, the second task is declared honestly."""

    def change(play: dict[str, Any]) -> None:
        honest = play["tasks"][1]
        play["tasks"] = [play["tasks"][0], {"block": [{**honest, "name": "first"}], "rescue": HARMLESS}, honest]

    world.write(change)
    world.play()
    assert (world.release, world.started()) == ("2", 0)
    assert "this run was halted" in world.refusals()


def test_module_defaults_cannot_bring_an_unknown_option(world: Any) -> None:
    world.write(on_play(module_defaults={"sre.responder.release_rollback": {"gates": "off"}}))
    done = world.play()
    assert (world.release, world.started()) == ("2", 0), done.stdout
    assert "no option gates" in world.refusals()


def test_a_timeout_of_the_task_leaves_no_attempt_without_an_end(world: Any) -> None:
    """It acts, and Ansible's alarm goes off while the criterion is watched: the record says so at once, reaped by nobody."""

    def change(play: dict[str, Any]) -> None:
        play["vars"]["runbook"]["success"]["watch_s"] = 60
        play["tasks"][1]["timeout"] = 8

    world.write(change)
    done = world.play()
    assert done.returncode != 0
    ended = world.entries("action.ended")
    assert (world.started(), [entry.data["outcome"] for entry in ended]) == (1, ["unknown"]), done.stdout
    assert "watching was cut off" in ended[0].summary
