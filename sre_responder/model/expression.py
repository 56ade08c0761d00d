"""JMESPath as operators write it, in runbooks and in the policy: what is none is refused where it is read."""

from __future__ import annotations

from collections.abc import Mapping
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
