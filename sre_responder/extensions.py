"""What distributions of others add by entry points: only of those that the policy names, in the versions that it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Any

from packaging.specifiers import SpecifierSet

from sre_responder.errors import InputError


@dataclass(frozen=True)
class Extension:
    """One object of another distribution."""

    distribution: str
    name: str
    value: Any


def versions(allowed: Mapping[str, str]) -> dict[str, str]:
    """The version of each distribution that the policy names. InputError where one is missing, or of a version that it does not take."""
    return {name: found.version for name, found in _found(allowed).items()}


def extensions(kind: str, allowed: Mapping[str, str]) -> tuple[Extension, ...]:
    """All that they add of one kind (gates, channels), by name. InputError where any of it cannot be loaded."""
    return tuple(
        Extension(name, entry.name, _load(name, entry))
        for name, found in sorted(_found(allowed).items())
        for entry in sorted(found.entry_points.select(group=f"sre_responder.{kind}"), key=lambda entry: entry.name)
    )


def _found(allowed: Mapping[str, str]) -> dict[str, Distribution]:
    found = {}
    for name, wanted in allowed.items():
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            raise InputError(
                f"{name}, which the policy names, is not installed.", cure=f"pip install '{name}{wanted}'"
            ) from None
        if not SpecifierSet(wanted).contains(found[name].version, prereleases=True):
            raise InputError(
                f"{name} is installed as {found[name].version}; the policy takes {wanted}.",
                cure=f"Review that version and write it into extensions in policy.yml, or: pip install '{name}{wanted}'",
            )
    return found


def _load(name: str, entry: Any) -> Any:
    try:
        return entry.load()
    except Exception as error:  # whatever another's module does when it is imported
        raise InputError(
            f"{entry.name} of {name} cannot be loaded: {type(error).__name__}: {error}.", cure=f"Repair {name}."
        ) from error
