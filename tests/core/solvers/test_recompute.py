"""`FullUnroll(recompute=True)`: the gradients of `FullUnroll`, in memory that hardly grows."""

import weakref

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from irem_core import (
    IREM,
    Adam,
    Backtracking,
    BarzilaiBorwein,
    DescentError,
    FullUnroll,
    GINEEnergy,
    GradientDescent,
    Iterate,
    MLPEnergy,
    Momentum,
    Nesterov,
    Problem,
    Rollout,
    VectorSpace,
    build,
)
from irem_core.problems.graphs import is_batch
from irem_core.registry import SOLVERS, Target
from irem_tasks.graphs import ShortestPath
from trainings import TASK, DropoutEnergy, ScratchEnergy, group_of_one, small_solver

DESCENTS = [
    GradientDescent(step_size=0.7),
    Momentum(step_size=0.5, momentum=0.8),
    Nesterov(step_size=0.5, momentum=0.8),
    Adam(),
    BarzilaiBorwein(),
    Backtracking(),
]
SPACE = VectorSpace(8)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(task=TASK):
    problem, target = task.sample(6, generator=generator(9))
    double = problem.x.apply if is_batch(problem.x) else lambda function: function(problem.x)
    x = double(lambda each: each.double() if each.is_floating_point() else each)
    return Problem(x, problem.answer), target.double()


def solver_of(energy, recompute, **settings):
    """Return a solver in float64 that trains through all of its steps."""
    settings = {"steps": 4, "replay": 0, "descent": GradientDescent(step_size=0.7)} | settings
    return small_solver(energy, backprop=FullUnroll(recompute=recompute), **settings).double()


def loss_and_slopes(solver, task=TASK):
    """Return the loss and its gradients, drawn from a global state of its own."""
    torch.manual_seed(4)
    loss = solver.loss(*batch(task), generator(1))
    drawn = torch.get_rng_state()
    loss.backward()
    assert torch.equal(torch.get_rng_state(), drawn)
    return loss.detach(), {name: each.grad for name, each in solver.named_parameters()}


def check_same(solvers, task=TASK):
    (loss, slopes), (expected, wanted) = (loss_and_slopes(each, task) for each in solvers)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    assert max(float(slope.abs().max()) for slope in wanted.values() if slope is not None) > 1e-4
    torch.testing.assert_close(slopes, wanted, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("supervise", ["last", "every"])
@pytest.mark.parametrize("energy", [MLPEnergy, DropoutEnergy, ScratchEnergy])
@pytest.mark.parametrize("descent", DESCENTS, ids=lambda descent: type(descent).__name__)
def test_gradients_are_those_of_the_whole_graph(descent, energy, supervise):
    settings = {"descent": descent, "objective": DescentError(supervise=supervise)}
    check_same([solver_of(energy, recompute, **settings) for recompute in (True, False)])


@pytest.mark.parametrize("supervise", ["last", "every"])
def test_gradients_on_graphs_are_those_of_the_whole_graph(supervise):
    task = ShortestPath()

    def solver(recompute):
        made = GINEEnergy.for_task(task, width=8)
        rule, descent = FullUnroll(recompute=recompute), GradientDescent(step_size=1.0)
        asked = DescentError(supervise=supervise)
        return IREM(made, steps=3, descent=descent, backprop=rule, objective=asked).double()

    check_same([solver(True), solver(False)], task)


class Live(TorchDispatchMode):
    """Counts the bytes of the tensors that are alive, of those made meanwhile."""

    def __init__(self):
        super().__init__()
        self.sizes = {}
        self.peak = 0

    @property
    def bytes(self):
        return sum(self.sizes.values())

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for each in tree_leaves(made):
            if isinstance(each, torch.Tensor):
                storage = each.untyped_storage()
                key = storage._cdata
                if key not in self.sizes:
                    self.sizes[key] = storage.nbytes()
                    weakref.finalize(storage, self.sizes.pop, key)
        self.peak = max(self.peak, self.bytes)
        return made


def memory(rule, descent, steps, every):
    """Return the most bytes alive during a loss and its gradient, beside the iterates' own."""
    energy = MLPEnergy(SPACE, SPACE, width=64, depth=3)
    problem = Problem(torch.randn(32, 8, generator=generator()), SPACE)
    start = Iterate(torch.randn(32, 8, generator=generator(1)), problem.layout)
    with Live() as live:
        rollout = Rollout(
            energy=energy, problem=problem, start=start, descent=descent, steps=steps, every=every
        )
        loss = sum(iterate.y.square().mean() for iterate in rule.unroll(rollout))
        loss.backward()
    # Of a step stay its iterate and the state: Momentum's velocity.
    kept = 1 + isinstance(descent, Momentum)
    return live.peak - steps * kept * start.y.nbytes


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("descent", [GradientDescent(step_size=0.1), Momentum(step_size=0.1)])
def test_memory_hardly_grows_with_the_steps(descent, every):
    whole, again = (
        [memory(FullUnroll(recompute=recompute), descent, steps, every) for steps in (5, 40)]
        for recompute in (False, True)
    )
    assert whole[1] > 7 * whole[0]
    assert again[1] < 1.1 * again[0]
    assert again[0] < whole[0] / 2


def test_a_data_parallel_wrapper_sees_every_weight():
    solver, expected = (solver_of(ScratchEnergy, recompute) for recompute in (True, False))
    expected.loss(*batch(), generator()).backward()
    with group_of_one():
        model = DistributedDataParallel(solver, find_unused_parameters=True)
        model(*batch(), generator()).backward(inputs=list(solver.parameters()))
        del model
    for weight, wanted in zip(solver.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(weight.grad, wanted.grad, rtol=1e-10, atol=1e-14)


def test_the_command_line_can_ask_for_it():
    text = "irem(backprop=full_unroll(recompute=True))"
    assert build(SOLVERS, text, target=Target(TASK)).backprop == FullUnroll(recompute=True)
    assert not FullUnroll().recompute
