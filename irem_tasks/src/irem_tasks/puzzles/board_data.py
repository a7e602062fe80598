"""Where a task's boards come from: those of the package, or files of someone's own."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import attrs
import torch

from irem_core import Between, InputFileError, SettingError
from irem_tasks.puzzles import base_sets, board_files
from irem_tasks.puzzles.base_sets import Boards
from irem_tasks.puzzles.boards import Kind, solves

_EVERY = 5  # of a file that is not in two parts, one board of so many is for testing


@attrs.frozen
class BoardFiles:
    """Boards of files, to train and to test with.

    A folder holds `train` and `test`, each a .csv, a .txt, or a folder of arrays as HRM and TRM
    write it. Of one file, or of one such folder of arrays, every fifth board is for testing.

    Args:
        path: a file or a folder.
        kind: of all boards.
    """

    path: str
    kind: Kind

    def part(self, part: str) -> Boards:
        """Return the boards of a part, "train" or "test"; solutions that the files lack are found.

        Raises:
            InputFileError: the files cannot be read, or hold no board of the kind.
        """
        return _part(self, part)

    def draw(
        self, count: int, givens: Between[int], *, part: str, generator: torch.Generator
    ) -> Boards:
        """Draw boards of a part at random, each after a random symmetry.

        Args:
            count: how many.
            givens: from how many to how many a board may have.
            part: "train" or "test".
            generator: lives where the boards will.

        Raises:
            SettingError: no board has so many givens.
        """
        boards = self.part(part)
        many = (boards.givens > 0).sum(1)
        fits = ((many >= givens.low) & (many <= givens.high)).nonzero()[:, 0]
        if not len(fits):
            raise SettingError(
                f"Boards were asked for with {givens} givens; those of {self.path} to {part} with "
                f"have from {int(many.min())} to {int(many.max())}."
            )
        device = generator.device
        chosen = torch.randint(len(fits), (count,), generator=generator, device=device)
        return boards[fits[chosen.cpu()]].to(device).permuted(generator)


@cache
def _part(files: BoardFiles, part: str) -> Boards:
    root = Path(files.path)
    whole = _boards(root, files.kind)
    if whole is not None:
        tested = torch.arange(len(whole)) % _EVERY == 0
        return whole[tested if part == "test" else ~tested]
    names = [root / part, *(root / f"{part}{ending}" for ending in board_files.ENDINGS)]
    for each in names:
        boards = _boards(each, files.kind)
        if boards is not None:
            return boards
    told = ", ".join(each.name for each in names)
    raise InputFileError(f"{root} has no boards to {part} with; expected one of {told} in it.")


def _boards(path: Path, kind: Kind) -> Boards | None:
    """Return the boards with a known solution of a file, or of a folder of arrays."""
    if (path / "all__inputs.npy").exists():
        boards = board_files.read_arrays(path)
    elif path.is_file():
        boards = board_files.read_whole(path, size=kind.size, variant=kind.variant)
    else:
        return None
    if boards.kind != kind:
        raise InputFileError(
            f"{path} holds boards of size {boards.kind.size}, {boards.kind.variant}; expected size "
            f"{kind.size}, {kind.variant}."
        )
    known = solves(boards.solutions, boards.givens, boards.groups)
    if not bool(known.any()):
        raise InputFileError(f"{path} holds no board whose one solution is known or was found.")
    return boards[known]


def drawn(
    kind: Kind,
    data: str | None,
    count: int,
    givens: int | Between[int],
    *,
    part: str,
    generator: torch.Generator,
) -> Boards:
    """Draw boards of the package, or of files where there are any (see both)."""
    if data is None:
        return base_sets.draw(
            count, givens, generator=generator, device=generator.device, kind=kind, part=part
        )
    wanted = Between.of(givens)
    return BoardFiles(data, kind).draw(count, wanted, part=part, generator=generator)
