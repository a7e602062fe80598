"""The task of finding assignments that satisfy random 3-SAT formulas, or those of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from irem_core import (
    CoordinateFlip,
    InputFileError,
    Problem,
    Solution,
    Solver,
    VectorSpace,
    checks,
)
from irem_tasks._declared import DenseTask, Positive, Range
from irem_tasks.sat.clauses import ClauseSpace, unsatisfied
from irem_tasks.sat.dimacs import answer_lines, read_cnf, write_lines
from irem_tasks.sat.energy import SatEnergy
from irem_tasks.sat.solver import SatSolver

_WIDTH = 3
_SHOWN = 20
# Steps of descent by which a drawn problem's answer is looked for: those of one start.
_DRAWN_STEPS = 200
# Of GSAT, as its authors name them: starts, and flips of each for every variable.
_TRIES, _FLIPS = 5, 4
_EXPECTED = "a whole number of at least 3, since a clause has three different ones"

Variables = Annotated[
    int, Range(_EXPECTED, lambda value: isinstance(value, int) and value >= _WIDTH)
]


class Sat(DenseTask):
    """Satisfy random 3-SAT formulas (Section 3.3): x is the clauses, y an assignment in {0, 1}.

    A clause has three different variables, drawn uniformly, each negated with probability 1/2;
    there are `ratio` clauses a variable. Nearly all formulas are satisfiable at the ratio 3.0 of
    "train" and "same", most at the 4.0 of "harder", and few above 4.27.

    A formula has many answers or none, so the y that is drawn with it is merely the assignment
    that one descent leads to, and the squared error to it says nothing: `measures` has what
    counts. Nothing is trained, since the energy is written down.

    Args:
        variables: of a formula, at least 3.
    """

    difficulties: ClassVar = {"train": {}, "same": {}, "harder": {"ratio": 4.0}}
    max_steps: ClassVar[int] = 20_000
    formats: ClassVar[tuple[str, ...]] = (".cnf", ".sol")

    def __init__(self, variables: int = 50) -> None:
        """Set the spaces."""
        checks.check(checks.number(_EXPECTED, low=_WIDTH, whole=True), "Sat", variables=variables)
        self.variables = variables
        self.answer = _assignments(variables)
        self.question = ClauseSpace(variables=variables, clauses=_WIDTH * variables, width=_WIDTH)

    def generate(
        self, count: int, generator: torch.Generator, *, ratio: Positive = 3.0, variables: Variables
    ) -> tuple[Tensor, Float[Tensor, "problems variables"]]:
        """Draw formulas `(count, clauses, 3)` and an assignment `(count, variables)` of each."""
        clauses = max(1, round(ratio * variables))
        x = random_clauses((count, clauses), variables, generator)
        problem = Problem(x, _assignments(variables))
        return x, self.solver().solve(problem, max_steps=_DRAWN_STEPS, generator=generator).y

    def energy(self) -> SatEnergy:
        """Return the energy of formulas."""
        return SatEnergy.for_task(self)

    def solver(self) -> Solver:
        """Return a solver that rounds and starts again."""
        return SatSolver(self.energy())

    def classical(self, problem: Problem) -> Tensor:
        """Return the assignments of GSAT (Selman et al., 1992), the best where none satisfies."""
        energy = self.energy()
        flips = _FLIPS * energy.variables(problem)
        gsat = SatSolver(energy, descent=CoordinateFlip(), renewal=1.0, steps=flips)
        return gsat.solve(problem, max_steps=_TRIES * flips).y

    def measures(
        self, problem: Problem, y: Tensor, target: Tensor
    ) -> dict[str, Float[Tensor, " problems"]]:
        """Round assignments, and say whether they satisfy and how many clauses they do not."""
        broken = unsatisfied(problem.x, y).sum(1).to(y)
        return {"satisfied": (broken == 0).to(y), "unsatisfied_clauses": broken}

    def verify(self, problem: Problem, y: Tensor) -> Bool[Tensor, " problems"]:
        """Say which assignments, rounded, satisfy their formulas."""
        return ~unsatisfied(problem.x, y).any(1)

    def read(self, file: Path, device: torch.device) -> Problem:
        """Read a formula in DIMACS format.

        Raises:
            InputFileError: the file cannot be read, or is no .cnf; the error names the line.
        """
        if file.suffix.lower() != ".cnf":
            raise InputFileError(f"{file} is no formula; expected a DIMACS file, named .cnf.")
        literals, variables = read_cnf(file)
        return Problem(literals[None].to(device), _assignments(variables))

    def write(self, file: Path, problem: Problem, y: Tensor) -> None:
        """Write assignments in the format of the SAT competitions, as `s` and `v` lines.

        Raises:
            InputFileError: the name is that of a formula, perhaps the very one that was read.
            StorageError: writing failed.
        """
        if file.suffix.lower() != ".sol":
            raise InputFileError(
                f"{file} is named as a formula, which an answer is not; write answers to a file "
                "whose name ends in .sol."
            )
        lines: list[str] = []
        for index, (literals, true) in enumerate(zip(problem.x, y > 0.5, strict=True)):
            lines += [f"c problem {index}"] if len(y) > 1 else []
            lines += answer_lines(literals, true)
        write_lines(file, lines)

    def report(self, problem: Problem, solution: Solution) -> str:
        """Return the `c`, `s` and `v` lines of one formula, or a table of several."""
        if len(solution.y) == 1:
            return "\n".join(answer_lines(problem.x[0], solution.y[0] > 0.5))
        broken = unsatisfied(problem.x, solution.y).sum(1).tolist()
        lines = [f"{'problem':>7}  {'satisfied':9}  {'unsatisfied clauses':>19}  {'steps':>6}"]
        lines += [
            f"{index:>7}  {'no' if clauses else 'yes':9}  {clauses:>19}  {steps:>6}"
            for index, (clauses, steps) in enumerate(
                zip(broken[:_SHOWN], solution.steps.tolist(), strict=False)
            )
        ]
        if len(broken) > _SHOWN:
            lines.append(f"... and {len(broken) - _SHOWN} more; --json prints all.")
        lines.append(f"{broken.count(0)} of {len(broken)} formulas are satisfied.")
        return "\n".join(lines)


def random_clauses(
    shape: tuple[int, int], variables: int, generator: torch.Generator
) -> Int[Tensor, "problems clauses width"]:
    """Draw clauses of three different variables, all choices and signs equally likely.

    Args:
        shape: how many formulas, of how many clauses.
        variables: how many there are, at least 3.
        generator: lives where the clauses will.
    """
    device = generator.device
    chosen = torch.zeros((*shape, 0), dtype=torch.int64, device=device)
    for taken in range(_WIDTH):
        # One of the variables that are left, counted past those already taken, smallest first.
        place = torch.randint(variables - taken, shape, generator=generator, device=device)
        for earlier in chosen.sort(-1).values.unbind(-1):
            place = place + (place >= earlier)
        chosen = torch.cat([chosen, place[..., None]], -1)
    sign = 2 * torch.randint(2, chosen.shape, generator=generator, device=device) - 1
    return sign * (chosen + 1)


def _assignments(variables: int) -> VectorSpace:
    return VectorSpace(variables, low=0.0, high=1.0)
