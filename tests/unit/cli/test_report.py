"""`responder incident report`: a page on standard output or in a file, of what the record has."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.light import PLAY, Light, home_with, take
from typer.testing import CliRunner, Result

from sre_responder import cli


@pytest.fixture
def reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Callable[..., str]) -> Callable[..., Result]:
    play = PLAY.replace("http://127.0.0.1:1/", serve(status=500))
    made = home_with(tmp_path, f"sqlite:///{tmp_path / 'state' / 'ledger.db'}", play)
    take(made, Light())
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RESPONDER_HOME", str(made.folder))
    monkeypatch.setenv("RESPONDER_LEDGER", made.ledger_url)
    return lambda *words: CliRunner().invoke(cli.app, ["incident", "report", *words])


def test_the_page_has_the_action_and_the_samples_that_judged_it(
    reported: Callable[..., Result], tmp_path: Path
) -> None:
    page = reported("INC-1234").stdout
    assert page.startswith("<!DOCTYPE html>") and "must: http, ms" in page
    assert "<li>http_cache_purge on checkout: not improved" in page and " bad</title>" in page
    assert json.loads(reported("INC-1234", "--json").stdout) == {"page": page}
    done = reported("INC-1234", "--to", str(tmp_path / "page.html"))
    assert (done.exit_code, (tmp_path / "page.html").read_text()) == (0, page)


def test_what_is_not_there_or_cannot_be_written_is_named(reported: Callable[..., Result], tmp_path: Path) -> None:
    gone, nowhere = reported("INC-9999"), reported("INC-1234", "--to", str(tmp_path / "no" / "page.html"))
    assert "INC-9999 is not in the ledger" in str(gone.exception)
    assert "page.html cannot be written" in str(nowhere.exception)
