"""The chart of a look: whole SVG whatever its words are, with a dot for each sample, the limit, and what was done."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sre_responder.evidence.chart import Mark, Point, chart

SVG = "{http://www.w3.org/2000/svg}"
NUMBERS = st.none() | st.floats(-1e9, 1e9)
POINTS = st.builds(Point, st.floats(1e9, 2e9), NUMBERS, st.sampled_from([True, False, None]))
WINDOW = [Point(1e9, 0.3, False), Point(1e9 + 5, None, None), Point(1e9 + 10, 0.01, True)]


def drawn(*words: object, **more: object) -> ET.Element:
    return ET.fromstring(chart(*words, **more))  # type: ignore[arg-type]


def test_each_sample_is_a_dot_by_what_it_was_and_the_limit_and_the_actions_are_marked() -> None:
    svg = drawn("error ratio", [WINDOW, WINDOW[2:]], {"below": 0.05}, [Mark(1e9 + 7, 1, "rollback: improved")])
    colors = [dot.get("fill") for dot in svg.iter(f"{SVG}circle")]
    assert colors == ["#cf222e", "#6e7781", "#1a7f37", "#1a7f37"]
    titles = [title.text for title in svg.iter(f"{SVG}title")]
    assert "01:46:40 UTC 0.3 bad" in titles and "1: rollback: improved" in titles
    assert len(list(svg.iter(f"{SVG}polyline"))) == 2
    texts = [text.text for text in svg.iter(f"{SVG}text")]
    assert {"error ratio", "good is below 0.05", "01:46:40 UTC", "01:46:50 UTC", "1"} <= set(texts)


def test_higher_is_above_and_later_is_to_the_right() -> None:
    bad, _, good = list(drawn("x", [WINDOW], {}, []).iter(f"{SVG}circle"))
    assert float(bad.get("cy", "")) < float(good.get("cy", ""))
    assert float(bad.get("cx", "")) < float(good.get("cx", ""))


@given(
    st.text(),
    st.lists(st.lists(POINTS, max_size=4), max_size=3),
    st.dictionaries(st.sampled_from(["above", "below"]), st.floats(-1e9, 1e9)),
)
def test_it_is_whole_within_its_frame_without_script_or_reference_whatever_it_is_given(
    words: str, windows: list[list[Point]], limits: dict[str, float]
) -> None:
    text = chart(words, windows, limits, [Mark(1.5e9, 1, words)])
    numbers = [point.value for window in windows for point in window if point.value is not None]
    assert bool(text) == bool(numbers or limits)
    if text:
        svg = ET.fromstring(text)
        assert {one.tag.removeprefix(SVG) for one in svg.iter()} <= {
            "svg",
            "text",
            "line",
            "polyline",
            "circle",
            "title",
        }
        assert all(
            0 <= float(dot.get("cx", "")) <= 760 and 0 <= float(dot.get("cy", "")) <= 200
            for dot in svg.iter(f"{SVG}circle")
        )
        assert not any("href" in key or key.startswith("on") for one in svg.iter() for key in one.attrib)


@pytest.mark.parametrize("words", ["</svg><script>alert(1)</script>", "a & b", "\x00\x1b[2J\n"])
def test_words_are_escaped(words: str) -> None:
    assert "<script" not in chart(words, [WINDOW], {}, [Mark(1e9, 1, words)])
    drawn(words, [WINDOW], {}, [Mark(1e9, 1, words)])
