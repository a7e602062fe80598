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

PARTS = ("train", "test", "hardest")
"""Boards to train with; others, which no symmetry makes of them; those that need most search."""
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
    minimal: bool = False,
) -> Boards:
    """Draw boards with one solution: of a base board, a random symmetry and further givens.

    Args:
        count: how many.
        givens: how many cells are given, drawn for each board anew.
        generator: lives on `device`.
        device: where the boards will live.
        kind: of the boards.
        part: one of `PARTS`: which base boards to begin with.
        minimal: whether to draw base boards of so many givens, and to give no further cells.

    Raises:
        SettingError: no base board has so few givens, or a board has fewer cells, or there are no
            base boards of that kind.
    """
    base = _placed(kind, part, torch.device(device))
    wanted = Between.of(givens)
    few = (base.givens > 0).sum(1)
    # Base boards stand in the order of their givens, so those of few enough come first.
    most = wanted.draw(count, generator, few.device)
    least, end = torch.zeros_like(most), torch.searchsorted(few, most, right=True)
    if minimal:
        least, end = (
            torch.searchsorted(few, torch.full_like(most, each), right=right)
            for each, right in ((wanted.low, False), (wanted.high, True))
        )
    elif wanted.low < int(few[0]) or wanted.high > kind.cells:
        end = least
    if not bool((end > least).all()):
        known = f"{int(few[0])} to {int(few[-1]) if minimal else kind.cells}"
        raise SettingError(
            f"Boards were asked for with {wanted} givens; of size {kind.size}, {kind.variant}, "
            f"{part}, expected from {known}."
        )
    chance = torch.rand(count, generator=generator, device=few.device)
    chosen = least + (chance * (end - least)).long().clamp(max=end - least - 1)
    boards = base[chosen].permuted(generator)
    return boards if minimal else boards.with_givens(most, generator)


def known_kinds(*, hardest: bool = False) -> list[Kind]:
    """Return the kinds of boards that come with the package, or those with a list of hard ones."""
    held = _folder(hardest).iterdir() if _folder(hardest).is_dir() else ()
    names = sorted(each.name for each in held if each.name.endswith(".npz"))
    parts = (name.removesuffix(".npz").split("-") for name in names)
    return [Kind(int(size), variant) for variant, size in parts]


def _folder(hardest: bool) -> Traversable:
    return files("irem_tasks.puzzles") / ("hardest" if hardest else "base")


def usual_givens(kind: Kind) -> Between[int]:
    """Return how many givens boards have in training: of 9 x 9, those of the published sets."""
    if kind.size == _LARGE.size:
        return Between(130, 150)
    return _share(PUBLISHED_GIVENS, kind)


def hard_givens(kind: Kind) -> Between[int]:
    """Return how many givens hard boards have; Latin squares of fewer have several solutions."""
    if kind.size == _LARGE.size:
        return Between(115, 129)
    hard = _share(_HARD_GIVENS, kind)
    return Between(31, hard.high) if kind == Kind(9, "latin") else hard


def scaled_givens(givens: Between[int], kind: Kind) -> Between[int]:
    """Return what is to boards of a kind as these givens are to boards of 9 x 9.

    Those of training stay usual, and hard ones stay hard; others are as large a share of the cells.
    """
    for known in (usual_givens, hard_givens):
        if givens == known(PLAIN):
            return known(kind)
    return _share(givens, kind)


def _share(givens: Between[int], kind: Kind) -> Between[int]:
    low, high = (round(each * kind.cells / PLAIN.cells) for each in (givens.low, givens.high))
    return Between(low, high)


@cache
def base_set(kind: Kind, part: str) -> Boards:
    """Return the boards that come with the package, fewest givens first.

    Args:
        kind: of the boards.
        part: one of `PARTS`.

    Raises:
        SettingError: there are none of that kind.
    """
    hardest = part == PARTS[-1]
    if kind not in known_kinds(hardest=hardest):
        known = known_kinds(hardest=hardest)
        raise SettingError(
            f"No {part} boards of size {kind.size}, {kind.variant}, come with irem-tasks; there "
            f"are: {', '.join(f'{each.variant}-{each.size}' for each in known)}."
        )
    with as_file(_folder(hardest) / f"{kind.variant}-{kind.size}.npz") as file:
        boards = load(kind, file)
    if hardest:
        return sorted_by_givens(boards)
    # By their place in the file, so that boards that lose givens stay in their part.
    tested = torch.arange(len(boards)) % _EVERY == 0
    return sorted_by_givens(boards[tested if part == "test" else ~tested])


@cache
def _placed(kind: Kind, part: str, device: torch.device) -> Boards:
    """Return the boards of a base set on a device, where they stay."""
    return base_set(kind, part).to(device)


def sorted_by_givens(boards: Boards) -> Boards:
    """Return boards in another order, those of fewest givens first."""
    return boards[(boards.givens > 0).sum(1).argsort(stable=True)]


def save(boards: Boards, file: Path) -> None:
    """Write a base set: solutions, and a bit for each cell that is given."""
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
