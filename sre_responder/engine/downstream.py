"""What depends on a service, measured: each by the probe that the catalogue names, once or for as long as a canary lasts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from sre_responder.errors import InputError
from sre_responder.evidence.looks import Take, probe
from sre_responder.home import Home
from sre_responder.model.criterion import PLAIN, Criterion
from sre_responder.model.look import Sample

AT_ONCE = 16
"""Probes that are measured at the same time."""
BAD_IN_A_ROW = 2
"""A service is lost with so many bad samples: one may be chance."""
LOOKS, LOOK_SECONDS = 4, 0.25
"""So often, and so far apart, a service is looked at before it is called healthy or unhealthy."""
UNSTEADY = "it answers well and badly by turns"
_PROBE = Criterion.model_validate({"source": PLAIN})


def takes(home: Home, services: Iterable[str], environment: str) -> dict[str, Take]:
    """What takes a sample of each service; of one that nothing can measure the sample says why."""
    return {name: _take(home, name, environment) for name in services}


def _take(home: Home, service: str, environment: str) -> Take:
    try:
        home.catalogue.environment(service, environment)
        found = probe(_PROBE, home.place(service, environment))
    except InputError as error:
        found = error.message
    return _never(found) if isinstance(found, str) else found


def _never(reason: str) -> Take:
    return lambda: Sample(0, None, reason)


def state(sample: Sample) -> str:
    """Healthy, unhealthy, or why that is not known."""
    return {True: "healthy", False: "unhealthy", None: sample.reason}[sample.ok]


def sampled(known: Mapping[str, Take]) -> dict[str, Sample]:
    """One sample of each, several at once."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(known, pool.map(lambda take: take(), known.values()), strict=True))


def looked(known: Mapping[str, Take], sleep: Callable[[float], None] = time.sleep) -> dict[str, str]:
    """The state of each now, by several samples, for one may be chance; neither good nor bad throughout is no state."""
    found = {name: [sample] for name, sample in sampled(known).items()}
    for _ in range(LOOKS - 1):
        steady = {name: known[name] for name, taken in found.items() if len({one.ok for one in taken} - {None}) == 1}
        if steady:
            sleep(LOOK_SECONDS)
        for name, sample in sampled(steady).items():
            found[name].append(sample)
    return {name: _steadily(taken) for name, taken in found.items()}


def _steadily(taken: Sequence[Sample]) -> str:
    unmeasured = [one for one in taken if one.ok is None]
    if unmeasured:
        return state(unmeasured[-1])
    return state(taken[-1]) if len({one.ok for one in taken}) == 1 else UNSTEADY


def lost(
    known: Mapping[str, Take], seconds: float, interval: float, interrupted: Callable[[], bool],
    clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Sample]:  # fmt: skip
    """The services that did not stay good for so many seconds: the first that are bad twice in a row, else those unknown at the end."""
    until, bad = clock() + seconds, dict.fromkeys(known, 0)
    while True:
        began, samples = clock(), sampled(known)
        bad = {name: bad[name] + 1 if sample.ok is False else 0 for name, sample in samples.items()}
        if gone := {name: samples[name] for name, times in bad.items() if times >= BAD_IN_A_ROW}:
            return gone
        if interrupted() or (began >= until and not any(bad.values())):
            return {name: sample for name, sample in samples.items() if not sample.ok}
        sleep(max(0.0, began + interval - clock()))
