"""What weakens a guard is found by file and line."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from sre_responder import cli
from sre_responder.home.policy import Policy
from sre_responder.home.readme import TOPICS
from sre_responder.home.runbook import SHIPPED, Runbook, locked
from sre_responder.lint import classify, findings, undocumented

HEAD = "- hosts: localhost\n  tasks:\n    - sre.responder.diagnose:\n"
STEP = "    - name: restart\n      sre.responder.supervisor_restart:\n"


@pytest.mark.parametrize(
    "folder", sorted(path.parent for path in SHIPPED.glob("*/runbook.yml")), ids=lambda path: path.name
)
def test_the_shipped_runbooks_weaken_nothing_and_say_all_that_production_demands(folder: Path) -> None:
    assert (*findings(folder), *undocumented(folder)) == ()


@pytest.mark.parametrize(
    ("text", "rule", "line"),
    [
        (HEAD + STEP + "      ignore_errors: true\n", "ignore_errors", 4),
        (HEAD + STEP + "      when: x\n", "when", 4),
        (HEAD + STEP + "      environment: {HOME: /tmp}\n", "environment", 4),
        (HEAD + STEP + "      environment: [{TZ: UTC}, {PYTHONPATH: x}]\n", "environment", 4),
        (HEAD + STEP + "      with_items: [1]\n", "loop", 4),
        (HEAD + STEP + "    - sre.responder.http_cache_purge:\n", "order", 6),
        (HEAD + "    - ansible.builtin.service: {name: x, state: restarted}\n", "unguarded", 4),
        (HEAD + "    - ansible.builtin.command: reboot\n", "undetermined", 4),
        (HEAD + "    - ansible.builtin.pause:\n", "pause", 4),
        (HEAD + "    - block:\n        - sre.responder.supervisor_restart:\n      rescue: []\n", "rescue", 5),
        ("- hosts: localhost\n  tasks:\n" + STEP, "scope", 3),
        ("- hosts: localhost\n  strategy: free\n  tasks: []\n", "strategy", 1),
        ("- hosts: localhost\n  vars_prompt: [{name: x}]\n  tasks: []\n", "vars_prompt", 1),
    ],
)
def test_a_weakness_is_named_with_its_line(tmp_path: Path, text: str, rule: str, line: int) -> None:
    path = tmp_path / "play.yml"
    path.write_text(text)
    assert (rule, line) in {(finding.rule, finding.line) for finding in findings(path)}


@pytest.mark.parametrize("given", ["{https_proxy: x, LC_ALL: C, AWS_PROFILE: x}", "'{{ given }}'", "[]"])
def test_a_proxy_a_language_or_what_is_not_known_yet_is_no_finding(tmp_path: Path, given: str) -> None:
    path = tmp_path / "play.yml"
    path.write_text(HEAD + STEP + f"      environment: {given}\n")
    assert findings(path) == ()


def test_a_variable_that_could_choose_code_is_named(tmp_path: Path) -> None:
    path = tmp_path / "play.yml"
    path.write_text(HEAD + STEP + "      environment: [{TZ: UTC}, {PYTHONPATH: x, PATH: /bin}]\n")
    [one] = findings(path)
    assert one.message.startswith("environment PATH PYTHONPATH on guarded task")
    assert one.cure == "Remove it, or set it on the other tasks that need it."


def test_a_plugin_folder_beside_the_play_is_found(tmp_path: Path) -> None:
    (tmp_path / "library").mkdir()
    path = tmp_path / "play.yml"
    path.write_text(HEAD)
    assert [finding.rule for finding in findings(path)] == ["shadow"]


def test_every_task_of_the_ladder_is_classed() -> None:
    classes = [classify(task) for task in Runbook(SHIPPED / "service-errors", None, True).tasks]
    assert classes == ["reads", "mutates", "mutates", "mutates", "mutates", "reads"]


def with_criterion(folder: Path, criterion: str) -> Path:
    folder.mkdir()
    (folder / "runbook.yml").write_text(
        "- hosts: localhost\n  vars:\n    runbook:\n      id: x-y\n      failure_class: x-y\n"
        f"      success: {criterion}\n  tasks:\n    - sre.responder.diagnose:\n"
    )
    return folder


@pytest.mark.parametrize(
    ("criterion", "cure"),
    [
        ("{}", None),
        ("{interval_s: 1, hold_s: 30}", None),
        ("{minimum_samples: 50, hold_s: 0}", None),
        ("{minimum_samples: 1, hold_s: 0}", "minimum_samples to 29"),
        ("{interval_s: 1}", "Set hold_s to 29 or more"),
        ("{good_share: 0.9}", "Set good_share above 0.9"),
        ("{good_share: 0.7}", "Set good_share above 0.9"),
        ("{good_share: 0.7, minimum_samples: 5000}", "Set good_share above 0.9"),
        ("{good_share: 0.91}", "Set good_share to 0.95 or more"),
        ("{good_share: 0.95, hold_s: 60}", None),
        ("{source: kubernetes, minimum_samples: 1, hold_s: 0}", None),
    ],
)
def test_a_criterion_that_cannot_tell_90_from_100_percent_is_a_warning(
    tmp_path: Path, criterion: str, cure: str | None
) -> None:
    found = findings(with_criterion(tmp_path / "book", criterion))
    assert [(one.rule, one.level, one.line) for one in found] == ([("criterion", "warning", 6)] if cure else [])
    assert all(cure and cure in one.cure for one in found)


@pytest.mark.parametrize(
    ("url", "words"),
    [("shop:8080/health", "does not start with http:// or https://"), ("http://{{ host }}/", "contains Jinja")],
)
def test_an_address_that_cannot_be_asked_is_found_before_a_run(tmp_path: Path, url: str, words: str) -> None:
    (found,) = findings(with_criterion(tmp_path / "book", f'{{url: "{url}"}}'))
    assert (found.rule, found.level, found.line) == ("url", "error", 6)
    assert words in found.message


BLOCK = "    - block:\n        - sre.responder.supervisor_restart:\n      {}\n"
LADDER = STEP + "    - sre.responder.release_rollback:\n"


DEPTH = {"run": ["/usr/bin/depth", "{queue}"], "args": {"queue": "[a-z]+"}}


@pytest.mark.parametrize(
    ("look", "words"),
    [
        ("command: depth, args: {queue: orders}", None),
        ("command: depth, args: {queue: $service}", None),
        ("command: width", "does not allow the command 'width'"),
        ("command: depth", "queue: the command needs this"),
        ("command: depth, args: {queue: ORDERS}", "does not allow 'ORDERS' for queue"),
    ],
)
def test_a_command_that_the_policy_would_not_run_is_an_error(tmp_path: Path, look: str, words: str | None) -> None:
    book = with_criterion(tmp_path / "book", f"{{source: command, {look}, below: 9}}")
    found = findings(book, Policy.model_validate({"commands": {"depth": DEPTH}}))
    assert [(one.rule, one.level, str(words) in one.message) for one in found] == (
        [("command", "error", True)] if words else []
    )


@pytest.mark.parametrize(
    ("text", "rule", "level"),
    [
        (HEAD + "    - local_action: sre.responder.supervisor_restart\n", "local_action", "error"),
        (HEAD + "    - local_action: {module: sre.responder.supervisor_restart}\n", "local_action", "error"),
        (HEAD + "    - local_action: ansible.builtin.command reboot\n", "undetermined", "error"),
        (HEAD + STEP + "  ignore_unreachable: true\n", "ignore_unreachable", "error"),
        (HEAD + STEP + '  ignore_unreachable: "{{ x }}"\n', "ignore_unreachable", "error"),
        (HEAD + BLOCK.format("ignore_unreachable: true"), "ignore_unreachable", "error"),
        (HEAD + STEP + "      ignore_unreachable: true\n", "ignore_unreachable", "error"),
        (HEAD + STEP + "  ignore_errors: true\n", "ignore_errors", "error"),
        (HEAD + BLOCK.format("ignore_errors: true"), "ignore_errors", "error"),
        (HEAD + "    - block:\n        - block:\n            - sre.responder.supervisor_restart:\n      ignore_errors: true\n",
         "ignore_errors", "error"),
        (HEAD + LADDER + "  serial: 1\n", "serial", "error"),
        (HEAD + LADDER + '  serial: ["10%", "50%"]\n', "serial", "error"),
        (HEAD + STEP + "  throttle: 1\n", "throttle", "warning"),
        (HEAD + BLOCK.format("throttle: 1"), "throttle", "warning"),
        (HEAD + STEP + "      throttle: 1\n", "throttle", "warning"),
        (HEAD + STEP + "  strategy: free\n", "strategy", "error"),
        (HEAD + STEP + "  strategy: ansible.builtin.host_pinned\n", "strategy", "error"),
        (HEAD + STEP + "  any_errors_fatal: false\n", "any_errors_fatal", "warning"),
        (HEAD + BLOCK.format("any_errors_fatal: no"), "any_errors_fatal", "warning"),
        (HEAD + STEP + "  max_fail_percentage: 0\n", "max_fail_percentage", "error"),
        (HEAD + STEP + "  run_once: true\n", "run_once", "error"),
        (HEAD + STEP + "    - ansible.builtin.meta: end_host\n", "meta", "error"),
        (HEAD + STEP + "    - meta: clear_host_errors\n", "meta", "error"),
    ],
)  # fmt: skip
def test_every_weakening_of_the_table_is_named_where_it_is(tmp_path: Path, text: str, rule: str, level: str) -> None:
    path = tmp_path / "play.yml"
    path.write_text(text)
    assert (rule, level) in {(found.rule, found.level) for found in findings(path)}


@pytest.mark.parametrize(
    "text",
    [
        HEAD + STEP + "  serial: 1\n",
        HEAD + LADDER + '  serial: "100%"\n',
        HEAD + STEP + "  any_errors_fatal: true\n  ignore_errors: false\n",
        HEAD + STEP + "  strategy: linear\n",
        HEAD + BLOCK.format("ignore_unreachable: false"),
        HEAD + STEP + "    - ansible.builtin.meta: flush_handlers\n",
    ],
)
def test_what_weakens_nothing_is_not_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "play.yml"
    path.write_text(text)
    assert findings(path) == ()


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("sre.responder.supervisor_restrat", "Did you mean sre.responder.supervisor_restart"),
        ("ansible.builtin.comand", "Did you mean ansible.builtin.command"),
        ("stats", "Did you mean ansible.builtin.stat"),
        ("no_such.collection.thing", "no_such.collection is not installed here"),
        ("docker_container", "community.docker is not installed here"),
        ("responder.restart", "is not a whole name"),
        ("acme.tools.restrat", "Did you mean acme.tools.restart"),
        ("acme.tools.moved_wrongly", "Did you mean acme.tools.restart"),
    ],
)
def test_a_module_that_ansible_would_not_find_is_named_with_near_matches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, words: str
) -> None:
    acme(tmp_path, monkeypatch)
    path = tmp_path / "play.yml"
    path.write_text(HEAD + f"    - {module}:\n")
    found = [one for one in findings(path) if one.rule == "module"]
    assert [one.line for one in found] == [4]
    assert words in f"{found[0].message}. {found[0].cure}"


@pytest.mark.parametrize(
    "module",
    ["debug", "yum", "ansible.builtin.set_fact", "ansible.legacy.ping", "acme.tools.restart", "acme.tools.old"],
)
def test_a_module_that_ansible_finds_is_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    acme(tmp_path, monkeypatch)
    path = tmp_path / "play.yml"
    path.write_text(HEAD + f"    - {module}:\n")
    assert "module" not in {one.rule for one in findings(path)}


def acme(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collection acme.tools with a module, one that has another name now, and one that leads nowhere."""
    place = folder / "ansible_collections" / "acme" / "tools"
    (place / "plugins" / "modules").mkdir(parents=True)
    (place / "plugins" / "modules" / "restart.py").touch()
    (place / "meta").mkdir()
    (place / "meta" / "runtime.yml").write_text(
        "plugin_routing:\n  modules:\n    old: {redirect: acme.tools.restart}\n    moved_wrongly: {redirect: acme.tools.restrt}\n"
    )
    monkeypatch.setenv("ANSIBLE_COLLECTIONS_PATH", str(folder))


