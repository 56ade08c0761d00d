"""The policy: one YAML file with every limit of the specification, and the profiles that set them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import jmespath
import yaml
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from sre_responder.errors import InputError
from sre_responder.extensions import extensions
from sre_responder.home.allowed import Allowed, Module
from sre_responder.home.command import EXAMPLE as _COMMANDS
from sre_responder.home.command import Command
from sre_responder.home.documents import read_documents, validated
from sre_responder.home.observing import EXAMPLE as _OBSERVING
from sre_responder.home.observing import Observing
from sre_responder.home.rule import EXAMPLE as _RULES
from sre_responder.home.rule import Rule
from sre_responder.home.section import Name, named_apart
from sre_responder.home.section import Section as _Section
from sre_responder.home.serving import EXAMPLE as _SERVING
from sre_responder.home.serving import Serve
from sre_responder.home.variables import LOADS_CODE
from sre_responder.model.action_spec import ActionSpec
from sre_responder.model.actions import ACTIONS, spec_of
from sre_responder.model.expression import Expression
from sre_responder.model.names import ENVIRONMENTS, Severity, shown
from sre_responder.model.worse import Worse
from sre_responder.notify.channel import Absent, Channel
from sre_responder.notify.channels import KINDS, AnyChannel

Profile = Literal["homelab", "team", "production"]


_ONE_EACH: dict[Severity, int] = {"SEV1": 1, "SEV2": 1, "SEV3": 1, "SEV4": 1}
_ALIASES: dict[str, Severity] = {
    "critical": "SEV1",
    "high": "SEV2",
    "medium": "SEV3",
    "warning": "SEV3",
    "low": "SEV4",
    "info": "SEV4",
}


class Cluster(_Section):
    """A Kubernetes cluster that denies Responder's account under a stop."""

    kubeconfig: Path | None = Field(None, description="Kubeconfig file; null means as kubectl finds it.")
    context: str | None = Field(None, description="Its context; null means the current one.")
    namespace: str = Field("responder", description="Where `responder kubernetes manifests` put the account.")
    environment: str | None = Field(
        None, description="All that the account acts on is of this environment; null means of several."
    )

    @property
    def name(self) -> str:
        """What people call it; two accounts of one cluster differ by their namespace."""
        return f"{self.context or self.kubeconfig or 'of the current context'}/{self.namespace}"

    @property
    def arguments(self) -> dict[str, Any]:
        """How an effect connects to it."""
        place = {"kubeconfig": self.kubeconfig and str(self.kubeconfig.expanduser()), "context": self.context}
        return {**place, "namespace": self.namespace}


class Stop(_Section):
    """The emergency stop (spec section 3)."""

    file: Path = Field(
        Path("/etc/incident-response/EMERGENCY_STOP"),
        description="Its text is the reason; its absence in a readable folder means clear.",
    )
    nag_after_minutes: int = Field(60, ge=1, description="A stop older than this is nagged about.")
    clusters: tuple[Cluster, ...] = Field((), description="Clusters in which a stop is set too.")

    @field_validator("clusters")
    @classmethod
    def _each_once(cls, clusters: tuple[Cluster, ...]) -> tuple[Cluster, ...]:
        """What is said of a cluster is said by its name."""
        named_apart((cluster.name for cluster in clusters), "cluster")
        return clusters


class SeverityLimits(_Section):
    """One row of the table in spec section 5; null means no limit."""

    services: int | None = Field(ge=1, description="Services that one incident may act on.")
    automatic_actions: int | None = Field(ge=0, description="Actions of one incident without a person's approval.")
    approval_after_failures: int | None = Field(
        ge=0, description="From this many actions without improvement on, each needs approval."
    )
    approve_production_rollbacks: bool = Field(False, description="Rollbacks in production need approval.")
    traffic: float | None = Field(
        None, ge=0, le=1, description="Share of observed traffic that one action may reach without a person's approval."
    )
    tier_0: int | None = Field(
        None, ge=0, description="Services of tier 0 that one action may reach without a person's approval."
    )


