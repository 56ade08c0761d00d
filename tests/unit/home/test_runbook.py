"""Runbooks: what their metadata may say, what their digest covers, and which of them an alert or a name finds."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sre_responder.errors import InputError
from sre_responder.evidence.sources.http import Http
from sre_responder.home.runbook import LOCK, PLAYBOOK, SHIPPED, Runbook, digest, locked, register, registry, task_digest

METADATA = {"id": "roll-back", "failure_class": "bad-release", "success": {"expect": "ok"}}


def write(folder: Path, *tasks: Any, **metadata: Any) -> Path:
    """A runbook's folder; `metadata` goes over what every runbook needs."""
    folder.mkdir(parents=True, exist_ok=True)
    play = {"hosts": "localhost", "vars": {"runbook": {**METADATA, **metadata}}, "tasks": list(tasks)}
    (folder / PLAYBOOK).write_text(yaml.safe_dump([play], sort_keys=False))
    return folder


def written(folder: Path, text: str) -> Runbook:
    folder.mkdir(exist_ok=True)
    (folder / PLAYBOOK).write_text(text)
    return Runbook(folder, None, False)


HEAD = "- hosts: localhost\n  vars:\n    runbook:\n      id: roll-back\n      failure_class: bad-release\n      success: {expect: ok}\n"


