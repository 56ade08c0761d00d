"""The annotations `responder/...` of the catalogue: which there are, and what is doubtful in those that a service has."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping

from sre_responder.model import address, names
from sre_responder.model.actions import ACTIONS
from sre_responder.model.criterion import SOURCES
from sre_responder.model.look import LABEL

HOSTS = "responder/hosts"
"""Lists the inventory's hosts of an environment, with commas between them."""
ENVIRONMENTS = "responder/environments"
"""Lists where a service exists."""
TIER = "responder/tier"
WORKER = "responder/worker"
"""The label of the machines that reach a service: `responder worker --label LABEL`."""
CRITICALITY = "responder/criticality"
CRITICALITIES = ("tier-0", "tier-1", "tier-2", "tier-3")
"""The first is for services that everything hangs on."""
MESH = "responder/mesh-name"
"""Lists how a mesh or tracing names a service that the catalogue names otherwise: NAMESPACE/NAME or NAME."""
PROBE = "responder/probe-url"
LOG = "responder/log-file"
PROCESS = "responder/process"
_OURS = re.compile(r"(?:([^./]*)\.)?responder/", re.IGNORECASE)
_HTTP = (PROBE, "responder/cache-url")
_PATHS = ("responder/haproxy-socket", "responder/release-root", LOG)


def hosts_of(way: Mapping[str, str]) -> list[str]:
    """The hosts that an environment lists for itself; none where it lists none."""
    return [name for name in re.split(r"[,\s]+", way.get(HOSTS, "")) if name]


def connection(platform: str) -> str:
    """By which a service names its connection to a platform."""
    return f"responder/{platform.replace(' ', '-')}-connection"


def known() -> list[str]:
    """Every annotation that something reads."""
    of_actions = {key for spec in ACTIONS.values() for key in spec.annotations.values() if key.startswith("responder/")}
    connections = {connection(platform) for platform in (*(spec.platform for spec in ACTIONS.values()), *SOURCES)}
    own = {HOSTS, ENVIRONMENTS, TIER, CRITICALITY, MESH, WORKER, PROBE, LOG, PROCESS}
    return sorted({*own, *of_actions, *connections})


def doubts(annotations: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each annotation of ours that does nothing as it is written, and why with the cure; it disables nothing."""
    names_known = known()
    for key, value in annotations.items():
        if not (ours := _OURS.match(key)):
            continue
        prefix, plain = ours[1], key[key.index("/") + 1 :]
        full = f"responder/{plain}"
        if prefix is not None and prefix not in names.ENVIRONMENTS:
            yield key, f"'{names.shown(prefix)}' is not an environment. Write one of {', '.join(names.ENVIRONMENTS)}."
        elif full.startswith(LABEL) and key.endswith(full):
            continue
        elif full not in names_known or not key.endswith(full):
            near = difflib.get_close_matches(
                plain.lower(), [one.partition("/")[2] for one in names_known], n=3, cutoff=0.5
            )
            start = f"{prefix}." if prefix else ""
            hint = " or ".join(f"{start}responder/{one}" for one in near)
            yield (
                key,
                f"nothing reads it. {f'Did you mean {hint}?' if hint else 'See docs/write-a-runbook.md for those that are read.'}",
            )
        elif wrong := _wrong(full, value):
            yield key, wrong


def _wrong(key: str, value: str) -> str | None:
    """What is wrong with a value that nobody could use, with the cure."""
    if "{{" in value or "{%" in value:
        return "it contains Jinja, which nobody renders here. Write the value itself."
    if key in _HTTP and (problem := address.problem(value)):
        return f"it {problem}. Write http://host:port/path."
    if key.endswith("-url") and address.has_login(value):
        return "it contains a user name or password. Leave them out; give them as options of the task."
    if key == "responder/supervisor-server" and not value.startswith(("unix:///", "http://")):
        return "it is not an address of supervisord. Write unix:///path or http://host:port."
    if key == CRITICALITY and value not in CRITICALITIES:
        return f"it is not a criticality, and counts as {CRITICALITIES[0]}. Write one of {', '.join(CRITICALITIES)}."
    if key in _PATHS and not value.startswith("/"):
        return "it is not an absolute path. Write the whole path."
    return None
