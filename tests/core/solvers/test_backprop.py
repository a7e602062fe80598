"""How a loss reaches the weights: against finite differences and formulas written out."""

import pytest
import torch
from torch import nn

from irem_core import (
    Adam,
    EnergyFn,
    FullUnroll,
    GradientDescent,
    Iterate,
    LastStep,
    MLPEnergy,
    Momentum,
    Problem,
    Rollout,
    ScratchpadMLPEnergy,
    VectorSpace,
)
from irem_core.energies.landscape import differentiate

SPACE = VectorSpace(2)
X = torch.tensor([[0.3, -0.8], [0.1, 0.9], [-0.5, 0.2]], dtype=torch.float64)
TARGET = -X
START = torch.tensor([[0.5, 0.1], [-0.9, 0.4], [0.2, -0.3]], dtype=torch.float64)
Z = torch.tensor([[0.5], [-0.5], [0.1]], dtype=torch.float64)
DESCENTS = [GradientDescent(step_size=0.7), Momentum(step_size=0.5, momentum=0.8), Adam()]


def make_energy(kind=MLPEnergy):
    torch.manual_seed(3)
    extra = {"scratchpad": 1} if kind is ScratchpadMLPEnergy else {}
    energy = kind(SPACE, SPACE, width=4, depth=2, **extra).double()
    with torch.no_grad():
        for weight in energy.parameters():
            weight.mul_(2)
    return energy


def loss_of(energy, backprop, descent, *, steps=3, every=False):
    problem = Problem(X, SPACE)
    z = Z if isinstance(energy, ScratchpadMLPEnergy) else None
    start = Iterate(START, problem.layout, z)
    rollout = Rollout(
        energy=energy, problem=problem, start=start, descent=descent, steps=steps, every=every
    )
    iterates = list(backprop.unroll(rollout))
    assert len(iterates) == (steps if every else 1)
    return sum((iterate.y - TARGET).square().mean() for iterate in iterates)


def gradients(energy, loss):
    """Return the gradient in all weights but the last bias, of which none depends."""
    weights = [weight for name, weight in energy.named_parameters() if name != "head.bias"]
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights)])


def finite_differences(energy, loss, size=1e-6):
    slopes = []
    for name, weight in energy.named_parameters():
        if name == "head.bias":
            continue
        flat = weight.data.view(-1)
        for entry in range(len(flat)):
            kept, ends = flat[entry].item(), []
            for sign in (1, -1):
                flat[entry] = kept + sign * size
                ends.append(loss().item())
            flat[entry] = kept
            slopes.append((ends[0] - ends[1]) / (2 * size))
    return torch.tensor(slopes, dtype=torch.float64)


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize(
    ("descent", "kind"),
    [(DESCENTS[0], MLPEnergy), (DESCENTS[1], MLPEnergy), (DESCENTS[0], ScratchpadMLPEnergy)],
)
def test_full_unroll_agrees_with_finite_differences(descent, kind, every):
    energy = make_energy(kind)
    exact = gradients(energy, loss_of(energy, FullUnroll(), descent, every=every))
    found = finite_differences(energy, lambda: loss_of(energy, FullUnroll(), descent, every=every))

    assert exact.abs().max() > 1e-3
    torch.testing.assert_close(exact, found, rtol=1e-5, atol=1e-8)


def plain_path(energy, steps, step_size):
    """Return y^0 ... y^N of gradient descent, written out without the library's loop."""
    path = [START]
    for _ in range(steps):
        y = path[-1].clone().requires_grad_()
        slope = torch.autograd.grad(energy(X, y).sum(), y)[0]
        path.append((y - step_size * slope).detach())
    return path


def truncated_loss(energy, before, step_size):
    """Return the loss on y - step_size * dE/dy, with y taken as a constant (Section 3.2)."""
    y = before.clone().requires_grad_()
    slope = torch.autograd.grad(energy(X, y).sum(), y, create_graph=True)[0]
    return (before - step_size * slope - TARGET).square().mean()


