"""Commands of the evidence: measure a criterion now, as a run would, and draw what each of its looks found."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from sre_responder.cli.context import Context, context
from sre_responder.cli.given import given_text
from sre_responder.cli.output import Json, console, print_json, say
from sre_responder.errors import InputError
from sre_responder.evidence.draw import sparkline, thinned
from sre_responder.evidence.looks import probe
from sre_responder.evidence.verdict import Verdict, healthy_now
from sre_responder.home.documents import documents_of, validated
from sre_responder.model import names
from sre_responder.model.criterion import Criterion
from sre_responder.model.look import Look, NotMeasured, Number, Part, Place, Sample

evidence = typer.Typer(no_args_is_help=True, help="What a success criterion measures.")
EXIT_CODES = {"healthy": 0, "unhealthy": 1, "unknown": 5}
MARKS = {True: "good", False: "bad", None: "not measured"}
HOUR = 3600
_LIMIT_BYTES = 1 << 16


def add_to(app: typer.Typer) -> None:
    app.add_typer(evidence, name="evidence")


@evidence.callback()
def _evidence() -> None:
    """Without a callback Typer would take the only command for the group."""


@evidence.command("try")
def try_(
    criterion: Annotated[
        str, typer.Argument(help="A runbook's id, or a file with a criterion; - reads standard input.")
    ],
    service: Annotated[str, typer.Option("--service", help="A service of the catalogue.")],
    environment: Annotated[str, typer.Option("--environment", help="Where it runs.")],
    incident: Annotated[str, typer.Option("--incident", help="Compare with the baseline of this incident.")] = "",
    json: Json = False,
) -> None:
    """Measure a success criterion now, as a run would before it acts, and draw it. Changes nothing and records nothing.

    Exits 0 if the service is healthy by it, 1 if it is not, 5 if that cannot be told.

    responder evidence try service-errors --service checkout --environment production
    """
    here = context()
    here.home.catalogue.environment(service, environment)
    chosen = _criterion(here, criterion)
    place = _with_baselines(here, chosen, here.home.place(service, environment), incident)
    take = probe(chosen, place)
    if isinstance(take, str):
        verdict = Verdict("unknown", take, ())
    else:
        if not json:
            say(
                f"Measuring {service} in {environment}: {chosen.samples} samples at most, {chosen.interval_s:g} s apart."
            )
        verdict = healthy_now(chosen, take, time.monotonic, time.sleep)
    rows = [_row(verdict.samples, number, part, place) for number, part in enumerate(_parts(verdict.samples))]
    code = EXIT_CODES[verdict.state]
    if json:
        facts = {"service": service, "environment": environment, "verdict": verdict.state, "reason": verdict.reason}
        print_json({**facts, "samples": verdict.counts._asdict(), "looks": rows, "exit_code": code})
        raise typer.Exit(code)
    for row in rows:
        _draw(row)
    console.print(f"{verdict.state}: {verdict.reason}", markup=False)
    raise typer.Exit(code)


def _criterion(here: Context, given: str) -> Criterion:
    """That of a runbook, or of a file."""
    if given != "-" and not Path(given).is_file():
        return here.home.runbooks.named(given).metadata.success
    file = Path("standard input" if given == "-" else given)
    documents = list(documents_of(given_text(given, _LIMIT_BYTES), file))
    if len(documents) != 1:
        raise InputError(
            f"{file} holds {len(documents)} documents.", cure="Write one criterion, as in `success` of a runbook."
        )
    [(written, node)] = documents
    return validated(Criterion, written, file, node)


def _with_baselines(here: Context, criterion: Criterion, place: Place, incident: str) -> Place:
    from sre_responder.engine.baseline import baselines  # with the ledger, which help does not need

    number = names.incident(incident) if incident else ""
    return replace(place, baselines=baselines(here.ledger, number, criterion, place, record=False))


def _parts(samples: Sequence[Sample]) -> tuple[Part, ...]:
    return samples[-1].parts if samples else ()


def _row(samples: Sequence[Sample], number: int, last: Part, place: Place) -> dict[str, Any]:
    """What one look found: now, in the samples, and in the last hour if its source knows that."""
    look, taken = last.look, [sample.parts[number].sample for sample in samples]
    baseline = look.baseline(place) if isinstance(look, Number) else None
    return {
        "role": last.role,
        "look": look.title,
        "source": look.source,
        "ok": last.sample.ok,
        "reason": last.sample.reason,
        "value": last.sample.value,
        "latency_ms": last.sample.latency_ms,
        "samples": [one.value if _is_number(one.value) else one.latency_ms for one in taken],
        "history": _history(look, place),
        "limits": look.limits(baseline.value if baseline else None) if isinstance(look, Number) else {},
        "baseline": baseline and {"value": baseline.value, "reason": baseline.reason},
    }


def _history(look: Look, place: Place) -> list[float]:
    now = time.time()
    try:
        numbers = look.history(place, now - HOUR, now) if isinstance(look, Number) else []
    except NotMeasured:
        return []  # what the sample says is reason enough
    return [number for number in numbers if math.isfinite(number)]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _draw(row: dict[str, Any]) -> None:
    console.print(f"{row['role']}  {row['look']}", markup=False, style="bold")
    numbers = [number for number in row["samples"] if number is not None]
    if row["history"]:
        _line(row["history"], row["limits"], "in the last hour")
    elif numbers:
        unit = "in the samples" if _is_number(row["value"]) else "ms in the samples"
        _line(numbers, row["limits"], unit)
    told = [f"{word} {limit:g}" for word, limit in row["limits"].items()]
    if row["baseline"]:
        told.append("baseline {value}: {reason}".format(**row["baseline"]))
    if told:
        console.print(f"  good is {'; '.join(told)}", markup=False)
    console.print(f"  {MARKS[row['ok']]}: {row['reason']}", markup=False)


def _line(numbers: Sequence[float], limits: dict[str, float], words: str) -> None:
    """The numbers as bars, and below them an x for each that is beyond a limit."""
    shown = thinned(numbers)
    bars, span = sparkline(shown, limits.values())
    above, below = limits.get("above", -math.inf), limits.get("below", math.inf)
    beyond = "".join(" " if above < number < below else "x" for number in shown)
    console.print(f"  {bars}  {span} {words}", markup=False)
    if "x" in beyond:
        console.print(f"  {beyond.rstrip()}", markup=False)
