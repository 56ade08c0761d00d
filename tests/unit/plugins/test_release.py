"""Release folders: what the history says, which release came before, and a switch that is never half done."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.sre.responder.plugins.module_utils._release import (
    Moved,
    ReleaseError,
    current,
    deployed,
    link,
    plan,
    switch,
)

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,9}", fullmatch=True)


def make(root: Path, history: list[str], now: str = "2", folders: list[str] | None = None) -> str:
    """A root with these deployments and folders, and `current` at a release."""
    root.mkdir(parents=True, exist_ok=True)
    for name in history if folders is None else folders:
        (root / "releases" / name).mkdir(parents=True, exist_ok=True)
    (root / "deployments.log").write_text("".join(f"2026-01-01T00:00:00Z {name}\n" for name in history))
    (root / "current").symlink_to(f"releases/{now}")
    return str(root)


@pytest.mark.parametrize(
    ("text", "releases"),
    [
        ("", []),
        ("t 1\nt 2\n", ["1", "2"]),
        ("\nt 1\n\n  t   v2.0+build-7   by dana\n", ["1", "v2.0+build-7"]),
        ("t 1\nt 1\n", ["1", "1"]),
        ("t 1\r\nt 2", ["1", "2"]),
    ],
)
def test_history_is_time_and_release_a_line(tmp_path: Path, text: str, releases: list[str]) -> None:
    (tmp_path / "log").write_bytes(text.encode())
    assert deployed(str(tmp_path / "log")) == releases


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"t\n", 1),
        (b"t 1\nt ../2\n", 2),
        (b"t 1\nt -rf\n", 2),
        (b"t 1\nt {{x}}\n", 2),
        (b"t 1\nt " + b"x" * 129 + b"\n", 2),
        ("t 1\nt caf\u0435\n".encode(), 2),
        (b"t 1\n\n\nt ?\n", 4),
    ],
)
def test_a_line_that_is_none_is_named(tmp_path: Path, text: bytes, line: int) -> None:
    log = tmp_path / "log"
    log.write_bytes(text)
    with pytest.raises(ReleaseError) as raised:
        deployed(str(log))
    assert str(raised.value).startswith(f"{log}:{line} ")


@pytest.mark.parametrize("content", [None, b"t \xff\n"])
def test_a_history_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content:
        (tmp_path / "log").write_bytes(content)
    with pytest.raises(ReleaseError, match="cannot be read"):
        deployed(str(tmp_path / "log"))


@given(st.lists(NAMES))
def test_whatever_was_deployed_is_read_back(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    log = tmp_path_factory.getbasetemp() / "any-log"
    log.write_text("".join(f"2026 {name}\n" for name in names))
    assert deployed(str(log)) == names


@pytest.mark.parametrize(
    "target", ["releases/2", "./releases/2", "releases/2/", "releases/../releases/2", "{root}/releases/2"]
)
def test_current_is_the_release_that_the_link_names(tmp_path: Path, target: str) -> None:
    (tmp_path / "current").symlink_to(target.format(root=tmp_path))
    assert current(str(tmp_path)) == "2"
    assert current(f"{tmp_path}/") == "2"


@pytest.mark.parametrize("target", ["/etc", "../releases/2", "releases/../2", "releases", "2", "/releases/2"])
def test_a_link_that_leads_outside_is_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "current").symlink_to(target)
    with pytest.raises(ReleaseError, match="outside"):
        current(str(tmp_path))


@pytest.mark.parametrize("make_it", [lambda path: None, lambda path: path.mkdir(), lambda path: path.touch()])
def test_a_folder_or_file_in_place_of_the_link_is_never_replaced(
    tmp_path: Path, make_it: Callable[[Path], None]
) -> None:
    root = make(tmp_path, ["1", "2"])
    (tmp_path / "current").unlink()
    make_it(tmp_path / "current")
    with pytest.raises(ReleaseError, match="is not a link"):
        plan(root, "1")


@pytest.mark.parametrize(
    ("history", "now", "folders", "previous"),
    [
        (["1", "2"], "2", None, "1"),
        (["1", "2", "3"], "2", None, "1"),
        (["1", "2", "3"], "3", ["1", "3"], "1"),
        (["1", "2", "1"], "1", None, None),
        (["1", "2", "3", "2"], "2", None, "1"),
        (["1", "2", "3", "2", "4"], "4", None, "2"),
        (["1", "2", "3"], "2", ["1", "2", "3"], "1"),
        (["1", "2", "2", "2"], "2", None, "1"),
        (["1", "2"], "by-hand", ["1", "2", "by-hand"], "2"),
        (["1", "2", "3"], "1", None, None),
        (["2"], "2", None, None),
        ([], "2", ["1", "2"], None),
        (["1", "2"], "2", ["2"], None),
    ],
)
def test_previous_is_the_last_other_release_deployed_before_the_current_one_that_still_exists(
    tmp_path: Path, history: list[str], now: str, folders: list[str] | None, previous: str | None
) -> None:
    root = make(tmp_path, history, now, folders)
    if previous is None:
        with pytest.raises(ReleaseError, match=f"no release stands before {now}"):
            plan(root, "previous")
    else:
        assert plan(root, "previous")["after"] == {"release": previous}


@pytest.mark.parametrize("to", ["9", "../1", "releases/1", "", "1\n", "-1", "by-hand", "gone", "1 ", "\u0661"])
def test_a_release_that_is_not_in_the_history_or_has_no_folder_is_refused_with_those_that_are(
    tmp_path: Path, to: str
) -> None:
    root = make(tmp_path, ["1", "2", "gone"], "2", ["1", "2", "by-hand"])
    with pytest.raises(ReleaseError, match="Releases there: 1, 2"):
        plan(root, to)


def test_plan_tells_state_before_and_after_and_its_undo_and_changes_nothing(tmp_path: Path) -> None:
    root = make(tmp_path, ["1", "2"])
    found = plan(root, "1")
    assert (found["before"], found["after"]) == ({"release": "2"}, {"release": "1"})
    [undo] = found["undo"]
    assert undo["ansible.builtin.file"] == {
        "src": "releases/2", "dest": f"{root}/current", "state": "link", "force": True, "follow": False,
    }  # fmt: skip
    assert current(root) == "2"


def test_a_return_to_the_current_release_has_nothing_to_undo(tmp_path: Path) -> None:
    found = plan(make(tmp_path, ["1", "2"]), "2")
    assert (found["before"] == found["after"], found["undo"]) == (True, [])


def test_another_history_can_be_named(tmp_path: Path) -> None:
    root = make(tmp_path / "app", ["2"], "2", ["1", "2"])
    (tmp_path / "log").write_text("t 1\nt 2\n")
    assert plan(root, "previous", str(tmp_path / "log"))["after"] == {"release": "1"}


def test_one_folder_is_one_target_however_it_is_reached(tmp_path: Path) -> None:
    make(tmp_path / "app", ["1", "2"])
    (tmp_path / "alias").symlink_to("app")
    targets = {plan(str(tmp_path / way), "1")["target"] for way in ("app", "app/", "app/../app", "alias")}
    assert len(targets) == 1


@given(st.lists(st.sampled_from(["1", "2", "3"]), min_size=1))
def test_after_any_switches_current_is_the_last_and_nothing_else_is_left(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[str]
) -> None:
    root = tmp_path_factory.mktemp("any")
    make(root, ["1", "2", "3"])
    assert [switch(str(root), name, current(str(root))) for name in wanted] == [{"release": name} for name in wanted]
    assert current(str(root)) == wanted[-1]
    assert {path.name for path in root.iterdir()} == {"releases", "deployments.log", "current"}


KILLED = """
import os, signal, sys
from ansible_collections.sre.responder.plugins.module_utils import _release

