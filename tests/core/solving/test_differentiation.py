"""Gradients of answers, against finite differences of whole solves and against formulas."""

import attrs
import pytest
import torch
from torch import nn

from irem_core import (
    CoordinateFlip,
    EnergyFn,
    GradientDescent,
    HaltingCriterion,
    Implicit,
    Iterate,
    Outcome,
    Problem,
    SettingError,
    Unrolled,
    VectorSpace,
    minimize,
)
from irem_core.testing.zoo import EdgeQuadratic, Quadratic, ScratchpadQuadratic

DOUBLE = torch.float64


@attrs.frozen
class After(HaltingCriterion):
    """Calls every problem converged after so many steps, but those that are named."""

    steps: int
    running: tuple = ()

    def init(self, evaluation):
        return torch.zeros_like(evaluation.energy)

    def update(self, before, after, state):
        outcome = (state + 1 >= self.steps).long() * int(Outcome.CONVERGED)
        outcome[list(self.running)] = int(Outcome.RUNNING)
        return outcome, state + 1


class Program(EnergyFn):
    """E = |A y|^2 / 2 + y^4 / 10 - c y, with A made of weights and c of x in `encode`."""

    def __init__(self):
        super().__init__()
        self.root = nn.Parameter(torch.tensor([[1.1, 0.3], [-0.2, 0.9]], dtype=DOUBLE))

    def encode(self, problem):
        return {"pull": problem.x["a"].sin() * problem.x["b"].exp()}

    def energy(self, context, y):
        bowl = (y @ self.root).square().sum(-1) / 2 + y.pow(4).sum(-1) / 10
        return bowl - (context["pull"] * y).sum(-1)


def questions():
    a = torch.tensor([[0.9, -0.8], [-0.4, 0.3], [0.1, 0.7]], dtype=DOUBLE)
    return {"a": a.requires_grad_(), "b": (a / 2).detach().requires_grad_()}


def solve(energy, x, space, steps=45, running=(), **options):
    return minimize(
        energy,
        Problem(x, space),
        start=torch.zeros(3, 2, dtype=DOUBLE),
        descent=GradientDescent(step_size=0.6),
        halting=After(steps, running),
        max_steps=steps,
        **options,
    )


def finite_differences(function, tensor, size=1e-5):
    slope, flat = torch.zeros_like(tensor), tensor.data.view(-1)
    for entry in range(flat.numel()):
        kept, ends = flat[entry].item(), []
        for sign in (1, -1):
            flat[entry] = kept + sign * size
            ends.append(function())
        flat[entry] = kept
        slope.view(-1)[entry] = (ends[0] - ends[1]) / (2 * size)
    return slope


AHEAD = torch.tensor([[0.7, -1.2], [0.4, 0.5], [-0.9, 1.6]], dtype=DOUBLE)


@pytest.mark.parametrize("low", [None, -0.1])
def test_gradients_are_those_of_the_whole_solve(low):
    energy, x, space = Program(), questions(), VectorSpace(2, low=low)
    given = [energy.root, x["a"], x["b"]]
    wanted = [
        finite_differences(lambda: float((solve(energy, x, space).last * AHEAD).sum()), each)
        for each in given
    ]
    for rule in (Implicit(tolerance=1e-12), Unrolled(steps=60)):
        solution = solve(energy, x, space, differentiable=rule)
        assert bool((solution.y == -0.1).any()) == (low is not None)
        found = torch.autograd.grad((solution.y * AHEAD).sum(), given)
        for one, other in zip(found, wanted, strict=True):
            assert float((one - other).norm() / other.norm()) < 1e-6
        residual = solution.residual if isinstance(rule, Implicit) else torch.zeros(3)
        assert float(residual.max()) < 1e-10


def test_what_did_not_converge_has_a_gradient_of_zero_and_is_named():
    energy, x = Program(), questions()
    whole = solve(energy, x, None, differentiable=Implicit())
    some = solve(energy, x, None, running=(1,), differentiable=Implicit())

    assert some.carries.tolist() == [True, False, True]
    assert torch.equal(some.y, whole.y)
    (found,) = torch.autograd.grad((some.y * AHEAD).sum(), x["a"])
    (wanted,) = torch.autograd.grad((whole.y * AHEAD).sum(), x["a"])
    torch.testing.assert_close(found[[0, 2]], wanted[[0, 2]])
    assert found[1].tolist() == [0, 0]
    assert some.residual.isnan().tolist() == [False, True, False]

    none = solve(energy, x, None, running=(0, 1, 2), differentiable=Implicit())
    none.y.sum().backward()
    assert energy.root.grad is None


