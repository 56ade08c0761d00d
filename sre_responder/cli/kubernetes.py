"""Commands for a cluster: the account under which Responder acts there, and how its services look while they are healthy."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Annotated, Any

import typer
import yaml

from sre_responder.cli.context import context
from sre_responder.cli.output import Json, console, print_json
from sre_responder.effects.kubernetes import manifests as account
from sre_responder.errors import InputError

_AT_ONCE = 8

clusters = typer.Typer(no_args_is_help=True, help="What Responder needs in a Kubernetes cluster.")


def add_to(app: typer.Typer) -> None:
    app.add_typer(clusters, name="kubernetes")


@clusters.command("manifests")
def manifests(
    namespace: Annotated[str, typer.Option("--namespace", help="Where the account stands.")] = account.NAMESPACE,
    watch: Annotated[
        list[str] | None,
        typer.Option("--watch", help="Namespace in which it may act; several may be given. Default: all."),
    ] = None,
) -> None:
    """Print account, roles and admission policies, for `kubectl apply -f -`."""
    print(yaml.dump_all(account.manifests(namespace, watch or ()), Dumper=_Plain, sort_keys=False, width=120), end="")


class _Plain(yaml.SafeDumper):
    """Without anchors, which people would have to resolve in their heads."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


@clusters.command("known-good")
def known_good(
    services: Annotated[list[str] | None, typer.Argument(help="Services of the catalogue.")] = None,
    environment: Annotated[
        str | None, typer.Option("--environment", help="Where it runs; default is every environment of the service.")
    ] = None,
    all: Annotated[bool, typer.Option("--all", help="Every service of the catalogue that is on Kubernetes.")] = False,
    json: Json = False,
) -> None:
    """Measure services now, and remember the objects of each that is healthy. For a timer, every half hour or so.

    Each is measured for one window by the registered runbook for Kubernetes whose criterion looks at most. What is remembered is
    what kubernetes_restore returns to. Changes nothing in the cluster. Exits 1 if a service cannot be measured.
    """
    here = context()
    if bool(services) == all:
        raise InputError("name services, or --all.", cure="responder kubernetes known-good --all")
    from sre_responder.engine.known_good import measure as measured
    from sre_responder.engine.known_good import on_kubernetes  # with every platform, which help does not need

    catalogue = here.home.catalogue
    chosen = [
        (service, where)
        for service in map(catalogue.service, services or catalogue.services)
        for where in ((environment,) if environment else service.environments)
        if services or (where in service.environments and on_kubernetes(service, where))
    ]
    for service, where in chosen:
        catalogue.environment(service.name, where)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = list(pool.map(lambda one: measured(here.home, here.ledger, *one), chosen))
    if json:
        print_json([asdict(one) for one in found])
    for one in () if json else found:
        console.print(f"{one.service} in {one.environment}: {one.state}, {one.reason}", markup=False)
    raise typer.Exit(int(any(one.state == "unknown" for one in found)))
