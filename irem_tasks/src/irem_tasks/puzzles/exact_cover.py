"""A backtracking search for answers to problems of `choices`: which entries are 1."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from irem_core import Problem, choices, factor_graphs

# Entries that are tried at most for one problem.
_BRANCHES = 100_000


def covered(problem: Problem) -> Float[Tensor, "rows 1"]:
    """Return an answer to each problem, and nothing but its givens where none is found.

    Args:
        problem: its factors are of kinds of `choices.BOUNDS` that allow one entry at most.
    """
    found = []
    for each in problem.x.to_data_list():
        given, known = each[factor_graphs.ENTRY].x.unbind(1)
        ones = (given > 0).nonzero()[:, 0].tolist()
        zeros = ((known > 0) & (given == 0)).nonzero()[:, 0].tolist()
        needed, others = _factors(each)
        cover = ExactCover(needed, others, len(given))
        chosen = cover.search(ones, zeros, branches=_BRANCHES)
        answer = torch.zeros(len(given), 1)
        answer[ones if chosen is None else chosen] = 1
        found.append(answer)
    return torch.cat(found).to(problem.device, problem.dtype)


def _factors(x: Any) -> tuple[list[list[int]], list[list[int]]]:
    """List the entries of the factors that need one, and of those that do not."""
    lists: tuple[list[list[int]], list[list[int]]] = ([], [])
    for kind, role, _ in x.edge_types:
        factor, entry = x[kind, role, factor_graphs.ENTRY].edge_index.cpu()
        held = entry[factor.argsort(stable=True)].split(factor.bincount().tolist())
        needs = choices.BOUNDS[kind][0] > 0
        lists[0 if needs else 1].extend(each.tolist() for each in held)
    return lists


class ExactCover:
    """Chooses entries, one of each factor that needs one, and no two that share any factor.

    This is Algorithm X (Knuth, Dancing Links, 2000): the factor of fewest open entries is served
    first, with each of them in turn, and choosing an entry closes all others of its factors.

    Args:
        needed: the entries of each factor that needs one.
        others: likewise of factors that need none.
        entries: how many there are.
    """

    def __init__(
        self, needed: Sequence[Iterable[int]], others: Iterable[Iterable[int]], entries: int
    ) -> None:
        """Note what each entry excludes."""
        self.needed = [list(each) for each in needed]
        self.excluded: list[set[int]] = [set() for _ in range(entries)]
        for each in [*self.needed, *map(list, others)]:
            for entry in each:
                self.excluded[entry].update(each)
        self.left = 0

    def search(
        self, ones: Sequence[int], zeros: Iterable[int] = (), *, branches: int
    ) -> list[int] | None:
        """Return entries that solve the problem, or None where none were found.

        Args:
            ones: entries that must be among them.
            zeros: entries that must not.
            branches: how many are tried at most.
        """
        closed = set(zeros)
        for entry in ones:
            if entry in closed:
                return None
            closed |= self.excluded[entry]
        self.left = branches
        return self._search(list(ones), closed)

    def _search(self, chosen: list[int], closed: set[int]) -> list[int] | None:
        taken = set(chosen)
        open_ = [
            [entry for entry in each if entry not in closed]
            for each in self.needed
            if taken.isdisjoint(each)
        ]
        if not open_:
            return chosen
        for entry in min(open_, key=len):
            if not self.left:
                return None
            self.left -= 1
            found = self._search([*chosen, entry], closed | self.excluded[entry])
            if found is not None:
                return found
        return None
