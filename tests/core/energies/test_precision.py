"""Products in bfloat16 against the same energies in float32."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from irem_baselines import Feedforward
from irem_core import (
    IREM,
    ConvEnergy,
    DistanceEnergy,
    EdgeSpace,
    ElementwiseEnergy,
    EnergyFn,
    FullUnroll,
    GINEEnergy,
    GradientDescent,
    ImageSpace,
    MatrixSpace,
    MLPEnergy,
    PairwiseEnergy,
    PeriodicEnergy,
    Problem,
    RankingEnergy,
    RationalEnergy,
    ScratchpadMLPEnergy,
    SettingError,
    SpectralEnergy,
    VectorSpace,
    differentiate,
    export_solver,
    fit,
    graphs,
    load_task,
    minimize,
)
from irem_core.energies.landscape import encoded
from irem_core.pairs.standardized import Standardized
from irem_core.part import seeded
from irem_core.problems import trees
from irem_core.testing.zoo import Quadratic

# Of the length of a gradient. Numbers of 8 bits are rounded by up to 0.4 % each, at every layer.
TOLERANCE = 0.02
# Where a ReLU is nearly zero, rounding opens or closes it, and the gradient jumps.
WITH_RELUS = 0.1
VECTORS, MATRICES, IMAGES = VectorSpace(16), MatrixSpace(6, 6), ImageSpace(1, 8, 8)
LEARNED = {
    "conv": lambda: ConvEnergy(IMAGES, IMAGES, width=8, inner=8, depth=3),
    "distance": lambda: DistanceEnergy(VECTORS, VECTORS, width=32),
    "elementwise": lambda: ElementwiseEnergy(VECTORS, VECTORS),
    "gine": lambda: GINEEnergy(EdgeSpace(2), EdgeSpace(1), width=32),
    "mlp": lambda: MLPEnergy(VECTORS, VECTORS, width=64),
    "pairwise": lambda: PairwiseEnergy(MATRICES, MATRICES),
    "scratchpad-mlp": lambda: ScratchpadMLPEnergy(VECTORS, VECTORS, scratchpad=8, width=64),
    "sum": lambda: MLPEnergy(VECTORS, VECTORS, width=64) + 0.5 * Quadratic(),
}
EXACTING = {
    "periodic": lambda: PeriodicEnergy(VECTORS, VectorSpace(1)),
    "ranking": lambda: RankingEnergy(VECTORS, VECTORS),
    "rational": lambda: RationalEnergy(MATRICES, MATRICES),
    "spectral": lambda: SpectralEnergy(MATRICES, MATRICES),
    "sum": lambda: MLPEnergy(MATRICES, MATRICES, width=8) + SpectralEnergy(MATRICES, MATRICES),
}


def learned(name):
    """Return an energy whose weights are none of them zero, in both precisions."""
    with seeded(0):
        energy = LEARNED[name]()
    generator = torch.Generator().manual_seed(1)
    for weight in energy.parameters():
        weight.data += 0.05 * torch.randn(weight.shape, generator=generator)
    rounded = copy.deepcopy(energy)
    rounded.autocast()
    return energy, rounded


def drawn(energy, count=40):
    generator = torch.Generator().manual_seed(2)
    question = getattr(energy, "question", None) or VECTORS
    if isinstance(question, EdgeSpace):
        nodes = torch.randint(2, 6, (count,), generator=generator)
        rows = int(nodes.square().sum())
        x = graphs.complete(nodes, torch.rand(rows, question.size, generator=generator))
    else:
        x = torch.rand(count, *question.shape, generator=generator)
    problem = energy.problem(x)
    start = energy.start(problem, generator)
    return problem, start.map(lambda leaf: leaf + 0.1 * torch.rand(leaf.shape, generator=generator))


def pulled(energy, problem, start):
    """Return the gradients in the weights of a loss on a step and on the energies."""
    found = differentiate(energy, encoded(energy, problem), start, create_graph=True)
    loss = (start - 0.3 * found.gradient).y.square().sum() + found.energy.square().sum()
    slopes = torch.autograd.grad(loss, list(energy.parameters()), allow_unused=True)
    return [each for each in slopes if each is not None]


def assert_close(found, wanted, tolerance=TOLERANCE):
    """Compare by the length of the difference, in units of what is wanted."""
    assert found.dtype == wanted.dtype == torch.float32
    difference = (found - wanted).norm() / wanted.norm()
    assert 0 < difference < tolerance


@pytest.mark.parametrize("name", LEARNED)
def test_energies_and_gradients_are_those_of_float32_to_three_digits(name):
    energy, rounded = learned(name)
    problem, start = drawn(energy)
    found, wanted = (
        differentiate(each, encoded(each, problem), start) for each in (rounded, energy)
    )
    assert_close(found.energy, wanted.energy)
    tolerance = WITH_RELUS if name == "gine" else TOLERANCE
    assert_close(found.gradient.y, wanted.gradient.y, tolerance)
    if wanted.gradient.z is not None:
        assert_close(found.gradient.z, wanted.gradient.z)


@pytest.mark.parametrize("name", LEARNED)
def test_a_loss_on_a_step_has_the_gradient_of_float32_to_three_digits(name):
    energy, rounded = learned(name)
    found, wanted = (pulled(each, *drawn(energy)) for each in (rounded, energy))
    flat = [torch.cat([each.flatten() for each in slopes]) for slopes in (found, wanted)]
    assert_close(*flat)


@pytest.mark.parametrize("name", LEARNED)
def test_the_sum_of_an_energy_is_not_rounded(name):
    _, rounded = learned(name)
    problem, start = drawn(rounded)
    energy = differentiate(rounded, encoded(rounded, problem), start).energy
    short = (energy == energy.bfloat16().float()).float().mean()
    # By chance one in 2^16 has no more digits than bfloat16.
    assert short < 0.1
    assert torch.equal(rounded(problem, start.y), energy) == (start.z is None)


def test_layers_multiply_in_bfloat16_and_weights_stay():
    energy, rounded = learned("mlp")
    seen = []
    rounded.hidden[0].register_forward_hook(lambda *found: seen.append(found[-1].dtype))
    problem, start = drawn(energy)
    differentiate(rounded, encoded(rounded, problem), start)
    rounded.autocast(False)
    differentiate(rounded, encoded(rounded, problem), start)
    assert seen == [torch.bfloat16, torch.float32]
    assert all(weight.dtype == torch.float32 for weight in rounded.parameters())


def test_questions_are_encoded_in_bfloat16_wherever_an_energy_is_used():
    energy, rounded = learned("conv")
    seen = []
    rounded.encoder[0].register_forward_hook(lambda *found: seen.append(found[-1].dtype))
    problem, start = drawn(energy)
    solver = IREM(rounded)
    rounded(problem, start.y)
    solver.loss(problem, start.y, torch.Generator().manual_seed(0))
    solver.solve(problem, max_steps=1)
    list(solver.solve_many([problem], max_steps=1))
    assert seen == [torch.bfloat16] * 4


def test_what_is_straight_in_the_candidate_is_not_rounded():
    energy, rounded = learned("distance")
    for each in (energy, rounded):
        nn.init.zeros_(each.head.weight)
    problem, start = drawn(energy)
    found, wanted = (
        differentiate(each, encoded(each, problem), start) for each in (rounded, energy)
    )
    torch.testing.assert_close(found.energy, wanted.energy)
    torch.testing.assert_close(found.gradient.y, wanted.gradient.y)


class Short(EnergyFn):
    """An author's energy that ends in bfloat16."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(16, 1)

    def energy(self, context, y):
        return self.layer(y - context).squeeze(1)


