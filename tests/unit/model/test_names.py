"""Names are matched whole and in ASCII."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sre_responder.errors import InputError
from sre_responder.model import names


@pytest.mark.parametrize(
    ("check", "good"),
    [(names.incident, "INC-1234"), (names.incident, "INC-12345678"), (names.service, "a1"), (names.environment, "dev")],
)
def test_a_valid_name_is_given_back(check: Callable[[str], str], good: str) -> None:
    assert check(good) == good


@pytest.mark.parametrize("tail", ["\n", " ", "\r", "\0", "; reboot", "{{ 1 }}", "$(x)", "\u200b", "\u0661"])
@pytest.mark.parametrize(
    ("check", "good"), [(names.incident, "INC-1234"), (names.service, "checkout"), (names.environment, "dev")]
)
def test_anything_behind_a_name_is_refused(check: Callable[[str], str], good: str, tail: str) -> None:
    with pytest.raises(InputError):
        check(good + tail)


@given(st.text(max_size=500))
def test_shown_text_never_carries_control_characters(text: str) -> None:
    assert names.shown(text).isprintable()
