"""Annotations that do nothing as they are written are named, and disable nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sre_responder.home import catalogue
from sre_responder.home.annotations import doubts, known


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("responder/probe_url", "http://x/", "Did you mean responder/probe-url"),
        ("responder/probeurl", "http://x/", "Did you mean responder/probe-url"),
        ("responder/health-url", "http://x/", "responder/probe-url"),
        ("Responder/Probe-URL", "http://x/", "Did you mean responder/probe-url"),
        ("responder/environment", "dev", "Did you mean responder/environments"),
        ("staging.responder/supervisor-serve", "unix:///x", "Did you mean staging.responder/supervisor-server"),
        ("responder/zzz", "x", "See docs/write-a-runbook.md"),
        ("stage.responder/probe-url", "http://x/", "'stage' is not an environment"),
        ("responder/probe-url", "checkout:8080/health", "does not start with http:// or https://"),
        ("responder/probe-url", "//checkout/health", "does not start with http:// or https://"),
        ("staging.responder/probe-url", "checkout/health", "does not start with http:// or https://"),
        ("responder/cache-url", "ftp://x/", "does not start with http:// or https://"),
        ("responder/probe-url", "http://{{ host }}/", "contains Jinja"),
        ("responder/probe-url", "http://ann:s3cret@x/", "contains a user name or password"),
        ("responder/supervisor-program", "{{ program }}", "contains Jinja"),
        ("responder/supervisor-server", "127.0.0.1:9001", "not an address of supervisord"),
        ("responder/release-root", "srv/app", "not an absolute path"),
    ],
)
def test_an_annotation_that_does_nothing_is_named(key: str, value: str, words: str) -> None:
    [(named, why)] = doubts({key: value})
    assert named == key
    assert words in why


@pytest.mark.parametrize("key", known())
def test_what_something_reads_is_not_doubted(key: str) -> None:
    value = "http://x/" if key.endswith("-url") else "unix:///x" if key.endswith("-server") else "/x"
    value = "tier-1" if key.endswith("/criticality") else value
    assert [*doubts({key: value, f"staging.{key}": value, "backstage.io/x": "y", "github.com/responder": "z"})] == []


def test_a_doubtful_annotation_is_named_with_its_line_and_disables_nothing(tmp_path: Path) -> None:
    file = tmp_path / "catalogue.yml"
    annotations = {
        "responder/environments": "dev",
        "responder/probe-urll": "x",
        "staging.responder/probe-url": "http://x/",
    }
    file.write_text(yaml.safe_dump({"kind": "Component", "metadata": {"annotations": annotations, "name": "shop"}}))
    found = catalogue.load(file)
    assert found.service("shop").doubts == found.problems
    assert [problem.removeprefix(str(tmp_path)).partition(": ")[0] for problem in found.problems] == [
        "/catalogue.yml:5", "/catalogue.yml:1",
    ]  # fmt: skip
    assert "shop does not exist there" in found.problems[1]
