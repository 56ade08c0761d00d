"""The command line: a thin layer over the library. Results go to stdout, messages to stderr, exit codes as promised."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from sre_responder import __version__
from sre_responder.cli.commands import GROUPS, MODULES
from sre_responder.cli.output import close_streams, error_console, open_streams, print_json, say
from sre_responder.errors import InputError, Interrupted, ResponderError
from sre_responder.model.names import shown
from sre_responder.system import signals
from sre_responder.system.proxies import past_proxies

NO_HOME = "/nonexistent"
"""The home of an account that has none, by the custom of Unix."""


class _Commands(TyperGroup):
    """The commands, each imported when it is asked for."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.commands:  # of one that is none, all are needed, to name those that are near
            self._load([MODULES[cmd_name]] if cmd_name in MODULES else set(MODULES.values()))
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, typer.Abort) as signal:
            raise Interrupted(
                "Interrupted; whatever was done until now is on the record.", cure="See: responder status"
            ) from signal

    def list_commands(self, ctx: Any) -> list[str]:
        return list(MODULES)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """From the table: a list imports no command, and who needs it at 3 a.m. does not wait."""
        for group, commands in GROUPS.items():
            with formatter.section(group):
                formatter.write_dl([(name, command.summary) for name, command in commands.items()])

    def _load(self, modules: Iterable[str]) -> None:
        loaded = typer.Typer(rich_markup_mode=None)
        gc.disable()  # what is imported stays to the end: to look for garbage in it, now and at exit, took a third of the start
        for module in modules:
            import_module(f"{__name__}.{module}").add_to(loaded)
        gc.freeze()
        gc.enable()
        self.commands = {**self.commands, **get_group(loaded).commands}
        for command in self.commands.values():
            _show_whole(command)


def _show_whole(command: Any) -> None:
    """Let a list of commands show the whole sentence of each, and not what fits into one line."""
    command.short_help = (command.help or "").split("\n\n")[0]
    for below in getattr(command, "commands", {}).values():
        _show_whole(below)


app = typer.Typer(
    cls=_Commands,
    name="responder",
    help="Heals production incidents, climbing from the least to the most invasive remedy, through guardrails that cannot be skipped.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        print(f"responder {__version__}")
        raise typer.Exit


@app.callback()
def _responder(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Without a callback Typer sees an application that has no command yet."""


def main() -> None:
    """Run one command. Its exit code is what it did; a result that could not be written makes a 1 of a 0."""
    open_streams()
    _stand_somewhere()
    if any(name.endswith("RESPONDER_COMPLETE") for name in os.environ):
        from typer._completion_classes import completion_init  # a shell asks for words; no other call needs it

        completion_init()
    with signals.raised():
        code = _run()
    if lost := close_streams():
        error_console.print(f"The result could not be written: {lost}.", markup=False)
        code = code or 1
    sys.exit(code)


def _stand_somewhere() -> None:
    """Bring in order what every program starts from: a working directory that was deleted, no home, a proxy for this machine."""
    try:
        os.getcwd()
    except OSError:
        os.chdir("/")
        say("The working directory does not exist any more; relative paths start from / now.")
    if not os.environ.get("HOME"):
        os.environ.pop("HOME", None)  # an empty one would mean the working directory
        if os.path.expanduser("~") == "~":
            os.environ["HOME"] = NO_HOME
    os.environ.update(past_proxies(os.environ))


def _require_text(words: Iterable[str]) -> None:
    """InputError where an argument holds bytes that are no UTF-8: neither the ledger nor a message could bear it."""
    for word in words:
        if "\0" in word or any("\ud800" <= sign <= "\udfff" for sign in word):
            raise InputError(f"the argument '{shown(word)}' is not UTF-8.", cure="Write it in UTF-8.")


def _run() -> int:
    """The exit code of one command; a deliberate error is one clear message and its own exit code."""
    try:
        _require_text(sys.argv[1:])
        app()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except ResponderError as error:
        if "--json" in sys.argv:
            print_json({"error": error.code, "message": error.message, "cure": error.cure, **error.details})
        error_console.print(error.message, style="bold", markup=False, highlight=False)
        if error.cure:
            error_console.print(error.cure, markup=False, highlight=False)
        return error.exit_code
    except BrokenPipeError:
        return 1
    except OSError as error:
        if not error.filename:
            raise
        message = f"{shown(error.filename)} cannot be used: {error.strerror}."
        if "--json" in sys.argv:
            print_json({"error": ResponderError.code, "message": message, "cure": ""})
        error_console.print(message, style="bold", markup=False, highlight=False)
        return ResponderError.exit_code
    return 0
