"""Durations as people type them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sre_responder.cli.running import seconds
from sre_responder.errors import InputError


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), ("0s", 0), ("45", 45), ("90s", 90), ("15m", 900), ("2h", 7200), ("007m", 420), ("100000h", 360_000_000)],
)
def test_duration_is_a_whole_number_with_its_unit(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "s", "m", "-5", "-5m", "+5", "1.5h", "1e3", "5 m", " 5m", "5m\n", "5M", "5d", "5ms", "1h30m", "inf", "0x10", "1_000",
     "\u0663m", "\uff15s", "\u00b2s", "\u00b2", "9" * 5000],
)  # fmt: skip
def test_anything_else_is_refused_and_says_what_to_write(text: str) -> None:
    with pytest.raises(InputError, match="is not a duration") as raised:
        seconds(text)
    assert raised.value.cure == "Write 90s, 15m or 2h."
    assert raised.value.message.isprintable() and len(raised.value.message) < 400


@given(st.integers(0, 10**6 - 1), st.sampled_from([("", 1), ("s", 1), ("m", 60), ("h", 3600)]))
def test_every_number_with_every_unit_is_read(number: int, unit: tuple[str, int]) -> None:
    assert seconds(f"{number}{unit[0]}") == number * unit[1]


@given(st.text(max_size=8))
def test_any_text_is_a_duration_or_bad_input(text: str) -> None:
    try:
        assert seconds(text) >= 0
        assert text.isascii()
    except InputError as error:
        assert error.cure