root, when, step = sys.argv[1:]
call = getattr(os, step)

def killed(*arguments, **names):
    if when == "after":
        call(*arguments, **names)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(os, step, killed)
_release.switch(root, "1", "2")
"""


@pytest.mark.parametrize(
    ("when", "step", "release"),
    [
        ("before", "symlink", "2"),
        ("after", "symlink", "2"),
        ("before", "replace", "2"),
        ("after", "replace", "1"),
        ("before", "fsync", "1"),
        ("after", "fsync", "1"),
    ],
)
def test_a_switch_killed_anywhere_in_between_is_not_done_or_done(
    tmp_path: Path, when: str, step: str, release: str
) -> None:
    root = make(tmp_path, ["1", "2"])
    killed = subprocess.run([sys.executable, "-c", KILLED, root, when, step], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert current(root) == release
    assert switch(root, "1", release) == {"release": "1"}, "what was left is not in the way"


def test_a_switch_is_durable_before_it_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make(tmp_path, ["1", "2"])
    synced: list[tuple[str, str]] = []

    def fsync(descriptor: int) -> None:
        synced.append((os.readlink(f"/proc/self/fd/{descriptor}"), current(root)))

    monkeypatch.setattr(os, "fsync", fsync)
    switch(root, "1", "2")
    assert synced == [(root, "1")]


@pytest.mark.parametrize("step", ["symlink", "replace"])
def test_a_switch_that_fails_is_told_and_leaves_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    root = make(tmp_path, ["1", "2"])

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(ReleaseError, match=r"cannot be switched to 1: .*No space left"):
        switch(root, "1", "2")
    assert current(root) == "2"
    assert {path.name for path in tmp_path.iterdir()} == {"releases", "deployments.log", "current"}


def test_a_switch_leaves_alone_what_somebody_else_switched_meanwhile(tmp_path: Path) -> None:
    root = make(tmp_path, ["1", "2"])
    with pytest.raises(Moved, match="the current release is 2"):
        switch(root, "1", "3")
    assert current(root) == "2"
    assert {path.name for path in tmp_path.iterdir()} == {"releases", "deployments.log", "current"}


DEPLOYER = '{"created_at":"2026-01-01T00:00:00+0000","release_name":"%s","user":"ann","target":"HEAD"}\n'
CAPISTRANO = "Branch main (at 1a2b3c4) deployed as release %s by ann\n"


@pytest.mark.parametrize(
    ("log", "text", "now", "previous"),
    [
        ("deployments.log", "t 1\nt 2\nt 3\nt 2\n", "2", "1"),
        ("revisions.log", CAPISTRANO % 1 + CAPISTRANO % 2, "2", "1"),
        (
            "revisions.log",
            CAPISTRANO % 1 + CAPISTRANO % 2 + CAPISTRANO % 3 + "ann rolled back to release 2\n",
            "2",
            "1",
        ),
        (".dep/releases_log", DEPLOYER % 1 + DEPLOYER % 2 + DEPLOYER % 3, "3", "2"),
        (".dep/releases", "20260101000000,1\n20260102000000,2\n", "2", "1"),
    ],
    ids=["a rollback in our log", "Capistrano", "a rollback of Capistrano", "Deployer 7", "Deployer 6"],
)
def test_the_log_of_a_deploy_tool_tells_what_was_previous(
    tmp_path: Path, log: str, text: str, now: str, previous: str
) -> None:
    root = make(tmp_path, [], now, ["1", "2", "3"])
    (tmp_path / "deployments.log").unlink()
    (tmp_path / log).parent.mkdir(exist_ok=True)
    (tmp_path / log).write_text(text)
    found = plan(root, "previous")
    assert (found["after"]["release"], found["evidence"]["history"]) == (previous, f"{root}/{log}")


def test_a_release_that_deployer_marked_as_bad_is_not_previous(tmp_path: Path) -> None:
    root = make(tmp_path, ["1", "2", "3"], "3")
    (tmp_path / "releases" / "2" / "BAD_RELEASE").touch()
    assert plan(root, "previous")["after"] == {"release": "1"}


@pytest.mark.parametrize(
    ("log", "text"),
    [
        ("revisions.log", CAPISTRANO % 1 + "somebody deployed something\n"),
        ("revisions.log", CAPISTRANO % "../1"),
        (".dep/releases_log", DEPLOYER % 1 + '{"release_name": "2'),
        (".dep/releases_log", '{"created_at": "2026"}\n'),
        (".dep/releases_log", "[" * 100_000),
    ],
)
def test_a_line_that_the_deploy_tool_never_writes_is_named(tmp_path: Path, log: str, text: str) -> None:
    root = make(tmp_path, [], "2", ["1", "2"])
    (tmp_path / "deployments.log").unlink()
    (tmp_path / log).parent.mkdir(exist_ok=True)
    (tmp_path / log).write_text(text)
    with pytest.raises(ReleaseError, match=rf"{log}:[12] is not"):
        plan(root, "previous")


@pytest.mark.parametrize(
    ("names", "now", "previous"),
    [
        (["1", "2", "9", "10", "11"], "11", "10"),
        (["1", "2", "9", "10", "11"], "10", "9"),
        (["20260101120000", "20260102120000"], "20260102120000", "20260101120000"),
        (["20260101120000Z", "20260102120000Z"], "20260102120000Z", "20260101120000Z"),
        (["zebra", "apple", "mango"], "mango", "apple"),
    ],
    ids=["numbers", "after a rollback", "Capistrano without its log", "Ansistrano", "by the folder's time"],
)
def test_without_a_log_the_folders_tell_what_was_previous(
    tmp_path: Path, names: list[str], now: str, previous: str
) -> None:
    root = make(tmp_path, [], now, names)
    (tmp_path / "deployments.log").unlink()
    for age, name in enumerate(names):
        os.utime(tmp_path / "releases" / name, (1e9 + age, 1e9 + age))
    (tmp_path / "releases" / ".tmp").mkdir()
    found = plan(root, "previous")
    assert (found["after"]["release"], found["evidence"]["history"]) == (previous, f"{root}/releases")


@pytest.mark.parametrize("behind", ["the root", "the releases"])
def test_root_and_releases_may_stand_behind_links(tmp_path: Path, behind: str) -> None:
    data = tmp_path / "data"
    make(data, ["1", "2"])
    (data / "current").unlink()
    if behind == "the root":
        (tmp_path / "app").symlink_to(data)
        (data / "current").symlink_to(data / "releases" / "2")
    else:
        (tmp_path / "app").mkdir()
        (tmp_path / "app" / "releases").symlink_to(data / "releases")
        (tmp_path / "app" / "current").symlink_to("releases/2")
        (tmp_path / "app" / "deployments.log").write_text("t 1\nt 2\n")
    root = str(tmp_path / "app")
    assert plan(root, "previous")["after"] == {"release": "1"}
    assert switch(root, "1", "2") == {"release": "1"}


@pytest.mark.parametrize("start", ["releases", "{root}/releases"], ids=["relative", "absolute"])
def test_a_link_into_a_folder_of_a_release_leads_into_the_same_folder_of_the_other(tmp_path: Path, start: str) -> None:
    root = make(tmp_path, ["1", "2"])
    (tmp_path / "current").unlink()
    (tmp_path / "current").symlink_to(f"{start}/2/public/web".format(root=root))
    assert link(root)[:2] == ("2", "public/web")
    switch(root, "1", "2")
    assert os.readlink(f"{root}/current") == f"{start}/1/public/web".format(root=root)


def test_a_release_that_is_a_link_to_elsewhere_is_none(tmp_path: Path) -> None:
    root = make(tmp_path / "app", ["1", "2"])
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "app" / "releases" / "1").rmdir()
    (tmp_path / "app" / "releases" / "1").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ReleaseError, match="no release stands before 2"):
        plan(root, "previous")
    with pytest.raises(ReleaseError, match="has no folder"):
        plan(root, "1")


def test_a_pipe_in_place_of_the_history_is_not_waited_for(tmp_path: Path) -> None:
    root = make(tmp_path, ["1", "2"])
    (tmp_path / "deployments.log").unlink()
    os.mkfifo(tmp_path / "deployments.log")
    with pytest.raises(ReleaseError, match="no ordinary file"):
        plan(root, "previous")


def test_of_a_huge_history_only_its_end_is_read(tmp_path: Path) -> None:
    root = make(tmp_path, ["1", "2"])
    with open(tmp_path / "deployments.log", "w") as log:
        log.truncate(1 << 32)
        log.seek(1 << 32)
        log.write("\nt 1\nt 2\n")
    assert deployed(f"{root}/deployments.log") == ["1", "2"]


def test_a_root_that_was_swapped_since_the_plan_is_left_alone(tmp_path: Path) -> None:
    east, west = make(tmp_path / "east", ["1", "2"]), make(tmp_path / "west", ["1", "2"])
    app = tmp_path / "app"
    app.symlink_to(east)
    planned = plan(str(app), "previous")
    app.unlink()
    app.symlink_to(west)
    given = {
        "incident": "INC-1", "service": "checkout", "environment": "staging", "root": str(app), "to": "previous", "_plan": "x",
        "_expect": {"target": f"{planned['node']}:{planned['target']}", **planned["before"]},
    }  # fmt: skip
    module = "ansible_collections.sre.responder.plugins.modules.release_rollback"
    run = (
        "import json, runpy, sys; from ansible.module_utils import basic; basic._ANSIBLE_ARGS = sys.argv[1].encode(); "
        f"basic._ANSIBLE_PROFILE = 'legacy'; runpy.run_module('{module}', run_name='__main__')"
    )
    words = [sys.executable, "-c", run, json.dumps({"ANSIBLE_MODULE_ARGS": given})]
    answer = json.loads(subprocess.run(words, capture_output=True, text=True, check=False).stdout)
    assert (answer["failed"], answer["moved"]) == (True, True), answer
    assert "not as the plan saw it" in answer["msg"]
    assert (current(east), current(west)) == ("2", "2")
