"""The task of finding assignments that satisfy random 3-SAT formulas, or those of a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from irem_core import (
    Between,
    CoordinateFlip,
    EntrySpace,
    FactorEnergy,
    InputFileError,
    Problem,
    SettingError,
    Solution,
    Solver,
    checks,
)
from irem_tasks._declared import DeclaredTask
from irem_tasks.sat import parts as as_parts
from irem_tasks.sat.clauses import ClauseSpace, assignments, unsatisfied
from irem_tasks.sat.dimacs import answer_lines, read_cnf, write_lines
from irem_tasks.sat.drawing import (
    EXPECTED,
    WIDTH,
    Ratio,
    Variables,
    preferred,
    random_clauses,
    satisfiable_formulas,
)
from irem_tasks.sat.energy import SatEnergy
from irem_tasks.sat.solver import SatSolver

_SHOWN = 20
# Steps of descent by which a drawn problem's answer is looked for: those of one start.
_DRAWN_STEPS = 200
# Of GSAT, as its authors name them: starts, and flips of each for every variable.
_TRIES, _FLIPS = 5, 4
_VARIABLES, _RATIO = 50, 3.0
# Of formulas to learn from: all of their answers can be listed, and few are left of them.
_LEARNED, _DENSE = "8..12", Between(4.0, 5.0)
# As many clauses as SATLIB's uf20-91.
_HARDER = {"variables": 20, "ratio": 4.55}
_ALONE = {"variables": WIDTH, "ratio": 1 / WIDTH}
_PROTOCOL = 80
# Variables of formulas whose answers are listed again for every step of training and evaluation.
_MOST_NEAREST = 14
_size = checks.number(EXPECTED, low=WIDTH, whole=True)


class Sat(DeclaredTask):
    """Satisfy random 3-SAT formulas (Section 3.3): x is the clauses, y an assignment in {0, 1}.

    A clause has three different variables, drawn uniformly, each negated with probability 1/2;
    there are `ratio` clauses a variable. Nearly all formulas are satisfiable at the ratio 3.0 of
    "train" and "same", most at the 4.0 of "harder", and few above 4.27.

    A formula has many answers or none, so the y that is drawn with it is merely the assignment
    that one descent leads to, and the squared error to it says nothing: `measures` has what
    counts. Nothing is trained, since the energy is written down.

    With `parts`, which `irem train sat --energy factor` sets, an energy of clauses is learned
    instead: x is a factor graph of the kinds that `Constraints` makes of Boolean variables. There
    is an entry for each variable being false and one for its being true. Formulas are then drawn
    until they can be satisfied: 8 to 12 variables and ratios of 4.0 to 5.0 in "train" and "same",
    and in "harder" 20 variables and 91 clauses, as in SATLIB's uf20-91; `variables=50,ratio=4.36`
    is uf50-218. Of up to 20 variables y is any of their answers, all equally likely. Of up to 14
    the nearest of all is known, so that training asks for any of them.

    Args:
        variables: of a formula, at least 3; 50 if None. With parts it may be a range, and is
            "8..12" if None.
        parts: whether x is a factor graph, of which an energy is learned.
        alone: with parts, whether "train" draws single clauses, and an assignment that satisfies
            each, all equally likely: then energies of clauses add up that never met in training.

    Raises:
        SettingError: `variables` is out of range, or `alone` is given without parts.
    """

    difficulties: ClassVar = {"train": {}, "same": {}, "harder": {"ratio": 4.0}}
    max_steps: ClassVar[int] = 20_000
    interim: ClassVar[int] = 100
    formats: ClassVar[tuple[str, ...]] = (".cnf", ".sol")

    def __init__(
        self,
        variables: int | str | None = None,
        *,
        parts: bool = False,
        alone: bool = False,
    ) -> None:
        """Set the spaces."""
        if variables is None:
            variables = _LEARNED if parts else _VARIABLES
        sizes = _sizes(variables)
        if isinstance(sizes, Between) and not parts:
            raise SettingError(
                f"Sat got variables={variables!r} without parts; expected one number, since "
                "formulas that are tensors are of one size, or parts=True."
            )
        if alone and not parts:
            raise SettingError(
                "Sat got alone=True without parts, so nothing is learned of single clauses; add "
                "parts=True."
            )
        self.variables, self.parts, self.alone = sizes, parts, alone
        self.ratio: float | Between[float] = _DENSE if parts else _RATIO
        if parts:
            self.question, self.answer = as_parts.QUESTION, EntrySpace()
            self.max_steps = _PROTOCOL  # type: ignore[misc] # of learned energies
            self.difficulties = {  # type: ignore[misc] # formulas that can be satisfied
                "train": _ALONE if alone else {},
                "same": {},
                "harder": _HARDER,
            }
        else:
            length = cast(int, sizes)
            self.answer = assignments(length)
            self.question = ClauseSpace(variables=length, clauses=WIDTH * length, width=WIDTH)

    def generate(
        self, count: int, generator: torch.Generator, *, ratio: Ratio, variables: Variables
    ) -> tuple[Problem, Tensor]:
        """Draw formulas, and an assignment of each.

        Raises:
            SettingError: without parts a range is given, or at this ratio hardly any formula can be
                satisfied.
        """
        if self.parts:
            drawn = satisfiable_formulas(count, variables, ratio, generator)
            x = as_parts.graphs_of(drawn.literals, drawn.sizes)
            nearest = _nearest if int(drawn.sizes.max()) <= _MOST_NEAREST else None
            answers = as_parts.answers_of(drawn.true, drawn.sizes)
            return Problem(x, self.answer, nearest=nearest), answers
        if isinstance(ratio, Between) or isinstance(variables, Between):
            raise SettingError(
                f"Sat got ratio={ratio} and variables={variables}; expected numbers: formulas of a "
                "batch are alike, but for those that are factor graphs, with parts=True."
            )
        clauses = max(1, round(ratio * variables))
        problem = Problem(
            random_clauses((count, clauses), variables, generator), assignments(variables)
        )
        solver = SatSolver(SatEnergy())
        return problem, solver.solve(problem, max_steps=_DRAWN_STEPS, generator=generator).y

    def as_learned(self, energy: type[Any]) -> Sat:
        """Return the formulas as factor graphs, if an energy is learned of such."""
        if self.parts or not issubclass(energy, FactorEnergy):
            return self
        return Sat(self._recorded["variables"], parts=True)

    def energy(self) -> SatEnergy | None:
        """Return the energy of formulas; None with parts, of which it is learned."""
        return None if self.parts else SatEnergy.for_task(self)

    def solver(self) -> Solver | None:
        """Return a solver that rounds and starts again; None with parts."""
        return None if self.parts else SatSolver(SatEnergy.for_task(self))

    def classical(self, problem: Problem) -> Tensor:
        """Return the assignments of GSAT (Selman et al., 1992), the best where none satisfies."""
        formulas, energy = self.clauses(problem), SatEnergy()
        flips = _FLIPS * energy.variables(formulas)
        gsat = SatSolver(energy, descent=CoordinateFlip(), renewal=1.0, steps=flips)
        y = gsat.solve(formulas, max_steps=_TRIES * flips).y
        return as_parts.answers_of(y > 0.5, as_parts.sizes_of(problem.x)) if self.parts else y

    def clauses(self, problem: Problem) -> Problem:
        """Return problems of clauses `(B, clauses, width)`, whatever the formulas are held as."""
        if not self.parts:
            return problem
        most = int(as_parts.sizes_of(problem.x).max())
        return Problem(as_parts.clauses_of(problem.x), assignments(most))

    def measures(
        self, problem: Problem, y: Tensor, target: Tensor
    ) -> dict[str, Float[Tensor, " problems"]]:
        """Round assignments, and say whether they satisfy and how many clauses they do not."""
        broken = self._broken(problem, y).sum(1).to(y)
        return {"satisfied": (broken == 0).to(y), "unsatisfied_clauses": broken}

    def verify(self, problem: Problem, y: Tensor) -> Bool[Tensor, " problems"]:
        """Say which assignments, rounded, satisfy their formulas."""
        return ~self._broken(problem, y).any(1)

    def read(self, file: Path, device: torch.device) -> Problem:
        """Read a formula in DIMACS format.

        Raises:
            InputFileError: the file cannot be read, or is no .cnf; the error names the line.
        """
        if file.suffix.lower() != ".cnf":
            raise InputFileError(f"{file} is no formula; expected a DIMACS file, named .cnf.")
        literals, variables = read_cnf(file)
        formula = literals[None].to(device)
        if self.parts:
            sizes = torch.tensor([variables], device=device)
            return Problem(as_parts.graphs_of(formula, sizes), self.answer)
        return Problem(formula, assignments(variables))

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
        for index, (literals, true) in enumerate(self._each(problem, y)):
            lines += [f"c problem {index}"] if problem.layout.count > 1 else []
            lines += answer_lines(literals, true)
        write_lines(file, lines)

    def report(self, problem: Problem, solution: Solution) -> str:
        """Return the `c`, `s` and `v` lines of one formula, or a table of several."""
        if problem.layout.count == 1:
            return "\n".join(answer_lines(*next(self._each(problem, solution.y))))
        broken = self._broken(problem, solution.y).sum(1).tolist()
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

    def _assigned(self, problem: Problem, y: Tensor) -> Float[Tensor, "problems variables"]:
        return as_parts.assignments_of(problem.x, y) if self.parts else y

    def _broken(self, problem: Problem, y: Tensor) -> Bool[Tensor, "problems clauses"]:
        return unsatisfied(self.clauses(problem).x, self._assigned(problem, y))

    def _each(self, problem: Problem, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the clauses of each formula, and which of its variables are true."""
        true = self._assigned(problem, y) > 0.5
        sizes = as_parts.sizes_of(problem.x).tolist() if self.parts else [true.shape[1]] * len(true)
        for literals, each, size in zip(self.clauses(problem).x, true, sizes, strict=True):
            yield literals, each[:size]


def _sizes(variables: int | str) -> int | Between[int]:
    """Read a number of variables, or from how many to how many."""
    ends: list[Any] = [variables]
    if isinstance(variables, str) and all(each.isdecimal() for each in variables.split("..", 1)):
        ends = [int(each) for each in variables.split("..", 1)]
    for each in ends:
        checks.check(_size, "Sat", variables=each)
    return Between(*ends) if len(ends) > 1 else cast(int, ends[0])


def _nearest(problem: Problem, y: Tensor) -> Tensor:
    """Return the answers nearest to candidates, of formulas all of whose answers can be listed.

    It is where variables that are said to be true rather than false are, by as much as they are.
    """
    sizes, leaning = as_parts.sizes_of(problem.x), as_parts.leanings_of(problem.x, y)
    true = preferred(as_parts.clauses_of(problem.x), sizes, leaning)
    return as_parts.answers_of(true, sizes).to(y)
