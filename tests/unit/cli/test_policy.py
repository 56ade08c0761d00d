"""`responder policy test`: the rules of the policy on cases of a team's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sre_responder import cli
from sre_responder.home.rule import EXAMPLE

DOCS = Path(__file__).parents[3] / "docs" / "operate.md"


@pytest.fixture
def tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    rules = "\n".join(line.removeprefix("# ") for line in EXAMPLE.splitlines()[1:])
    (tmp_path / "policy.yml").write_text(rules)
    monkeypatch.setenv("RESPONDER_HOME", str(tmp_path))

    def run(cases: str, *words: str) -> Result:
        (tmp_path / "cases.yml").write_text(cases)
        return CliRunner().invoke(cli.app, ["policy", "test", str(tmp_path / "cases.yml"), *words])

    return run


def test_the_cases_of_the_docs_hold(tried: Callable[..., Result]) -> None:
    text = DOCS.read_text()
    cases = text[text.index("# rules_test.yml\n") :].split("```")[0]
    done = tried(cases)
    assert (done.exit_code, done.stdout.count("ok  ")) == (0, 2), done.output


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("facts: {service: a, rung: 4, time: {hour: 3}}", "no-failover-at-night refuses it"),
        ("facts: {service: a, rung: 4, time: {hour: 9}}, refuses: [no-failover-at-night]", "does not refuse it"),
        ("facts: {service: payments, rung: 3, time: {hour: 9}}", "ask for 2 approvals, not 0"),
        ("facts: {rung: 4, time: {hour: 9}}", "payments-by-two reads service, which facts does not have"),
        ("facts: {service: a, rung: 4, time: {}}", "no-failover-at-night cannot be judged"),
        ("facts: {service: a, rung: 1, time: {hour: 9}}, refuses: [nothing]", "nothing does not refuse it"),
    ],
)
def test_what_the_rules_say_otherwise_is_named_and_exits_2(tried: Callable[..., Result], case: str, words: str) -> None:
    done = tried(f"- {{name: x, {case}}}\n")
    assert (done.exit_code, words in " ".join(done.stdout.split())) == (2, True), done.output
    [found] = json.loads(tried(f"- {{name: x, {case}}}\n", "--json").stdout)["cases"]
    assert (found["name"], found["ok"]) == ("x", False)


@pytest.mark.parametrize(
    ("cases", "words"),
    [("[]", "has no cases"), ("- {name: x}", "facts"), ("- {name: x, facts: {}, allow: 1}", "allow")],
)
def test_what_is_no_case_is_named(tried: Callable[..., Result], cases: str, words: str) -> None:
    assert words in str(tried(cases).exception)