def strictest(limits: Sequence[SeverityLimits]) -> SeverityLimits:
    """Of several rows of the table, the stricter value of each column."""

    def stricter(values: Sequence[float | bool | None]) -> float | bool | None:
        given = [value for value in values if value is not None]
        return any(given) if isinstance(values[0], bool) else min(given, default=None)

    columns = {name: stricter([getattr(one, name) for one in limits]) for name in SeverityLimits.model_fields}
    return SeverityLimits.model_validate(columns)


class Loop(_Section):
    """Attempts at one remedy for one symptom (spec section 2)."""

    attempts: int = Field(2, ge=1, description="This many attempts within the window close the remedy off.")
    window_minutes: int = Field(15, ge=1)
    healthy_seconds: float = Field(
        60, ge=0, description="A symptom measured healthy for this long starts its counts anew."
    )


class Rollbacks(_Section):
    """When rollbacks are locked out (spec section 2)."""

    failed_in_a_row: int = Field(2, ge=1)
    within_window: int = Field(3, ge=1)
    window_minutes: int = Field(30, ge=1)
    deadline_seconds: int = Field(300, ge=1, description="A rollback that takes longer is ended and handed over.")
    worse: Worse = Field(default=Worse(), description="When a watch ends early, because things have got worse.")


class Deadlines(_Section):
    """How long one target may keep a run waiting. A rollback has a deadline of its own."""

    plan_seconds: float = Field(30, gt=0, description="Planning that takes longer is refused; nothing was changed.")
    act_seconds: float = Field(
        30, gt=0, description="An act that takes longer than its timeout_s and this is ended; its outcome is unknown."
    )
    propagate_seconds: float = Field(
        900,
        gt=0,
        description="A change that has not reached all that use it by then (sessions, DNS answers) has an unknown outcome.",
    )


class Approvals(_Section):
    """Who must agree, and for how long it holds (spec section 4)."""

    valid_minutes: int = Field(30, ge=1)
    needed: Mapping[Severity, Annotated[int, Field(ge=1)]] = Field(
        default_factory=lambda: dict(_ONE_EACH), description="How many people must approve, by severity."
    )
    needed_for: Mapping[str, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict, description="How many people must approve an action, where that is more."
    )

    commander_rungs: tuple[Literal[0, 1, 2, 3, 4], ...] = Field(
        (), description="Rungs of which one approver must be incident commander."
    )
    standing: Mapping[str, tuple[Literal[0, 1, 2, 3, 4], ...]] = Field(
        default_factory=dict, description="Runbook digest to the rungs that it may climb in production without asking."
    )


class BreakGlass(_Section):
    """Approvals signed away from everything, when approvers cannot reach the ledger (spec section 4)."""

    allowed: bool = True
    valid_minutes: int = Field(240, ge=1)
    review_within_days: int = Field(3, ge=0, description="A use that nobody reviewed for longer blocks the next.")


class Tested(_Section):
    """What counts as a tested procedure (spec section 2)."""

    max_age_days: int = Field(180, ge=1, description="A success that is older proves nothing any more.")


class Cascade(_Section):
    """When failures are no longer one incident: the emergency stop of that environment is raised (spec section 5)."""

    services: int | None = Field(4, ge=2, description="So many services whose remedy did not help; null means never.")
    downstream: int | None = Field(
        3, ge=1, description="So many services newly failing downstream of what was acted on; null means never."
    )
    window_minutes: int = Field(15, ge=1)


class Order(_Section):
    """In which order the services of one outage are healed, and what must be stable between two of them (spec section 5)."""

    canary_seconds: float = Field(
        60, ge=0, description="How long a healed service and what depends on it must stay good before the next step."
    )


class Radius(_Section):
    """How far an action may reach (spec section 5)."""

    capacity_left: float = Field(
        0.5, ge=0, le=1, description="Share of capacity that must remain, where the platform can tell."
    )
    capacity_left_for: Mapping[str, Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=dict,
        description="The same for one action, such as one that shall leave nothing: kubernetes_isolate: 0.",
    )
    repairs_nearby: int = Field(0, ge=0, description="Other services under repair within two hops.")
    downstream: int | None = Field(
        None, ge=0, description="Services that may depend on the one acted on; null means no limit."
    )


