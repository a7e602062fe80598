"""What is faster on a GPU against the same there, operation by operation."""

from __future__ import annotations

import copy

import pytest
import torch

from irem_core import (
    differentiate,
    fit,
    load_task,
)
from irem_core.energies.landscape import encoded
from irem_core.solvers.recipes import recipe

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

WAYS = {
    "compiled": lambda solver: solver.compile(),
    "captured": lambda solver: solver.compile(mode="reduce-overhead"),
    "bfloat16": lambda solver: solver.autocast(),
}
# Of the length of the difference to float32, eager: rounding alone, or that of bfloat16.
TOLERANCES = {"compiled": 1e-3, "captured": 1e-3, "bfloat16": 0.05}


def solvers(task, energy, way):
    made = recipe(load_task(task), energy=energy).solver.to("cuda")
    other = copy.deepcopy(made)
    WAYS[way](other)
    return made, other


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("task", "energy"), [("add(size=20)", "mlp"), ("shortest-path", "gine"), ("denoise", "conv")]
)
def test_energies_and_their_derivatives_agree(task, energy, way):
    drawing = torch.Generator("cuda").manual_seed(0)
    problem, target = load_task(task).sample(16, generator=drawing, device="cuda")
    found = []
    # Where rounding opens or closes a ReLU a gradient jumps.
    tolerance = (10 if energy == "gine" else 2) * TOLERANCES[way]
    for solver in solvers(task, energy, way):
        solver.train()
        start = solver.energy.start(problem, torch.Generator("cuda").manual_seed(1))
        for _ in range(3):
            seen = differentiate(
                solver.energy, encoded(solver.energy, problem), start, create_graph=True
            )
            loss = (start - 0.1 * seen.gradient).y.sub(target).square().sum() + seen.energy.sum()
            weights = list(solver.energy.parameters())
            slopes = torch.autograd.grad(loss, weights, allow_unused=True)
            slopes = [each.flatten() for each in slopes if each is not None]
        found.append([seen.energy.detach(), seen.gradient.y.detach(), torch.cat(slopes)])
    for one, other in zip(*found, strict=True):
        assert one.dtype == other.dtype == torch.float32
        assert (one - other).norm() <= tolerance * one.norm()


@pytest.mark.parametrize("way", WAYS)
def test_training_ends_with_the_same_weights(way):
    task, ended = load_task("add(size=20)"), []
    for solver in solvers("add(size=20)", "mlp(width=64)", way):
        before = torch.cat([each.detach().flatten() for each in solver.parameters()])
        fit(solver, task, iterations=60, batch_size=32, seed=0, device="cuda")
        ended.append(torch.cat([each.detach().flatten() for each in solver.parameters()]))
    moved = (ended[0] - before).norm()
    assert (ended[1] - ended[0]).norm() <= (0.2 if way == "bfloat16" else 0.02) * moved


@pytest.mark.parametrize("way", WAYS)
def test_solving_takes_the_same_steps(way):
    solver, other = solvers("add(size=20)", "mlp", way)
    problem, _ = load_task("add(size=20)").sample(
        200, generator=torch.Generator("cuda").manual_seed(0), device="cuda"
    )
    for each in (solver, other):
        each.eval()
    found, wanted = (each.solve(problem, max_steps=10) for each in (other, solver))
    length = (wanted.y - found.y).norm() / wanted.y.norm()
    assert length <= TOLERANCES[way]


@pytest.mark.parametrize(("task", "energy"), [("add(size=20)", "mlp"), ("denoise", "conv")])
def test_the_gpu_computes_what_the_cpu_does(task, energy):
    task = load_task(task)
    solver = recipe(task, energy=energy).solver
    problem, target = task.sample(16, generator=torch.Generator().manual_seed(0))
    wanted = solver.energy(problem.x, 0.9 * target)
    found = solver.energy.to("cuda")(problem.x.to("cuda"), 0.9 * target.to("cuda"))
    torch.testing.assert_close(found.cpu(), wanted, rtol=1e-3, atol=1e-4)
