"""The command that writes metrics for Prometheus: metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from prometheus_client.exposition import generate_latest, write_to_textfile
from prometheus_client.registry import Collector

from sre_responder.cli.context import context
from sre_responder.cli.output import print_bytes
from sre_responder.errors import InputError, ResponderError
from sre_responder.record.metrics import down, read, registry


def add_to(app: typer.Typer) -> None:
    app.command("metrics")(metrics)


def metrics(
    textfile: Annotated[
        Path | None, typer.Option("--textfile", help="Replace this file, for node_exporter's textfile collector.")
    ] = None,
) -> None:
    """Print metrics for Prometheus. If home or ledger cannot be read, responder_up is 0, and the command fails."""
    why = None
    try:
        here = context()
        found = read(here.home, here.ledger)
    except ResponderError as error:
        found, why = down(), error
    if textfile:
        _replace(textfile, registry(found))
    else:
        print_bytes(generate_latest(registry(found)))
    if why:
        raise why


def _replace(textfile: Path, found: Collector) -> None:
    if textfile.suffix != ".prom":
        raise InputError(
            f"{textfile} does not end in .prom.", cure="Name such a file. The textfile collector reads no other files."
        )
    try:
        write_to_textfile(str(textfile), found)
    except OSError as error:
        raise InputError(
            f"{textfile} cannot be written: {error.strerror}.",
            cure="Name a file in a folder that exists and that you may write.",
        ) from error