def test_energies_that_end_in_bfloat16_are_compared_in_float32():
    energy = Short()
    energy.autocast()
    x = torch.rand(5, 16)
    start = energy.start(Problem(x, VECTORS), torch.Generator().manual_seed(0))
    found = differentiate(energy, x, start).energy
    assert found.dtype == torch.float32
    both = 2.0 * energy + 1.0 * energy
    both.autocast()
    torch.testing.assert_close(differentiate(both, (x, x), start).energy, 3 * found)
    solved = minimize(energy, x, descent=GradientDescent(step_size=0.1), start=x, max_steps=3)
    assert solved.y.dtype == solved.energy.dtype == torch.float32


# A program of gine adds what it has multiplied without rounding it before, at messages.
@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("mlp", 1e-5),
        pytest.param("conv", 1e-5, marks=pytest.mark.slow),
        pytest.param("gine", 0.1, marks=pytest.mark.slow),
    ],
)
def test_programs_round_as_autograd_does(name, tolerance):
    energy, rounded = learned(name)
    compiled = copy.deepcopy(rounded)
    compiled.compile(backend="aot_eager")
    problem, start = drawn(energy)
    context = trees.detach(encoded(rounded, problem))
    found, wanted = (differentiate(each, context, start) for each in (compiled, rounded))
    slopes = [pulled(each, problem, start) for each in (compiled, rounded)]
    pairs = [(found.energy, wanted.energy), (found.gradient.y, wanted.gradient.y)]
    for one, other in [*pairs, *zip(*slopes, strict=True)]:
        assert (one - other).norm() <= tolerance * other.norm()
    # The same energy in float32 needs programs of its own.
    compiled.autocast(False)
    again = differentiate(compiled, trees.detach(encoded(compiled, problem)), start)
    exact = differentiate(energy, trees.detach(encoded(energy, problem)), start)
    torch.testing.assert_close(again.energy, exact.energy)