@pytest.mark.parametrize("every", [False, True])
def test_last_step_takes_the_iterate_before_as_a_constant(every):
    energy, steps, step_size = make_energy(), 4, 0.7
    descent = GradientDescent(step_size=step_size)
    loss = loss_of(energy, LastStep(), descent, steps=steps, every=every)

    path = plain_path(energy, steps, step_size)
    supervised = path[:steps] if every else path[steps - 1 : steps]
    expected = sum(truncated_loss(energy, before, step_size) for before in supervised)
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-14)
    torch.testing.assert_close(
        gradients(energy, loss), gradients(energy, expected), rtol=0, atol=1e-12
    )


def test_the_two_rules_differ_in_their_gradients_alone():
    energy = make_energy()
    full, last = (loss_of(energy, rule, DESCENTS[0]) for rule in (FullUnroll(), LastStep()))

    torch.testing.assert_close(full, last, rtol=0, atol=1e-14)
    assert (gradients(energy, full) - gradients(energy, last)).abs().max() > 1e-3


@pytest.mark.parametrize("descent", DESCENTS)
def test_the_two_rules_agree_for_one_step(descent):
    energy = make_energy()
    full, last = (
        gradients(energy, loss_of(energy, rule, descent, steps=1))
        for rule in (FullUnroll(), LastStep())
    )

    torch.testing.assert_close(full, last, rtol=0, atol=1e-14)


def test_last_step_keeps_the_state_of_a_descent_as_a_constant():
    # Heavy ball: y3 = y2 - s (m v2 + g(y2)), and only g(y2) reaches the weights.
    energy, descent = make_energy(), Momentum(step_size=0.5, momentum=0.8)
    loss = loss_of(energy, LastStep(), descent, steps=3)

    y, velocity = START, torch.zeros_like(START)
    for step in range(3):
        at = y.clone().requires_grad_()
        slope = torch.autograd.grad(energy(X, at).sum(), at, create_graph=step == 2)[0]
        velocity = 0.8 * velocity + slope
        y = y - 0.5 * velocity
    expected = (y - TARGET).square().mean()
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-14)
    torch.testing.assert_close(
        gradients(energy, loss), gradients(energy, expected), rtol=0, atol=1e-12
    )


class Encoded(EnergyFn):
    """Every weight sits in the encoder, which counts its calls."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2).double()
        self.encoded = 0

    def encode(self, problem):
        self.encoded += 1
        return self.layer(problem.x)

    def energy(self, context, y):
        return (y - context).square().sum(1) / 2


@pytest.mark.parametrize(("backprop", "factor"), [(LastStep(), 0.25), (FullUnroll(), 1 - 0.75**3)])
def test_weights_of_the_encoder_learn_and_it_runs_once(backprop, factor):
    # y3 = c + 0.75^3 (y0 - c), where c is the encoder's output.
    energy = Encoded()
    loss = loss_of(energy, backprop, GradientDescent(step_size=0.25), steps=3)
    loss.backward()

    center = energy.layer(X).detach()
    residual = center + 0.75**3 * (START - center) - TARGET
    expected = factor * 2 * residual / residual.numel()
    torch.testing.assert_close(energy.layer.bias.grad, expected.sum(0), rtol=0, atol=1e-12)
    torch.testing.assert_close(energy.layer.weight.grad, expected.T @ X, rtol=0, atol=1e-12)
    assert energy.encoded == 1


def test_the_gradient_descended_is_that_of_the_energy():
    energy, problem = make_energy(), Problem(X, SPACE)
    context = energy.encode(problem)
    slope = differentiate(energy, context, Iterate(START, problem.layout)).slope.y

    for entry in range(2):
        nudge = torch.zeros(2, dtype=torch.float64)
        nudge[entry] = 1e-6
        rise = (energy(X, START + nudge) - energy(X, START - nudge)) / 2e-6
        torch.testing.assert_close(slope[:, entry], rise.detach(), rtol=1e-6, atol=1e-9)
