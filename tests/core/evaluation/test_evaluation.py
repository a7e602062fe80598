"""Evaluation: errors by step and by energy, against closed forms and scipy."""

import math
from typing import ClassVar

import attrs
import pytest
import torch
from scipy.stats import mannwhitneyu, spearmanr

from irem_baselines import Feedforward
from irem_baselines.one_shot import OneShot
from irem_core import (
    IREM,
    EdgeSpace,
    EnergyFn,
    FixedSteps,
    GradientDescent,
    GradientNorm,
    MLPEnergy,
    Outcome,
    Problem,
    SettingError,
    Task,
    VectorSpace,
    auroc,
    evaluate,
    graphs,
)
from irem_core.distributed import Ranks, derive
from irem_core.evaluation.scores import rank_correlation
from irem_tasks import Add, MatrixInverse, Negate

SIZE = 6
TASK = Negate(size=SIZE)


class Known(EnergyFn):
    """E = c |y + x|^2 / 2 with the minimum that Negate wants; c differs by problem if told so."""

    def __init__(self, uneven=False):
        super().__init__()
        self.answer, self.uneven = VectorSpace(SIZE), uneven

    def encode(self, problem):
        curvature = torch.ones(len(problem.x))
        if self.uneven:
            curvature = 0.05 + 0.9 * problem.x[:, 0].abs()
        return problem.x, curvature

    def energy(self, context, y):
        x, curvature = context
        return curvature * (y + x).square().sum(1) / 2


def solver(step_size, **settings):
    return IREM(
        Known(**settings),
        descent=GradientDescent(step_size=step_size),
        halting=GradientNorm(tolerance=1e-2),
    )


# y is uniform on (0, 1) and its start on (-1, 1): the mean square of their difference.
AT_START = 1 / 12 + 1 / 3 + 1 / 4


def test_the_error_of_every_step_follows_the_descent():
    scores = evaluate(solver(0.5), TASK, problems=600, max_steps=4)

    assert list(scores.mse_by_step) == [0, 1, 2, 3, 4]
    assert scores.mse_by_step[0] == pytest.approx(AT_START, rel=0.06)
    for step in range(1, 5):
        expected = scores.mse_by_step[0] * 0.25**step
        assert scores.mse_by_step[step] == pytest.approx(expected, rel=1e-4)
    assert scores.mse == pytest.approx(scores.mse_by_step[4], rel=1e-6)
    assert scores.problems == 600
    assert scores.steps_mean == 4
    assert scores.evaluations_mean == 5
    assert scores.outcomes == {"BUDGET_SPENT": 600}
    assert scores.errors.mean().item() == pytest.approx(scores.mse, rel=1e-6)
    # The energy is half of the squared distance to the answer, over all of its entries.
    for step, error in scores.mse_by_step.items():
        expected = error * TASK.answer.size / 2
        assert scores.energy_by_step[step] == pytest.approx(expected, rel=1e-4)


def test_the_lowest_iterate_is_scored_apart_from_the_last():
    # A step of 2.5 multiplies the distance by -1.5, so that the start stays the lowest.
    scores = evaluate(solver(2.5), TASK, problems=300, max_steps=2)

    assert scores.mse == pytest.approx(scores.mse_by_step[0], rel=1e-6)
    assert scores.mse_last == pytest.approx(scores.mse_by_step[2], rel=1e-6)
    assert scores.mse_last == pytest.approx(scores.mse * 1.5**4, rel=1e-4)


def test_an_evaluation_reports_what_a_solve_of_the_same_problems_gives():
    uneven = solver(0.3, uneven=True)
    scores = evaluate(uneven, TASK, problems=50, seed=3)

    generator = torch.Generator().manual_seed(derive(3, "evaluation", "same"))
    problem, target = next(TASK.batches(50, "same", generator=generator))
    solution = uneven.solve(problem, generator=generator)
    assert torch.equal(scores.steps, solution.steps)
    assert len(scores.steps.unique()) > 5
    assert torch.equal(scores.errors, (solution.y - target).double().square().mean(1))
    assert torch.equal(scores.energies, solution.energy)
    told = {name: scores.to_dict()[name] for name in ("protocol", "max_steps", "halting")}
    assert told == {
        "protocol": "solve",
        "max_steps": uneven.max_steps,
        "halting": "GradientNorm(tolerance=0.01)",
    }


@pytest.mark.parametrize("steps", [80, 40])
def test_the_published_protocol_takes_all_of_its_steps_and_halts_nothing(steps, monkeypatch):
    monkeypatch.setattr(type(TASK), "max_steps", steps)
    made = IREM(
        Known(),
        descent=GradientDescent(step_size=1.0),
        solving=GradientDescent(step_size=0.1),
        max_steps=7,
    )
    scores = evaluate(made, TASK, problems=20, protocol="paper")

    assert scores.steps.tolist() == [steps] * 20
    assert scores.outcomes == {"BUDGET_SPENT": 20}
    # By the descent of training, which is there in one step.
    assert scores.mse_by_step[1] == pytest.approx(0, abs=1e-12)
    assert scores.to_dict()["protocol"] == "paper"
    assert scores.to_dict()["max_steps"] == steps


