"""Which topics a README lacks is read from its headings and from what is written below them."""

from __future__ import annotations

import pytest

from sre_responder.home.readme import TOPICS, lacking

WHOLE = "# Checkout\n" + "".join(f"\n## {topic}\n\nText.\n" for topic in TOPICS)


def test_a_readme_with_text_below_each_heading_lacks_nothing() -> None:
    assert lacking(WHOLE) == ()


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_without_heading_or_without_text_is_named(topic: str) -> None:
    heading = f"## {topic}\n\n"
    assert lacking(WHOLE.replace(f"{heading}Text.\n", "")) == (topic,)
    assert lacking(WHOLE.replace(f"{heading}Text.\n", heading)) == (topic,)


@pytest.mark.parametrize(
    "heading",
    ["# Steps", "### 3. Steps to take", "## **Steps**", "   ## STEPS:", "## Steps ##", "## ⚠ Steps"],
)
def test_a_heading_names_its_topic_in_any_depth_case_and_number(heading: str) -> None:
    assert lacking(WHOLE.replace("## Steps", heading)) == ()


@pytest.mark.parametrize("line", ["Steps", "    ## Steps", "##Steps", "## Stepsister", "## The steps"])
def test_what_is_no_heading_of_the_topic_does_not_name_it(line: str) -> None:
    assert lacking(WHOLE.replace("## Steps", line)) == ("Steps",)


@pytest.mark.parametrize("below", ["<!-- to do -->", "<!-- to do", "```\n```", "### First", "   \t"])
def test_nothing_a_reader_would_see_is_no_text(below: str) -> None:
    assert lacking(WHOLE.replace("## Contacts\n\nText.", f"## Contacts\n{below}")) == ("Contacts",)


def test_text_below_a_smaller_heading_counts_for_the_larger_one() -> None:
    assert lacking(WHOLE.replace("## Steps\n\nText.", "## Steps\n\n### First\n\nText.")) == ()


def test_a_comment_of_a_shell_is_no_heading() -> None:
    written = WHOLE.replace("## Rollback\n\nText.\n", "~~~~\n~~~\n# Rollback\ntrue\n~~~~\n")
    assert lacking(written) == ("Rollback",)
