"""Ways around a rule of the policy. Each asserts by the light that nothing was changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.light import PLAY, Light, home_with, take

from sre_responder.errors import Refused
from sre_responder.home import Home, find


@pytest.fixture
def ruled(tmp_path: Path) -> Callable[..., Home]:
    made = home_with(tmp_path, f"sqlite:///{tmp_path / 'state' / 'ledger.db'}", PLAY)

    def write(**rule: Any) -> Home:
        path = made.folder / "policy.yml"
        rules = {"rules": {"quiet": {"because": "the shop is closed", **rule}}}
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **rules}))
        return find({"RESPONDER_HOME": str(made.folder), "RESPONDER_LEDGER": made.ledger_url})

    return write


def test_the_light_is_real_a_rule_that_is_not_true_lets_it_shine(ruled: Callable[..., Home]) -> None:
    light = Light()
    take(ruled(refuse_when="environment == 'production'"), light)
    assert light.on


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"refuse_when": "service == 'checkout'"}, "rules failed: quiet: the shop is closed"),
        ({"refuse_when": "service"}, "rules unknown: quiet: service is 'checkout', neither true nor false"),
        ({"refuse_when": "plan.arguments.no"}, "rules unknown"),
        ({"refuse_when": "service > `1`"}, "rules unknown"),
        ({"needs_when": "`true`"}, "this policy does not use approvals"),
    ],
)
def test_what_a_rule_refuses_or_cannot_judge_changes_nothing(
    ruled: Callable[..., Home], rule: dict[str, Any], words: str
) -> None:
    light = Light()
    with pytest.raises(Refused, match="quiet") as refused:
        take(ruled(**rule), light)
    assert (words in str(refused.value), light.on) == (True, False), str(refused.value)
