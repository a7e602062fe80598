"""The feedforward baseline (Table 11)."""

import torch
from torch.nn import functional

from irem_baselines import Feedforward
from irem_core import MatrixSpace, Outcome, Problem, VectorSpace, evaluate, fit
from irem_tasks import Add, Negate


def parameters(module):
    return sum(weight.numel() for weight in module.parameters())


def test_parameters_of_table_11():
    hidden = 2 * (512 * 512 + 512)

    assert parameters(Feedforward.for_task(Add())) == 800 * 512 + 512 + hidden + 512 * 400 + 400
    assert parameters(Feedforward.for_task(Negate())) == 400 * 512 + 512 + hidden + 512 * 400 + 400


def test_answers_are_layers_with_relu_between():
    torch.manual_seed(0)
    solver = Feedforward(MatrixSpace(2, 3), VectorSpace(4), width=7, depth=2)
    x = torch.randn(5, 2, 3)
    weights = [weight for _, weight in solver.named_parameters()]
    features = x.reshape(5, 6)
    for layer in range(2):
        features = functional.linear(features, *weights[2 * layer : 2 * layer + 2]).clamp(min=0)
    expected = functional.linear(features, *weights[4:])

    solution = solver.solve(x)
    torch.testing.assert_close(solution.y, expected)
    assert torch.equal(solution.last, solution.y)
    assert not solution.y.requires_grad
    assert solution.energy is None
    assert solution.steps.tolist() == [1] * 5
    assert solution.outcome.tolist() == [Outcome.ANSWERED] * 5
    assert solution.check() is solution


def test_matrices_come_back_as_matrices():
    solution = Feedforward(VectorSpace(3), MatrixSpace(2, 4), width=5).solve(torch.zeros(6, 3))

    assert solution.y.shape == (6, 2, 4)


def test_answers_stay_within_bounds():
    solver = Feedforward(VectorSpace(3), VectorSpace(50, low=0.0, high=0.1), width=5)
    y = solver.solve(torch.randn(6, 3, generator=torch.Generator().manual_seed(0))).y

    assert y.min() == 0
    assert 0 < y.max() <= torch.tensor(0.1)


def test_the_loss_is_the_mean_over_all_entries():
    solver, generator = Feedforward(VectorSpace(3), VectorSpace(2), width=5), torch.Generator()
    x, target = torch.ones(4, 3), torch.zeros(4, 2)
    expected = solver.solve(x).y.square().sum() / 8

    loss = solver.loss(Problem(x), target, generator)
    torch.testing.assert_close(loss.detach(), expected)
    assert loss.requires_grad


def test_learns_to_negate():
    task = Negate(size=4)
    solver = Feedforward.for_task(task, width=32, depth=1)
    fit(solver, task, iterations=200, batch_size=32, learning_rate=5e-3, seed=0)

    assert evaluate(solver, task, problems=200).mse < task.floor().constant / 10