@pytest.mark.parametrize(
    "settings",
    [{}, pytest.param({"backprop": FullUnroll(recompute=True)}, marks=pytest.mark.slow)],
)
def test_training_learns_as_well(settings):
    task = load_task("add(size=4)")
    losses = []
    for rounded in (False, True):
        energy = MLPEnergy.for_task(task, width=32)
        solver = IREM(energy, replay=100, steps=2, **settings)
        if rounded:
            solver.autocast()
        ended = fit(solver, task, iterations=120, batch_size=32, learning_rate=1e-3, log_every=30)
        assert ended.training.autocast == rounded
        losses.append([record["loss"] for record in ended.records])
    # It has learned, and just as much.
    assert losses[0][-1] < 0.5 * losses[0][0]
    assert losses[1][-1] == pytest.approx(losses[0][-1], rel=0.05)
    assert losses[1] != losses[0]


def test_solving_arrives_where_float32_does():
    task = load_task("add(size=4)")
    solver = IREM(ElementwiseEnergy.for_task(task), descent=GradientDescent(step_size=1.0))
    fit(solver, task, iterations=250, batch_size=32, learning_rate=5e-3)
    problem, target = task.sample(200, "same", generator=torch.Generator().manual_seed(3))
    exact = solver.solve(problem)
    solver.autocast()
    many = torch.cat([each.y for each in solver.solve_many([problem, problem])])
    for found in (solver.solve(problem).y, many[:200], many[200:]):
        assert 0 < (found - exact.y).abs().mean() < 0.01
        assert (found - target).square().mean() < 1e-3


def test_a_run_resumes_in_the_precision_it_began_with(tmp_path):
    task = load_task("add(size=6)")
    settings = {"batch_size": 8, "seed": 0, "out": tmp_path / "run"}
    fit(IREM(MLPEnergy.for_task(task, width=16)), task, iterations=1, **settings)
    again = IREM(MLPEnergy.for_task(task, width=16))
    again.autocast()
    with pytest.raises(SettingError, match="autocast"):
        fit(again, task, iterations=2, resume=True, **settings)


@pytest.mark.parametrize("name", EXACTING)
def test_energies_that_need_every_digit_refuse(name):
    energy = EXACTING[name]()
    with pytest.raises(SettingError, match="tells answers apart by digits"):
        energy.autocast()
    assert not energy.autocasts
    energy.autocast(False)


def test_solvers_without_an_energy_refuse():
    solver = Feedforward.for_task(load_task("add(size=4)"))
    with pytest.raises(SettingError, match="leave autocast out"):
        solver.autocast()


def test_solvers_of_pairs_round_what_they_hold():
    solver = IREM.for_task(load_task("add(size=4)"))
    held = Standardized(solver, question=VectorSpace(8), answer=VectorSpace(4))
    assert not held.autocasts
    held.autocast()
    assert held.autocasts
    assert solver.energy.autocasts


def test_exported_programs_round_as_their_solver_does(tmp_path):
    solver = IREM.for_task(load_task("add(size=4)"))
    x = torch.rand(6, 8)
    start = torch.rand(6, 4)
    exact = solver.solve(x, start=start, max_steps=3).energy
    solver.autocast()
    export_solver(solver, tmp_path / "program.pt2", max_steps=3)
    _, found, *_ = torch.export.load(tmp_path / "program.pt2").module()(x, start)
    torch.testing.assert_close(found, solver.solve(x, start=start, max_steps=3).energy)
    assert (found - exact).abs().max() > 1e-6
