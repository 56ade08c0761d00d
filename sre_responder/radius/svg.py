"""The neighbourhood of a service as an SVG picture: who needs it on its left, what it needs on its right."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from xml.etree import ElementTree as Xml

from sre_responder.home.graph import Edge, Graph
from sre_responder.model.names import shown

WIDTH, HEIGHT, GAP, ROW, MARGIN = 190, 30, 90, 46, 20
"""Of a box; between two columns; from one box to the next below it; and around all."""
FITS = 25
"""Letters in a box."""
STYLE = """
text { font: 13px sans-serif; text-anchor: middle; dominant-baseline: central }
rect { fill: #f4f6f8; stroke: #66788a } rect.tier-0 { stroke: #b42318; stroke-width: 2.5 }
rect.unknown { stroke-dasharray: 4 3 } rect.repair { fill: #fdecc8 } rect.chosen { fill: #d7e6fb }
path { fill: none; stroke: #66788a } path.observed { stroke: #c2540a; stroke-dasharray: 6 3 } path.declared { stroke-dasharray: 2 3 }
"""


def columns(graph: Graph, service: str, hops: int) -> dict[str, int]:
    """The column of each service within so many hops: below 0 who needs it, above 0 what it needs; once, where it is nearer."""
    found, rings = {service: 0}, {-1: {service}, 1: {service}}
    ways = {-1: graph.dependencies.users, 1: graph.dependencies.needs}
    for hop in range(1, hops + 1):
        for side, way in ways.items():
            rings[side] = {one for name in rings[side] for one in way.get(name, ())} - found.keys()
            found |= {name: side * hop for name in rings[side]}
    return found


def svg(graph: Graph, service: str, hops: int, repairs: Collection[str], told: Callable[[Edge], str]) -> str:
    """The picture; `told` says of a dependency where it is known from, which is shown where the mouse rests on it."""
    by_column = defaultdict[int, list[str]](list)
    for name, column in sorted(columns(graph, service, hops).items()):
        by_column[column].append(name)
    first, rows = min(by_column), max(map(len, by_column.values()))
    width = len(by_column) * (WIDTH + GAP) - GAP + 2 * MARGIN
    height = rows * ROW + 2 * MARGIN
    places = {
        name: (MARGIN + (column - first) * (WIDTH + GAP), height // 2 + ROW * row - ROW * (len(column_names) - 1) // 2)
        for column, column_names in by_column.items()
        for row, name in enumerate(column_names)
    }
    size = {"width": str(width), "height": str(height), "viewBox": f"0 0 {width} {height}"}
    root = Xml.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", **size})
    Xml.SubElement(root, "title").text = f"{service} and what is within {hops} hops: who needs it, and what it needs"
    Xml.SubElement(root, "style").text = STYLE
    for user in places:
        for needed in sorted(graph.dependencies.needs.get(user, set()) & places.keys()):
            _line(root, places[user], places[needed], graph.edge(user, needed), told)
    for name, place in places.items():
        _box(root, place, name, _marks(graph, name, service, repairs))
    return Xml.tostring(root, encoding="unicode")


def _line(
    root: Xml.Element, user: tuple[int, int], needed: tuple[int, int], edge: Edge, told: Callable[[Edge], str]
) -> None:
    start, end = user[0] + WIDTH, needed[0]
    curve = f"M {start} {user[1]} C {start + GAP // 2} {user[1]} {end - GAP // 2} {needed[1]} {end} {needed[1]}"
    side = "" if not edge.one_sided else "declared" if edge.declared else "observed"
    line = Xml.SubElement(root, "path", {"d": curve, "class": side})
    Xml.SubElement(line, "title").text = f"{edge.user} needs {edge.needed}: {told(edge)}"


def _box(root: Xml.Element, place: tuple[int, int], name: str, marks: Sequence[str]) -> None:
    x, y = place
    size = {"x": str(x), "y": str(y - HEIGHT // 2), "width": str(WIDTH), "height": str(HEIGHT), "rx": "5"}
    box = Xml.SubElement(root, "rect", {**size, "class": " ".join(marks)})
    Xml.SubElement(box, "title").text = ", ".join([name, *marks])
    Xml.SubElement(root, "text", {"x": str(x + WIDTH // 2), "y": str(y)}).text = _short(name)


def _marks(graph: Graph, name: str, chosen: str, repairs: Collection[str]) -> list[str]:
    known = graph.catalogue.services.get(name)
    found = {
        "chosen": name == chosen,
        "tier-0": known is not None and known.tier_0,
        "unknown": known is None,
        "repair": name in repairs,
    }
    return [mark for mark, holds in found.items() if holds]


def _short(name: str) -> str:
    """As much of a name as a box holds, its end: the beginnings are often alike."""
    text = shown(name, 200)
    return text if len(text) <= FITS else f"…{text[-FITS + 1 :]}"
