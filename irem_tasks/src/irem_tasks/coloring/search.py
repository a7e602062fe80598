"""Colouring by the textbook: DSATUR, with backtracking or with a local search after it."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

# A node is kept from its last colour for so many steps at random, and so many for each conflict.
_TENURE, _FOR_EACH = 10, 0.6


class Saturation:
    """DSATUR (Brelaz, 1979): the node that sees the most colours is next, then that of most edges.

    Args:
        edges: `(edges, 2)` pairs of different nodes, each once.
        nodes: how many there are.
        colors: likewise.
    """

    def __init__(self, edges: Int[Tensor, "edges 2"], nodes: int, colors: int) -> None:
        """Note who is beside whom."""
        self.colors = colors
        self.beside: list[list[int]] = [[] for _ in range(nodes)]
        for first, second in edges.tolist():
            self.beside[first].append(second)
            self.beside[second].append(first)
        self._clear()

    def _clear(self) -> None:
        self.found = [-1] * len(self.beside)
        # For each node and colour, how many neighbours have it.
        self.seen = [[0] * self.colors for _ in self.beside]
        self.open = set(range(len(self.beside)))
        self.left = 0

    def greedy(self) -> list[int]:
        """Give each node the colour that the fewest of its neighbours have, the first of these."""
        self._clear()
        while self.open:
            node = self._next()
            seen = self.seen[node]
            self._paint(node, seen.index(min(seen)))
        return self.found

    def exact(self, *, branches: int) -> list[int] | None:
        """Colour by backtracking; None where no colouring was found.

        Args:
            branches: colours of nodes that are tried at most.
        """
        self._clear()
        self.left = branches
        return self.found if self._extend(0) else None

    def _extend(self, used: int) -> bool:
        """Colour the nodes that are left; colours that none has yet are alike, so one is tried."""
        if not self.open:
            return True
        node = self._next()
        for color in range(min(used + 1, self.colors)):
            if self.seen[node][color] or not self.left:
                continue
            self.left -= 1
            self._paint(node, color)
            if self._extend(max(used, color + 1)):
                return True
            self._clean(node)
        return False

    def _next(self) -> int:
        return max(
            self.open, key=lambda node: (-self.seen[node].count(0), len(self.beside[node]), -node)
        )

    def _paint(self, node: int, color: int) -> None:
        self.open.remove(node)
        self.found[node] = color
        for other in self.beside[node]:
            self.seen[other][color] += 1

    def _clean(self, node: int) -> None:
        for other in self.beside[node]:
            self.seen[other][self.found[node]] -= 1
        self.found[node] = -1
        self.open.add(node)


def colouring(
    edges: Int[Tensor, "edges 2"],
    nodes: int,
    colors: int,
    *,
    steps: int,
    generator: torch.Generator,
) -> Int[Tensor, " nodes"]:
    """Colour a graph, with as few edges between nodes alike as a local search finds.

    TabuCol (Hertz and de Werra, 1987) begins where greedy DSATUR ends, and changes the colour of
    one node in conflict at a time, whichever leaves the fewest conflicts.

    Args:
        edges: pairs of different nodes, each once.
        nodes: how many there are.
        colors: likewise.
        steps: changes at most; none are made once nothing conflicts.
        generator: breaks ties, on CPU.
    """
    found = np.array(Saturation(edges, nodes, colors).greedy())
    beside = np.zeros((nodes, nodes))
    first, second = edges.T.numpy()
    beside[first, second] = beside[second, first] = 1
    seen: NDArray[np.float64] = beside @ np.eye(colors)[found]
    place, free_from = np.arange(nodes), np.zeros((nodes, colors))
    best, fewest = found.copy(), seen[place, found].sum()
    for step in range(steps):
        conflicts = seen[place, found]
        if not conflicts.any():
            break
        change = seen - conflicts[:, None]
        closed = (conflicts == 0)[:, None] | (free_from > step)
        # What leads below all that was found before is never closed.
        closed &= conflicts.sum() + 2 * change >= fewest
        closed[place, found] = True
        chance = torch.rand(nodes * colors + 1, generator=generator).numpy()
        change += chance[1:].reshape(change.shape) / 2
        change[closed] = np.inf
        node, color = divmod(int(change.argmin()), colors)
        free_from[node, found[node]] = (
            step + _TENURE * chance[0] + _FOR_EACH * np.count_nonzero(conflicts)
        )
        seen[:, found[node]] -= beside[node]
        seen[:, color] += beside[node]
        found[node] = color
        left = seen[place, found].sum()
        if left < fewest:
            best, fewest = found.copy(), left
    return torch.from_numpy(best)
