"""Playbooks in which no text that was read from a target is a template: whoever names a release folder runs no code here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml


class _Literal(yaml.SafeDumper):
    """Writes text that Ansible might template as `!unsafe`, which it never does."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    risky = "{" in value or value.lstrip().startswith("#jinja2")  # that header may choose other delimiters
    style = "'" if risky else "|" if "\n" in value else None  # a program stands there line by line
    return dumper.represent_scalar("!unsafe" if risky else "tag:yaml.org,2002:str", value, style=style)


_Literal.add_representer(str, _text)


def dump(plays: Sequence[Any]) -> str:
    """Plays as YAML for ansible-playbook; every text in them is taken to the letter."""
    return yaml.dump(list(plays), Dumper=_Literal, sort_keys=False, width=120)
