"""Boards that come with the package, and fresh ones drawn from them by symmetries."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import as_file, files
from importlib.resources.abc import Traversable
from pathlib import Path

import attrs
import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from irem_core import Between, SettingError
from irem_tasks.puzzles.boards import Cells, Groups, Kind
from irem_tasks.puzzles.symmetries import Symmetries

PARTS = ("train", "test")
"""Boards to draw training problems from, and others, which no symmetry makes of them."""
PLAIN = Kind()
"""The boards of most puzzles: nine rows, columns and boxes."""
PUBLISHED_GIVENS = Between(31, 42)
"""How many cells are given in the boards that others train on (SATNet's set)."""
_HARD_GIVENS = Between(20, 34)
# Here a like share of the cells would be beyond anyone.
_LARGE = Kind(16)
_EVERY = 4  # a board of so many is for testing


@attrs.frozen(kw_only=True, eq=False)
class Boards:
    """Boards with one solution each.

    Args:
        kind: of all of them.
        givens: `(B, cells)` from 1 to size, 0 where a cell is blank.
        solutions: `(B, cells)` from 1 to size.
        regions: `(B, cells)` the region of each cell of jigsaw boards, from 0; None for others.
    """

    kind: Kind
    givens: Cells
    solutions: Cells
    regions: Cells | None = None

    def __len__(self) -> int:
        """Return how many boards there are."""
        return len(self.givens)

    def __getitem__(self, index: Tensor | slice) -> Boards:
        """Return some of the boards."""
        regions = None if self.regions is None else self.regions[index]
        return attrs.evolve(
            self, givens=self.givens[index], solutions=self.solutions[index], regions=regions
        )

    def to(self, device: torch.device | str) -> Boards:
        """Return the boards on another device."""
        regions = None if self.regions is None else self.regions.to(device)
        return attrs.evolve(
            self,
            givens=self.givens.to(device),
            solutions=self.solutions.to(device),
            regions=regions,
        )

    @classmethod
    def joined(cls, parts: Sequence[Boards]) -> Boards:
        """Return the boards of several batches of one kind as one."""
        regions = [each.regions for each in parts if each.regions is not None]
        return cls(
            kind=parts[0].kind,
            givens=torch.cat([each.givens for each in parts]),
            solutions=torch.cat([each.solutions for each in parts]),
            regions=torch.cat(regions) if regions else None,
        )

    @property
    def groups(self) -> Groups:
        """The cells of each group (see `Kind.groups`)."""
        return self.kind.groups(self.regions).to(self.givens.device)

    def permuted(self, generator: torch.Generator) -> Boards:
        """Return the boards each after a random symmetry."""
        drawn = Symmetries.draw(
            self.kind, len(self), generator=generator, device=self.givens.device
        )
        return attrs.evolve(
            self,
            givens=drawn.apply(self.givens),
            solutions=drawn.apply(self.solutions),
            regions=None if self.regions is None else drawn.moved(self.regions),
        )

    def with_givens(self, number: Int[Tensor, " boards"], generator: torch.Generator) -> Boards:
        """Return boards with further givens, cells of their solutions at random.

        Args:
            number: `(B,)` how many givens each board is to have; one with more keeps them.
            generator: lives where the boards do.
        """
        chance = torch.rand(self.givens.shape, generator=generator, device=self.givens.device)
        rank = torch.where(self.givens > 0, -1.0, chance).argsort(1).argsort(1)
        kept = (rank < number[:, None]) | (self.givens > 0)
        return attrs.evolve(self, givens=self.solutions * kept)


def draw(
    count: int,
    givens: int | Between[int] = PUBLISHED_GIVENS,
    *,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
    kind: Kind = PLAIN,
    part: str = "train",
) -> Boards:
    """Draw boards with one solution: of a base board, a random symmetry and further givens.

    Args:
        count: how many.
        givens: how many cells are given, drawn for each board anew.
        generator: lives on `device`.
        device: where the boards will live.
        kind: of the boards.
        part: "train" or "test": which base boards to begin with.

    Raises:
        SettingError: no base board has so few givens, or a board has fewer cells, or there are no
            base boards of that kind.
    """
    base = base_set(kind, part).to(device)
    wanted = Between.of(givens)
    few = (base.givens > 0).sum(1)
    if not int(few[0]) <= wanted.low <= wanted.high <= kind.cells:
        raise SettingError(
            f"Boards were asked for with {wanted} givens; of size {kind.size}, {kind.variant}, "
            f"expected from {int(few[0])} to {kind.cells}."
        )
    number = wanted.draw(count, generator, few.device)
    # Base boards stand in the order of their givens, so those of few enough come first.
    enough = torch.searchsorted(few, number, right=True)
    chance = torch.rand(count, generator=generator, device=few.device)
    chosen = (chance * enough).long().clamp(max=len(base) - 1)
    return base[chosen].permuted(generator).with_givens(number, generator)


def known_kinds() -> list[Kind]:
    """Return the kinds of boards that come with the package."""
    names = sorted(each.name for each in _folder().iterdir() if each.name.endswith(".npz"))
    parts = (name.removesuffix(".npz").split("-") for name in names)
    return [Kind(int(size), variant) for variant, size in parts]


def _folder() -> Traversable:
    return files("irem_tasks.puzzles") / "base"


def usual_givens(kind: Kind) -> Between[int]:
    """Return how many givens boards have in training: of 9 x 9, those of the published sets."""
    if kind.size == _LARGE.size:
        return Between(130, 150)
    return _shared(PUBLISHED_GIVENS, kind)


def hard_givens(kind: Kind) -> Between[int]:
    """Return how many givens hard boards have; Latin squares of fewer have several solutions."""
    if kind.size == _LARGE.size:
        return Between(115, 129)
    hard = _shared(_HARD_GIVENS, kind)
    return Between(31, hard.high) if kind == Kind(9, "latin") else hard


def _shared(givens: Between[int], kind: Kind) -> Between[int]:
    """Return as large shares of the cells as these are of a board of 9 x 9."""
    low, high = (round(each * kind.cells / PLAIN.cells) for each in (givens.low, givens.high))
    return Between(low, high)


@cache
def base_set(kind: Kind, part: str) -> Boards:
    """Return the boards that come with the package, fewest givens first.

    Args:
        kind: of the boards.
        part: "train" or "test".

    Raises:
        SettingError: there are none of that kind.
    """
    if kind not in known_kinds():
        names = ", ".join(f"{each.variant}-{each.size}" for each in known_kinds())
        raise SettingError(
            f"No boards of size {kind.size}, {kind.variant}, come with irem-tasks; there are: "
            f"{names}."
        )
    with as_file(_folder() / f"{kind.variant}-{kind.size}.npz") as file:
        boards = load(kind, file)
    place = torch.arange(len(boards)) % _EVERY == 0
    return boards[place if part == "test" else ~place]


def save(boards: Boards, file: Path) -> None:
    """Write a base set, fewest givens first: solutions, and a bit for each cell that is given."""
    boards = boards[(boards.givens > 0).sum(1).argsort(stable=True)]
    held = {
        "solutions": boards.solutions.numpy().astype(np.uint8),
        "given": np.packbits(boards.givens.numpy() > 0, axis=1),
    }
    if boards.regions is not None:
        held["regions"] = boards.regions.numpy().astype(np.uint8)
    np.savez_compressed(file, **held)  # type: ignore[arg-type]


def load(kind: Kind, file: Path) -> Boards:
    """Read what `save` wrote."""
    with np.load(file, allow_pickle=False) as held:
        arrays = {name: torch.from_numpy(held[name].astype(np.int64)) for name in held.files}
        given = np.unpackbits(held["given"], axis=1, count=kind.cells)
    return Boards(
        kind=kind,
        givens=arrays["solutions"] * torch.from_numpy(given).long(),
        solutions=arrays["solutions"],
        regions=arrays.get("regions"),
    )
