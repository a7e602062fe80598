"""Floors: what an answer without reasoning scores."""

import pytest
import torch

from irem_core import MatrixSpace, Task, VectorSpace
from irem_core.tasks.floors import constant_error, moments
from irem_tasks import ConnectedComponents, ShortestPath


class Polynomial(Task):
    """y = shift + a^2 b + 0.3 times another entry's input, on inputs from U(-1, 1)."""

    def __init__(self, with_input=True):
        self.question, self.answer = VectorSpace(20), VectorSpace(10)
        self.with_input = with_input

    def draw(self, count, generator, device, *, shift: float = 0.5, scale: float = 1.0):
        x = torch.empty(count, 20).uniform_(-scale, scale, generator=generator)
        a, b = x.chunk(2, 1)
        return x, shift + a.square() * b + 0.3 * b.roll(1, 1)

    def own_input(self, problem):
        return torch.stack(problem.x.chunk(2, 1), -1) if self.with_input else None


class Diagonal(Task):
    """Matrices from U(0, 1) with 5 added on the diagonal, and y = x squared."""

    def __init__(self):
        self.question = self.answer = MatrixSpace(3, 3)

    def draw(self, count, generator, device):
        x = torch.empty(count, 3, 3).uniform_(0, 1, generator=generator)
        x = x + 5 * torch.eye(3)
        return x, x.square()

    def own_input(self, problem):
        return problem.x[..., None]


# The variance of a^2 b is E a^4 E b^2 = 1/5 * 1/3, and what the neighbour adds is 0.09 / 3.
SIGNAL, UNSEEN = 1 / 15, 0.03


def test_entrywise_fits_all_but_what_other_entries_add():
    floor = Polynomial().floor("same")

    assert floor.constant == pytest.approx(SIGNAL + UNSEEN, rel=0.04)
    assert floor.entrywise == pytest.approx(UNSEEN, rel=0.04)


def test_fitting_is_on_the_difficulty_that_is_scored():
    # Fitted to training, both would be off by the shift of 1 and its square.
    floor = Polynomial().floor("shift=1.5,scale=2")

    assert floor.constant == pytest.approx(2**6 * SIGNAL + 2**2 * UNSEEN, rel=0.04)
    assert floor.entrywise == pytest.approx(2**2 * UNSEEN, rel=0.04)


class Growing(Task):
    """y = 1 + u of as many entries as asked for, u from U(-1, 1), which remembers what it drew."""

    def __init__(self):
        self.question = self.answer = VectorSpace(10)
        self.drawn = []

    def draw(self, count, generator, device, *, size: int = 10):
        self.drawn.append(count * size)
        x = torch.empty(count, size).uniform_(-1, 1, generator=generator)
        return x, 1 + x


@pytest.mark.parametrize("size", [10, 1_000, 100_000])
def test_large_problems_are_drawn_in_small_numbers(size):
    task = Growing()

    assert task.floor(f"size={size}").constant == pytest.approx(1 / 3, rel=0.03)
    assert 2 * 80_000 <= sum(task.drawn) <= 2 * 3_000_000
    assert max(task.drawn) <= 2_000_000


# Best constants that were measured at these sizes by another program, on other graphs.
BEST_CONSTANTS = [
    (ShortestPath, 15, 0.0743),
    (ShortestPath, 50, 0.0348),
    (ConnectedComponents, 15, 0.2225),
    (ConnectedComponents, 30, 0.0990),
]


@pytest.mark.parametrize(("kind", "nodes", "best"), BEST_CONSTANTS)
def test_floors_of_other_sizes_are_the_best_constants_of_these_sizes(kind, nodes, best):
    assert kind().floor(f"nodes={nodes}").constant == pytest.approx(best, rel=0.05)


def test_sums_of_batches_give_the_error_of_a_constant_for_each_group():
    draw = torch.Generator().manual_seed(0)
    answers = 7 + torch.randn(6, 3, 3, generator=draw)
    groups = torch.eye(3, dtype=torch.int64).expand(6, 3, 3)
    summed = moments(answers[:2], groups[:2]) + moments(answers[2:], groups[2:])
    diagonal = answers.diagonal(dim1=1, dim2=2)
    others = answers[groups == 0]

    wrong = diagonal.var(correction=0) * 18 + others.var(correction=0) * 36
    assert constant_error(summed) == pytest.approx(wrong.item() / 54, rel=1e-5)
    everything = answers.var(correction=0).item()
    assert constant_error(moments(answers, None)) == pytest.approx(everything, rel=1e-5)
    # Sums of 0.1 are rounded; a constant that is right is right.
    assert constant_error(moments(torch.full((1000,), 0.1), None)) == 0


def test_there_is_no_entrywise_floor_without_own_inputs():
    assert Polynomial(with_input=False).floor().entrywise is None


def test_matrices_get_a_constant_of_their_own_on_the_diagonal():
    # Var of u^2 is 4/45; of (5 + u)^2 = 25 + 10 u + u^2 it is 100/12 + 4/45 + 20/12.
    floor = Diagonal().floor()
    expected = (2 / 3) * (4 / 45) + (1 / 3) * (100 / 12 + 4 / 45 + 20 / 12)

    assert floor.constant == pytest.approx(expected, rel=0.04)
    assert floor.entrywise == pytest.approx(0, abs=1e-6)
