"""Programs to solve with where neither this library nor autograd is: `.pt2` of torch, and ONNX."""

from __future__ import annotations

import copy
import importlib.util
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import attrs
import torch
from torch import Tensor, nn

from irem_core import checks
from irem_core.compiling.tracing import Program, Tracer, first_line
from irem_core.descent.base import Descent
from irem_core.errors import ExportError, SettingError
from irem_core.exporting.program_check import Agreement, Runnable, agreement, speeds
from irem_core.files.storage import replacing
from irem_core.pairs.standardized import Standardized
from irem_core.problems.problem import Problem
from irem_core.problems.space import Space, uniform
from irem_core.runs.provenance import versions
from irem_core.solvers.base import Solver, place_of
from irem_core.solvers.irem import IREM
from irem_core.solving.halting import HaltingCriterion
from irem_core.solving.in_units import Conversion
from irem_core.solving.solution import Solution

ENDINGS = (".pt2", ".onnx")
OUTPUTS = ("y", "energy", "steps", "outcome")
_ONNX = ("onnx", "onnxscript", "onnxruntime")

PROBLEMS = 64
"""How many problems a program is checked on, where none are given."""


@attrs.frozen(kw_only=True)
class Exported:
    """A program that was written, beside the solver that it was made of.

    Args:
        file: where it is.
        question: the shape of one question.
        answer: the shape of one start and of one answer.
        starts_at_question: whether the solver starts at x itself, rather than at random.
        max_steps: the most steps any problem takes.
        agreement: how it was checked.
        speed: problems a second, on this machine.
        solver_speed: of the solver, on the same problems.
    """

    file: Path
    question: tuple[int, ...]
    answer: tuple[int, ...]
    starts_at_question: bool
    max_steps: int
    agreement: Agreement
    speed: float
    solver_speed: float


def export_solver(
    solver: Solver,
    path: str | os.PathLike[str],
    *,
    max_steps: int | None = None,
    descent: Descent | None = None,
    halting: HaltingCriterion | None = None,
    questions: Any = None,
    tolerance: float = 1e-5,
    generator: torch.Generator | None = None,
) -> Exported:
    """Write what `solver.solve` does as a program that needs no autograd and nothing of irem.

    `program = torch.export.load(path).module()` takes questions `(B, ...)` and starts `(B, ...)`,
    and returns the lowest-energy answer of each problem, its energy, the steps taken and the
    outcome (`Outcome` as numbers), as a `Solution` has them. B is free; all other sizes are those
    of `questions`, and it runs where the solver's weights are. A problem that has halted keeps its
    answer but stays in the batch, and the program ends when all have. An `.onnx` file has inputs
    and outputs of the same names.

    Args:
        solver: an IREM solver of dense answers, without a scratchpad; or one for pairs, whose
            program takes questions and gives answers in the user's units, and takes starts from
            U(-1, 1) all the same.
        path: where to write: a `.pt2` file, or `.onnx`, for which onnx, onnxscript and
            onnxruntime must be installed.
        max_steps: the most steps any problem takes, at least 0; the solver's own if None.
        descent: how to step, without a line search; that of training if None, also where the solver
            solves by another.
        halting: when a problem has arrived; that of the solver if None.
        questions: `(B, ...)`, or a `Problem`, of at least 4 problems to check the program on;
            from U(-1, 1) if None.
        tolerance: how far an answer y of the program may be from that of the solver, for each
            entry in units of `1 + |y|`; likewise its energy.
        generator: where questions and starts come from; seed 0 if None.

    Raises:
        SettingError: the solver or a setting is not one that can be exported.
        ExportError: tracing failed, or the program does not answer as the solver does.
        StorageError: writing failed.
    """
    file = Path(path)
    checks.check(checks.positive, "export_solver", tolerance=tolerance)
    _check_ending(file)
    units = solver if isinstance(solver, Standardized) else None
    irem = _exportable(solver if units is None else units.solver)
    place, _ = place_of(solver)
    drawing = torch.Generator(place).manual_seed(0) if generator is None else generator
    if questions is None:
        questions = _questions(irem, drawing)
        questions = questions if units is None else units.question_units.plain(questions)
    problem = irem.energy.problem(questions)
    _check_problem(irem, problem)
    standard = problem if units is None else units.standard(problem)
    space = cast(Space, standard.answer)
    start = irem.energy.start(standard, drawing).y
    starts_at_question = torch.equal(start, standard.x)
    if starts_at_question and units is not None:
        raise SettingError(
            f"{type(irem.energy).__name__} starts at the question, so it cannot be exported in the "
            "units of pairs; expected an energy whose candidates start at random."
        )
    descent, halting = descent or irem.descent, halting or irem.halting
    most = irem.max_steps if max_steps is None else max_steps
    checks.check(checks.count_or_zero, "export_solver", max_steps=most)
    settings: dict[str, Any] = {"max_steps": most, "descent": descent, "halting": halting}
    # Solved first, so that mistakes in the questions are reported before the long work.
    reference = irem if units is None else _StandardStarts(units)
    truth = reference.solve(problem, start=start, **settings)
    onnx = file.suffix == ".onnx"
    tracer = Tracer(irem.energy, space, descent, halting)
    traced = tracer.program(standard.x, start, max_steps=most, decomposed=onnx)
    program = traced if units is None else _InUnits(traced, units)
    with replacing(file) as temporary:
        runs = _write(program, temporary, problem.x, start, settings, onnx=onnx)
        found = agreement(runs, reference, problem, start, truth, settings, tolerance)
    speed, solver_speed = speeds(runs, reference, problem, start, settings)
    return Exported(
        file=file,
        question=tuple(problem.x.shape[1:]),
        answer=tuple(start.shape[1:]),
        starts_at_question=starts_at_question,
        max_steps=most,
        agreement=found,
        speed=speed,
        solver_speed=solver_speed,
    )


