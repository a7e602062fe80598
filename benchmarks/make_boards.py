"""Make the boards that come with irem-tasks.

    python benchmarks/make_boards.py plain 9 --count 4000 --few 22
    python benchmarks/make_boards.py plain 9 --again --few 21 --rounds 40
    python benchmarks/make_boards.py jigsaw 9 --count 400
    python benchmarks/make_boards.py plain 9 --hardest 200 --rounds 200

Full boards are filled at random, and givens taken away as long as one solution is left. Of boards
that a symmetry may make of each other one is kept. Boards of few givens get fewer by exchanges, and
the hardest of those to test with get harder by them: more branches of a search.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import attrs
import torch

from irem_tasks.puzzles.base_sets import Boards, base_set, load, save, sorted_by_givens
from irem_tasks.puzzles.boards import VARIANTS, Kind
from irem_tasks.puzzles.exact_search import search
from irem_tasks.puzzles.making import exchanged, minimal, random_full
from irem_tasks.puzzles.regions import random_regions
from irem_tasks.puzzles.symmetries import fingerprints

FOLDER = Path(__file__).parents[1] / "irem_tasks/src/irem_tasks/puzzles/base"
# Boards of 16 x 16 are those that forced cells solve: to prove more would take very long.
BRANCHES = {16: 0}


def made(kind: Kind, count: int, generator: torch.Generator) -> Boards:
    """Make minimal boards; jigsaw regions that seem to allow none are left out."""
    regions = None
    if kind.variant == "jigsaw":
        regions = random_regions(count, kind, generator=generator)
    full, filled = random_full(count, kind.groups(regions), generator=generator, tries=300)
    boards = Boards(kind=kind, givens=full, solutions=full, regions=regions)[filled]
    branches = BRANCHES.get(kind.size, 100_000)
    givens = minimal(full[filled], boards.groups, generator=generator, branches=branches)
    return attrs.evolve(boards, givens=givens)


def fewer(boards: Boards, generator: torch.Generator) -> Boards:
    """Give boards fewer givens, where exchanges find out how."""
    rest: dict[str, Any] = {"groups": boards.groups, "generator": generator}
    givens = exchanged(boards.givens, boards.solutions, away=1, tries=4, **rest)
    givens = exchanged(givens, boards.solutions, away=2, **rest)
    return attrs.evolve(boards, givens=minimal(boards.solutions, givens=givens, **rest))


def different(parts: list[Boards]) -> Boards:
    """Join boards of one kind, without those that have the fingerprint of an earlier one."""
    boards = Boards.joined(parts)
    prints = fingerprints(boards.solutions, boards.givens, boards.groups).tolist()
    first = {each: place for place, each in reversed(list(enumerate(prints)))}
    return boards[torch.tensor(sorted(first.values()))]


def harder(boards: Boards, generator: torch.Generator) -> Boards:
    """Exchange a given where a search then tries no fewer cells."""
    givens = exchanged(
        boards.givens, boards.solutions, boards.groups, away=1, tries=2, generator=generator
    )
    better = branches(attrs.evolve(boards, givens=givens)) >= branches(boards)
    return attrs.evolve(boards, givens=torch.where(better[:, None], givens, boards.givens))


def branches(boards: Boards) -> torch.Tensor:
    """Return how many cells a search tries until it knows that there is one solution."""
    return search(boards.givens, boards.groups).branches


def hardest(kind: Kind, count: int, rounds: int, generator: torch.Generator, folder: Path) -> None:
    """Write boards of the part to test with that need most search, and have got harder."""
    boards = base_set(kind, "test")
    boards = boards[branches(boards).argsort(descending=True)[:count]]
    for number in range(rounds):
        boards = harder(boards, generator)
        if number % 10 == 9 or number == rounds - 1:
            # Givens that an exchange has made needless go, which makes boards harder too.
            rest: dict[str, Any] = {"givens": boards.givens, "generator": generator}
            givens = minimal(boards.solutions, boards.groups, **rest)
            boards = attrs.evolve(boards, givens=givens)
            write(boards, folder)
            spread = branches(boards).double().quantile(torch.tensor([0.0, 0.5, 1.0]).double())
            print(f"branches, least, median and most: {spread.tolist()}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variant", choices=VARIANTS)
    parser.add_argument("size", type=int)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--again", action="store_true", help="go on with the boards there are")
    parser.add_argument("--few", type=int, default=0, help="exchange in boards of so many givens")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--hardest", type=int, help="how many of the hardest to make harder")
    parser.add_argument("--out", type=Path, default=FOLDER)
    options = parser.parse_args()
    kind = Kind(options.size, options.variant)
    generator = torch.Generator().manual_seed(options.seed)
    if options.hardest:
        folder = options.out.parent / "hardest"
        hardest(kind, options.hardest, options.rounds, generator, folder)
        return
    if options.again:
        parts = [load(kind, options.out / f"{kind.variant}-{kind.size}.npz")]
    else:
        parts = []
        for start in range(0, options.count, options.batch):
            parts.append(made(kind, min(options.batch, options.count - start), generator))
            print(f"{sum(map(len, parts))} boards", flush=True)
    boards = different(parts)
    if not options.again:
        boards = sorted_by_givens(boards)
    write(boards, options.out)
    for _ in range(options.rounds if options.few else 0):
        few = (boards.givens > 0).sum(1) <= options.few
        # In their places, which say whether a board is to train or to test with.
        boards.givens[few] = fewer(boards[few], generator).givens
        write(boards, options.out)


def write(boards: Boards, folder: Path) -> None:
    """Write a base set, and say how many boards have how many givens."""
    folder.mkdir(parents=True, exist_ok=True)
    save(boards, folder / f"{boards.kind.variant}-{boards.kind.size}.npz")
    counted = (boards.givens > 0).sum(1).bincount().tolist()
    told = ", ".join(f"{many} of {givens}" for givens, many in enumerate(counted) if many)
    print(f"{len(boards)} boards: {told} givens", flush=True)


if __name__ == "__main__":
    main()