def test_answers_are_constants_unless_asked_for_and_without_gradients():
    energy, x = Program(), questions()
    assert not solve(energy, x, None).y.requires_grad
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            solution = solve(energy, x, None, differentiable=Implicit())
        assert not solution.y.requires_grad
        assert solution.carries is None


def test_graphs_and_scratchpads_have_gradients_too():
    x = torch.tensor([[0.3], [0.5], [-0.2], [0.7]], dtype=DOUBLE, requires_grad=True)
    problem = Problem(x, owner=torch.tensor([0, 1, 1, 2]))
    options = {"descent": GradientDescent(step_size=0.5), "differentiable": Implicit()}
    options["halting"], options["max_steps"] = After(80, running=(2,)), 80
    solution = minimize(EdgeQuadratic(), problem, start=torch.zeros_like(x), **options)
    (found,) = torch.autograd.grad((solution.y * torch.arange(4)[:, None]).sum(), x)
    # The minimum lies at x.
    torch.testing.assert_close(found[:, 0].tolist(), [0.0, 1.0, 2.0, 0.0])

    x = torch.tensor([[0.3, 0.5, -0.2]], dtype=DOUBLE, requires_grad=True)
    start = Iterate(torch.zeros_like(x), Problem(x).layout, torch.zeros_like(x))
    options["halting"] = After(80)
    solution = minimize(ScratchpadQuadratic(), x, start=start, **options)
    found = torch.autograd.grad(solution.y[0, 1] + 3 * solution.z[0, 2], x)[0]
    torch.testing.assert_close(found[0].tolist(), [0.0, 1.0, 3.0])


class Flat(EnergyFn):
    """E = (y_1 + y_2 - x)^2 / 2: flat along (1, -1)."""

    def energy(self, context, y):
        return (y.sum(-1) - context[:, 0]).square() / 2


def test_a_singular_system_is_solved_by_its_shortest_solution_and_tells_its_residual():
    x = torch.tensor([[0.6], [0.6]], dtype=DOUBLE, requires_grad=True)
    options = {"descent": GradientDescent(step_size=0.3), "halting": After(60)}
    start = torch.zeros(2, 2, dtype=DOUBLE)
    solution = minimize(Flat(), x, start=start, differentiable=Implicit(), **options)
    # A loss on the sum alone has a derivative; one on an entry alone has not.
    ahead = torch.tensor([[1.0, 1.0], [1.0, 0.0]], dtype=DOUBLE)
    (found,) = torch.autograd.grad((solution.y * ahead).sum(), x)
    torch.testing.assert_close(found[:, 0].tolist(), [1.0, 0.5], rtol=1e-6, atol=0)
    torch.testing.assert_close(solution.residual.tolist(), [0.0, 0.5**0.5], rtol=0, atol=1e-6)


def test_a_saddle_is_solved_in_the_least_squares():
    class Saddle(EnergyFn):
        def energy(self, context, y):
            return (y[:, 0] - context[:, 0]) ** 2 - 2 * (y[:, 1] - context[:, 1]) ** 2

    x = torch.tensor([[0.6, 0.2]], dtype=DOUBLE, requires_grad=True)
    options = {"descent": GradientDescent(step_size=0.1), "halting": After(1)}
    solution = minimize(Saddle(), x, start=x.detach(), differentiable=Implicit(), **options)
    (found,) = torch.autograd.grad((solution.y * torch.tensor([1.0, 1.0])).sum(), x)
    torch.testing.assert_close(found[0].tolist(), [1.0, 1.0])


def test_mistakes_are_sentences():
    x = torch.zeros(2, 2)
    descent = GradientDescent(step_size=0.5)
    with pytest.raises(SettingError, match="expected a Differentiation"):
        minimize(Quadratic(), x, start=x, descent=descent, differentiable=True)
    with pytest.raises(SettingError, match="CoordinateFlip needs no gradient"):
        minimize(Quadratic(), x, start=x, descent=CoordinateFlip(), differentiable=Implicit())
