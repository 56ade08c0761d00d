"""All traffic of a name to one of its weighted records: the others get weight 0, in one change that is made whole or not at all."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from sre_responder.effects.action import Action, Options, option
from sre_responder.effects.effect import Became, Change, Effect, Propagation
from sre_responder.effects.route53 import health
from sre_responder.effects.route53.api import (
    RejectedBatch,
    Zone,
    call,
    client_of,
    records_of,
    submit,
    zone_id,
    zone_of,
    zones_of,
)  # fmt: skip
from sre_responder.effects.route53.names import written
from sre_responder.errors import EffectFailed, InputError, OutcomeUnknown, ResponderError, StateMoved
from sre_responder.model.names import shown

Arguments = Mapping[str, Any]
Record = dict[str, Any]

_HEAVIEST = 255
_REACHES = ("profile", "region", "endpoint_url")
"""Options that say whose Route 53 is meant, and where it is."""
_SECONDS = 120.0
_PROPAGATION_SECONDS = 60
"""In which Route 53 usually has a change on all of its name servers."""
_ALIAS_SECONDS = 60
"""The TTL of an alias is that of what it names: 60 s for most of AWS."""
_UNDO = """\
import itertools, sys

import boto3

sys.excepthook = lambda kind, error, trace: print(kind.__name__, error, file=sys.stderr)
zone, name, profile, region, endpoint, *former = sys.argv[1:]
session = boto3.Session(profile_name=profile or None, region_name=region or None)
route53 = session.client("route53", session.region_name or "us-east-1", endpoint_url=endpoint or None)
pages = route53.get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone, StartRecordName=name)
listed = itertools.chain.from_iterable(page["ResourceRecordSets"] for page in pages)
found = dict()
for record in itertools.takewhile(lambda record: record["Name"] == name, listed):
    found[record["Type"], record.get("SetIdentifier")] = dict(item for item in record.items() if item[1] != [])
changes = []
for line in former:
    weight, type, identifier = line.split(" ", 2)
    record = found.get((type, identifier)) or sys.exit(name + " has no record " + type + " " + identifier)
    if record["Weight"] != int(weight):
        changes.append(dict(Action="DELETE", ResourceRecordSet=record))
        changes.append(dict(Action="CREATE", ResourceRecordSet=dict(record, Weight=int(weight))))
if changes:
    made = route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=dict(Changes=changes))
    waiting = dict(Delay=5, MaxAttempts=24)
    route53.get_waiter("resource_record_sets_changed").wait(Id=made["ChangeInfo"]["Id"], WaiterConfig=waiting)
"""
"""Only weights are set back: what else was changed since stays. Without braces, so that it stands in the playbook line by line."""

_ROUTINGS = {
    "Failover": ("failover", "Route 53 moves it by itself when the health check of PRIMARY fails; to force it, invert that health check."),
    "Region": ("latency", "Invert the health check of the record to leave."),
    "GeoLocation": ("geolocation", "Point the record of that place at the other side."),
    "GeoProximityLocation": ("geoproximity", "Change the bias of that record, or invert its health check."),
    "CidrRoutingConfig": ("IP-based", "Move the CIDR blocks to the other location, or invert the record's health check."),
    "MultiValueAnswer": ("multivalue answer", "Invert the health checks of the records to leave."),
}  # fmt: skip
"""What a record set has that is not routed by weight: the routing's name, and how a person moves its traffic."""


def _plan(arguments: Arguments) -> Change:
    client = client_of(arguments)
    zone, name, before = _found(client, arguments)
    to, after = str(arguments["to"]), _moved(before, str(arguments["to"]))
    sides = {f"{name} {key}": record for key, record in before.items() if record["SetIdentifier"] == to}
    healthy = [] if before == after else health.confirmed(client, sides, arguments.get("probe_url"))
    felt = _time_to_effect(before)
    return Change(
        target=f"route53:{zone.id}:{name}",
        before=before,
        after=after,
        undo=[] if before == after else [_undo(arguments, zone, name, before)],
        undo_note=f"Sets the weights back, and nothing else of the records: {', '.join(_weights(before))}. {felt}",
        evidence={"zone": str(zone), "health": healthy, "time_to_effect": felt},
        diff={"before": _lines(_weights(before)), "after": _lines([*_weights(after), felt])},
    )


