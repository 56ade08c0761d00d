"""The home: the one folder of policy, catalogue, people and runbooks, chosen by the operator's environment alone."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from sre_responder.errors import InputError
from sre_responder.home import catalogue, connections, observed, people, policy, runbook
from sre_responder.home.graph import Graph, Radius
from sre_responder.model.action_spec import ActionSpec
from sre_responder.model.look import NotMeasured, Place

SYSTEM = Path("/etc/sre-responder")


def _user_folder(environ: Mapping[str, str], variable: str, fallback: str) -> Path:
    return Path(environ.get(variable) or Path(environ.get("HOME", "~")).expanduser() / fallback) / "sre-responder"


@dataclass(frozen=True)
class Home:
    """Where everything of one installation stands; each file is read once, when it is first asked for."""

    folder: Path
    ledger_url: str
    state: Path

    @cached_property
    def policy(self) -> policy.Policy:
        return policy.load(self._existing("policy.yml"))

    @cached_property
    def catalogue(self) -> catalogue.Catalogue:
        folder, file = self.folder / "catalogue", self.folder / "catalogue.yml"
        known = (
            catalogue.load(folder, *([file] if file.exists() else []))
            if folder.is_dir()
            else catalogue.load(self._existing("catalogue.yml"))
        )
        return known.connected(self.connections.expanded)

    @cached_property
    def connections(self) -> connections.Connections:
        return connections.load(self.folder / connections.FILE)

    @cached_property
    def observed(self) -> observed.Observed:
        """The calls that the sources of the policy have shown; none if it names no source."""
        wanted = {source.name for source in self.policy.graph.sources}
        kept = observed.load(self.state / observed.FILE) if wanted else observed.Observed()
        return replace(kept, sources={name: seen for name, seen in kept.sources.items() if name in wanted})

    @cached_property
    def graph(self) -> Graph:
        return Graph(self.catalogue, self.observed.sources)

    def radius(self, service: str, now: float) -> Radius:
        """What a change to a service may reach, and what is not known of that now. InputError if the catalogue has no such service."""
        return replace(self.graph.radius(service), unknown=self.observed.doubt(self.policy.graph, now))

    @property
    def variables(self) -> frozenset[str]:
        """Environment variables in which secrets are kept: a run needs them."""
        return self.connections.variables | self.policy.variables

    def given(self, spec: ActionSpec, way: Mapping[str, str]) -> dict[str, Any]:
        """What annotations and connection of a service give an action where its task leaves it out. InputError where a secret cannot be read."""
        annotated = {option: way[key] for option, key in spec.annotations.items() if key in way}
        return {**self.connections.login(spec, way), **annotated}

    def place(self, service: str, environment: str) -> Place:
        """Where evidence of a service is found in an environment. InputError if the catalogue has no such service."""
        way = self.catalogue.service(service).reached(environment)

        def login(source: str, named: str | None) -> Any:
            try:
                return self.connections.of_source(source, named, way)
            except InputError as error:
                raise NotMeasured(str(error)) from error

        def printed(name: str, args: Mapping[str, str], timeout_s: float) -> str:
            try:
                return self.policy.command(name).printed(args, timeout_s)
            except (InputError, ValueError, OSError) as error:
                raise NotMeasured(str(error)) from error

        return Place(service, environment, way, login, printed=printed, slos=self.slos)

    @property
    def slos(self) -> Path:
        """Where the team keeps its service level objectives."""
        return self.folder / self.policy.slos.expanduser()

    @cached_property
    def people(self) -> people.People:
        return people.load(self.folder / "people.yml", self.folder / "allowed_signers")

    @cached_property
    def runbooks(self) -> runbook.Registry:
        return runbook.registry(self.folder)

    @cached_property
    def policy_digest(self) -> str:
        return hashlib.sha256(self._existing("policy.yml").read_bytes()).hexdigest()

    @cached_property
    def secret(self) -> bytes:
        """The key under which secrets enter a plan's digest; made on first use, readable by its owner alone."""
        path = self.state / "digest.key"
        self.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            draft = self.state / f".digest.key.{os.getpid()}"
            draft.touch(mode=0o600)
            draft.write_bytes(secrets.token_bytes(32))
            try:
                os.link(draft, path)  # of two that race, one key wins
            except FileExistsError:
                pass  # the other's key is as good
            finally:
                draft.unlink()
        return path.read_bytes()

    @property
    def collections(self) -> Path:
        """Where a run finds collections of others, beside those that are installed with this library."""
        return self.folder / "collections"

    @property
    def inventory(self) -> Path | None:
        """Where the hosts of on-host actions stand; without it there is only this machine."""
        found = next((p for p in (self.folder / "inventory", self.folder / "inventory.yml") if p.exists()), None)
        if found is not None and not (found.is_file() or found.is_dir()):  # Ansible would wait for a pipe
            raise InputError(f"{found} is neither a file nor a folder.", cure="Write an inventory in its place.")
        return found

    @property
    def vault_password_file(self) -> Path | None:
        """Where the password of vaulted inventories stands, as the policy says; None leaves it to whoever starts a run."""
        named = self.policy.ansible.vault_password_file
        return None if named is None else self.folder / named.expanduser()

    def _existing(self, name: str) -> Path:
        path = self.folder / name
        if not path.exists():
            raise InputError(
                f"{path} does not exist.",
                cure=f"Run `responder init` to write a commented home into {self.folder}, or set RESPONDER_HOME.",
            )
        return path


