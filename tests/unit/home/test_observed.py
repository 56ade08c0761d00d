"""What was observed of calls, in its file: how old it may be, and what is unknown where it cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from sre_responder.home import observed
from sre_responder.home.observed import Call, Observed, Seen
from sre_responder.home.observing import Observing

NOW = 1_000_000.0
WANTED = Observing.model_validate({"sources": [{"kind": "istio", "connection": "mesh"}], "max_age_minutes": 60})
CALLS = (Call("shop", "db", 1.5, NOW), Call("", "shop", 2.0, NOW))


def doubt(**seen: object) -> str:
    return Observed({"istio@mesh": Seen.model_validate({"at": NOW, **seen})}).doubt(WANTED, NOW)


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    kept = {"istio@mesh": Seen(at=NOW, calls=CALLS), "jaeger@traces": Seen(problem="cannot reach it")}
    observed.save(tmp_path / "state" / observed.FILE, kept)
    assert observed.load(tmp_path / "state" / observed.FILE) == Observed(kept)
    assert [one.name for one in (tmp_path / "state").iterdir()] == [observed.FILE]


def test_a_source_that_was_read_lately_leaves_no_doubt() -> None:
    assert doubt() == doubt(at=NOW - 3600) == doubt(problem="failed just now") == ""


def test_without_sources_nothing_is_in_doubt_whatever_the_file_holds() -> None:
    assert Observed(unreadable="broken").doubt(Observing(), NOW) == ""


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ({"at": NOW - 3601}, "istio@mesh was last read 60 min ago and the policy accepts 60 min"),
        ({"at": NOW - 7200, "problem": "cannot reach it"}, "120 min ago and the policy accepts 60 min (last attempt: cannot reach it)"),
        ({"at": NOW + 600}, "istio@mesh was read 10 min ahead of the clock"),
        ({"at": None, "problem": "cannot reach it"}, "istio@mesh has not been read yet (last attempt: cannot reach it)"),
    ],
)  # fmt: skip
def test_what_is_old_or_was_never_read_is_unknown(seen: dict[str, object], words: str) -> None:
    assert words in doubt(**seen)


def test_a_source_that_is_new_in_the_policy_is_unknown() -> None:
    assert Observed({"jaeger@traces": Seen(at=NOW)}).doubt(WANTED, NOW) == "istio@mesh has not been read yet"
    assert observed.load(Path("/nonexistent/graph.json")).doubt(WANTED, NOW) == "istio@mesh has not been read yet"


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"istio@mesh": {"at": 1, "calls": [["a"]]}}', '{"istio@mesh": {"at": NaN}}', "\xff"]
)
def test_a_file_that_is_something_else_is_unknown(tmp_path: Path, text: str) -> None:
    (tmp_path / observed.FILE).write_bytes(text.encode("latin-1"))
    assert "is not what `responder graph refresh` writes" in observed.load(tmp_path / observed.FILE).doubt(WANTED, NOW)


def test_what_is_no_file_is_unknown(tmp_path: Path) -> None:
    assert "cannot be read: Is a directory" in observed.load(tmp_path).doubt(WANTED, NOW)