def _found(client: Any, arguments: Arguments) -> tuple[Zone, str, dict[str, Any]]:
    """The zone, the name as Route 53 writes it, and its weighted records by type and identifier."""
    zone, name = zone_of(client, str(arguments["zone"])), written(str(arguments["record"]))
    if not f".{name}".endswith(f".{zone.name}"):
        raise InputError(
            f"record {name} is not in zone {zone}.", cure=f"Write the whole name, such as {name}{zone.name}"
        )
    found = list(records_of(client, zone, name))
    kind = arguments.get("type")
    chosen = [one for one in found if kind in (None, one["Type"])]
    if kind is None:  # a TXT or MX beside them does not lead traffic
        chosen = [one for one in chosen if "SetIdentifier" in one] or chosen
    if not chosen:
        types = ", ".join(sorted({one["Type"] for one in found})) or "none"
        raise InputError(
            f"{name} has no record{f' of type {kind}' * bool(kind)} in zone {zone}; it has: {types}.",
            cure="Check record and type.",
        )
    for one in chosen:
        _refuse_unless_weighted(one, name)
    return zone, name, {f"{one['Type']} {one['SetIdentifier']}": one for one in chosen}


def _refuse_unless_weighted(record: Record, name: str) -> None:
    what = f"{name} {record['Type']} {shown(record.get('SetIdentifier', ''))}".rstrip()
    if policy := record.get("TrafficPolicyInstanceId"):
        raise InputError(
            f"{what} belongs to traffic policy instance {policy}, which alone may change it.",
            cure="Give that instance another version of its policy: `aws route53 update-traffic-policy-instance`.",
        )
    for key, (routing, cure) in _ROUTINGS.items():
        if key in record:
            said = shown(record[key], 80) if isinstance(record[key], str) else ""
            raise InputError(
                f"{what} has {f'{routing} routing ({said})' if said else f'{routing} routing'}; its traffic cannot be moved by weight.",
                cure=cure,
            )
    if "Weight" not in record:
        raise InputError(
            f"{what} has simple routing: there is no other side to move to.",
            cure="Replace it by weighted records, one for each side, before it is needed.",
        )


def _moved(before: Mapping[str, Record], to: str) -> dict[str, Record]:
    """The records with all weight on one identifier, in each type. It keeps its weight; one of 0 gets that of all together."""
    after = {}
    for key, record in before.items():
        alike = [one for one in before.values() if one["Type"] == record["Type"]]
        names = [one["SetIdentifier"] for one in alike]
        if to not in names:
            raise InputError(
                f"{record['Name']} {record['Type']} has no record '{shown(to)}'; it has: {', '.join(map(shown, names))}.",
                cure="Name one of these, or the type that is meant.",
            )
        whole = min(_HEAVIEST, sum(one["Weight"] for one in alike)) or 1  # all 0 means the same for each
        after[key] = {**record, "Weight": (record["Weight"] or whole) if record["SetIdentifier"] == to else 0}
    return after


def _weights(records: Mapping[str, Record]) -> list[str]:
    return [f"{shown(key)} {record['Weight']}" for key, record in records.items()]


def _lines(words: list[str]) -> str:
    return "".join(f"{word}\n" for word in words)


def _time_to_effect(records: Mapping[str, Record]) -> str:
    ttl = max(record.get("TTL", _ALIAS_SECONDS) for record in records.values())
    return f"Felt within about {_PROPAGATION_SECONDS + ttl} s: Route 53 takes up to {_PROPAGATION_SECONDS} s, resolvers keep an answer for {ttl} s (TTL)."


def _resolved(arguments: Arguments, change: Change, waited_s: float) -> Propagation:
    """The act waited until all name servers have the change; a resolver may keep what it was told just before for the TTL."""
    ttl = max(record.get("TTL", _ALIAS_SECONDS) for record in change.before.values())
    how = f"Route 53 is INSYNC, and resolvers keep former answers for {ttl} s (TTL)"
    return Propagation(waited_s >= ttl, how if waited_s >= ttl else f"{how}, {ttl - waited_s:.0f} s of them to come")


