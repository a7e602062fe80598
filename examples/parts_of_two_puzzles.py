"""Learn an energy of single parts of two puzzles, and solve whole boards of both by its sum.

    python examples/parts_of_two_puzzles.py

Queens and Sudoku are made of the same kinds of parts: a variable has one value, of those that all
differ one has a value, of some at most one. Training sees one such part at a time, with its entries
alone, and never a board. The energy without rounds is a sum over parts, so it can be descended on
any arrangement of them: here 8 queens, and 4 x 4 Sudoku with 6 to 8 givens.
"""

import argparse
from typing import cast

import torch

from irem_core import (
    IREM,
    EntrySpace,
    FactorSpace,
    Problem,
    Resampling,
    Task,
    choices,
    factor_graphs,
    fit,
    load_task,
    recipe,
)

PUZZLES = {"8 queens": ("queens", "size=8"), "4 x 4 Sudoku": ("sudoku", "size=4,givens=6..8")}
KINDS = (choices.VARIABLE, choices.ALL_DIFFERENT, "at_most_one")


class Parts(Task):
    """Single parts, of one puzzle or the other by turns of chance."""

    preferred = "factor(rounds=0)"

    def __init__(self) -> None:
        self.question = FactorSpace(choices.FEATURES, kinds=dict.fromkeys(KINDS, 0))
        self.answer = EntrySpace(low=0.0, high=1.0)
        self.puzzles = [(load_task(name), difficulty) for name, difficulty in PUZZLES.values()]

    def draw(
        self, count: int, generator: torch.Generator, device: torch.device
    ) -> tuple[Problem, torch.Tensor]:
        chosen = int(torch.randint(len(self.puzzles), (), generator=generator, device=device))
        task, difficulty = self.puzzles[chosen]
        boards, y = task.sample(count, difficulty, generator=generator, device=device)
        parts, rows = factor_graphs.single(boards.x, generator)
        return Problem(parts, self.answer), y[rows]


def main(iterations: int, boards: int, particles: int) -> None:
    parts = Parts()
    made = recipe(parts)
    solver = cast(IREM, made.solver)
    fit(solver, parts, **{**made.training, "iterations": iterations})
    rounds = Resampling(rounds=10, steps=20)
    for name, (task, difficulty) in zip(PUZZLES, parts.puzzles, strict=True):
        generator = torch.Generator().manual_seed(1)
        problem, _ = task.sample(boards, difficulty, generator=generator)
        # The answers are bounded as those of the parts, whatever the puzzle has them be.
        problem = Problem(problem.x, parts.answer, verify=problem.verify)
        found = solver.solve(problem, particles=particles, resampling=rounds, max_steps=300)
        print(f"{name}: {int(task.verify(problem, found.y).sum())} of {boards} solved")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=1000)
    parser.add_argument("--boards", type=int, default=50)
    parser.add_argument("--particles", type=int, default=64)
    main(**vars(parser.parse_args()))
