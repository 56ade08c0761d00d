"""What depends on what, as a graph. Apart from the catalogue, for networkx is slow to import and few commands need it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import networkx as nx


class Dependencies:
    """The graph of what each name needs."""

    def __init__(self, needs: Mapping[str, Iterable[str]]) -> None:
        self.graph: nx.DiGraph[str] = nx.DiGraph()
        self.graph.add_nodes_from(needs)
        self.graph.add_edges_from((name, needed) for name, all_needed in needs.items() for needed in all_needed)

    def cycles(self) -> list[list[str]]:
        """Names that depend on themselves: each set of which every one reaches every other."""
        rings = (ring for ring in nx.strongly_connected_components(self.graph) if len(ring) > 1)
        return sorted([sorted(ring) for ring in rings] + [[name] for name in nx.nodes_with_selfloops(self.graph)])

    def downstream(self, name: str) -> tuple[str, ...]:
        """Who depends on a name, directly or through others."""
        return tuple(sorted(nx.ancestors(self.graph, name)))

    def upstream(self, name: str) -> tuple[str, ...]:
        """What a name depends on, directly or through others."""
        return tuple(sorted(nx.descendants(self.graph, name)))

    def neighbours(self, name: str, hops: int) -> tuple[str, ...]:
        """Who stands within so many hops, in either direction."""
        both_ways = self.graph.to_undirected(as_view=True)
        return tuple(sorted(set(nx.single_source_shortest_path_length(both_ways, name, cutoff=hops)) - {name}))
