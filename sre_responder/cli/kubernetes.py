"""Commands for a cluster: the manifests of the account under which Responder acts there."""

from __future__ import annotations

from typing import Annotated, Any

import typer
import yaml

from sre_responder.effects.kubernetes import manifests as account

clusters = typer.Typer(no_args_is_help=True, help="What Responder needs in a Kubernetes cluster.")


def add_to(app: typer.Typer) -> None:
    app.add_typer(clusters, name="kubernetes")


@clusters.callback()
def _kubernetes() -> None:
    """Keeps `manifests` a command of the group while it is the only one."""


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
