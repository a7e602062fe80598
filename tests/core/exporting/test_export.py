"""Exported programs against `minimize`, where irem is and where it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from irem_core import (
    IREM,
    Adam,
    BarzilaiBorwein,
    ConvEnergy,
    Descent,
    ElementwiseEnergy,
    EnergyFn,
    EnergyPlateau,
    ExportError,
    FixedSteps,
    GINEEnergy,
    GradientDescent,
    GradientNorm,
    HaltingCriterion,
    ImageSpace,
    IremError,
    MatrixSpace,
    MLPEnergy,
    Momentum,
    Outcome,
    PairwiseEnergy,
    PeriodicEnergy,
    Problem,
    RankingEnergy,
    RationalEnergy,
    ScratchpadMLPEnergy,
    SettingError,
    Solution,
    Space,
    SpectralEnergy,
    VectorSpace,
    any_of,
    compose,
    export_solver,
    minimize,
)
from irem_core.compiling.tracing import Program, Tracer
from irem_core.exporting.program_check import agreement
from irem_core.testing.zoo import Quadratic
from irem_tasks import Add, EdgeCopy
from trainings import run_python

TASK = Add(size=4)


class Bounded(Quadratic):
    """A quadratic whose answers are bounded: the minimum of x is x moved within the bounds."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.question = VectorSpace(space.size)
        self.answer = space


class Pull(EnergyFn):
    """E = |y|^2 / 2."""

    def energy(self, context: Tensor, y: Tensor) -> Tensor:
        return y.square().sum(1) / 2


class Wells(EnergyFn):
    """E = sum (y^2 - 1)^2 / 4, on which large steps wander without end, and no two alike."""

    def __init__(self) -> None:
        super().__init__()
        self.question = self.answer = VectorSpace(2)

    def energy(self, context: Tensor, y: Tensor) -> Tensor:
        return (y.square() - 1).square().sum(1) / 4 + 0 * context.sum(1)


def mlp(**settings: Any) -> IREM:
    return IREM(MLPEnergy.for_task(TASK, width=16, depth=2), replay=0, **settings)


def drawn(solver: IREM, count: int, seed: int = 7) -> tuple[Tensor, Tensor]:
    """Draw questions and starts."""
    generator = torch.Generator().manual_seed(seed)
    dtype = next((each.dtype for each in solver.parameters()), None)
    assert solver.question is not None
    x = 2 * torch.rand(count, *solver.question.shape, generator=generator, dtype=dtype) - 1
    return x, solver.energy.start(solver.energy.problem(x), generator).y


