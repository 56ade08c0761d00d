"""Commands that turn alerts into runs without a hand: serve, worker, work."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from typing import Annotated

import typer
from pydantic import ValidationError

from sre_responder import home as homes
from sre_responder.approvals import approval
from sre_responder.cli.context import Context, context
from sre_responder.cli.dispatching import dispatching, start_job
from sre_responder.cli.output import LARGEST, Json, done, say
from sre_responder.errors import InputError, Refused, ResponderError, Stopped
from sre_responder.home.annotations import WORKER
from sre_responder.home.serving import Serve
from sre_responder.intake.credentials import Keys, revealed
from sre_responder.intake.dispatch import Dispatcher, label
from sre_responder.intake.homes import Homes
from sre_responder.ledger import Ledger, jobs
from sre_responder.ledger.runs import MACHINE
from sre_responder.model import names


def add_to(app: typer.Typer) -> None:
    app.command("serve")(serve)
    app.command("worker")(worker)
    app.command("work")(work)


def serve(
    listen: Annotated[str | None, typer.Option("--listen", help="Address and port, instead of serve.listen.")] = None,
    json: Json = False,
) -> None:
    """Receive alerts over HTTP, open or join their incidents, and run the runbooks that serve them; until SIGTERM.

    A run is a process of its own: it goes on when the server ends, and the next server knows of it.

    \b
    responder serve
    responder serve --listen 127.0.0.1:9000
    """
    here = context()
    policy = here.home.policy.serve
    if listen is not None:
        policy = _listening(policy, listen)
    keys = _allowed(policy)
    _ = here.home.catalogue, here.home.runbooks
    with here.ledger.transaction() as connection:  # or it says at once what is wrong with it
        here.ledger.now(connection)
    _serve(here, policy, keys, json)


def _listening(policy: Serve, listen: str) -> Serve:
    try:
        return Serve.model_validate({**policy.model_dump(), "listen": listen})
    except ValidationError as error:
        raise InputError(
            f"'{names.shown(listen)}' is not an address and a port.", cure="Write 127.0.0.1:8787 or [::1]:8787."
        ) from error


def _allowed(policy: Serve) -> Keys:
    """The keys of a server that may start. InputError says what would make it unsafe."""
    if not policy.on_this_machine and policy.tls is None and not policy.plain_http:
        raise InputError(
            f"serve.listen is {policy.listen}: tokens would cross the network in the clear.",
            cure="Set serve.tls in policy.yml, or serve.plain_http where TLS ends at a proxy in front of it.",
        )
    certificates = policy.tls is not None and policy.tls.client_ca is not None
    return revealed(policy.credentials, certificates=certificates)


def _serve(here: Context, policy: Serve, keys: Keys, json: bool) -> None:
    try:
        from sre_responder.intake import server
    except ModuleNotFoundError as error:
        raise InputError(
            f"responder serve needs the package {str(error.name).partition('.')[0]}.",
            cure="pip install 'sre-responder[serve]'",
        ) from error
    from sre_responder.intake.rate import Rate

    current, turned_away = Homes(homes.find), server.TurnedAway()
    dispatcher = Dispatcher(
        current, here.ledger, start=start_job, flush=lambda: turned_away.write(here.ledger), say=say
    )
    receiver = server.Receiver(
        current, here.ledger, keys, turned_away, Rate(policy.requests_per_minute, time.monotonic), policy.body_mib << 20,
        on_receipt=dispatcher.wake.set, metrics=lambda: _metrics(current, here.ledger),
    )  # fmt: skip
    ready = server.prepare(receiver, policy)
    url = f"{'https' if policy.tls else 'http'}://{policy.listen}"
    with dispatching(dispatcher), suppress(KeyboardInterrupt):  # uvicorn has ended its work, and hands the signal on
        done(json, f"Listening on {url}", url=url)
        ready()


def worker(
    labels: Annotated[
        list[str] | None,
        typer.Option(
            "--label", help="Take the jobs of services whose annotation responder/worker says so. Repeatable."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Run the jobs of the queue on this machine too, beside the server of the same ledger; until SIGTERM.

    Without --label it takes those of services without the annotation, as the server does.

    \b
    responder worker
    responder worker --label dmz
    """
    here, taken = context(), frozenset(labels or [""])
    known = here.home.catalogue.values(WORKER)
    if unknown := [one for one in labels or () if one not in known]:
        or_take = f", or take {' or '.join(known)}" if known else ""
        raise InputError(
            f"no service names the label '{names.shown(unknown[0])}', so a worker with it would take no job.",
            cure=f"Set {WORKER} of a service in the catalogue{or_take}.",
        )
    _ = here.home.policy, here.home.runbooks
    with here.ledger.transaction() as connection:  # or it says at once what is wrong with it
        here.ledger.now(connection)
    dispatcher = Dispatcher(Homes(homes.find), here.ledger, start_job, flush=lambda: None, say=say, labels=taken)
    with dispatching(dispatcher), suppress(KeyboardInterrupt):
        done(json, f"Working on {MACHINE}{''.join(f', label {one}' for one in labels or ())}.", machine=MACHINE)
        dispatcher.stopping.wait()