class FromAlert(_Section):
    """Where in an alert a word stands, and what it means here."""

    expression: Expression = Field(
        description="JMESPath over one alert (status, labels, annotations) that gives a text."
    )
    values: Mapping[str, str] = Field(
        default_factory=dict,
        description="Their word to ours, such as prod-eu: production; other words stay as they are.",
    )

    def read(self, alert: Mapping[str, Any], name: str) -> str:
        """The word that an alert has for `name`, as it is called here; InputError if there is none."""
        try:
            found = jmespath.search(self.expression, dict(alert))
        except jmespath.exceptions.JMESPathError as error:
            raise InputError(
                f"'{self.expression}' cannot be read from it: {shown(error, 100)}.",
                cure=f"Correct alerts.{name}.expression in policy.yml.",
            ) from error
        if not isinstance(found, str) or not found.strip():
            raise InputError(
                f"it has no {name}: {self.expression} is not set.",
                cure=f"Add the label to the alert rule, or set alerts.{name} in policy.yml.",
            )
        return self.values.get(found, found)


def _label(name: str) -> Any:
    return Field(default_factory=lambda: FromAlert(expression=f"labels.{name}"))


class Alerts(_Section):
    """How an alert names its service, environment and severity."""

    service: FromAlert = _label("service")
    environment: FromAlert = _label("environment")
    severity: FromAlert = _label("severity")

    @field_validator("environment")
    @classmethod
    def _to_ours(cls, read: FromAlert) -> FromAlert:
        """Their word is turned into one that the catalogue can have."""
        if unknown := sorted(set(read.values.values()) - set(ENVIRONMENTS)):
            raise ValueError(
                f"values lead to {', '.join(map(shown, unknown))}; environments: {', '.join(ENVIRONMENTS)}"
            )
        return read