def same(found: tuple[Tensor, ...], solution: Solution, tolerance: float = 1e-5) -> None:
    y, energy, steps, outcome = found
    torch.testing.assert_close(y, solution.y, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(energy, solution.energy, rtol=tolerance, atol=tolerance)
    assert steps.tolist() == solution.steps.tolist()
    assert outcome.tolist() == solution.outcome.tolist()


# With this momentum energies rise at times, so that the best answer is often not the last.
ROUGH = IREM(
    MLPEnergy.for_task(TASK, width=16, depth=2) * 3.0 + Pull(),
    descent=Momentum(step_size=0.5, momentum=0.8),
    halting=EnergyPlateau(tolerance=0.02, patience=2),
    replay=0,
)


@pytest.fixture(scope="module")
def rough(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("exported") / "rough.pt2"
    exported = export_solver(ROUGH, file, max_steps=30)
    assert exported.agreement.compared > 32
    assert exported.agreement.difference <= 1e-5
    assert (exported.file, exported.question, exported.answer) == (file, (8,), (4,))
    assert min(exported.speed, exported.solver_speed) > 0
    return file


@pytest.mark.parametrize("count", [1, 2, 65, 7])
def test_a_program_answers_as_minimize_for_any_number_of_problems(rough: Path, count: int) -> None:
    x, start = drawn(ROUGH, count)
    solution = minimize(
        ROUGH.energy, x, start=start, descent=ROUGH.descent, halting=ROUGH.halting, max_steps=30
    )
    program = torch.export.load(rough).module()
    with torch.inference_mode():
        same(program(x, start), solution)
    if count == 65:
        assert (solution.outcome == Outcome.CONVERGED).any()
        assert len(set(solution.steps.tolist())) > 1
        assert (solution.y != solution.last).any()


ALONE = """
import sys
for name in ("irem_core", "irem_tasks", "torch_geometric", "attrs", "jaxtyping"):
    sys.modules[name] = None
import torch

def refuse(*arguments, **settings):
    raise AssertionError("autograd is not needed")

torch.autograd.grad = refuse
given = torch.load(sys.argv[2])
program = torch.export.load(sys.argv[1]).module()
torch.save(program(given["x"], given["start"]), sys.argv[3])
"""


def test_a_program_runs_where_irem_is_not(rough: Path, tmp_path: Path) -> None:
    x, start = drawn(ROUGH, 5)
    torch.save({"x": x, "start": start}, tmp_path / "given.pt")
    run_python("-c", ALONE, rough, tmp_path / "given.pt", tmp_path / "found.pt")
    found = torch.load(tmp_path / "found.pt")
    same(found, ROUGH.solve(x, start=start, max_steps=30))
    assert not any(each.requires_grad for each in found)


def test_a_program_holds_operators_of_torch_alone(tmp_path: Path) -> None:
    export_solver(mlp(), tmp_path / "p.pt2", max_steps=2)
    modules = torch.export.load(tmp_path / "p.pt2").graph_module.modules()
    targets = {str(node.target) for module in modules for node in module.graph.nodes}
    assert any("addmm" in each for each in targets)
    assert not any("autograd" in each or "irem" in each for each in targets)


MATRICES = {"question": MatrixSpace(3, 3), "answer": MatrixSpace(3, 3)}
VECTORS = {"question": VectorSpace(3), "answer": VectorSpace(3)}
IMAGES = {"question": ImageSpace(1, 4, 4), "answer": ImageSpace(1, 4, 4)}
ENERGIES = {
    "elementwise": lambda: ElementwiseEnergy(VectorSpace(6), VectorSpace(3), width=2),
    "pairwise": lambda: PairwiseEnergy(**MATRICES, width=2, blocks=1),
    "rational": lambda: RationalEnergy(**MATRICES, degree=3),
    "spectral": lambda: SpectralEnergy(**MATRICES, terms=2),
    "ranking": lambda: RankingEnergy(**VECTORS, width=2),
    "periodic": lambda: PeriodicEnergy(**VECTORS, waves=4),
    "conv": lambda: ConvEnergy(**IMAGES, width=2, inner=2, depth=2),
}


QUICK = ("periodic",)


def quick(name: str) -> Any:
    """Leave to the slow tests the energies that torch takes long to write down."""
    return pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)


@pytest.mark.parametrize("name", [quick(each) for each in ENERGIES])
def test_energies_of_vectors_matrices_and_images(name: str, tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        energy = ENERGIES[name]()
        for weight in energy.parameters():
            weight.data += 0.1 * torch.randn(weight.shape)
    solver = IREM(energy, descent=GradientDescent(step_size=0.3), replay=0)
    export_solver(solver, tmp_path / "p.pt2", max_steps=9)
    x, start = drawn(solver, 6)
    same(
        torch.export.load(tmp_path / "p.pt2").module()(x, start),
        solver.solve(x, start=start, max_steps=9),
    )


@pytest.mark.parametrize(
    ("space", "descent", "halting"),
    [
        (VectorSpace(3, low=-0.25, high=0.5), GradientDescent(step_size=0.7), EnergyPlateau()),
        (
            VectorSpace(3, low=-0.25),
            Adam(step_size=0.2),
            any_of(GradientNorm(tolerance=0.2), FixedSteps(steps=7)),
        ),
    ],
)
def test_bounds_descents_and_halting_rules(
    space: Space, descent: Descent, halting: HaltingCriterion, tmp_path: Path
) -> None:
    solver = IREM(Bounded(space), descent=descent, halting=halting, replay=0)
    export_solver(solver, tmp_path / "p.pt2", max_steps=20)
    x, start = drawn(solver, 9)
    if space.high is None:
        start[1] = 1e30  # too large to be squared
    y, energy, steps, outcome = torch.export.load(tmp_path / "p.pt2").module()(x, start)
    same((y, energy, steps, outcome), solver.solve(x, start=start, max_steps=20))
    assert (y >= -0.25).all()
    assert (y == -0.25).any()
    if space.high is not None:
        torch.testing.assert_close(y, x.clamp(-0.25, 0.5), rtol=0, atol=1e-2)
        assert (outcome == Outcome.CONVERGED).all()
    else:
        assert set(outcome.tolist()) == {
            Outcome.CONVERGED,
            Outcome.BUDGET_SPENT,
            Outcome.NONFINITE,
        }


def test_double_precision_and_settings_that_are_not_the_solvers(tmp_path: Path) -> None:
    solver = mlp().double()
    given = {"descent": GradientDescent(step_size=3.0), "halting": FixedSteps(steps=4)}
    questions, _ = drawn(solver, 8)
    export_solver(solver, tmp_path / "p.pt2", questions=questions, tolerance=1e-12, **given)
    x, start = drawn(solver, 3)
    found = torch.export.load(tmp_path / "p.pt2").module()(x, start)
    solution = solver.solve(x, start=start, **given)
    same(found, solution, 1e-12)
    assert solution.steps.tolist() == [4, 4, 4]


def test_a_solver_that_is_compiled_is_written_operation_by_operation(tmp_path: Path) -> None:
    solver = IREM.for_task(TASK)
    solver.compile(backend="aot_eager")
    export_solver(solver, tmp_path / "program.pt2", max_steps=3)
    assert solver.compiled
    x, start = torch.rand(5, 8), torch.rand(5, 4)
    y, *_ = torch.export.load(tmp_path / "program.pt2").module()(x, start)
    torch.testing.assert_close(y, solver.solve(x, start=start, max_steps=3).y)


def test_a_wrong_program_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "p.pt2"
    file.write_bytes(b"what was there")
    trace = Tracer.program

    def wrong(self: Tracer, x: Tensor, start: Tensor, **settings: Any) -> Program:
        program = trace(self, x, start, **settings)
        program.weight_0 = 1.01 * program.weight_0
        return program

    monkeypatch.setattr(Tracer, "program", wrong)
    solver = mlp(descent=GradientDescent(step_size=1.0))
    with pytest.raises(ExportError, match="does not answer as the solver: 64 of 64"):
        export_solver(solver, file, max_steps=3)
    assert file.read_bytes() == b"what was there"
    assert list(tmp_path.iterdir()) == [file]


def checked(solver: IREM, change: Any, **settings: Any) -> Any:
    """Check as a program what the solver does in double precision, with its solution changed."""
    x, start = drawn(solver, 40)

    def program(questions: Tensor, starts: Tensor) -> tuple[Tensor, ...]:
        found = solver.solve(questions.double(), start=starts.double(), **settings)
        assert found.energy is not None
        return change(found.y.float(), found.energy.float(), found.steps, found.outcome)

    truth = solver.solve(x, start=start, **settings)
    problem = Problem(x, solver.answer)
    return agreement(program, solver, problem, start, truth, settings, 1e-5)


def kept(*found: Tensor) -> tuple[Tensor, ...]:
    return found


def test_what_agreement_means() -> None:
    solver = IREM(Bounded(VectorSpace(2)), descent=GradientDescent(step_size=0.5), replay=0)

    def later(y: Tensor, energy: Tensor, steps: Tensor, outcome: Tensor) -> tuple[Tensor, ...]:
        return y, energy, torch.where(y[:, 0] > 0.5, steps + 1, steps), outcome

    found = checked(solver, kept)
    assert (found.compared, found.left_out) == (40, 0)
    assert found.difference < 1e-6
    some = checked(solver, later)
    assert some.compared + some.left_out == 40
    assert 0 < some.left_out < 20
    for change in (
        lambda y, energy, *rest: (y + 1e-4, energy, *rest),
        lambda y, energy, *rest: (y, energy + 1e-4, *rest),
        lambda y, energy, *rest: (y * torch.nan, energy, *rest),
        lambda y, energy, steps, outcome: (y, energy, steps, outcome + 1),
    ):
        with pytest.raises(ExportError, match="does not answer as the solver: 40 of 40"):
            checked(solver, change)
    with pytest.raises(ExportError, match="could not be checked: on 40 of 40"):
        checked(solver, lambda y, energy, steps, outcome: (y, energy, steps + 1, outcome))


def test_answers_that_rounding_decides_are_told_apart() -> None:
    solver = IREM(Wells(), descent=GradientDescent(step_size=1.9), replay=0)
    rule = FixedSteps(steps=200)
    assert checked(solver, kept, max_steps=1, halting=rule).compared == 40
    with pytest.raises(ExportError, match="rounding decides"):
        checked(solver, kept, max_steps=200, halting=rule)


PLAIN = IREM(Bounded(VectorSpace(2)), descent=GradientDescent(step_size=0.5), replay=0)
REFUSED = {
    "composition": (lambda: compose(PLAIN, 2), {}, "got a Composition; expected an IREM solver"),
    "scratchpad": (
        lambda: IREM(ScratchpadMLPEnergy.for_task(TASK, width=4, scratchpad=2)),
        {},
        "has a scratchpad",
    ),
    "graphs": (lambda: IREM(GINEEnergy.for_task(EdgeCopy())), {}, "EdgeSpace"),
    "no answer space": (lambda: IREM(Quadratic()), {}, "for_task"),
    "tree": (lambda: PLAIN, {"questions": Problem({"a": torch.ones(8, 2)}, VectorSpace(2))}, "one"),
    "few": (lambda: PLAIN, {"questions": torch.zeros(3, 2)}, "at least 4 problems"),
    "line search": (lambda: PLAIN, {"descent": BarzilaiBorwein()}, "BarzilaiBorwein"),
    "steps": (lambda: PLAIN, {"max_steps": -1}, "max_steps=-1"),
    "tolerance": (lambda: PLAIN, {"tolerance": 0}, "tolerance=0"),
    "shape": (lambda: PLAIN, {"questions": torch.zeros(8, 3)}, "x has shape"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_exported_is_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    solver, settings, hint = REFUSED[name]
    with pytest.raises(IremError, match=hint) as caught:
        export_solver(solver(), tmp_path / "p.pt2", **settings)
    assert str(caught.value).count("\n") == 0
    assert str(caught.value).endswith(".")
    assert not list(tmp_path.iterdir())


def test_questions_are_asked_for_where_their_space_is_not_known(tmp_path: Path) -> None:
    energy = Quadratic()
    energy.answer = VectorSpace(2)
    with pytest.raises(SettingError, match="questions="):
        export_solver(IREM(energy), tmp_path / "p.pt2")


def test_endings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingError, match=r"must end in \.pt2 or \.onnx"):
        export_solver(PLAIN, tmp_path / "p.pt")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingError, match="pip install onnx onnxscript onnxruntime"):
        export_solver(PLAIN, tmp_path / "p.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_onnx(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    exported = export_solver(ROUGH, tmp_path / "p.onnx", max_steps=30)
    assert exported.agreement.compared > 32
    session = runtime.InferenceSession(exported.file)
    x, start = drawn(ROUGH, 7)
    found = session.run(None, {"x": x.numpy(), "start": start.numpy()})
    same(tuple(map(torch.from_numpy, found)), ROUGH.solve(x, start=start, max_steps=30), 1e-4)
