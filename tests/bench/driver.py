"""What the driver costs a run, and what the guard costs a task."""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bypass.world import Play, World, world

from bench.figures import Figure, ratio
from bench.runners import Runner, bare, driven, lengthen

ROUNDS = 5
HOW = """\
A run: `responder run` against `ansible-runner run` of the same runbook in the same surroundings, one after the other
in each round; whole commands, wall time. The runbook looks, and returns to the release before, under the guard in
both; once as it is, once with 50 small tasks in front. A task: in one play the same change is made bare and guarded,
and ansible-runner says how long each task took. On a host it is the module `release_rollback` itself against the
guarded one, which plans, decides, acts and measures (the module is executed twice); against an API it is
`ansible.builtin.uri` with PURGE against `http_cache_purge`. The criterion needs one sample, so nothing waits."""

ROOT = Path(__file__).parents[2]
UNLIMITED = {
    "loop": {"attempts": 1000, "healthy_seconds": 0},
    "rollbacks": {"failed_in_a_row": 1000, "within_window": 1000},
    "severities": {"SEV3": {"automatic_actions": None}},
}
"""A policy under which the same thing may be done again and again."""


def measure(rounds: int) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder, world(Path(folder), **UNLIMITED) as here:
        here.heals("1")
        for tasks in (2, 52):
            yield from _of_a_run(here, rounds, tasks)
        with _cache() as url:
            yield from _of_a_task(here, rounds, url)


def _of_a_run(here: World, rounds: int, tasks: int) -> Iterator[Figure]:
    here.write(lambda play: lengthen(play, tasks))
    ours, others = [], []
    for number in range(rounds + 1):
        ours.append(_seconds(here, driven(here)))
        others.append(_seconds(here, bare(here, here.root / f"bare-{tasks}-{number}")))
    ours, others = ours[1:], others[1:]  # the first of each fills caches
    yield Figure(f"{tasks} tasks: responder run, median", statistics.median(ours), "s")
    yield Figure(f"{tasks} tasks: ansible-runner run, median", statistics.median(others), "s")
    yield Figure(f"{tasks} tasks: responder run / ansible-runner run", ratio(ours, others), "", "<= 1.1")


def _seconds(here: World, runner: Runner) -> float:
    """How long it takes from the bad release to the good one."""
    here.put_back()
    began = time.perf_counter()
    runner.run()
    seconds = time.perf_counter() - began
    if here.release != "1":
        raise AssertionError("nothing was rolled back")
    return seconds


def _of_a_task(here: World, rounds: int, url: str) -> Iterator[Figure]:
    here.write(lambda play: _twice(play, here.root / "app", url))
    (here.root / "library").mkdir()
    module = "release_rollback.py"
    shutil.copy(ROOT / "plugins" / "modules" / module, here.root / "library" / f"bare_{module}")
    taken: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds + 1):
        here.put_back()
        folder = here.root / f"tasks-{number}"
        bare(here, folder, ANSIBLE_LIBRARY=str(here.root / "library")).run()
        for name, seconds in durations(folder / "artifacts" / "run" / "job_events").items():
            taken[name].append(seconds)
    for name, what in (("host", "a module on a host"), ("API", "a call of an API")):
        plain, guarded = taken[f"{name}, bare"][1:], taken[f"{name}, guarded"][1:]
        yield Figure(f"{what}, bare, median", statistics.median(plain) * 1000, "ms")
        yield Figure(f"{what}, guarded, median", statistics.median(guarded) * 1000, "ms")
        yield Figure(f"{what}, guarded / bare", ratio(guarded, plain))


def _twice(play: Play, app: Path, url: str) -> None:
    """Each change bare and guarded; in between everything is made as ill as before."""
    names = play["tasks"][1]["sre.responder.release_rollback"]
    internal = {"root": str(app), "_plan": "measured", "_expect": {"release": "2"}}
    guarded = {name: value for name, value in names.items() if name != "to"}
    play["tasks"] = [
        {"name": "Look", "sre.responder.diagnose": dict(guarded)},
        {"name": "API, bare", "ansible.builtin.uri": {"url": url, "method": "PURGE"}},
        {"name": "API, guarded", "sre.responder.http_cache_purge": {**guarded, "url": url}},
        {"name": "host, bare", "bare_release_rollback": {**names, **internal}},
        {"name": "Break", "ansible.builtin.file": {"src": "releases/2", "dest": str(app / "current"), "state": "link"}},
        {"name": "host, guarded", "sre.responder.release_rollback": dict(names)},
    ]


def durations(events: Path) -> dict[str, float]:
    """Task to the seconds that ansible-runner says it took, where it changed something."""
    found = [json.loads(file.read_text())["event_data"] for file in events.glob("*.json")]
    return {data["task"]: data["duration"] for data in found if data.get("res", {}).get("changed") is not None}


class _Cache(BaseHTTPRequestHandler):
    """A cache that takes PURGE."""

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    do_PURGE = do_HEAD

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@contextmanager
def _cache() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Cache)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