def _metrics(current: Homes, ledger: Ledger) -> bytes:
    """What Prometheus reads; that nothing can be read is told too."""
    from prometheus_client.exposition import generate_latest

    from sre_responder.record.metrics import down, read, registry

    try:
        return generate_latest(registry(read(current.now(), ledger)))
    except ResponderError:
        return generate_latest(registry(down()))


def work(
    job: Annotated[int, typer.Argument(help="Number of the job; see `responder alerts`.", min=1, max=LARGEST)],
    json: Json = False,
) -> None:
    """Run one job of the queue, if it may start now: one run at a time a target, and serve.parallel_runs on this machine."""
    here = context()
    limit, labelled = here.home.policy.serve.parallel_runs, partial(label, here.home)
    with here.ledger.transaction() as connection:
        now = here.ledger.now(connection)
        jobs.settle(connection, now)
        row = jobs.claim(connection, now, job, limit, labelled)
    if row is None:
        done(json, f"Job {job} is running, over, or waits for another one.", job=job, claimed=False)
        return
    seen = time.monotonic()

    def on_tick() -> None:
        nonlocal seen
        if time.monotonic() - seen >= jobs.SEEN_SECONDS:
            seen = time.monotonic()
            with here.ledger.transaction() as connection:
                jobs.seen(connection, here.ledger.now(connection), job)

    from sre_responder.engine.run import climb

    names.incident(row.incident)
    try:
        outcome = climb(
            here.home, here.ledger, here.home.runbooks.named(row.runbook), incident=row.incident, service=row.service,
            environment=row.environment, confirm_production=row.confirmed, on_tick=on_tick,
        )  # fmt: skip
    except (InputError, Refused, Stopped) as error:
        with here.ledger.transaction() as connection:
            jobs.give_up(connection, here.ledger.now(connection), row, error.message)
        here.deliver()
        raise
    with here.ledger.transaction() as connection:
        now = here.ledger.now(connection)
        if outcome.interrupted:
            jobs.again(connection, now, row, outcome.message)
        else:
            jobs.end(connection, now, job, outcome.ending)
    done(json, f"{row.incident} {outcome.ending}: {outcome.message}", job=job, claimed=True, **outcome.as_dict())
    if outcome.ending == "healed":
        _close(here, row.incident)


def _close(here: Context, incident: str) -> None:
    """Close what was measured healed, unless something of it stands: then a person closes it."""
    from sre_responder.record import closing

    try:
        closing.close(here.home, here.ledger, incident, approval.requester(here.home.people))
    except ResponderError as error:
        say(f"{incident} stays open: {error}")
    here.deliver()