DOCUMENTED = "".join(f"## {topic}\n\nText.\n" for topic in TOPICS)


def test_a_runbook_without_readme_or_topic_is_named_with_the_file_and_what_to_write(tmp_path: Path) -> None:
    book = with_criterion(tmp_path / "book", "{}")
    readme = book / "README.md"
    [one] = undocumented(book)
    assert (one.file, one.rule, one.level) == (str(readme), "readme", "error")
    assert one.cure == f"Write it, with a heading and text below it for each of: {', '.join(TOPICS)}."
    readme.write_text(DOCUMENTED.replace("## Impact\n\nText.\n", "").replace("## Rollback", "## Undo"))
    [one] = undocumented(book / "runbook.yml")
    assert str(one) == (
        f"{readme}:1: readme: no text about Impact, Rollback."
        " Write a heading and text below it for each of: Impact, Rollback."
    )
    readme.write_text(DOCUMENTED)
    assert undocumented(book) == ()


def test_a_playbook_that_is_no_runbook_needs_no_readme(tmp_path: Path) -> None:
    path = tmp_path / "play.yml"
    path.write_text(HEAD)
    assert undocumented(path) == ()


@pytest.mark.parametrize("profile", ["homelab", "team", "production"])
def test_only_production_refuses_to_register_what_nobody_could_take_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: str
) -> None:
    (tmp_path / "home" / "runbooks").mkdir(parents=True)
    (tmp_path / "home" / "policy.yml").write_text(f"profile: {profile}\n")
    book = with_criterion(tmp_path / "home" / "runbooks" / "x-y", "{url: 'http://127.0.0.1:1/'}")
    monkeypatch.setenv("RESPONDER_HOME", str(tmp_path / "home"))
    refused = profile == "production"
    done = CliRunner().invoke(cli.app, ["runbooks", "register", "x-y"])
    assert (done.exit_code != 0, "x-y" in locked(tmp_path / "home")) == (refused, not refused)
    assert ("README.md:1: readme: " in str(done.exception)) == refused
    assert CliRunner().invoke(cli.app, ["lint", str(book)]).exit_code == (2 if refused else 0)
    (book / "README.md").write_text(DOCUMENTED)
    assert CliRunner().invoke(cli.app, ["runbooks", "register", "x-y"]).exit_code == 0
    assert locked(tmp_path / "home")["x-y"] == Runbook(book, None, False).digest


