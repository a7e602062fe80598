"""IRED, and the annealed landscapes that it descends, against known densities and the paper."""

import math

import pytest
import torch

from irem_core import (
    IRED,
    BallSpace,
    CosineSchedule,
    EnergyFn,
    FixedSteps,
    GradientDescent,
    Implicit,
    MLPEnergy,
    Monotone,
    NoiseLevels,
    Outcome,
    Problem,
    ScratchpadMLPEnergy,
    SettingError,
    ShapeError,
    VectorSpace,
    compose,
    minimize,
    recipe,
)
from irem_core.problems import levels
from irem_core.testing import check_energy
from irem_tasks import Add, MatrixInverse, ShortestPath

TASK = Add(size=2)
CENTRES, SHARES, WIDTH = torch.tensor([-1.0, 1.0]), torch.tensor([0.3, 0.7]), 0.05


class Mixture(EnergyFn):
    """E(x, y) = -s log p_s(y), whose gradient is the noise to be expected: p a mixture of two.

    The question says nothing but its level; answers are near -1, or more often near 1.
    """

    def __init__(self, scale=1.0):
        super().__init__()
        self.question = levels.told_space(VectorSpace(1))
        self.answer = VectorSpace(1)
        self.scale = torch.nn.Parameter(torch.tensor(scale, dtype=torch.float64))

    def energy(self, context, y):
        waves = context[:, 1:]
        angle = torch.atan2(waves[:, :1], waves[:, 3:4]) / 2
        width = (angle.cos() * WIDTH).square() + angle.sin().square()
        distance = (y - angle.cos() * CENTRES.to(y)).square() / (2 * width)
        density = (SHARES.to(y).log() - distance).logsumexp(1) - width[:, 0].log() / 2
        return -self.scale * angle[:, 0].sin() * density


def asked(count):
    return torch.zeros(count, 1, dtype=torch.float64)


def starts(count):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(count, 1, dtype=torch.float64, generator=generator)


def test_annealing_ends_in_the_heavy_mode_where_plain_descent_does_not():
    energy = Mixture()
    solver = IRED(energy, question=VectorSpace(1), schedule=CosineSchedule(levels=20))
    annealed = solver.solve(asked(40))
    assert (annealed.y - 1).abs().max() < 1e-2
    assert (annealed.outcome == Outcome.CONVERGED).all()

    # The sharpest level alone, from the same kind of starts.
    sharpest = levels.told(Problem(asked(40)), torch.full((40,), solver.schedule.angles[0]), None)
    plain = minimize(energy, sharpest, descent=Monotone(step_size=0.01), start=starts(40))
    ended = plain.y / solver.schedule.signal[0]
    assert (ended.abs() - 1).abs().max() < 1e-2
    assert 0.3 < (ended < 0).double().mean() < 0.7


def loss_of(scale):
    energy = Mixture(scale)
    solver = IRED(energy, question=VectorSpace(1), contrast=0.0)
    generator = torch.Generator().manual_seed(0)
    which = torch.rand(20_000, 1, generator=generator) < SHARES[1]
    y = torch.where(which, CENTRES[1], CENTRES[0]).double()
    y = y + WIDTH * torch.randn(y.shape, generator=generator, dtype=torch.float64)
    return energy, solver.loss(Problem(asked(len(y)), VectorSpace(1)), y, generator)


def test_the_loss_is_least_where_the_gradient_is_the_known_score():
    _, least = loss_of(1.0)
    _, flatter = loss_of(0.9)
    _, steeper = loss_of(1.1)
    assert least < flatter
    assert least < steeper


def test_the_loss_has_the_gradient_of_finite_differences():
    energy, loss = loss_of(0.8)
    loss.backward()
    apart = (loss_of(0.8 + 1e-5)[1] - loss_of(0.8 - 1e-5)[1]) / 2e-5
    torch.testing.assert_close(energy.scale.grad, apart.detach(), rtol=1e-5, atol=1e-8)


