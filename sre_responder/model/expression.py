"""JMESPath as operators write it, in runbooks and in the policy: what is none is refused where it is read."""

from __future__ import annotations

from typing import Annotated

import jmespath
from pydantic import AfterValidator


def _compiles(value: str) -> str:
    try:
        jmespath.compile(value)
    except jmespath.exceptions.JMESPathError as error:
        raise ValueError(f"not JMESPath: {error}") from error
    return value


Expression = Annotated[str, AfterValidator(_compiles)]
