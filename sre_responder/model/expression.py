"""JMESPath as operators write it, in runbooks and in the policy: what is none is refused where it is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import jmespath
from pydantic import AfterValidator


def _compiles(value: str) -> str:
    try:
        jmespath.compile(value)
    except jmespath.exceptions.JMESPathError as error:
        raise ValueError(f"not JMESPath: {error}") from error
    return value


Expression = Annotated[str, AfterValidator(_compiles)]


_INTO = ("subexpression", "pipe", "projection", "value_projection", "filter_projection", "index_expression", "flatten")
"""Nodes of which the first part alone is looked up where the expression begins; the others look into what it gave."""


def looked_up(expression: str) -> frozenset[tuple[str, ...]]:
    """The names that it looks up where it begins, each with the one behind its dot, if there is one."""
    return frozenset(_looked_up(jmespath.compile(expression).parsed))


def _looked_up(node: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    below = [child for child in node["children"] if isinstance(child, dict)]
    if node["type"] == "field":
        yield (node["value"],)
    elif node["type"] == "subexpression" and all(child["type"] == "field" for child in below[:2]):
        yield below[0]["value"], below[1]["value"]
    elif node["type"] != "expref":
        for child in below[:1] if node["type"] in _INTO else below:
            yield from _looked_up(child)


def conditions(expression: str) -> int:
    """How many conditions must hold for it to be true: the more, the more specific. Of alternatives the least counts."""
    return _conditions(jmespath.compile(expression).parsed)


def _conditions(node: Mapping[str, Any]) -> int:
    below = [_conditions(child) for child in node["children"] if isinstance(child, dict)]
    match node["type"]:
        case "literal":
            return 0  # `true` serves everything
        case "or_expression":
            return min(below)
        case "and_expression" | "not_expression":
            return sum(below)
        case _:  # a comparison, a function, a field that is true
            return 1