def _undo(arguments: Arguments, zone: Zone, name: str, before: Mapping[str, Record]) -> dict[str, Any]:
    account = [str(arguments.get(key) or "") for key in _REACHES]
    former = [f"{record['Weight']} {key}" for key, record in before.items()]
    return {
        "name": f"Set the weights of {name} in zone {zone.id} back: {', '.join(_weights(before))}",
        "ansible.builtin.command": {
            # this Python has boto3; -P keeps what lies in the folder of the caller out of it
            "argv": [sys.executable, "-P", "-", zone.id, name, *account, *former],
            "stdin": _UNDO,
        },
        "changed_when": True,
    }


def _act(arguments: Arguments, old: Change) -> dict[str, Any]:
    try:
        now = _plan(arguments)
    except ResponderError as error:
        raise StateMoved(
            f"what was planned cannot be confirmed, and nothing was changed: {error.message}", cure=error.cure
        ) from error
    if (now.target, now.before, now.after) != (old.target, old.before, old.after):
        raise _moved_since(now.before)
    until = time.monotonic() + float(arguments.get("timeout_s", _SECONDS))
    zone, client = now.target.split(":")[1], client_of(arguments)
    try:
        made = submit(client_of(arguments, tries=1), zone, _batch(old), until)
    except RejectedBatch as error:
        found = _read(arguments)
        if found != old.before:
            raise _moved_since(found) from error
        raise
    _await(client, made, until)
    try:
        found = _read(arguments)
    except ResponderError as error:
        raise OutcomeUnknown(f"Route 53 took the change, and the records cannot be read: {error.message}") from error
    if found != old.after:
        raise EffectFailed(
            f"Route 53 took the change, and the records read otherwise: {', '.join(_weights(found))}.",
            cure="See who else changes them, in CloudTrail.",
        )
    return found


def _moved_since(found: Mapping[str, Record]) -> StateMoved:
    return StateMoved(
        f"the records have changed since they were planned; they are: {', '.join(_weights(found))}.",
        cure="Run the runbook again to make a new plan.",
    )


def _batch(old: Change) -> list[dict[str, Any]]:
    """Every record deleted as the plan saw it, then created as it shall be.

    Route 53 deletes only what is exactly as it is given, and makes all changes of a batch or none: so nothing is overwritten that anybody
    changed since. An UPSERT would overwrite it.
    """
    pairs = (("DELETE", old.before), ("CREATE", old.after))
    return [{"Action": action, "ResourceRecordSet": record} for action, records in pairs for record in records.values()]


def _await(client: Any, made: str, until: float) -> None:
    """Wait until all name servers of Route 53 have a change."""
    pause = 0.5
    while True:
        try:
            status = call(client, "get_change", "ChangeInfo", Id=made)["ChangeInfo"]["Status"]
        except ResponderError as error:
            raise OutcomeUnknown(
                f"Route 53 took change {made}, and whether its name servers have it cannot be read: {error.message}",
                cure=error.cure,
            ) from error
        if status == "INSYNC":
            return
        if time.monotonic() + pause > until:
            raise OutcomeUnknown(
                f"Route 53 took change {made}, and it is still {shown(status, 40)}: some name servers may give former answers.",
                cure=f"See `aws route53 get-change --id {made}` until it is INSYNC.",
            )
        time.sleep(pause)  # GetChange does not wait, and all of an account may make 5 calls a second
        pause = min(5.0, pause * 2)


def _read(arguments: Arguments) -> dict[str, Any]:
    return _found(client_of(arguments), arguments)[2]


def _share(records: Mapping[str, Record]) -> dict[str, int]:
    return {key: record["Weight"] for key, record in records.items()}


def _became(old: Change, now: Mapping[str, Record]) -> Became | None:
    """Told by the weights, which are all that it changes."""
    weights = _share(now)
    return "done" if weights == _share(old.after) else "not_done" if weights == _share(old.before) else None


def _restored(old: Change, now: Mapping[str, Record]) -> bool:
    """The undo sets weights back, and leaves what else was changed since."""
    weights = _share(now)
    return all(weights.get(key) == weight for key, weight in _share(old.before).items())