class _InUnits(nn.Module):
    """A program whose questions and answers are in the user's units, and starts in standard ones.

    So starts are drawn from U(-1, 1) whatever the units are.
    """

    def __init__(self, program: Program, solver: Standardized) -> None:
        super().__init__()
        self.program = program
        # Copies: a program has weights and units of its own.
        self.question_units = copy.deepcopy(solver.question_units)
        self.answer_units = copy.deepcopy(solver.answer_units)
        self.conversion = Conversion(self.answer_units, solver.answer)

    def forward(self, x: Tensor, start: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        y, energy, steps, outcome = self.program(self.question_units.standard(x), start)
        return self.conversion.plain(y), energy, steps, outcome


@attrs.frozen
class _StandardStarts:
    """What such a program is compared with."""

    solver: Standardized

    def solve(self, x: Any, *, start: Tensor, **settings: Any) -> Solution:
        inside = self.solver.solver.solve(self.solver.standard(x), start=start, **settings)
        return self.solver.conversion(x).solution(inside)


def _check_ending(file: Path) -> None:
    if file.suffix not in ENDINGS:
        raise SettingError(
            f"A program cannot be written to {file}; its name must end in {' or '.join(ENDINGS)}."
        )
    missing = [name for name in _ONNX if importlib.util.find_spec(name) is None]
    if file.suffix == ".onnx" and missing:
        raise SettingError(
            f"{file} cannot be written without {', '.join(missing)}: pip install "
            f"{' '.join(missing)}, or write a .pt2 file, which needs torch alone."
        )


def _exportable(solver: Any) -> IREM:
    """Return the solver if what it does is to descend an energy in y alone, of dense answers."""
    if not isinstance(solver, IREM):
        raise SettingError(
            f"export_solver got a {type(solver).__name__}; expected an IREM solver, since what is "
            "written is the descent of an energy."
        )
    energy = type(solver.energy).__name__
    if solver.energy.scratchpad:
        raise SettingError(
            f"{energy} has a scratchpad and cannot be exported; expected an energy of x and y."
        )
    if solver.answer is None:
        raise SettingError(
            f"{energy} does not know the space of its answers, so it cannot be exported; build it "
            "with for_task, or set its attribute answer."
        )
    if solver.answer.ragged:
        raise SettingError(
            f"{energy} has answers in {solver.answer}, whose number differs between problems, and "
            "cannot be exported; expected vectors, matrices or images."
        )
    return solver


def _questions(solver: IREM, generator: torch.Generator) -> Tensor:
    if solver.question is None:
        raise SettingError(
            f"{type(solver.energy).__name__} does not know the space of its questions; give "
            "export_solver some, as questions=."
        )
    place, dtype = place_of(solver)
    return uniform((PROBLEMS, *solver.question.shape), generator, place, dtype)


def _check_problem(solver: IREM, problem: Problem) -> None:
    """Check that questions are tensors, and enough."""
    x = problem.x
    if not isinstance(x, Tensor) or x.shape[0] < 4 or problem.answer is None:
        given = f"of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise SettingError(
            f"{type(solver.energy).__name__} got questions {given}; to be exported they must be "
            "one tensor of at least 4 problems."
        )


def _write(
    program: nn.Module,
    file: Path,
    x: Tensor,
    start: Tensor,
    settings: Mapping[str, Any],
    *,
    onnx: bool,
) -> Runnable:
    """Write the program, and read back what was written, ready to be called."""
    about = {
        "inputs": {"x": list(x.shape[1:]), "start": list(start.shape[1:])},
        "outputs": list(OUTPUTS),
        "settings": {name: str(value) for name, value in settings.items()},
        "versions": versions(),
    }
    batch = torch.export.Dim("batch", min=1)
    # Of a size that the program is not checked at.
    given = tuple(torch.cat([each, each[:1]]) for each in (x, start))
    try:
        with torch.no_grad():
            exported = torch.export.export(
                program, given, dynamic_shapes={"x": {0: batch}, "start": {0: batch}}
            )
        if onnx:
            return _write_onnx(exported, file, about)
        with file.open("wb") as handle:
            torch.export.save(exported, handle, extra_files={"irem.json": json.dumps(about)})
    # Both exporters raise errors of many kinds.
    except Exception as error:
        if isinstance(error, OSError):
            raise
        advice = "; write a .pt2 file, since ONNX lacks some operators" if onnx else ""
        raise ExportError(
            f"torch cannot write this solver as a program ({first_line(error)}){advice}."
        ) from error
    with file.open("rb") as handle:
        loaded = torch.export.load(handle).module()
    return lambda questions, starts: loaded(questions, starts)


def _write_onnx(exported: torch.export.ExportedProgram, file: Path, about: Any) -> Runnable:
    import onnxruntime

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        written: Any = torch.onnx.export(
            exported,
            dynamo=True,
            verbose=False,
            input_names=["x", "start"],
            output_names=OUTPUTS,
        )
    written.model.metadata_props["irem"] = json.dumps(about)
    written.save(file, external_data=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(file.read_bytes(), options, ["CPUExecutionProvider"])

    def run(questions: Tensor, starts: Tensor) -> tuple[Tensor, ...]:
        given = {"x": questions.cpu().numpy(), "start": starts.cpu().numpy()}
        return tuple(map(torch.from_numpy, session.run(None, given)))

    return run