@pytest.mark.parametrize("given", [{"max_steps": 9}, {"halting": GradientNorm()}, {"restarts": 1}])
def test_the_published_protocol_is_as_published(given):
    with pytest.raises(SettingError, match="takes 80 steps, halts nothing and starts once"):
        evaluate(solver(1.0), TASK, problems=2, protocol="paper", **given)


def test_an_unknown_protocol_is_named_beside_those_there_are():
    with pytest.raises(SettingError, match=r"'published'.*'solve' or 'paper'"):
        evaluate(solver(1.0), TASK, problems=2, protocol="published")


def test_problems_that_halt_count_with_the_iterate_they_halted_at():
    uneven, rule = solver(1.0, uneven=True), GradientNorm(tolerance=0.03)
    scores = evaluate(uneven, TASK, problems=260, max_steps=50, halting=rule)
    endless = evaluate(uneven, TASK, problems=260, max_steps=50, halting=FixedSteps(steps=50))

    assert set(scores.outcomes) >= {"CONVERGED"}
    assert sum(scores.outcomes.values()) == 260
    assert len(scores.steps.unique()) > 5
    assert scores.steps_mean == pytest.approx(scores.steps.double().mean().item())
    longest = int(scores.steps.max())
    assert list(scores.mse_by_step) == list(range(longest + 1))
    assert scores.mse_by_step[0] == pytest.approx(endless.mse_by_step[0], rel=1e-9)
    assert scores.mse_by_step[longest] == pytest.approx(scores.mse_last, rel=1e-6)
    assert scores.mse_last > endless.mse_last
    assert list(scores.energy_by_step) == list(scores.mse_by_step)
    assert scores.energy_by_step[longest] > endless.energy_by_step[longest]


def test_energies_are_correlated_with_errors_by_rank():
    scores = evaluate(solver(0.1, uneven=True), TASK, problems=300, max_steps=2)
    expected = spearmanr(scores.energies.numpy(), scores.errors.numpy()).statistic

    assert scores.energy_error_correlation == pytest.approx(expected, abs=1e-9)
    assert 0.05 < expected < 0.99


@pytest.mark.parametrize("ties", [False, True])
def test_rank_correlation_agrees_with_scipy(ties):
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(50, generator=generator)
    second = first + torch.randn(50, generator=generator)
    if ties:
        first, second = first.round(), second.round()

    expected = spearmanr(first.numpy(), second.numpy()).statistic
    assert rank_correlation(first, second) == pytest.approx(expected, abs=1e-12)


def test_there_is_no_correlation_with_a_constant():
    assert rank_correlation(torch.ones(4), torch.arange(4.0)) is None


def test_one_shot_solvers_have_one_step_and_no_energy():
    scores = evaluate(Feedforward.for_task(TASK, width=8, depth=1), TASK, problems=300)

    assert list(scores.mse_by_step) == [1]
    assert scores.mse_by_step[1] == pytest.approx(scores.mse, rel=1e-9)
    assert scores.energy_error_correlation is None
    assert scores.energies is None
    assert scores.outcomes == {Outcome.ANSWERED.name: 300}


def test_the_same_seed_gives_the_same_problems_whatever_the_solver():
    first, again = (evaluate(solver(0.5), TASK, problems=50, seed=3, max_steps=2) for _ in range(2))
    faster = evaluate(solver(0.9), TASK, problems=50, seed=3, max_steps=2)
    other = evaluate(solver(0.5), TASK, problems=50, seed=4, max_steps=2)

    assert first.to_dict() == again.to_dict()
    assert faster.mse_by_step[0] == first.mse_by_step[0]
    assert other.mse_by_step[0] != first.mse_by_step[0]


def test_harder_problems_are_drawn_harder():
    scores = evaluate(solver(0.5), TASK, difficulty="scale=4", problems=300, max_steps=1)

    # y on (0, 4): variance 16/12, mean 2; the start has variance 1/3.
    assert scores.mse_by_step[0] == pytest.approx(16 / 12 + 4 + 1 / 3, rel=0.06)
    assert scores.difficulty == "scale=4"


class Joined(Task):
    """Graphs whose answers are 1 on self loops and, on other edges, U(0, 1) or 1 for `joined`."""

    difficulties: ClassVar = {"train": {}, "same": {}, "joined": {"joined": 1}}

    def __init__(self):
        self.question = self.answer = EdgeSpace(complete=True)

    def draw(self, count, generator, device, *, joined: int = 0):
        nodes = torch.randint(1, 5, (count,), generator=generator)
        x = graphs.complete(nodes, torch.rand(int(nodes.square().sum()), 1, generator=generator))
        loops = x.edge_index[0] == x.edge_index[1]
        return Problem(x, self.answer), torch.where(loops[:, None] | bool(joined), 1, x.edge_attr)

    def group(self, problem, y):
        source, target = problem.x.edge_index
        return (source != target).long()[:, None]


