"""The README of a runbook: what a person reads who takes over from it, one section a heading."""

from __future__ import annotations

import re

README = "README.md"
TOPICS = ("Meaning", "Impact", "Diagnosis", "Decision tree", "Steps", "Verification", "Rollback", "Contacts")

_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}(#{1,6})\s+(.*)")


def lacking(text: str) -> tuple[str, ...]:
    """The topics that no heading names, or below whose heading nothing is written. `## 2. Impact on users` names Impact."""
    above: list[tuple[int, str]] = []
    written: set[str] = set()
    fence = ""
    for line in _COMMENT.sub("", text).splitlines():
        if fence and line.strip().startswith(fence) and not line.strip().strip(fence[0]):
            fence = ""
        elif not fence and (opened := _FENCE.match(line)):
            fence = opened[1]
        elif not fence and (heading := _HEADING.match(line)):
            depth = len(heading[1])
            above = [*(one for one in above if one[0] < depth), (depth, heading[2])]
        elif line.strip():
            written.update(title for _, title in above)
    return tuple(topic for topic in TOPICS if not any(_names(title, topic) for title in written))


def _names(title: str, topic: str) -> bool:
    return re.match(rf"[\W\d_]*{topic}\b", title, re.IGNORECASE) is not None