TRUSTED = (
    "policy.yml",
    "catalogue.yml",
    "people.yml",
    "allowed_signers",
    "connections.yml",
    "runbooks.lock",
    "runbooks",
    "slos",
    "collections",
)
"""What a home is believed for: whoever may write it is a member of the guard."""


def find(environ: Mapping[str, str] = os.environ) -> Home:
    """$RESPONDER_HOME, else /etc/sre-responder where it exists, else the user's config folder."""
    chosen = environ.get("RESPONDER_HOME")
    if chosen:
        folder = Path(chosen).expanduser()
    elif SYSTEM.is_dir():
        folder = SYSTEM
    else:
        folder = _user_folder(environ, "XDG_CONFIG_HOME", ".config")
    state = _user_folder(environ, "XDG_STATE_HOME", ".local/state")
    url = environ.get("RESPONDER_LEDGER") or f"sqlite:///{state / 'ledger.db'}"
    if url.startswith("sqlite:///"):
        state = Path(url.removeprefix("sqlite:///")).absolute().parent
    return Home(folder.absolute(), url, state)


_CATALOGUE = """\
# Backstage catalog-info documents, one a service. `responder/...` annotations say how its platforms are reached.
apiVersion: backstage.io/v1alpha1
kind: Component
metadata:
  name: checkout
  annotations:
    responder/environments: production
    responder/tier: middleware
    responder/probe-url: http://127.0.0.1:8080/health.json
spec:
  type: service
  lifecycle: production
  owner: payments
  dependsOn: []
"""

_PEOPLE = """\
# Who may approve. `responder people add NAME --key KEY.pub` adds a person here, and the key to allowed_signers, in OpenSSH's own format:
#   dana@example.org namespaces="sre-responder" ssh-ed25519 AAAA...
people: []
# people:
#   - name: dana
#     principal: dana@example.org
#     roles: [operator]
#   - name: iris
#     principal: iris@example.org
#     roles: [incident_commander]
"""


def write(folder: Path, profile: policy.Profile) -> list[Path]:
    """A commented home in `folder`; files that exist are left as they are. Gives the files written."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "runbooks").mkdir(exist_ok=True)
    written = []
    for name, text in {
        "policy.yml": policy.example(profile),
        "catalogue.yml": _CATALOGUE,
        "people.yml": _PEOPLE,
        "allowed_signers": "",
    }.items():
        path = folder / name
        if not path.exists() and not (name == "catalogue.yml" and (folder / "catalogue").is_dir()):
            path.write_text(text, encoding="utf-8")
            written.append(path)
    if not (folder / runbook.LOCK).exists():
        written.append(runbook.register(folder, [entry.folder for entry in runbook.registry(folder)]))
    return written
