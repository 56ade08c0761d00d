"""Delete the keys of one pattern from a Redis database: SCAN and UNLINK, some at a time, never FLUSHDB."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sre_responder.effects.action import Action, Options, option
from sre_responder.effects.effect import Became, Change, Effect, with_act
from sre_responder.effects.redis.pattern import checked, overlap
from sre_responder.effects.redis.server import Arguments, Place, Primary, Refusal, may_be, place, primary
from sre_responder.errors import EffectFailed, InputError, NotApplicable, OutcomeUnknown, ResponderError, StateMoved
from sre_responder.model.names import shown

_GRACE_SECONDS = 3.0
"""So that an act ends between two answers, when it is known what was deleted, and not in the middle of one."""
_SAME_SECONDS = 3.0
_MEASURED = 16


def _plan(arguments: Arguments) -> Change:
    pattern, limit = _pattern(arguments), _limit(arguments)
    with primary(arguments, _seconds(arguments)) as server:
        matching, first = 0, list[bytes]()
        for keys in server.pages(pattern):
            first, matching = first or keys, matching + len(keys)
            if matching > limit:
                raise InputError(
                    f"more than {limit} keys of database {server.database} of Redis at {server.where} match '{_shown(arguments)}'.",
                    cure="Write a narrower pattern, or a higher limit.",
                )
        if not first:
            raise NotApplicable(
                f"no key of database {server.database} of Redis at {server.where} matches '{_shown(arguments)}'"
            )
        server.require_unlink(first)
        size = _size(server, first)
        total = max(server.keys, matching)
        share = matching * 1000 // total / 1000  # rounded down: only all are 100 %
        evidence = {
            "address": server.where,
            "version": server.version,
            "keys": total,
            "matching": matching,
            "share": share,
            "matching_bytes": None if size is None else round(size * matching),
            "used_memory": server.used_memory,
        }
        before = _identity(server, matching=True)
    about = "" if size is None else f", about {round(size * matching)} bytes"
    return Change(
        target=f"redis:{_place(arguments).name}:{arguments['pattern']}",
        before=before,
        after={**before, "matching": False},
        undo_note="Nothing to undo: deleted keys are gone; what keeps a cache there fills it again.",
        evidence=evidence,
        diff={
            "before": f"{matching} of {total} keys match '{_shown(arguments)}' ({share:.1%}{about})\n",
            "after": f"no key matches '{_shown(arguments)}'\n",
        },
    )


def _size(server: Primary, keys: list[bytes]) -> float | None:
    """The mean size of some keys in bytes; None where the server does not say."""
    try:
        sizes = [server.ask("MEMORY", "USAGE", key) for key in keys[:_MEASURED]]
    except Refusal:
        return None
    known = [size for size in sizes if isinstance(size, int)]
    return sum(known) / len(known) if known else None


def _act(arguments: Arguments, change: Change) -> dict[str, Any]:
    pattern, limit, seconds = _pattern(arguments), _limit(arguments), _seconds(arguments)
    until, deleted, begun = time.monotonic() + seconds, 0, False

    def told(reason: str) -> str:
        return f"Redis at {server.where} {reason}; {deleted} keys that match '{_shown(arguments)}' were deleted before."

    def stopped(reason: str, cure: str = "") -> ResponderError:
        """Nothing that can be read later tells a database of which some was deleted from one of which nothing was."""
        return (OutcomeUnknown if deleted else EffectFailed)(told(reason), cure=cure)

    try:
        with primary(arguments, seconds + _GRACE_SECONDS) as server:
            if (now := _state(server, pattern)) != change.before:
                raise StateMoved(
                    f"Redis at {server.where} has changed since it was planned: {now}, not {change.before}.",
                    cure="Run the runbook again to make a new plan.",
                )
            for keys in server.pages(pattern):
                if deleted + len(keys) > limit:
                    raise stopped(
                        f"has more than {limit} keys that match by now",
                        "Find out what writes them; then write a narrower pattern, or a higher limit.",
                    )
                if time.monotonic() > until:
                    raise stopped(f"was not cleared within {seconds:g} s", "Run it again.")
                if keys:
                    begun = True
                    deleted += _unlinked(server, keys, stopped)
            return {**_state(server, pattern), "deleted": deleted}
    except InputError as error:
        if begun:
            raise OutcomeUnknown(f"{told('did not answer any more')} {error.message}", cure=error.cure) from error
        raise StateMoved(f"nothing was deleted: {error.message}", cure=error.cure) from error


def _unlinked(server: Primary, keys: list[bytes], stopped: Callable[[str], ResponderError]) -> int:
    try:
        return server.unlink(keys)
    except Refusal as error:
        raise stopped(f"refuses: {error}") from error


def _state(server: Primary, pattern: bytes) -> dict[str, Any]:
    return _identity(server, matching=any(server.pages(pattern)))


def _identity(server: Primary, *, matching: bool) -> dict[str, Any]:
    """Which process, and whether it holds any such key; how many moves by itself."""
    named = {"server": server.info["run_id"], "role": server.info["role"], "database": server.database}
    return {**named, "matching": matching}


def _read(arguments: Arguments) -> dict[str, Any]:
    with primary(arguments, _seconds(arguments)) as server:
        return _state(server, _pattern(arguments))


def _became(old: Change, now: Mapping[str, Any]) -> Became | None:
    """Made where no such key is left. Keys that are there may be left, or written again: nothing tells."""
    return None if now["matching"] else "done"


def _look(arguments: Arguments) -> str:
    with primary(arguments, _seconds(arguments)) as server:
        return f"primary, version {server.version}, {server.keys} keys in database {server.database}"


def _same(change: Change, own: Arguments, other: Mapping[str, str]) -> bool:
    pattern, url = other.get("pattern"), other.get("url")
    if pattern is not None and not overlap(str(own["pattern"]), pattern):
        return False
    return url is None or _one_database(own, url.strip())


def _one_database(own: Arguments, url: str) -> bool:
    """Whether two addresses may lead to one database. Each server is asked which it is; the other without any login."""
    mine = _place(own)
    try:
        its = place(url)
    except InputError:
        return True  # one that contains a login may lead anywhere
    if its.database != mine.database:
        return False
    if its.name == mine.name:
        return True
    other = {
        name: value for name, value in own.items() if name in ("ca_certificate", "client_certificate", "client_key")
    }
    try:
        with primary(own, _SAME_SECONDS) as server:
            return may_be(server, its, other, _SAME_SECONDS)
    except InputError:
        return True


def _pattern(arguments: Arguments) -> bytes:
    whole, database = arguments.get("whole_database"), _place(arguments).database
    if whole is not None and whole != database:
        raise InputError(
            f"whole_database is {whole}, and url leads to database {database}.", cure="Name the same database in both."
        )
    return checked(str(arguments["pattern"]), whole is not None)


def _shown(arguments: Arguments) -> str:
    return shown(arguments["pattern"], 80)


def _place(arguments: Arguments) -> Place:
    return place(str(arguments["url"]))


def _limit(arguments: Arguments) -> int:
    limit = int(arguments.get("limit", 10_000))
    if limit < 1:
        raise InputError(f"limit {limit} allows nothing.", cure="Write how many keys may be deleted at most.")
    return limit


def _seconds(arguments: Arguments) -> float:
    return float(arguments.get("timeout_s", 20))


class _Options(Options):
    url: str = option(
        "Address of the database, C(redis://host:port/database); C(rediss://) for TLS.",
        "C(redis+sentinel://host:port,host:port/PRIMARY/database) asks these Sentinels for the primary of that name.",
        "A replica, a node of a cluster and an address that contains a login are refused.",
        annotation="responder/redis-url",
        locates=True,
    )
    pattern: str = option(
        "Pattern of the keys, as C(SCAN) takes it, such as V(session:*); a backslash before C(*), C(?), C([) or C(\\\\) means the character.",
        "One without a letter or a digit, such as V(*), is refused unless O(whole_database) is set.",
        annotation="responder/redis-pattern",
        locates=True,
    )
    limit: int = option(
        "How many keys may be deleted at most. Where more match, nothing is planned; where more appear, the act stops and says how "
        "many it deleted.",
        default=10_000,
    )
    whole_database: int | None = option(
        "Number of the database, the same as in O(url), of which a pattern may match every key.", default=None
    )
    username: str | None = option("User of Redis, where it has users.", default=None, reaches=True)
    password: str | None = option(
        "Password of that user, or of Redis. It never stands in plan, record or output.", default=None, secret=True
    )
    sentinel_password: str | None = option(
        "Password of the Sentinels' default user, where they ask for one.", default=None, secret=True
    )
    ca_certificate: Path | None = option(
        "PEM file of the authorities that sign the server's certificate. Default is those that this machine trusts.",
        default=None,
        reaches=True,
    )
    client_certificate: Path | None = option(
        "PEM file of the certificate that the server asks for.", default=None, reaches=True
    )
    client_key: Path | None = option("PEM file of its key.", default=None, reaches=True)
    timeout_s: float = option("How long planning and the act may each take, in seconds.", default=20.0)


_ACTION = Action(
    name="redis_clear",
    rung=1,
    platform="redis",
    options=_Options,
    summary="Delete the keys of one pattern from a Redis database",
    description=(
        "Looks for the keys with C(SCAN) and deletes them with C(UNLINK), some hundred at a time; never with C(FLUSHDB) or C(FLUSHALL).",
        "The plan counts them, and says which share of the database and about how much memory they are. Names of keys are not recorded.",
        "The user of Redis needs C(+info +select +scan +unlink +multi +discard) and the keys; C(+memory|usage) for the estimate of memory.",
        "A server must know C(UNLINK), as Redis does since 4.0, and Valkey.",
    ),
    examples=(
        ("Clear the rendered pages", {"url": "redis://cache.internal:6379/0", "pattern": "page:*"}),
        (
            "Clear them on the primary that Sentinels know",
            {"url": "redis+sentinel://one:26379,two:26379,three:26379/cache/0", "pattern": "page:*", "limit": 50000},
        ),
    ),
    undoable=False,
    undo="Deleted keys are gone; a cache fills again from its origin.",
)
CLEAR = Effect(
    _ACTION, _plan, _act, _read, _same, _became, look=_look, propagated=with_act("Redis has none of these keys left")
)