class Ansible(_Section):
    """What Ansible gets in a run."""

    environment: tuple[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*\*?$")], ...] = Field(
        (),
        description="Variables of whoever starts a run that reach it besides those of clouds, kubectl, PostgreSQL, proxies and "
        "certificates: VAULT_ADDR, or HCLOUD_* for all that begin so.",
    )
    vault_password_file: Path | None = Field(
        None,
        description="File, or script that prints it, with the ansible-vault password of the inventory; relative to the home. "
        "Default: ANSIBLE_VAULT_PASSWORD_FILE of whoever starts the run.",
    )

    @field_validator("environment")
    @classmethod
    def _harmless(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        """A run must not load code, or find programs, where whoever starts it says."""
        for name in names:
            if name.startswith(LOADS_CODE) or any(
                one.startswith(name.rstrip("*")) for one in LOADS_CODE if "*" in name
            ):
                raise ValueError(
                    f"{name} may not reach a run: it decides which code is loaded, or what Responder works with"
                )
        return names


def _range(value: str) -> str:
    try:
        if not len(SpecifierSet(value)):
            raise ValueError("name the versions that are taken, such as >=1.2,<2")
    except InvalidSpecifier as error:
        raise ValueError(f"not a range of versions: {error}") from error
    return value


Range = Annotated[str, AfterValidator(_range)]


def _of_others(entry: Any, made: Mapping[str, type[Channel]], absent: Mapping[str, Any]) -> Any:
    """A channel of another distribution; the entry itself where its kind is one of ours."""
    kind = entry.get("kind") if isinstance(entry, Mapping) else None
    if kind in KINDS or kind is None:
        return entry
    if absent:
        return Absent(kind=str(kind), name=str(entry.get("name", "")), **absent)
    return made[kind].model_validate(entry) if kind in made else entry


class Lease(_Section):
    """How long a target is held for one attempt."""

    seconds: float = Field(60, gt=0)


class Requirements(_Section):
    """What this environment offers; a safeguard that it cannot offer is skipped, on the record (spec section 2)."""

    tickets: bool = True
    approvals: bool = True
    tested_procedures: bool = True
    identified_scope: bool = True
    measured_criterion: bool = Field(
        True, description="An action whose criterion cannot be measured needs an approval."
    )
    commander_lifts_stop: bool = True


_SEVERITIES: dict[Severity, SeverityLimits] = {
    "SEV1": SeverityLimits(services=None, automatic_actions=3, approval_after_failures=3),
    "SEV2": SeverityLimits(services=5, automatic_actions=2, approval_after_failures=2),
    "SEV3": SeverityLimits(
        services=1, automatic_actions=3, approval_after_failures=None, approve_production_rollbacks=True
    ),
    "SEV4": SeverityLimits(services=1, automatic_actions=None, approval_after_failures=None),
}


class Policy(_Section):
    """All limits of one home. Nothing in a play, an inventory or an alert can change them."""

    profile: Profile = "production"
    requires: Requirements = Requirements()
    stop: Stop = Field(default_factory=lambda: Stop.model_validate({}))
    severities: Mapping[Severity, SeverityLimits] = Field(default_factory=lambda: dict(_SEVERITIES))
    severity_aliases: Mapping[str, Severity] = Field(default_factory=lambda: dict(_ALIASES))
    alerts: Alerts = Field(default_factory=lambda: Alerts.model_validate({}))
    serve: Serve = Field(default_factory=lambda: Serve.model_validate({}))
    loop: Loop = Field(default_factory=lambda: Loop.model_validate({}))
    rollbacks: Rollbacks = Field(default_factory=lambda: Rollbacks.model_validate({}))
    deadlines: Deadlines = Field(default_factory=lambda: Deadlines.model_validate({}))
    approvals: Approvals = Field(default_factory=lambda: Approvals.model_validate({}))
    break_glass: BreakGlass = Field(default_factory=lambda: BreakGlass.model_validate({}))
    tested: Tested = Field(default_factory=lambda: Tested.model_validate({}))
    cascade: Cascade = Field(default_factory=lambda: Cascade.model_validate({}))
    order: Order = Field(default_factory=lambda: Order.model_validate({}))
    radius: Radius = Field(default_factory=lambda: Radius.model_validate({}))
    graph: Observing = Field(default_factory=lambda: Observing.model_validate({}))
    ansible: Ansible = Field(default_factory=lambda: Ansible.model_validate({}))
    lease: Lease = Field(default_factory=lambda: Lease.model_validate({}))
    gitops: Literal["refuse", "hold"] = Field(
        "refuse",
        description="Where Git says what a workload is: refuse to change it, or let kubernetes_hold hold GitOps off for a while.",
    )
    extensions: Mapping[str, Range] = Field(
        default_factory=dict,
        description="Distributions of others whose gates and channels are used, with the versions that are taken: '>=1.2,<2'.",
    )
    notifications: tuple[AnyChannel, ...] = Field((), description="Where messages to people go.")
    perform: Mapping[Module, Allowed] = Field(
        default_factory=dict, description="Modules of other collections that sre.responder.perform may run."
    )
    commands: Mapping[Name, Command] = Field(
        default_factory=dict, description="Read-only commands of this machine that criteria may measure by."
    )
    rules: Mapping[Name, Rule] = Field(
        default_factory=dict, description="Rules of your own: each can refuse a plan, or ask for more people."
    )
    slos: Path = Field(
        Path("slos"), description="Folder of OpenSLO and Sloth files that criteria name; relative to the home."
    )
    run_deadline_minutes: float = Field(
        30, gt=0, description="A run of one runbook that takes longer is ended and handed over."
    )

    @property
    def limits(self) -> dict[str, Any]:
        """What decisions are made by: a change of it voids approvals; other lines of the file do not."""
        judged_by = {
            "profile", "requires", "severities", "loop", "rollbacks", "approvals", "tested", "order", "radius", "graph",
            "commands", "rules",
        }  # fmt: skip
        return self.model_dump(mode="json", include=judged_by)

    def action(self, name: str) -> ActionSpec | None:
        """What the guard must know of an action: one of ours, or a module that `perform` may run; None where it is neither."""
        allowed = self.perform.get(name)
        return allowed.spec(name) if allowed else spec_of(name)

    def command(self, name: str) -> Command:
        """A command by which criteria may measure. InputError if the policy does not allow it."""
        if name not in self.commands:
            known = ", ".join(self.commands) or "none"
            raise InputError(
                f"the policy does not allow the command '{shown(name, 64)}' (allowed: {known}).",
                cure="Add it to commands in policy.yml.",
            )
        return self.commands[name]

    @property
    def variables(self) -> frozenset[str]:
        """Environment variables in which secrets of commands are kept: a run needs them."""
        return frozenset(name for one in self.commands.values() for name in one.variables)

    def contains(self, action: str) -> bool:
        """Whether an action is containment; what it does not know is not."""
        spec = self.action(action)
        return spec is not None and spec.containment

    def act_limit(self, spec: ActionSpec, timeout_s: float | None) -> float:
        """How long an act may take: a rollback has its own deadline, all else what its task waits for and some time beside."""
        if spec.rollback:
            return min(self.rollbacks.deadline_seconds, spec.limit_s or math.inf)
        return spec.limit_s or (timeout_s or 0) + self.deadlines.act_seconds

    def leaves_out(self, action: str) -> str | None:
        """Why this policy never takes an action, whatever a runbook says; None where it may."""
        refused = action == "kubernetes_hold" and self.gitops == "refuse"
        return "the policy lets nobody hold GitOps off (gitops: refuse)" if refused else None

    @model_validator(mode="after")
    def _known_actions(self) -> Policy:
        """A name that is misspelled would silently change nothing: fewer people would be asked than somebody thought."""
        known = {*ACTIONS, *self.perform}
        for place, named in (
            ("approvals.needed_for", self.approvals.needed_for),
            ("radius.capacity_left_for", self.radius.capacity_left_for),
        ):
            if unknown := sorted(set(named) - known):
                raise ValueError(
                    f"{place}: no action is called {', '.join(unknown)}; known: {', '.join(sorted(known))}"
                )
        return self

    @field_validator("notifications", mode="wrap")
    @classmethod
    def _channels_of_others(cls, given: Any, ours: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        """Channels of the distributions that the policy names, among ours. One that cannot be loaded says so when it should send:
        a stop must work without it."""
        allowed = info.data.get("extensions", {})
        if not allowed or not isinstance(given, list | tuple):
            return ours(given)
        try:
            made: dict[str, type[Channel]] = {one.name: one.value for one in extensions("channels", allowed)}
            other = dict[str, Any]()
        except InputError as error:
            made, other = {}, {"reason": str(error)}
        entries = [_of_others(one, made, other) for one in given]
        own = iter(ours([one for one in entries if not isinstance(one, Channel)]))
        return tuple(one if isinstance(one, Channel) else next(own) for one in entries)

    @field_validator("notifications")
    @classmethod
    def _named_apart(cls, channels: tuple[Channel, ...]) -> tuple[Channel, ...]:
        """A delivery is remembered by its channel's name."""
        names = [channel.name for channel in channels]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two channels are called {', '.join(twice)}; give each its own name")
        return channels

    def severity(self, text: str) -> Severity:
        """SEV1 to SEV4, or one of the policy's aliases for them, in capitals or not."""
        aliases = {alias.lower(): level for alias, level in self.severity_aliases.items()}
        word = text.strip(" ") if text.isascii() else ""
        for known in self.severities:
            if word.upper() == known:
                return known
        if word.lower() in aliases:
            return aliases[word.lower()]
        raise InputError(
            f"severity '{shown(text, 40)}' is not known.",
            cure=f"Use {', '.join(self.severities)} or one of {', '.join(self.severity_aliases)}.",
        )


_HOMELAB = {
    "tickets": False,
    "approvals": False,
    "tested_procedures": False,
    "identified_scope": False,
    "measured_criterion": False,
    "commander_lifts_stop": False,
}
PROFILES: Mapping[Profile, Mapping[str, Any]] = {
    "homelab": {"requires": _HOMELAB},
    "team": {"requires": {"tested_procedures": False}},
    "production": {},
}
"""What each profile says where the file is silent."""


def load(path: Path) -> Policy:
    """The policy of a file, with its profile's values where the file is silent."""
    documents = list(read_documents(path))
    value, node = documents[0] if documents else ({}, None)
    if len(documents) > 1 or not isinstance(value, dict | None):
        raise InputError(f"{path} is not one mapping.", cure="Run `responder init` for a commented example.")
    written = value or {}
    named = written.get("profile", "production")
    chosen = next((values for name, values in PROFILES.items() if name == named), {})
    merged = {**written}
    for section, values in chosen.items():
        if isinstance(merged.get(section, {}), dict):
            merged[section] = {**values, **merged.get(section, {})}
    if isinstance(written.get("severities"), dict):
        default = {name: limits.model_dump() for name, limits in _SEVERITIES.items()}
        merged["severities"] = {
            **default,
            **{n: {**default.get(n, {}), **v} if isinstance(v, dict) else v for n, v in written["severities"].items()},
        }
    return validated(Policy, merged, path, node)


def schema() -> dict[str, Any]:
    """The JSON Schema of the policy file."""
    described = Policy.model_json_schema()
    described["$defs"]["SeverityLimits"].pop("required")  # a file that names one limit keeps the others
    return described


_CHANNELS = """\
# Examples; delete "notifications: []" above, and the # of what you use. An address or a key may be a reference:
# {env: NAME} or {file: PATH}. Then: responder notify test
# notifications:
#   - {kind: slack, url: {env: SLACK_WEBHOOK_URL}}  # also Mattermost, Rocket.Chat, Zulip
#   - {kind: msteams, url: {file: /etc/sre-responder/teams.url}}  # a workflow that posts to a channel
#   - {kind: pagerduty, routing_key: {env: PAGERDUTY_KEY}, severity: critical}  # Events API v2
#   - {kind: opsgenie, api_key: {env: OPSGENIE_KEY}, priority: P1, url: https://api.eu.opsgenie.com}
#   - kind: mail
#     host: smtp.example.org
#     port: 587
#     tls: starttls
#     username: responder
#     password: {file: /etc/sre-responder/mail.password}
#     sender: responder@example.org
#     recipients: [oncall@example.org]
#   - kind: webhook
#     name: tickets
#     url: https://tickets.example.org/api/new
#     headers: {Authorization: {env: TICKETS_TOKEN}}
#     body: "{title: summary, incident: incident}"
#   - {kind: file, path: /var/log/sre-responder/messages.jsonl}
#   - {kind: terminal}
"""


_MODULES = """\
# Examples; delete "perform: {}" above, and the # of what you use. See docs/write-a-runbook.md#any-other-module.
# perform:
#   community.general.ufw:
#     rung: 0                        # containment; 1 cache or flag, 2 restart or scale, 3 rollback, 4 failover
#     target: from_ip                # JMESPath over the arguments: what it changes on its host
#     args:                          # what a task may give: a regular expression for all of the value, or a list
#       rule: [deny]
#       from_ip: "[0-9]{1,3}([.][0-9]{1,3}){3}"
#     undo:                          # or: undo: none, because: WHY
#       module: community.general.ufw
#       args: "{rule: args.rule, from_ip: args.from_ip, delete: `true`}"  # JMESPath over {args, before}
"""


def example(profile: Profile) -> str:
    """A commented policy file of that profile with every default written out."""
    policy = Policy.model_validate({"profile": profile, **PROFILES[profile]})
    lines = ["# Responder's policy. Every line is a default; delete what you do not change.", f"profile: {profile}"]
    for name, field in Policy.model_fields.items():
        value = getattr(policy, name)
        if name == "profile":
            continue
        doc = (type(value).__doc__ or "").split("\n")[0] if isinstance(value, BaseModel) else field.description or ""
        plain = policy.model_dump(mode="json", include={name})
        doc = re.sub(r" \(spec[^)]*\)", "", doc)  # the reader of the file has no specification
        lines += ["", f"# {doc}" if doc else f"# {name.replace('_', ' ')}"]
        lines += yaml.safe_dump(plain, sort_keys=False, default_flow_style=False).rstrip().splitlines()
        examples = {
            "notifications": _CHANNELS, "perform": _MODULES, "commands": _COMMANDS, "rules": _RULES, "serve": _SERVING,
            "graph": _OBSERVING,
        }  # fmt: skip
        lines += examples.get(name, "").splitlines()
    return "\n".join(lines) + "\n"
