"""The command line: a thin layer over the library. Results go to stdout, messages to stderr, exit codes as promised."""

from __future__ import annotations

import json
import sys

import typer

from sre_responder.cli import house, people, record, recovery, running, sandbox, state
from sre_responder.cli.output import error_console
from sre_responder.errors import ResponderError

app = typer.Typer(
    name="responder",
    help="Heals production incidents, climbing from the least to the most invasive remedy, through guardrails that cannot be skipped.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for commands in (sandbox, running, record, people, state, recovery, house):
    commands.add_to(app)


def main() -> None:
    """Run one command; a deliberate error is one clear message and its own exit code."""
    try:
        app()
    except ResponderError as error:
        if "--json" in sys.argv:
            print(
                json.dumps(
                    {"error": error.code, "message": error.message, "cure": error.cure, **error.details}, default=str
                )
            )
        error_console.print(error.message, style="bold", markup=False, highlight=False)
        if error.cure:
            error_console.print(error.cure, markup=False, highlight=False)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