def test_contrast_is_the_cross_entropy_with_a_corrupted_answer():
    energy = Mixture()
    problem = Problem(asked(2000), VectorSpace(1))
    y = torch.ones(2000, 1, dtype=torch.float64)

    def loss(**settings):
        solver = IRED(energy, question=VectorSpace(1), **settings)
        return solver.loss(problem, y, torch.Generator().manual_seed(0))

    both, score = loss(contrast=2.0), loss(contrast=0.0)
    # Between answers that are alike it is log 2, and less where corruption is told.
    assert 0 < (both - score) / 2 < math.log(2)
    # All entries are alike, so that those of others corrupt nothing.
    alike = loss(contrast=2.0, corruption="entries")
    torch.testing.assert_close((alike - score) / 2, torch.tensor(math.log(2)).double())


def test_levels_are_those_of_the_cosine_schedule():
    schedule = CosineSchedule(levels=10)
    kept = [math.cos((k / 10 + 0.008) / 1.008 * math.pi / 2) ** 2 for k in range(11)]
    expected = [kept[k] / kept[0] for k in range(1, 10)]
    assert [a**2 for a in schedule.signal[:-1]] == pytest.approx(expected)
    # The last keeps a thousandth of the one before, where the formula leaves nothing.
    assert schedule.signal[-1] ** 2 == pytest.approx(1e-3 * expected[-1])
    pairs = zip(schedule.signal, schedule.noise, schedule.angles, strict=True)
    for signal, noise, angle in pairs:
        assert signal**2 + noise**2 == pytest.approx(1)
        assert math.sin(angle) == pytest.approx(noise)
    # A step takes away all noise of the sharpest level.
    assert schedule.moves[0] == pytest.approx(schedule.noise[0])


@pytest.mark.parametrize("task", [TASK, MatrixInverse(size=2), ShortestPath()])
def test_questions_tell_their_level(task):
    problem, _ = task.sample(3, generator=torch.Generator().manual_seed(0))
    told = levels.told(problem, torch.tensor([0.1, 0.7, 1.5]), task.answer)
    space = levels.told_space(task.question)
    x = told.x if isinstance(told.x, torch.Tensor) else told.x.edge_attr
    assert x.shape[1:] == space.shape
    before = problem.x if isinstance(problem.x, torch.Tensor) else problem.x.edge_attr
    assert torch.equal(x.flatten(1)[:, : before[0].numel()], before.flatten(1))
    features = x[:, -levels.FEATURES :].unique(dim=0)
    assert len(features) == 3


def test_any_energy_can_be_built_for_them():
    posed = IRED.posed(TASK)
    check_energy(MLPEnergy.for_task(posed, width=6, depth=1), posed)


def test_steps_are_recorded_in_the_units_of_answers():
    seen = []
    solver = IRED(Mixture(), question=VectorSpace(1), halting=FixedSteps(steps=3), steps=3)
    solution = solver.solve(
        asked(2), record=("y", "energy"), observer=lambda step, *_: seen.append(step)
    )
    assert seen == list(range(31))
    assert (solution.steps == 30).all()
    trace = solution.trace.of(0)
    assert trace.step.tolist() == list(range(31))
    torch.testing.assert_close(trace.y[-1], solution.last[0])
    assert trace.energy[-1] == solution.energy[0]


def test_steps_are_shared_between_levels():
    solver = IRED(Mixture(), question=VectorSpace(1), halting=FixedSteps(steps=1000))
    for most in (0, 7, 10, 25, 100):
        assert (solver.solve(asked(2), max_steps=most).steps == most).all()


def test_with_few_steps_the_noisiest_levels_are_left_out():
    solver = IRED(Mixture(), question=VectorSpace(1))
    for most in (0, 1, 5, 9):
        seen = []
        found = solver.solve(
            asked(20), max_steps=most, observer=lambda step, *_, seen=seen: seen.append(step)
        )
        assert found.y.abs().max() < 5
        assert seen == list(range(len(seen)))


def test_energies_belong_to_answers_within_bounds():
    energy = Mixture()
    solver = IRED(energy, question=VectorSpace(1))
    space = VectorSpace(1, low=-0.05, high=0.6)
    found = solver.solve(Problem(asked(10), space))
    torch.testing.assert_close(found.y, torch.full_like(found.y, 0.6))
    angle, signal = solver.schedule.angles[0], solver.schedule.signal[0]
    sharpest = levels.told(Problem(asked(10)), torch.full((10,), angle).double(), None)
    expected = energy(sharpest, found.y * signal)
    torch.testing.assert_close(found.energy, expected.detach())
    # Where entries hang together the answer is moved at the end, and its energy known there.
    ball = solver.solve(Problem(asked(10), BallSpace(1, radius=0.5)))
    torch.testing.assert_close(ball.y.abs(), torch.full_like(ball.y, 0.5))
    torch.testing.assert_close(ball.energy, energy(sharpest, ball.y * signal).detach())


