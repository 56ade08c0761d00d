"""The picture of a neighbourhood: every service and dependency of it once, on its side, and readable."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree as Xml

from hypothesis import given
from hypothesis import strategies as st

from sre_responder.home.catalogue import Catalogue, Service
from sre_responder.home.graph import Graph
from sre_responder.home.observed import Call, Seen
from sre_responder.radius.svg import HEIGHT, WIDTH, columns, svg

SPACE = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert(1)</script>&" + "x" * 80


def graph(declared: Sequence[tuple[str, str]], seen: Sequence[tuple[str, str]] = ()) -> Graph:
    needs = {name: tuple(needed for user, needed in declared if user == name) for pair in declared for name in pair}
    services = {name: Service(name, "x", None, needed, {}) for name, needed in {"shop": (), **needs}.items()}
    services["db"] = Service("db", "x", None, needs.get("db", ()), {"responder/criticality": "tier-0"})
    calls = tuple(Call(*pair, 1, 0) for pair in seen)
    return Graph(Catalogue(services, Path("c.yml")), {"mesh": Seen(at=0, calls=calls)} if seen else {})


def drawn(found: Graph, hops: int = 2) -> Xml.Element:
    return Xml.fromstring(svg(found, "shop", hops, ("edge",), lambda edge: "declared"))


SMALL = graph([("edge", "shop"), ("shop", "db"), ("shop", "mail"), ("db", "disk")], [("shop", "db"), ("shop", HOSTILE)])


def test_who_needs_a_service_stands_on_its_left_and_what_it_needs_on_its_right() -> None:
    assert columns(SMALL, "shop", 2) == {"shop": 0, "edge": -1, "db": 1, "mail": 1, HOSTILE: 1, "disk": 2}
    assert columns(SMALL, "shop", 1).keys() == {"shop", "edge", "db", "mail", HOSTILE}


def test_boxes_say_what_they_are_and_lines_who_knows_them() -> None:
    boxes = {box.findtext(f"{SPACE}title"): box.get("class") for box in drawn(SMALL).iter(f"{SPACE}rect")}
    assert boxes == {
        "shop, chosen": "chosen", "edge, repair": "repair", "db, tier-0": "tier-0", "disk": "", "mail": "", f"{HOSTILE}, unknown": "unknown",
    }  # fmt: skip
    lines = {
        str(line.findtext(f"{SPACE}title")).partition(":")[0]: line.get("class")
        for line in drawn(SMALL).iter(f"{SPACE}path")
    }
    assert lines == {
        "edge needs shop": "declared", "shop needs db": "", "shop needs mail": "declared", "db needs disk": "declared",
        f"shop needs {HOSTILE}": "observed",
    }  # fmt: skip


def test_a_hostile_name_is_text_and_short() -> None:
    assert "<script>" not in svg(SMALL, "shop", 2, (), lambda edge: HOSTILE)
    assert max(len(str(text.text)) for text in drawn(SMALL).iter(f"{SPACE}text")) == 25


NAMES = st.sampled_from(["shop", *"abcdefgh"])


@given(st.lists(st.tuples(NAMES, NAMES), max_size=20), st.integers(1, 4))
def test_no_box_covers_another_or_leaves_the_picture(pairs: list[tuple[str, str]], hops: int) -> None:
    found = graph(pairs)
    root = drawn(found, hops)
    boxes = [(int(str(box.get("x"))), int(str(box.get("y")))) for box in root.iter(f"{SPACE}rect")]
    assert len(boxes) == len(columns(found, "shop", hops))
    assert all(abs(a[0] - b[0]) >= WIDTH or abs(a[1] - b[1]) >= HEIGHT for a, b in combinations(boxes, 2))
    width, height = int(str(root.get("width"))), int(str(root.get("height")))
    assert all(0 <= x <= width - WIDTH and 0 <= y <= height - HEIGHT for x, y in boxes)