def _same(old: Change, own: Arguments, other: Arguments) -> bool:
    """Whether other options lead to the same name in the same zone, or to one that is an alias of it."""
    _, id, name = old.target.split(":")
    zone, record = other.get("zone"), other.get("record")
    try:
        alike = record is None or written(record) == name
        if zone is None or (alike and zone_id(zone) == id):
            return alike
        if alike and not zone_id(zone) and not f".{name}".endswith(f".{written(zone)}"):
            return False
    except InputError:
        return False  # no domain name
    try:
        client = client_of(other if any(key in other for key in _REACHES) else own)
    except ResponderError:
        return alike  # what cannot be asked may be the same
    try:
        found = zones_of(client, zone)
        return any(one.id == id if alike else _follows(client, one, str(record), name) for one in found)
    except InputError:
        return False  # there is no such zone
    except EffectFailed:
        return alike


def _follows(client: Any, zone: Zone, record: str, name: str) -> bool:
    """Whether a record is an alias, or a CNAME, of the name: its traffic moves with it."""
    for one in records_of(client, zone, written(record)):
        named = [value["Value"] for value in one.get("ResourceRecords", ()) if one["Type"] == "CNAME"]
        if alias := one.get("AliasTarget"):
            named.append(alias["DNSName"])
        if name in map(written, named):
            return True
    return False


def _look(arguments: Arguments) -> str:
    zone, name, records = _found(client_of(arguments), arguments)
    return f"{name} in {zone}: {', '.join(_weights(records))}"


class _Options(Options):
    zone: str = option(
        "Id of the hosted zone, or its name where only one zone of the account has that.",
        annotation="responder/route53-zone",
        locates=True,
    )
    record: str = option(
        "Name of the weighted records, whole, such as C(www.example.com).",
        annotation="responder/route53-record",
        locates=True,
    )
    type: str | None = option(
        "Type of the records, such as C(A). Without it those of every type are moved, in one change.",
        default=None,
        annotation="responder/route53-type",
    )
    to: str = option(
        "Identifier (C(SetIdentifier)) of the record that takes all traffic.", annotation="responder/route53-to"
    )
    probe_url: str | None = option(
        "Address that only that side answers, with 2xx if it is healthy. Needed where its record has no health check of Route 53 that tells.",
        default=None,
        annotation="responder/route53-probe-url",
    )
    profile: str | None = option(
        "Profile of AWS's configuration files. Without it boto3 looks for credentials in its own order: environment, files, SSO, instance role.",
        default=None,
        annotation="responder/route53-profile",
        reaches=True,
    )
    region: str | None = option(
        "Region, where the partition of AWS is not the common one, such as C(cn-north-1).",
        default=None,
        annotation="responder/route53-region",
        reaches=True,
    )
    endpoint_url: str | None = option(
        "Address of the API, where it is not AWS's public one.",
        default=None,
        annotation="responder/route53-endpoint-url",
        reaches=True,
    )
    timeout_s: float = option(
        "How long to wait until all name servers of Route 53 have the change, in seconds.", default=_SECONDS
    )


_ACTION = Action(
    name="route53_failover",
    rung=4,
    platform="route53",
    options=_Options,
    summary="Move all traffic of a name in Route 53 to one weighted record",
    description=(
        "Sets the weight of every other record of the name to 0, in one change that is made whole or not at all, and waits until it is INSYNC.",
        "The success criterion is measured once the TTL of the former answer has passed too.",
        "The record keeps its weight; one of 0 gets that of all together. Those of weight 0 stay: Route 53 answers with them again if the health check of every other fails.",
        "The side that takes the traffic must be healthy by its health check, by O(probe_url), or by both; unknown is refused.",
        "Records of any other routing are refused.",
        "Needs boto3, as C(sre-responder[aws]) brings it.",
    ),
    examples=(("Move checkout to the west", {"zone": "example.com", "record": "checkout.example.com", "to": "west"}),),
)
FAILOVER = Effect(_ACTION, _plan, _act, _read, _same, _became, _restored, look=_look, propagated=_resolved)