def test_metadata_stands_in_the_play_that_has_it(tmp_path: Path) -> None:
    found = written(tmp_path, "- hosts: other\n- hosts: more\n  vars: {x: 1}\n" + HEAD).metadata
    assert (found.id, found.failure_class, found.success.must) == ("roll-back", "bad-release", (Http(expect="ok"),))


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (HEAD + "      alert: x\n", 7, "alert"),
        (HEAD + '      alerts: "labels.["\n', 7, "alerts: Value error, not JMESPath"),
        (HEAD + "      contacts: dana\n", 7, "contacts: Input should be a valid tuple"),
        (HEAD.replace("roll-back", "Roll Back"), 4, "id: Value error, runbook 'Roll Back' is not a runbook id"),
        (HEAD.replace("bad-release", '"bad-release\\n"'), 5, "failure_class: String should match"),
        (HEAD.replace("{expect: ok}", '{expect: "=="}'), 6, "success.expect: Value error, not JMESPath"),
        (HEAD.replace("{expect: ok}", "{minimum_samples: 0}"), 6, "success.minimum_samples: Input should be greater"),
        (
            HEAD.replace("{expect: ok}", "{url: http://x, extra: 1}"),
            6,
            "success.extra: source http has no such field; it has source, name",
        ),
        (HEAD.replace("{expect: ok}", "{url: http://x, query: up}"), 6, "or prometheus or victorialogs` for it"),
        (HEAD.replace("{expect: ok}", "{source: grafana}"), 6, "there is no source 'grafana' of evidence. Use one of"),
        (HEAD.replace("{expect: ok}", "{source: kubernets}"), 6, "Did you mean kubernetes?"),
        (
            HEAD.replace("{expect: ok}", "{must: [{source: kubernetes, url: http://x}]}"),
            6,
            "success.must.0.url: source kubernetes has",
        ),
        (HEAD.replace("      failure_class: bad-release\n", ""), 4, "failure_class: Field required"),
    ],
)
def test_a_wrong_line_of_metadata_is_named(tmp_path: Path, text: str, line: int, words: str) -> None:
    with pytest.raises(InputError) as raised:
        written(tmp_path, text).metadata  # noqa: B018 - raises
    assert raised.value.message.startswith(f"{tmp_path / PLAYBOOK}:{line}: ")
    assert words in raised.value.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not a playbook"),
        ("hosts: localhost\n", "is not a playbook"),
        ("[]\n", "is not a playbook"),
        ("- one\n", "is not a playbook"),
        ("- hosts: [\n", "not valid YAML"),
        ("- hosts: x\n---\n- hosts: y\n", "not valid YAML"),
        ("- hosts: 2026-13-45\n", "not valid YAML"),
        ("- " + "[" * 3000, "not valid YAML"),
        ("- hosts: localhost\n", "no play has vars.runbook"),
        ("- hosts: localhost\n  vars: [runbook]\n", "vars"),
        ("- hosts: localhost\n  vars: text\n", "vars"),
        ("- hosts: localhost\n  vars: {runbook: text}\n", "Input should be a valid dictionary"),
    ],
)
def test_what_is_no_runbook_is_bad_input_that_names_the_file(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as raised:
        written(tmp_path, text).metadata  # noqa: B018 - raises
    assert str(tmp_path / PLAYBOOK) in raised.value.message


def test_a_missing_playbook_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        Runbook(tmp_path, None, False).metadata  # noqa: B018 - raises


FILES = st.dictionaries(
    st.text("ab", min_size=1, max_size=3).map(lambda name: f"files/{name}"), st.binary(max_size=20), max_size=4
)


def tree(folder: Path, files: Mapping[str, bytes]) -> str:
    """The digest of a folder that holds these files."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return digest(folder)


@given(FILES, FILES)
def test_digests_are_equal_exactly_where_names_and_bytes_are(
    tmp_path_factory: pytest.TempPathFactory, one: dict[str, bytes], other: dict[str, bytes]
) -> None:
    digests = [tree(tmp_path_factory.mktemp("book"), files) for files in (one, other)]
    assert (digests[0] == digests[1]) == (one == other)


@given(st.binary(min_size=1, max_size=50), st.data())
def test_any_changed_bit_changes_the_digest(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("book")
    before = tree(folder, {"files/x": content})
    place, bit = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(0, 7))
    changed = bytearray(content)
    changed[place] ^= 1 << bit
    assert tree(folder, {"files/x": bytes(changed)}) != before


def test_a_renamed_file_changes_the_digest(tmp_path: Path) -> None:
    before = tree(tmp_path, {"files/a": b"x"})
    (tmp_path / "files/a").rename(tmp_path / "files/b")
    assert digest(tmp_path) != before


def test_a_file_whose_name_is_not_utf_8_is_covered_or_refused(tmp_path: Path) -> None:
    before = tree(tmp_path, {"files/a": b"x"})
    (tmp_path / os.fsdecode(b"\xff")).write_bytes(b"x")
    assert _digest_or_refusal(tmp_path) != before


def test_bytecode_beside_a_plugin_is_covered_or_refused_because_python_would_run_it(tmp_path: Path) -> None:
    before = tree(tmp_path, {"roles/x/filter_plugins/f.py": b"pass"})
    cache = tmp_path / "roles/x/filter_plugins/__pycache__"
    cache.mkdir()
    (cache / "f.cpython-311.pyc").write_bytes(b"other code")
    assert _digest_or_refusal(tmp_path) != before


def _digest_or_refusal(folder: Path) -> str:
    try:
        return digest(folder)
    except InputError:
        return "refused"


@pytest.mark.parametrize("where", ["link", "files/deep/link"])
@pytest.mark.parametrize("target", ["/etc/hostname", "/etc", PLAYBOOK, "nowhere"])
def test_a_link_in_the_folder_is_refused(tmp_path: Path, where: str, target: str) -> None:
    write(tmp_path)
    path = tmp_path / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
    with pytest.raises(InputError, match="is a link"):
        digest(tmp_path)


def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: fifo.open("wb").close(), daemon=True)  # lets go of who reads it
    writer.start()
    try:
        with pytest.raises(InputError, match="fifo"):
            digest(tmp_path)
    finally:
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        writer.join()
        os.close(reader)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "runbooks").mkdir()
    return tmp_path


def test_shipped_runbooks_are_known_and_not_registered_by_themselves(home: Path) -> None:
    found = list(registry(home))
    assert {book.metadata.id for book in found} == {path.parent.name for path in SHIPPED.glob(f"*/{PLAYBOOK}")}
    assert {(book.shipped, book.registered) for book in found} == {(True, False)}


def test_a_runbook_of_the_home_wins_over_the_shipped_one_of_its_id(home: Path) -> None:
    own = write(home / "runbooks" / "ours", id="service-errors")
    found = registry(home).named("service-errors")
    assert (found.folder, found.shipped) == (own, False)


def test_registering_writes_the_digest_as_it_is_now_into_the_lock(home: Path) -> None:
    folder = write(home / "runbooks" / "roll-back")
    assert register(home, [folder]) == home / LOCK
    assert yaml.safe_load((home / LOCK).read_text()) == {"runbooks": {"roll-back": digest(folder)}}
    assert registry(home).named("roll-back").registered


def test_registering_one_leaves_the_others_in_the_lock(home: Path) -> None:
    folders = [write(home / "runbooks" / name, id=name) for name in ("one", "two")]
    for folder in folders:
        register(home, [folder])
    assert {book.metadata.id for book in registry(home) if book.registered} == {"one", "two"}


def test_a_runbook_changed_after_its_registration_is_registered_no_longer(home: Path) -> None:
    folder = write(home / "runbooks" / "roll-back")
    register(home, [folder])
    registered = digest(folder)
    (folder / "more.txt").write_text("more")
    assert not registry(home).named("roll-back").registered
    assert locked(home) == {"roll-back": registered}, "what a running copy was registered as is still known"


@pytest.mark.parametrize("text", ["runbooks: [x]\n", "runbook: {}\n", "runbooks: {a: b\n", "runbooks: {a: b, a: c}\n"])
def test_a_broken_lock_is_bad_input_that_names_it(home: Path, text: str) -> None:
    (home / LOCK).write_text(text)
    with pytest.raises(InputError, match=LOCK):
        registry(home)


def test_an_unknown_runbook_is_refused_with_those_that_are_known(home: Path) -> None:
    with pytest.raises(InputError, match="'nothing-such' is not known") as raised:
        registry(home).named("nothing-such")
    assert "service-errors" in raised.value.cure


def alert(name: str) -> dict[str, Any]:
    return {"status": "firing", "labels": {"alertname": name}, "annotations": {}}


@pytest.mark.parametrize(
    ("serving", "found"),
    [
        ({"one": "labels.alertname == 'Ours'", "two": "labels.alertname == 'Theirs'"}, "one"),
        ({"one": "labels.alertname == 'Ours'", "two": "labels.missing"}, "one"),
        ({"one": "labels.alertname == 'Ours'", "two": "labels.alertname"}, "one"),
        ({"one": "labels.alertname == 'Ours'", "two": "starts_with(labels.missing, 'x')"}, "one"),
        ({"one": "labels.alertname == 'Theirs'"}, None),
        ({"one": "labels.alertname == 'Ours'", "two": "labels.alertname != 'Theirs'"}, None),
    ],
)
def test_an_alert_is_served_by_exactly_one_runbook_or_refused(
    home: Path, serving: dict[str, str], found: str | None
) -> None:
    for name, expression in serving.items():
        write(home / "runbooks" / name, id=name, alerts=expression)
    if found:
        assert registry(home).for_alert(alert("Ours")).metadata.id == found
    else:
        with pytest.raises(InputError, match="runbooks serve this alert"):
            registry(home).for_alert(alert("Ours"))


def test_several_runbooks_for_one_alert_are_all_named(home: Path) -> None:
    for name in ("one", "two"):
        write(home / "runbooks" / name, id=name, alerts="labels.alertname == 'Ours'")
    with pytest.raises(InputError, match=r"2 runbooks serve this alert \(one, two\)"):
        registry(home).for_alert(alert("Ours"))


TASKS = (
    HEAD
    + """\
  pre_tasks:
    - sre.responder.diagnose:
  tasks:
    - name: In a block
      when: x
      block:
        - name: Restart
          sre.responder.supervisor_restart: {program: checkout}
          register: done
        - block:
            - sre.responder.http_cache_purge:
      rescue:
        - ansible.builtin.debug: {msg: x}
      always:
        - action: sre.responder.note
          args: {text: x}
    - action: {module: sre.responder.release_rollback, to: previous}
    - local_action: ansible.builtin.command true
    - sre.responder.haproxy_failover:
      with_items: [1]
  handlers:
    - name: Later
      ansible.builtin.service: {name: x}
"""
)


def test_tasks_are_read_in_order_with_their_lines_blocks_opened(tmp_path: Path) -> None:
    found = written(tmp_path, TASKS).tasks
    assert [(task.line, task.section, task.module, task.action) for task in found] == [
        (8, "pre_tasks", "sre.responder.diagnose", None),
        (13, "tasks", "sre.responder.supervisor_restart", "supervisor_restart"),
        (17, "tasks", "sre.responder.http_cache_purge", "http_cache_purge"),
        (19, "tasks", "ansible.builtin.debug", None),
        (21, "tasks", "sre.responder.note", None),
        (23, "tasks", "sre.responder.release_rollback", "release_rollback"),
        (24, "tasks", "ansible.builtin.command", None),
        (25, "tasks", "sre.responder.haproxy_failover", "haproxy_failover"),
        (28, "handlers", "ansible.builtin.service", None),
    ]


def test_a_task_tells_what_its_blocks_put_round_it(tmp_path: Path) -> None:
    within = {task.module: task.within for task in written(tmp_path, TASKS).tasks}
    assert within["sre.responder.supervisor_restart"] == ("when", "rescue", "block")
    assert within["sre.responder.http_cache_purge"] == ("when", "rescue", "block", "block")
    assert within["ansible.builtin.debug"] == ("when", "rescue", "rescue")
    assert within["sre.responder.note"] == ("when", "rescue", "always")
    assert within["sre.responder.release_rollback"] == ()


def test_steps_are_the_guarded_tasks_alone(tmp_path: Path) -> None:
    assert [step.action for step in written(tmp_path, TASKS).steps] == [
        "supervisor_restart",
        "http_cache_purge",
        "release_rollback",
        "haproxy_failover",
    ]


def test_tags_of_ansible_are_plain_text(tmp_path: Path) -> None:
    text = HEAD + '  tasks:\n    - ansible.builtin.debug: {msg: !unsafe "{{ x }}", list: !vault [1]}\n'
    [task] = written(tmp_path, text).tasks
    assert task.arguments == {"msg": "{{ x }}", "list": [1]}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
RAW = st.dictionaries(st.text(max_size=4), VALUES, min_size=1, max_size=4)


@given(RAW)
def test_any_task_has_a_digest_that_the_order_of_its_keys_does_not_change(raw: dict[str, Any]) -> None:
    assert task_digest(raw) == task_digest(dict(reversed(raw.items())))


@given(RAW, st.text(max_size=4))
def test_a_changed_task_has_another_digest(raw: dict[str, Any], key: str) -> None:
    assert task_digest({**raw, key: [raw.get(key)]}) != task_digest(raw)


def test_a_number_that_is_none_has_a_digest_too(tmp_path: Path) -> None:
    [task] = written(tmp_path, HEAD + "  tasks:\n    - ansible.builtin.debug: {msg: .nan}\n").tasks
    assert len(task.digest) == 64


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Other"},
        {"ignore_errors": True},
        {"sre.responder.release_rollback": {"to": "1"}},
        {"sre.responder.release_rollback": {}},
    ],
)
def test_a_running_task_proves_by_its_digest_to_be_the_declared_one(tmp_path: Path, change: dict[str, Any]) -> None:
    raw: dict[str, Any] = {"name": "Back", "sre.responder.release_rollback": {"to": "previous"}}
    [declared] = Runbook(write(tmp_path, raw), None, False).steps
    assert declared.digest == task_digest(raw)
    assert declared.digest != task_digest({**raw, **change})


def mount(folder: Path, version: str, files: Mapping[str, str]) -> Path:
    """A folder as Kubernetes mounts a ConfigMap: a version beside its link `..data`, swapped at once, and a link to each name."""
    real = folder / version
    for name, text in files.items():
        (real / name).parent.mkdir(parents=True, exist_ok=True)
        (real / name).write_text(text)
        top = folder / name.partition("/")[0]
        if not top.is_symlink():
            top.symlink_to(f"..data/{top.name}")
    (folder / "..data_tmp").symlink_to(version)
    (folder / "..data_tmp").rename(folder / "..data")
    return folder


BOOK = {PLAYBOOK: HEAD, "files/x": "x"}


def test_a_mounted_runbook_is_one_runbook_with_the_digest_of_its_files(home: Path, tmp_path: Path) -> None:
    mounted = mount(home / "runbooks" / "cm", "..2026_01", BOOK)
    plain = mount(tmp_path / "elsewhere", "..1", BOOK) / "..1"
    [found] = [book for book in registry(home) if not book.shipped]
    assert (found.metadata.id, found.digest) == ("roll-back", digest(plain))
    register(home, [mounted])
    mount(mounted, "..2026_02", BOOK)
    assert registry(home).named("roll-back").registered, "mounted again with the same content"
    mount(mounted, "..2026_03", {**BOOK, "files/x": "y"})
    assert not registry(home).named("roll-back").registered


def test_a_swap_of_the_mount_does_not_mix_two_versions(home: Path) -> None:
    mounted = mount(home / "runbooks" / "cm", "..2026_01", BOOK)
    found = registry(home).named("roll-back")
    mount(mounted, "..2026_02", {**BOOK, "files/x": "y"})
    assert digest(found.folder) == found.digest
    assert (found.folder / "files/x").read_text() == "x"


def test_runbooks_of_one_mounted_folder_are_found_once(home: Path) -> None:
    (home / "runbooks").rmdir()
    mount(
        home / "runbooks", "..2026_01", {f"one/{PLAYBOOK}": HEAD, f"two/{PLAYBOOK}": HEAD.replace("roll-back", "other")}
    )
    found = registry(home)
    assert ({book.metadata.id for book in found if not book.shipped}, found.broken) == ({"roll-back", "other"}, ())


@pytest.mark.parametrize(
    ("name", "target"),
    [("files/y", "/etc/hostname"), ("more", "/etc"), ("more", "..2026_01/files"), ("..data", "/etc"), ("..data", "..")],
)
def test_a_link_out_of_a_mount_is_refused(home: Path, name: str, target: str) -> None:
    mounted = mount(home / "runbooks" / "cm", "..2026_01", BOOK)
    (mounted / name).unlink(missing_ok=True)
    (mounted / name).symlink_to(target)
    with pytest.raises(InputError):
        digest(mounted)
    assert [one.folder for one in registry(home).broken] == [mounted]


def _nothing(folder: Path) -> None:
    folder.symlink_to("nowhere")


def _link(folder: Path) -> None:
    folder.mkdir()
    (folder / PLAYBOOK).symlink_to("nowhere.yml")


BROKEN: dict[str, tuple[Any, str, str]] = {
    "an empty folder": (Path.mkdir, "holds no runbook.yml", "Write runbook.yml"),
    "another name": (lambda f: (f.mkdir(), (f / "runbook.yaml").write_text(HEAD)), "holds no", "Rename runbook.yaml"),
    "half-written YAML": (lambda f: written(f, HEAD + "  tasks: ["), "not valid YAML", "Correct that line"),
    "half-written metadata": (lambda f: written(f, "- hosts: x\n"), "no play has vars.runbook", "write-a-runbook"),
    "no text": (lambda f: (f.mkdir(), (f / PLAYBOOK).write_bytes(b"\xff")), "is not UTF-8", "Save it as UTF-8"),
    "a folder as playbook": (
        lambda f: (f / PLAYBOOK).mkdir(parents=True),
        "runbook.yml is not a file",
        "Write the playbook",
    ),
    "a link to nothing": (_nothing, "is a link to nothing", "Remove it"),
    "a playbook that leads nowhere": (_link, "is a link to nothing", "Copy the playbook in"),
    "a pipe": (lambda f: (written(f, HEAD), os.mkfifo(f / "pipe")), "neither file nor folder", "Copy the file in"),
    "a loop": (lambda f: f.symlink_to(f.name), "is a link to nothing", "Remove it"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_one_broken_folder_stops_no_other_runbook(home: Path, how: str) -> None:
    make, reason, cure = BROKEN[how]
    write(home / "runbooks" / "sound", id="sound")
    make(home / "runbooks" / "broken")
    found = registry(home)
    assert found.named("sound").metadata.id == "sound"
    [broken] = found.broken
    assert reason in broken.reason and cure in broken.cure and "broken" in broken.reason
    with pytest.raises(InputError, match="runbook 'broken' cannot be used"):
        found.named("broken")


def test_a_folder_that_may_not_be_read_stops_no_other_runbook(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home / "runbooks" / "sound", id="sound")
    closed = write(home / "runbooks" / "closed", id="closed")
    real = Path.read_bytes

    def refused(path: Path) -> bytes:
        if path.is_relative_to(closed):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", refused)
    [broken] = registry(home).broken
    assert "Permission denied" in broken.reason and f"chmod -R u+rX {closed}" in broken.cure


def test_a_folder_that_may_not_be_entered_stops_no_other_runbook(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home / "runbooks" / "sound", id="sound")
    closed = write(home / "runbooks" / "closed", id="closed")
    real = Path.is_symlink

    def refused(path: Path) -> bool:
        if path.parent == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "is_symlink", refused)
    found = registry(home)
    assert found.named("sound").metadata.id == "sound"
    [broken] = found.broken
    assert "Permission denied" in broken.reason and "chmod -R u+rX" in broken.cure


def test_a_playbook_in_no_folder_is_named_with_what_to_type(home: Path) -> None:
    (home / "runbooks" / "loose.yml").write_text(HEAD)
    [broken] = registry(home).broken
    assert (
        broken.cure == f"mkdir {home}/runbooks/loose && mv {home}/runbooks/loose.yml {home}/runbooks/loose/{PLAYBOOK}"
    )


def test_a_broken_runbook_is_not_replaced_by_the_shipped_one_of_its_id(home: Path) -> None:
    written(home / "runbooks" / "ours", HEAD.replace("roll-back", "service-errors") + "  tasks: [")
    with pytest.raises(InputError, match="'service-errors' cannot be used"):
        registry(home).named("service-errors")


def test_of_two_folders_with_one_id_the_registered_one_is_used(home: Path) -> None:
    write(home / "runbooks" / "a", summary="copy")
    register(home, [write(home / "runbooks" / "b")])
    found = registry(home)
    assert found.named("roll-back").folder == home / "runbooks" / "b"
    assert "has the id roll-back of" in found.broken[0].reason
