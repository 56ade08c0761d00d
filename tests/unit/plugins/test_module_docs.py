"""The pages of the modules: what they document is what they take and give, to the letter."""

from __future__ import annotations

import ast
import importlib
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from sre_responder.model.actions import ACTIONS, PERFORM, READ_ONLY

ROOT = Path(__file__).parents[3] / "plugins"
PACKAGE = "ansible_collections.sre.responder.plugins"
MODULES = sorted(path.stem for path in (ROOT / "modules").glob("[!_]*.py"))
ALWAYS = {"incident", "service", "environment"}
SPECIFIED = ("type", "required", "default", "choices", "elements", "no_log")
COMMON_RETURNS = {"changed", "diff", "failed", "msg", "skipped"}
"""What Ansible itself documents of every module."""


@cache
def module(name: str) -> ModuleType:
    return importlib.import_module(f"{PACKAGE}.modules.{name}")


@cache
def documentation(name: str) -> dict[str, Any]:
    """The page of a module with the options of its fragments."""
    page = dict(yaml.safe_load(module(name).DOCUMENTATION))
    options: dict[str, Any] = {}
    for fragment in page["extends_documentation_fragment"]:
        assert fragment.startswith("sre.responder.")
        text = importlib.import_module(
            f"{PACKAGE}.doc_fragments.{fragment.removeprefix('sre.responder.')}"
        ).ModuleDocFragment.DOCUMENTATION
        options |= yaml.safe_load(text).get("options") or {}
    return {**page, "options": options | (page.get("options") or {})}


def returned(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load(module(name).RETURN) or {})


def specified(option: dict[str, Any]) -> dict[str, Any]:
    """What both a page and an argument spec can say of an option; what they leave out is Ansible's own default."""
    said = {key: option[key] for key in SPECIFIED if key in option and key != "no_log"}
    return {"type": "str", "required": False, **said}


@pytest.mark.parametrize("name", MODULES)
def test_documented_options_are_exactly_those_that_are_taken(name: str) -> None:
    documented = {option: specified(page) for option, page in documentation(name)["options"].items()}
    taken = {option: specified(spec) for option, spec in module(name).ARGUMENT_SPEC.items()}
    assert documented == taken


@pytest.mark.parametrize("name", MODULES)
def test_every_option_is_described(name: str) -> None:
    assert [option for option, page in documentation(name)["options"].items() if not page.get("description")] == []


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_options_that_are_secrets_are_marked_so_in_both_places(name: str) -> None:
    hidden = {option for option, spec in module(name).ARGUMENT_SPEC.items() if spec.get("no_log")}
    assert hidden == ACTIONS[name].secrets


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_options_that_the_catalogue_fills_are_options(name: str) -> None:
    assert set(ACTIONS[name].annotations) - set(module(name).ARGUMENT_SPEC) == set()
    text = str(documentation(name)["options"])
    assert [annotation for annotation in ACTIONS[name].annotations.values() if f"C({annotation})" not in text] == []


@pytest.mark.parametrize("name", MODULES)
def test_page_is_the_modules_own_and_says_who_why_and_since_when(name: str) -> None:
    page = documentation(name)
    assert page["module"] == name
    assert all(page[key] for key in ("short_description", "description", "author", "version_added"))


@pytest.mark.parametrize("name", MODULES)
def test_page_says_whether_it_mutates_and_passes_the_gates(name: str) -> None:
    attributes = documentation(name)["attributes"]
    support = "full" if name in {*ACTIONS, PERFORM} else "none"
    assert {key: attributes[key]["support"] for key in ("mutates", "guard")} == {"mutates": support, "guard": support}
    assert attributes["check_mode"]["support"] == "full"
    if name in ACTIONS:
        assert attributes["undo"]["support"] == ("full" if ACTIONS[name].undoable else "none")


@pytest.mark.parametrize("name", MODULES)
def test_examples_call_the_module_by_its_full_name_with_documented_options(name: str) -> None:
    examples = yaml.safe_load(module(name).EXAMPLES)
    assert examples
    for task in examples:
        [called] = set(task) - {"name", "register", "vars"}
        assert called == f"sre.responder.{name}"
        options = documentation(name)["options"]
        assert set(task[called]) <= {option for option in options if not option.startswith("_")}
        assert {option for option, page in options.items() if page.get("required")} <= set(task[called])
        for option, value in task[called].items():
            assert value in options[option].get("choices", [value])


@pytest.mark.parametrize("name", sorted({*ACTIONS, PERFORM}))
def test_result_of_a_guarded_module_is_documented_as_promised(name: str) -> None:
    page = returned(name)
    assert {"before", "after", "outcome", "skip_reason", "guard"} <= set(page)
    guard = page["guard"]["contains"]
    assert set(guard) == {"decision", "plan", "attempt", "gates"}
    assert set(guard["gates"]["contains"]) == {
        "name",
        "status",
        "reason",
        "evidence",
        "clears_by",
        "clears_at",
        "command",
    }


@pytest.mark.parametrize("name", MODULES)
def test_every_value_of_a_result_has_description_occasion_and_type(name: str) -> None:
    def bare(page: dict[str, Any]) -> list[str]:
        found = [
            key
            for key, value in page.items()
            if not all(value.get(word) for word in ("description", "returned", "type"))
        ]
        return found + [inner for value in page.values() for inner in bare(value.get("contains", {}))]

    assert bare(returned(name)) == []


def function(name: str) -> tuple[ast.Call, ast.FunctionDef]:
    """The one call of `answer` in the action plugin of a reading or recording step, and the function that it names."""
    tree = ast.parse((ROOT / "action" / f"{name}.py").read_text())
    [call] = [
        n for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "answer"
    ]
    [does] = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == ast.unparse(call.args[2])]
    return call, does


@pytest.mark.parametrize("name", sorted(READ_ONLY))
def test_a_reading_step_takes_the_options_of_its_page(name: str) -> None:
    call, _ = function(name)
    assert {*ast.literal_eval(call.args[3])} | ALWAYS == set(module(name).ARGUMENT_SPEC)


@pytest.mark.parametrize("name", sorted(READ_ONLY))
def test_a_reading_step_gives_the_values_of_its_page(name: str) -> None:
    _, does = function(name)
    given = {
        key.value
        for node in ast.walk(does)
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Dict)
        for key in node.value.keys
        if isinstance(key, ast.Constant)
    }
    assert given
    assert given - COMMON_RETURNS == set(returned(name))
