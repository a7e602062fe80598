"""Floors: what an answer without reasoning scores."""

import pytest
import torch

from irem_core import MatrixSpace, Task, VectorSpace


class Polynomial(Task):
    """y = shift + a^2 b + 0.3 times another entry's input, on inputs from U(-1, 1)."""

    def __init__(self, with_input=True):
        self.question, self.answer = VectorSpace(20), VectorSpace(10)
        self.with_input = with_input

    def draw(self, count, generator, device, *, shift: float = 0.5):
        x = torch.empty(count, 20).uniform_(-1, 1, generator=generator)
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


def test_fitting_is_on_the_training_distribution():
    floor = Polynomial().floor("shift=1.5")

    assert floor.constant == pytest.approx(1 + SIGNAL + UNSEEN, rel=0.04)
    assert floor.entrywise == pytest.approx(1 + UNSEEN, rel=0.04)


def test_there_is_no_entrywise_floor_without_own_inputs():
    assert Polynomial(with_input=False).floor().entrywise is None


def test_matrices_get_a_constant_of_their_own_on_the_diagonal():
    # Var of u^2 is 4/45; of (5 + u)^2 = 25 + 10 u + u^2 it is 100/12 + 4/45 + 20/12.
    floor = Diagonal().floor()
    expected = (2 / 3) * (4 / 45) + (1 / 3) * (100 / 12 + 4 / 45 + 20 / 12)

    assert floor.constant == pytest.approx(expected, rel=0.04)
    assert floor.entrywise == pytest.approx(0, abs=1e-6)