class Halves(OneShot):
    """Answers 1/2 everywhere."""

    def __init__(self, task):
        super().__init__()
        self.question, self.answer = task.question, task.answer

    def answers(self, problem):
        return torch.full((problem.layout.rows, *self.answer.shape), 0.5)


@pytest.mark.parametrize("task", [TASK, MatrixInverse(size=3), Joined()])
def test_an_error_is_relative_to_the_best_constants_of_the_very_problems(task):
    """On 300 problems in two batches; the diagonal and self loops have a constant of their own."""
    scores = evaluate(Halves(task), task, problems=300, seed=2)
    answers = []
    generator = torch.Generator().manual_seed(derive(2, "evaluation", "same"))
    for problem, y in task.batches(300, "same", generator=generator):
        groups = task.group(problem, y)
        answers.append([y[groups == each] for each in (0, 1)] if groups is not None else [y, y[:0]])
    parts = [torch.cat([part.flatten() for part in each]) for each in zip(*answers, strict=True)]
    spread = sum(part.double().var(correction=0) * len(part) for part in parts if len(part))
    constant = spread.item() / sum(map(len, parts))

    assert scores.relative == pytest.approx(scores.mse / constant, rel=1e-6)
    assert scores.to_dict()["relative"] == scores.relative


def test_there_is_no_relative_error_where_a_constant_is_right():
    scores = evaluate(Halves(Joined()), Joined(), difficulty="joined", problems=300)

    assert scores.mse == 0.25
    assert scores.relative is None


def test_scores_are_plain_values():
    plain = evaluate(solver(0.5), TASK, problems=9, max_steps=2).to_dict()

    assert list(plain["mse_by_step"]) == ["0", "1", "2"]
    assert all(math.isfinite(plain[name]) for name in ("mse", "mse_last", "steps_mean"))


@attrs.frozen
class Recorded(Ranks):
    """One of several processes, which the test runs one after the other."""

    others: list = attrs.field(factory=list)

    def gather(self, value):
        gathered = [*self.others, dict(value)]
        self.others.append(dict(value))
        return gathered


@pytest.mark.parametrize("count", [2, 3, 5])
def test_processes_share_the_problems_and_return_the_scores_of_all(count):
    """On 1,300 problems, of which a batch has 250 at most."""
    solver = IREM.for_task(Add(size=4), energy=MLPEnergy.for_task(Add(size=4), width=8))
    options = {"problems": 1300, "max_steps": 3, "seed": 4}
    alone = evaluate(solver, Add(size=4), **options)
    others, solved = [], []
    for rank in range(count):
        here = Recorded(rank, count, others)
        shared = evaluate(solver, Add(size=4), ranks=here, **options)
        solved.append(shared.problems)
    assert shared.to_dict() == alone.to_dict()
    for name in ("errors", "energies", "steps"):
        assert torch.equal(getattr(shared, name), getattr(alone, name))
    assert solved[0] < 1300


@pytest.mark.parametrize("seed", range(5))
def test_auroc_is_that_of_the_rank_sum(seed):
    generator = torch.Generator().manual_seed(seed)
    # Whole numbers, so that there are ties.
    energies = torch.randint(6, (41,), generator=generator).float()
    errors = torch.rand(41, generator=generator)
    wrong = errors >= errors.sort(descending=True).values[9]
    statistic = mannwhitneyu(energies[wrong], energies[~wrong]).statistic
    assert auroc(energies, errors) == pytest.approx(statistic / (10 * 31))
    assert auroc(errors, errors) == 1
    assert auroc(-errors, errors) == 0
    with pytest.raises(SettingError, match="41 answers"):
        auroc(energies, errors, share=1.0)


def test_the_worst_tenth_is_told_where_there_is_one():
    scores = evaluate(solver(0.5), TASK, problems=20, max_steps=1)
    errors = torch.arange(20.0)
    energies = errors.clone()
    energies[18], energies[3] = 3.0, 18.0  # one of the two worst is below 14 of the 18 others
    energies[19] = 17.5  # and the other below one of them
    pairs = [(float(a), float(b)) for a in energies[18:] for b in energies[:18]]
    wins = sum((a > b) + 0.5 * (a == b) for a, b in pairs)
    told = attrs.evolve(scores, energies=energies, errors=errors)
    assert told.worst_tenth_auroc == pytest.approx(wins / len(pairs))
    assert told.to_dict()["worst_tenth_auroc"] == told.worst_tenth_auroc
    assert attrs.evolve(told, energies=torch.ones(20)).worst_tenth_auroc is None
    assert attrs.evolve(told, energies=None).worst_tenth_auroc is None
    assert evaluate(solver(0.5), TASK, problems=9, max_steps=1).worst_tenth_auroc is None
