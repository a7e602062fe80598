"""The scratchpad: y and z descend together, each by its own gradient (Appendix B)."""

import pytest
import torch

from irem_core import (
    IREM,
    FixedSteps,
    GradientDescent,
    LastStep,
    Problem,
    ScratchpadMLPEnergy,
    VectorSpace,
    minimize,
)
from irem_core.testing.zoo import BATCHES, ScratchpadQuadratic
from irem_tasks import Add

# The second derivatives of ScratchpadQuadratic in (y, z), entry by entry.
HESSIAN = torch.tensor([[1.0, -0.5], [-0.5, 1.0]], dtype=torch.float64)


def closed_form(animal, steps, step_size):
    """Return (y, z) after so many steps: (I - s H)^n of the start's distance from (x, x)."""
    factor = torch.linalg.matrix_power(
        torch.eye(2, dtype=torch.float64) - step_size * HESSIAN, steps
    )
    away = torch.stack([animal.start - animal.x, animal.z - animal.x])
    return torch.einsum("ij,jbn->ibn", factor, away) + animal.x


def descend(steps, step_size=0.5):
    return minimize(
        **BATCHES["scratchpad"].arguments(),
        descent=GradientDescent(step_size=step_size),
        halting=FixedSteps(steps=steps),
    )


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_joint_descent_is_linear_in_the_start(steps):
    # Fails where z keeps its start, or descends by z itself instead of its gradient.
    animal, solution = BATCHES["scratchpad"], descend(steps)
    y, z = closed_form(animal, steps, 0.5)

    torch.testing.assert_close(solution.last, y, rtol=0, atol=1e-13)
    torch.testing.assert_close(solution.z, z, rtol=0, atol=1e-13)
    assert (solution.z - animal.z).abs().max() > 0.1


def test_z_reaches_its_minimum_too():
    animal, solution = BATCHES["scratchpad"], descend(80)

    torch.testing.assert_close(solution.y, animal.x, rtol=0, atol=1e-8)
    torch.testing.assert_close(solution.z, animal.x, rtol=0, atol=1e-8)


def test_y_and_z_of_a_solution_belong_to_its_energy():
    solution = descend(9, step_size=1.9)
    energy = ScratchpadQuadratic().energy(BATCHES["scratchpad"].x, solution.y, solution.z)

    assert torch.equal(solution.energy, energy)
    assert not torch.equal(solution.y, solution.last)


def test_both_starts_are_drawn_from_the_generator():
    energy = ScratchpadQuadratic(scratchpad=300)
    problem = Problem(torch.zeros(40, 300), VectorSpace(300))

    def start(seed):
        return energy.start(problem, torch.Generator().manual_seed(seed))

    first, again, other = start(0), start(0), start(1)
    assert torch.equal(first.z, again.z)
    assert not torch.equal(first.z, other.z)
    assert not torch.equal(first.z, first.y)
    assert first.z.shape == (40, 300)
    assert first.z.abs().max() <= 1
    # Standard errors of the moments of U(-1, 1) from 12,000 draws: 0.0053 and 0.0027.
    assert abs(first.z.mean()) < 0.03
    assert abs(first.z.square().mean() - 1 / 3) < 0.015


def test_a_start_without_a_scratchpad_gets_one():
    animal = BATCHES["scratchpad"]
    solution = minimize(
        ScratchpadQuadratic(),
        animal.x,
        start=animal.start,
        descent=GradientDescent(step_size=0.5),
        max_steps=0,
    )

    assert torch.equal(solution.y, animal.start)
    assert solution.z.shape == (4, 3)


def test_z_is_replayed_with_its_y():
    task = Add(size=4)
    energy = ScratchpadMLPEnergy.for_task(task, scratchpad=3, width=8, depth=1)
    solver = IREM(energy, steps=2, descent=GradientDescent(step_size=1.0), replay=6)
    starts, ends = [], []

    class Spy(LastStep):
        def unroll(self, rollout):
            starts.append(rollout.start)
            for last in super().unroll(rollout):
                ends.append(last)
                yield last

    solver.backprop, generator = Spy(), torch.Generator().manual_seed(0)
    for _ in range(2):
        solver.loss(*task.sample(6, generator=generator), generator)

    pushed = [torch.cat(row) for row in zip(ends[0].y.detach(), ends[0].z.detach(), strict=True)]
    replayed = torch.cat([starts[1].y, starts[1].z], 1)[6:]
    assert len(replayed) == 6
    for row in replayed:
        assert any(torch.equal(row, kept) for kept in pushed)
    assert not torch.equal(ends[0].z, starts[0].z)


def test_training_with_a_scratchpad_reduces_the_loss():
    task = Add(size=4)
    energy = ScratchpadMLPEnergy.for_task(task, scratchpad=8, width=32, depth=2)
    solver = IREM(energy, steps=3, descent=GradientDescent(step_size=10.0), replay=256)
    optimizer = torch.optim.Adam(solver.parameters(), lr=3e-3)
    generator, losses = torch.Generator().manual_seed(0), []
    for _ in range(150):
        loss = solver.loss(*task.sample(64, generator=generator), generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    # A constant answer scores 2/3.
    assert sum(losses[:5]) / 5 > 0.4
    assert sum(losses[-20:]) / 20 < 0.2
