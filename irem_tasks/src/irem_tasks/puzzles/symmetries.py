"""Symmetries of boards, drawn in batches: what maps every right board to another right one."""

from __future__ import annotations

from functools import cache
from itertools import permutations, product

import attrs
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from irem_tasks.puzzles.boards import BOXES, Cells, Groups, Kind

_ROUNDS = 8


@attrs.frozen(kw_only=True, eq=False)
class Symmetries:
    """One symmetry for each of B boards.

    Args:
        source: `(B, cells)` where the value of each cell comes from.
        values: `(B, size + 1)` what each value becomes; 0, a blank, stays 0.
    """

    source: Int[Tensor, "boards cells"]
    values: Int[Tensor, "boards values"]

    @classmethod
    def draw(
        cls,
        kind: Kind,
        count: int,
        *,
        generator: torch.Generator,
        device: torch.device | str = "cpu",
    ) -> Symmetries:
        """Draw symmetries of a kind of board, each as likely as any other.

        Values are permuted. Plain boards: rows in bands and bands, columns in stacks and stacks,
        and transposition where boxes are square. Latin squares: all rows and all columns, and
        transposition. Diagonal boards: those of the plain ones that keep both diagonals. Jigsaw
        boards: the eight of the square, to which `moved` takes regions along.

        Args:
            kind: of the boards.
            count: how many.
            generator: lives on `device`.
            device: where the tensors will live.
        """
        size, draws = kind.size, _Draws(count, generator, torch.device(device))
        high, wide = BOXES[size]
        if kind.variant == "plain":
            rows, columns = draws.lines(size // high, high), draws.lines(size // wide, wide)
        elif kind.variant == "latin":
            rows, columns = draws.orders(size), draws.orders(size)
        else:
            known = torch.tensor(_reversible(size, kind.variant), device=device)
            rows = columns = known[draws.numbers(len(known))]
            columns = torch.where(draws.flips(), columns.flip(1), columns)
        source = rows[:, :, None] * size + columns[:, None, :]
        if high == wide or kind.variant != "plain":
            source = torch.where(draws.flips()[..., None], source.mT, source)
        values = torch.nn.functional.pad(draws.orders(size) + 1, (1, 0))
        return cls(source=source.flatten(1), values=values)

    def moved(self, cells: Cells) -> Cells:
        """Return what stands in each cell afterwards, where values stay as they are."""
        return cells.gather(1, self.source)

    def apply(self, values: Cells) -> Cells:
        """Return boards afterwards: moved, and with other values."""
        return self.values.gather(1, self.moved(values))


@attrs.frozen
class _Draws:
    """Random orders, one for each board."""

    count: int
    generator: torch.Generator
    device: torch.device

    def numbers(self, end: int) -> Int[Tensor, " boards"]:
        return torch.randint(end, (self.count,), generator=self.generator, device=self.device)

    def flips(self) -> Bool[Tensor, "boards 1"]:
        return self.numbers(2)[:, None].bool()

    def orders(self, *size: int) -> Int[Tensor, "boards *sizes"]:
        shape = (self.count, *size)
        return torch.rand(shape, generator=self.generator, device=self.device).argsort(-1)

    def lines(self, bands: int, high: int) -> Int[Tensor, "boards lines"]:
        """Orders of lines that keep each band together."""
        return (self.orders(bands)[..., None] * high + self.orders(bands, high)).flatten(1)


@cache
def _reversible(size: int, variant: str) -> tuple[tuple[int, ...], ...]:
    """Orders of lines that commute with their reversal, and keep bands together where there are.

    The same for rows and for columns they keep both diagonals. Regions of any shape are kept by the
    order itself alone, and by its reversal.
    """
    straight = tuple(range(size))
    if variant == "jigsaw":
        return straight, straight[::-1]
    kept = set.intersection(*(_banded(size, high) for high in BOXES[size]))
    return tuple(
        sorted(
            order
            for order in kept
            if all(order[-1 - place] == size - 1 - order[place] for place in straight)
        )
    )


def _banded(size: int, high: int) -> set[tuple[int, ...]]:
    bands, within = size // high, list(permutations(range(high)))
    return {
        tuple(
            band * high + place
            for band, inner in zip(order, inners, strict=True)
            for place in inner
        )
        for order in permutations(range(bands))
        for inners in product(within, repeat=bands)
    }


def fingerprints(solutions: Cells, givens: Cells, groups: Groups) -> Int[Tensor, " boards"]:
    """Return a number of each board that no symmetry changes, by refining colours.

    Boards of different numbers are different up to symmetry; those of one are, most likely, one
    board (Weisfeiler and Leman, 1968). Rows and columns count as alike.

    Args:
        solutions: `(B, cells)` from 1 to size.
        givens: `(B, cells)` the same, 0 where a cell is blank.
        groups: see `Kind.groups`.
    """
    boards, size = len(solutions), groups.shape[-1]
    groups = groups.expand(boards, -1, -1)
    inside = groups.flatten(1)
    line = (torch.arange(groups.shape[1]) < 2 * size).long().expand(boards, -1)
    cells = (givens > 0).long()
    for _ in range(_ROUNDS):
        mixed = _mixed(cells)
        of_groups = _mixed(mixed.gather(1, inside).view_as(groups).sum(-1) + line)
        of_values = _mixed(torch.zeros(boards, size + 1).long().scatter_add(1, solutions, mixed))
        near = of_groups[..., None].expand_as(groups).flatten(1)
        cells = mixed + 3 * of_values.gather(1, solutions).scatter_add(1, inside, near)
    return _mixed(cells).sum(1)


def _mixed(numbers: Int[Tensor, "..."]) -> Int[Tensor, "..."]:
    """Scatter 64-bit numbers, so that sums of them tell which were added (Steele et al., 2014)."""
    for shift, factor in ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15)):
        numbers = (numbers ^ (numbers >> shift)) * factor + 1
    return numbers ^ (numbers >> 31)
