"""Implicit differentiation in training, and solvers as layers."""

import pickle
import weakref

import pytest
import torch
from torch import nn

from irem_baselines import Feedforward
from irem_core import (
    IREM,
    BarzilaiBorwein,
    EnergyFn,
    FullUnroll,
    GradientDescent,
    Implicit,
    Iterate,
    Problem,
    Rollout,
    ScratchpadEnergy,
    SettingError,
    SolverLayer,
    Unrolled,
    VectorSpace,
    build,
)
from irem_core.registry import BACKPROPS

SPACE = VectorSpace(3, low=-0.2)
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(5, 3, generator=GENERATOR, dtype=torch.float64)


class Curved(EnergyFn):
    """E = |W y - x|^2 / 2 + y^4 / 20, of W near the identity."""

    def __init__(self):
        super().__init__()
        self.answer = SPACE
        drawn = torch.randn(3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        self.weight = nn.Parameter(torch.eye(3, dtype=torch.float64) + 0.2 * drawn)

    def energy(self, context, y):
        return (y @ self.weight - context).square().sum(-1) / 2 + y.pow(4).sum(-1) / 20


class CurvedWithMemory(ScratchpadEnergy):
    """The same, with z drawn to the second entry of y and back."""

    scratchpad = 1

    def __init__(self):
        super().__init__()
        self.inner = Curved()
        self.weight = self.inner.weight

    def energy(self, context, y, z):
        return self.inner.energy(context, y) + (z[:, 0] - y[:, 1]).square() / 4


def slope(rule, energy, steps, backward=True):
    problem = Problem(X, SPACE)
    z = torch.zeros(5, 1, dtype=torch.float64) if energy.scratchpad else None
    rollout = Rollout(
        energy=energy,
        problem=problem,
        start=Iterate(torch.zeros_like(X), problem.layout, z),
        descent=GradientDescent(step_size=0.3),
        steps=steps,
    )

    def error(iterate):
        return (iterate.y - 1).square().mean()

    loss, last = rule.loss(rollout, error, GENERATOR)
    found = torch.autograd.grad(loss, energy.weight)[0] if backward else None
    return found, loss, last


@pytest.mark.parametrize("kind", [Curved, CurvedWithMemory])
def test_the_gradient_of_training_is_that_of_full_unroll_where_descents_arrive(kind):
    energy = kind()
    (found, loss, last), (wanted, same, end) = (
        slope(rule, energy, steps=200) for rule in (Implicit(), FullUnroll())
    )
    torch.testing.assert_close((loss, last.y), (same, end.y))
    assert float((found - wanted).norm() / wanted.norm()) < 1e-6
    early = slope(Implicit(), energy, steps=1)[0]
    assert float((early - wanted).norm() / wanted.norm()) > 1e-2


class Kept:
    """A tensor that autograd keeps."""

    def __init__(self, tensor):
        self.tensor = tensor


def saved_bytes(rule, steps):
    """Return the bytes of the tensors that autograd keeps of one descent until it is done."""
    kept = weakref.WeakSet()

    def pack(tensor):
        holder = Kept(tensor)
        kept.add(holder)
        return holder

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda holder: holder.tensor):
        _, loss, _ = slope(rule, Curved(), steps, backward=False)
        assert loss.requires_grad
        return sum(holder.tensor.nbytes for holder in kept)


def test_memory_does_not_grow_with_the_steps():
    few, many = (saved_bytes(Implicit(), steps) for steps in (5, 50))
    assert few == many
    few, many = (saved_bytes(FullUnroll(), steps) for steps in (5, 50))
    assert many > 5 * few


def test_it_is_found_by_name_and_trains():
    rule = build(BACKPROPS, "implicit(max_steps=20)")
    assert rule == Implicit(max_steps=20)
    solver = IREM(Curved(), descent=GradientDescent(step_size=0.3), steps=20, backprop=rule)
    solver.loss(Problem(X, SPACE), X, torch.Generator().manual_seed(0)).backward()
    assert float(solver.energy.weight.grad.abs().max()) > 0


def layer(**options):
    solver = IREM(Curved(), descent=BarzilaiBorwein(), replay=0)
    return SolverLayer(solver, max_steps=300, **options)


def test_a_layer_passes_gradients_to_its_input_and_its_weights():
    for options in ({}, {"differentiable": Unrolled(steps=5)}):
        module = layer(**options)
        x = X.clone().requires_grad_()
        network = nn.Sequential(module, nn.Linear(3, 1).double())
        network(x).sum().backward()
        assert float(x.grad.abs().sum()) > 0
        assert float(module.solver.energy.weight.grad.abs().sum()) > 0
        assert module.solution.carries is not None
        with torch.no_grad():
            assert not network(x).requires_grad


def test_a_layer_is_saved_without_its_last_solution():
    module = layer()
    y = module(X)
    assert set(module.state_dict()) == {"solver.energy.weight"}
    again = pickle.loads(pickle.dumps(module))
    assert again.solution is None
    torch.testing.assert_close(again(X), y)


def test_solvers_without_an_energy_say_so():
    space = VectorSpace(2)
    with pytest.raises(SettingError, match="Feedforward descends no energy"):
        Feedforward(space, space).solve(torch.rand(3, 2), differentiable=Implicit())
    with pytest.raises(SettingError, match="expected a Solver"):
        SolverLayer(Curved())
