"""Channels of other distributions in the policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from support import acme

from sre_responder.errors import InputError
from sre_responder.home.policy import Policy, load
from sre_responder.notify.message import Message, Unreachable

MESSAGE = Message(
    id=1, at="2026-01-01T00:00:00Z", incident=None, type="gate.blocked", summary="refused", data={}, audience="on_call"
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return acme.install(tmp_path_factory.mktemp("acme"))


def policy(folder: Path, **more: Any) -> Policy:
    """One with ACME's channel between two of ours."""
    board = {"kind": "acme_board", "path": str(folder / "board")}
    channels = [{"kind": "terminal"}, board, {"kind": "file", "path": str(folder / "file")}]
    (folder / "policy.yml").write_text(yaml.safe_dump({"notifications": channels, **more}))
    return load(folder / "policy.yml")


def test_channel_of_another_distribution_stands_among_ours_and_sends(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(installed))
    channels = policy(tmp_path, extensions=acme.TAKEN).notifications
    assert [one.kind for one in channels] == ["terminal", "acme_board", "file"]
    assert channels[1].send(MESSAGE) == "on the board"
    assert (tmp_path / "board").read_text() == "refused\n"


def test_channel_of_a_distribution_that_is_not_named_is_not_known(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(installed))
    with pytest.raises(InputError, match="acme_board"):
        policy(tmp_path)


def test_channel_that_cannot_be_loaded_takes_no_message_and_spoils_no_policy(tmp_path: Path) -> None:
    channels = policy(tmp_path, extensions={"acme-absent": ">=1"}).notifications
    assert [one.kind for one in channels] == ["terminal", "acme_board", "file"]
    with pytest.raises(Unreachable, match="acme-absent, which the policy names, is not installed"):
        channels[1].send(MESSAGE)


@pytest.mark.parametrize("taken", ["", "1.2", ">>1"])
def test_range_of_versions_must_say_something(taken: str) -> None:
    with pytest.raises(ValidationError):
        Policy.model_validate({"extensions": {"acme-responder": taken}})
