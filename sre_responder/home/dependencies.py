"""What depends on what, as a graph that is walked in either direction."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence


class Dependencies:
    """The graph of what each name needs. Plain sets: networkx takes six times as long for 100,000 edges, and as long to import."""

    def __init__(self, needs: Mapping[str, Iterable[str]]) -> None:
        self.needs = {name: set(needed) for name, needed in needs.items()}
        self.users: dict[str, set[str]] = defaultdict(set)
        for name, needed in self.needs.items():
            for one in needed:
                self.users[one].add(name)

    def cycles(self) -> list[list[str]]:
        """Names that depend on themselves: each set of which every one reaches every other."""
        import networkx as nx

        graph: nx.DiGraph[str] = nx.DiGraph([(name, one) for name, needed in self.needs.items() for one in needed])
        rings = (ring for ring in nx.strongly_connected_components(graph) if len(ring) > 1)
        return sorted([sorted(ring) for ring in rings] + [[name] for name in nx.nodes_with_selfloops(graph)])

    def downstream(self, name: str) -> tuple[str, ...]:
        """Who depends on a name, directly or through others."""
        return _reached(name, [self.users])

    def upstream(self, name: str) -> tuple[str, ...]:
        """What a name depends on, directly or through others."""
        return _reached(name, [self.needs])

    def neighbours(self, name: str, hops: int) -> tuple[str, ...]:
        """Who stands within so many hops, in either direction."""
        return _reached(name, [self.users, self.needs], hops)


def _reached(start: str, ways: Sequence[Mapping[str, set[str]]], hops: float = math.inf) -> tuple[str, ...]:
    """All that these ways lead to, ring by ring."""
    seen = ring = {start}
    while ring and hops > 0:
        ring = set().union(*(way[name] for way in ways for name in ring if name in way)) - seen
        seen, hops = seen | ring, hops - 1
    return tuple(sorted(seen - {start}))