def test_lint_needs_no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESPONDER_HOME", str(tmp_path / "none"))
    book = with_criterion(tmp_path / "book", "{}")
    assert CliRunner().invoke(cli.app, ["lint", str(book)]).exit_code == 0


PERFORM = "    - name: tidy\n      sre.responder.perform: "
TIDY = {
    "rung": 1,
    "target": "path",
    "args": {"path": "/srv/.*", "state": ["absent"]},
    "undo": "none",
    "because": "a test",
}


@pytest.mark.parametrize(
    ("task", "message", "cure"),
    [
        ("{module: ansible.builtin.file, args: {path: /srv/a, state: absent}}", None, ""),
        ("{module: ansible.builtin.file, args: {path: '{{ here }}', state: absent}}", None, ""),
        ("{module: ansible.builtin.file, args: {path: /etc/a}}", "does not allow '/etc/a' for path", "Correct it"),
        (
            "{module: ansible.builtin.copy, args: {}}",
            "does not allow ansible.builtin.copy",
            "ansible.builtin.copy: {rung:",
        ),
        ("{module: ansible.builtin.shell, args: {}}", "runs code", "Use a guarded module."),
        ("{module: '{{ it }}', args: {}}", "not the whole name", "Write namespace"),
        ("{args: {}}", "not the whole name", "Write namespace"),
        ("module=ansible.builtin.file", "not the whole name", "Write namespace"),
    ],
)
def test_what_the_policy_refuses_of_perform_is_named(tmp_path: Path, task: str, message: str | None, cure: str) -> None:
    path = tmp_path / "play.yml"
    path.write_text(HEAD + PERFORM + f"{task}\n")
    found = findings(path, Policy.model_validate({"perform": {"ansible.builtin.file": TIDY}}))
    assert [one.rule for one in found] == (["perform"] if message else [])
    assert all(str(message) in one.message and cure in one.cure for one in found)


def test_rung_of_perform_is_that_of_the_policy(tmp_path: Path) -> None:
    path = tmp_path / "play.yml"
    path.write_text(HEAD + STEP + PERFORM + "{module: ansible.builtin.file, args: {path: /srv/a}}\n")
    found = findings(path, Policy.model_validate({"perform": {"ansible.builtin.file": TIDY}}))
    assert [one.message for one in found if one.rule == "order"] == ["'tidy' (rung 1) stands behind rung 2"]


@pytest.mark.parametrize(
    ("module", "can"), [("ansible.builtin.copy", True), ("file", True), ("ansible.builtin.shell", False)]
)
def test_unguarded_module_is_told_how_to_be_allowed(tmp_path: Path, module: str, can: bool) -> None:
    path = tmp_path / "play.yml"
    path.write_text(HEAD + f"    - {module}: {{}}\n")
    [one] = findings(path)
    assert ("sre.responder.perform" in one.cure) is can
    assert not can or f"perform: {{ansible.builtin.{module.rpartition('.')[2]}:" in one.cure
