"""Training without gradients through the descent: the estimate, and what it leaves alone."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from irem_core import (
    IREM,
    CoordinateFlip,
    DescentError,
    EnergyFn,
    FullUnroll,
    GradientDescent,
    GradientFree,
    LastStep,
    MLPEnergy,
    Momentum,
    Problem,
    Rollout,
    TrainingDivergedError,
    VectorSpace,
)
from trainings import (
    TASK,
    At,
    DropoutEnergy,
    ScratchEnergy,
    bits,
    group_of_one,
    small_solver,
    train,
)


class Center(EnergyFn):
    """E = |y - c|^2 / 2 with c linear in the weights, so that the loss is quadratic in them."""

    def __init__(self, question, answer):
        super().__init__()
        self.answer = answer
        self.layer = nn.Linear(question.size, answer.size)

    def encode(self, problem):
        return self.layer(problem.x.flatten(1))

    def energy(self, context, y):
        return (y - context).square().sum(1) / 2


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def solver_of(energy, backprop, **settings):
    """Return a solver in float64 that starts afresh each time unless told otherwise."""
    settings = {"steps": 3, "replay": 0, "descent": GradientDescent(step_size=0.7)} | settings
    return small_solver(energy, backprop=backprop, **settings).double()


def batch():
    problem, target = TASK.sample(6, generator=generator(9))
    return Problem(problem.x.double(), problem.answer), target.double()


def trainable(solver):
    return {name: each for name, each in solver.named_parameters() if each.requires_grad}


def loss_and_slopes(solver, seed=0):
    """Return the loss on one batch, and its gradient in all weights, one after another."""
    torch.manual_seed(4)  # which dropout draws from
    loss = solver.loss(*batch(), generator(seed))
    weights = list(trainable(solver).values())
    slopes = torch.autograd.grad(loss, weights, materialize_grads=True)
    return loss.detach(), torch.cat([slope.flatten() for slope in slopes])


def directions(solver, pairs, seed=0):
    """Return the perturbations that `loss` draws behind the starts, `(pairs, weights)`."""
    drawn = generator(seed)
    solver.energy.start(batch()[0], drawn)
    weights = trainable(solver).values()
    return torch.stack(
        [
            torch.cat(
                [torch.randn(w.shape, generator=drawn, dtype=w.dtype).flatten() for w in weights]
            )
            for _ in range(pairs)
        ]
    )


MOMENTUM = {"descent": Momentum(step_size=0.5, momentum=0.8)}
EVERY = {"objective": DescentError(supervise="every")}


@pytest.mark.parametrize(
    ("energy", "sigma", "settings"),
    [
        # Differences of a quadratic function are exact over any distance.
        (Center, 1.0, {}),
        (Center, 1.0, EVERY),
        (MLPEnergy, 1e-5, {}),
        (MLPEnergy, 1e-5, MOMENTUM | EVERY),
        # Two of its layers share their weights.
        (ScratchEnergy, 1e-5, {}),
        (ScratchEnergy, 1e-5, EVERY),
        # Every descent drops the same units.
        (DropoutEnergy, 1e-5, {}),
    ],
)
def test_the_estimate_is_the_mean_of_slopes_along_directions(energy, sigma, settings):
    pairs = 3
    exact_loss, exact = loss_and_slopes(solver_of(energy, FullUnroll(), **settings))
    solver = solver_of(energy, GradientFree(pairs=pairs, sigma=sigma), **settings)
    loss, estimate = loss_and_slopes(solver)

    along = directions(solver, pairs)
    expected = ((along @ exact)[:, None] * along).mean(0)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(estimate, expected, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(loss, exact_loss, rtol=0, atol=1e-14)


def test_only_trainable_weights_are_perturbed():
    exact, estimated = (
        solver_of(MLPEnergy, rule) for rule in (FullUnroll(), GradientFree(pairs=1, sigma=1e-5))
    )
    for solver in (exact, estimated):
        solver.energy.hidden.requires_grad_(False)
    slope, estimate = (loss_and_slopes(solver)[1] for solver in (exact, estimated))

    (along,) = directions(estimated, 1)
    assert len(along) < sum(weight.numel() for weight in estimated.parameters())
    torch.testing.assert_close(estimate, (along @ slope) * along, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("pairs", [40, 1000])
def test_the_estimate_tends_to_the_gradient_of_the_full_descent(pairs):
    _, exact = loss_and_slopes(solver_of(Center, FullUnroll(), steps=1))
    _, estimate = loss_and_slopes(solver_of(Center, GradientFree(pairs=pairs), steps=1))

    # The expected squared error is (weights + 1) / pairs times the squared length.
    error = (estimate - exact).norm() / exact.norm()
    expected = ((len(exact) + 1) / pairs) ** 0.5
    assert expected / 2 < error < 1.5 * expected


def test_the_seed_decides_the_estimate_and_no_global_state():
    solver = solver_of(MLPEnergy, GradientFree())
    torch.manual_seed(1)
    state = torch.get_rng_state()
    solver.loss(*batch(), generator())
    assert torch.equal(torch.get_rng_state(), state)
    _, first = loss_and_slopes(solver, seed=5)
    _, again = loss_and_slopes(solver, seed=5)
    _, other = loss_and_slopes(solver, seed=6)

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


class Failing(Center):
    """Raises when called for the fifth time, amid the perturbed descents."""

    calls = 0

    def energy(self, context, y):
        self.calls += 1
        if self.calls == 5:
            raise RuntimeError("enough")
        return super().energy(context, y)


@pytest.mark.parametrize("energy", [MLPEnergy, ScratchEnergy, Failing])
def test_the_weights_are_what_they_were(energy):
    solver = solver_of(energy, GradientFree(sigma=0.3))
    before, held = bits(solver), dict(solver.named_parameters(remove_duplicate=False))
    versions = {name: weight._version for name, weight in held.items()}
    if energy is Failing:
        with pytest.raises(RuntimeError, match="enough"):
            solver.loss(*batch(), generator())
    else:
        solver.loss(*batch(), generator()).backward()

    after = dict(solver.named_parameters(remove_duplicate=False))
    assert bits(solver) == before
    assert held.keys() == after.keys()
    assert all(held[name] is weight for name, weight in after.items())
    assert versions == {name: weight._version for name, weight in after.items()}
    assert not isinstance(solver.energy, Failing) or solver.energy.calls == 5


def test_no_graph_leads_through_the_descents():
    learnt = []

    class Spy(Center):
        def encode(self, problem):
            encoded = super().encode(problem)
            learnt.append(encoded.requires_grad)
            return encoded

    rule = GradientFree(pairs=2)
    solver = solver_of(Spy, rule, replay=6)
    loss = solver.loss(*batch(), generator())
    assert learnt == [False] * (2 * 2 + 1)
    names, behind = set(), [loss.grad_fn]
    while behind:
        node = behind.pop()
        names.add(node.name().rstrip("0123456789"))
        behind += [each for each, _ in node.next_functions if each is not None]
    assert names <= {f"{name}Backward" for name in ("Add", "Sum", "Mul", "Sub")} | {
        "torch::autograd::AccumulateGrad"
    }

    problem, _ = batch()
    start = solver.energy.start(problem, generator())
    rollout = Rollout(
        energy=solver.energy,
        problem=problem,
        start=start,
        descent=GradientDescent(step_size=0.7),
        steps=3,
        every=True,
    )
    assert not any(each.y.requires_grad for each in rule.unroll(rollout))


@pytest.mark.parametrize("rule", [LastStep(), FullUnroll()])
@pytest.mark.parametrize("supervise", ["last", "every"])
def test_the_other_rules_draw_nothing_and_add_up_what_they_unroll(rule, supervise):
    solver = solver_of(MLPEnergy, rule, objective=DescentError(supervise=supervise))
    (problem, target), drawn, expected_drawn = batch(), generator(), generator()
    loss = solver.loss(problem, target, drawn)
    start = solver.energy.start(problem, expected_drawn)
    rollout = Rollout(
        energy=solver.energy,
        problem=problem,
        start=start,
        descent=solver.descent,
        steps=solver.steps,
        every=supervise == "every",
    )
    unrolled = rule.unroll(rollout)
    expected = torch.stack([functional.mse_loss(each.y, target) for each in unrolled]).sum()

    assert torch.equal(loss, expected)
    assert torch.equal(drawn.get_state(), expected_drawn.get_state())
    weights = list(solver.parameters())
    for found, wanted in zip(
        *(torch.autograd.grad(each, weights, materialize_grads=True) for each in (loss, expected)),
        strict=True,
    ):
        assert torch.equal(found, wanted)


@pytest.mark.parametrize("energy", [MLPEnergy, ScratchEnergy])
def test_the_descent_with_the_weights_as_they_are_is_replayed(energy):
    free, last = (
        solver_of(energy, rule, replay=9) for rule in (GradientFree(sigma=0.1), LastStep())
    )
    for _ in range(2):
        # Both draw the same starts and replayed problems, before any perturbation.
        losses = [solver.loss(*batch(), generator()).detach() for solver in (free, last)]
        torch.testing.assert_close(*losses, rtol=0, atol=1e-14)
    held, expected = (solver.training_state() for solver in (free, last))
    assert held.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(held[name], tensor, rtol=0, atol=1e-14)


def test_it_trains_through_descents_that_pass_no_gradient_on():
    class Signs(EnergyFn):
        """Lowest where y is 1 for the entries of w x above 0, and 0 for the others."""

        def __init__(self):
            super().__init__()
            self.answer = VectorSpace(3, low=0.0, high=1.0)
            self.weight = nn.Parameter(torch.tensor(-0.3))

        def energy(self, context, y):
            return -(self.weight * context * y).sum(1)

    solver = IREM(
        Signs(),
        steps=4,
        replay=0,
        descent=CoordinateFlip(tenure=0),
        backprop=GradientFree(sigma=0.5),
    )
    optimizer, seeded = torch.optim.SGD(solver.parameters(), lr=0.5), generator()
    losses = []
    for _ in range(10):
        x = torch.randn(8, 3, generator=seeded)
        loss = solver.loss(Problem(x, solver.answer), (x > 0).float(), seeded)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == 1
    assert losses[-1] == 0


def test_a_perturbed_descent_that_diverges_stops_the_training():
    class Cliff(Center):
        def encode(self, problem):
            moved = bool((self.layer.bias != 0).any())
            return super().encode(problem) * (torch.inf if moved else 1.0)

    solver = small_solver(Cliff, backprop=GradientFree())
    nn.init.zeros_(solver.energy.layer.bias)
    with pytest.raises(TrainingDivergedError, match="at iteration 1,"):
        train(solver=solver, iterations=3)


def free_solver():
    return small_solver(Center, backprop=GradientFree(pairs=2), **EVERY)


def test_training_resumes_to_the_bit(tmp_path):
    whole = train(solver=free_solver(), iterations=12)

    def stop():
        raise RuntimeError("stopped")

    options = {"iterations": 12, "checkpoint_every": 5}
    with pytest.raises(RuntimeError, match="stopped"):
        train(tmp_path, solver=free_solver(), callbacks=[At(7, stop)], **options)
    resumed = train(tmp_path, solver=free_solver(), resume=True, **options)

    assert bits(resumed.solver) == bits(whole.solver)
    assert bits(resumed.solver) != bits(free_solver())
    state, expected = (each.solver.training_state() for each in (resumed, whole))
    assert all(torch.equal(state[name], tensor) for name, tensor in expected.items())


def test_a_data_parallel_wrapper_sees_every_weight():
    solver = solver_of(ScratchEnergy, GradientFree())
    expected = copy.deepcopy(solver)
    expected.loss(*batch(), generator()).backward()
    with group_of_one():
        model = DistributedDataParallel(solver, find_unused_parameters=True)
        model(*batch(), generator()).backward(inputs=list(solver.parameters()))
        del model
    for weight, wanted in zip(solver.parameters(), expected.parameters(), strict=True):
        assert torch.equal(weight.grad, wanted.grad)


def test_learns():
    solver = small_solver(
        Center, descent=GradientDescent(step_size=0.5), replay=200, backprop=GradientFree()
    )
    progress = train(solver=solver, iterations=300, batch_size=32, learning_rate=1e-2)
    losses = [record["loss"] for record in progress.records]
    # The best constant answer scores 2/3.
    assert losses[0] > 2 / 3
    assert losses[-1] < 0.1