def test_restarts_keep_the_answer_of_the_lowest_energy():
    schedule = NoiseLevels(noise=(0.1, 0.2))
    solver = IRED(Mixture(), question=VectorSpace(1), schedule=schedule)
    once, again = (solver.solve(asked(30), restarts=each) for each in (0, 8))
    assert (once.y < 0).any()
    assert (again.y > 0).all()
    assert (again.evaluations > once.evaluations).all()


def test_a_start_is_scaled_as_answers_are():
    schedule = NoiseLevels(noise=(0.1, 0.2))
    solver = IRED(Mixture(), question=VectorSpace(1), schedule=schedule)
    start = torch.full((3, 1), -0.9, dtype=torch.float64)
    shown = []
    solver.solve(asked(3), start=start, observer=lambda *told: shown.append(told[2].iterate.y))
    torch.testing.assert_close(shown[0], start)


def test_answers_are_rescaled_from_level_to_level():
    still = GradientDescent(step_size=1e-9)
    solver = IRED(Mixture(), question=VectorSpace(1), steps=1, descent=still)
    start = torch.full((3, 1), -0.9, dtype=torch.float64)
    found = solver.solve(asked(3), start=start, halting=FixedSteps(steps=1))
    torch.testing.assert_close(found.y, start)


def test_candidates_are_kept_within_the_clip():
    solver = IRED(
        Mixture(), question=VectorSpace(1), descent=GradientDescent(step_size=50.0), clip=2.0
    )
    solution = solver.solve(asked(5), record="y", halting=FixedSteps(steps=5), max_steps=50)
    assert solution.trace.y.abs().max() <= 2 + 1e-9


def test_it_streams_composes_and_is_chosen_by_name():
    made = recipe(TASK, "ired(steps=2)", energy="mlp(width=8, depth=1)")
    assert isinstance(made.solver, IRED)
    assert made.solver.energy.question == VectorSpace(4 + levels.FEATURES)
    assert made.solver.question == TASK.question
    problem, _ = TASK.sample(4, generator=torch.Generator().manual_seed(0))
    several = list(made.solver.solve_many([problem.x, problem.x[:2]], max_steps=20))
    assert [len(each.y) for each in several] == [4, 2]
    whole = compose(made.solver, 2).solve([problem.x[:, :2]] * 3)
    assert (whole.steps >= whole.parts[0].steps).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: NoiseLevels(noise=(0.5, 1.0)), "between 0 and 1"),
        (lambda: NoiseLevels(noise=(0.5, 0.4)), "each noisier"),
        (lambda: NoiseLevels(noise=()), "at least one level"),
        (lambda: CosineSchedule(levels=0), "levels"),
        (lambda: Monotone(shrink=0.0), "shrink"),
        (lambda: IRED(Mixture(), contrast=-1.0), "contrast=-1.0"),
        (lambda: IRED(Mixture(), corruption="descent"), "corruption"),
        (lambda: IRED(Mixture(), clip=0.0), "clip"),
        (lambda: IRED.for_task(TASK, energy=MLPEnergy.for_task(TASK)), "tell their level"),
        (lambda: IRED(ScratchpadMLPEnergy.for_task(IRED.posed(TASK))), "scratchpad"),
        (
            lambda: IRED.for_task(TASK).solve(torch.zeros(1, 4), differentiable=Implicit()),
            "no gradient",
        ),
        (lambda: IRED.for_task(TASK).solve(torch.zeros(1, 4), restarts=-1), "restarts"),
    ],
)
def test_mistakes_are_sentences(make, words):
    with pytest.raises(SettingError, match=words):
        make()


def test_a_question_of_another_shape_is_told_in_its_own():
    with pytest.raises(ShapeError, match=r"x has shape \(3, 9\).*expected.*\(3, 4\)"):
        IRED.for_task(TASK).solve(torch.zeros(3, 9))


def test_without_a_space_of_answers_no_noise_can_be_drawn():
    energy = Mixture()
    energy.answer = None
    with pytest.raises(ShapeError, match="no noise can be drawn"):
        IRED(energy, question=VectorSpace(1)).solve(asked(2))
