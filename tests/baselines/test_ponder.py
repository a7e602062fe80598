"""The PonderNet baseline (Tables 9 and 13): halting, its divergence, and its loss."""

import pytest
import torch
from torch.distributions import Categorical, Geometric, kl_divergence
from torch.nn import functional

from hand_gine import affine, all_pairs, carried, complete, decode, gine, zeros
from irem_baselines import Ponder
from irem_baselines.ponder import log_halting
from irem_core import EdgeSpace, Problem, VectorSpace

X = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


VECTORS, EDGES = (VectorSpace(3), VectorSpace(2)), (EdgeSpace(), EdgeSpace())


def ponder(spaces=VECTORS, **settings):
    torch.manual_seed(0)
    solver = Ponder(*spaces, **{"width": 4} | settings).double()
    # So that problems and steps differ in their answers and in where they halt.
    for weight in solver.parameters():
        torch.nn.init.normal_(weight, std=0.6)
    return solver


def by_hand(solver, x, y, steps):
    """Return the answers and halting probabilities of all steps, from a start y."""
    weights = [each for _, each in solver.network.named_parameters()]
    answers, chances = [], []
    for _ in range(steps):
        features = torch.cat([y, x], 1)
        for layer in range(solver.network.depth):
            features = functional.linear(features, *weights[2 * layer : 2 * layer + 2]).clamp(min=0)
        y = functional.linear(features, *weights[-2:])
        answers.append(y)
        logit = functional.linear(features, solver.halting.weight, solver.halting.bias)
        chances.append(1 / (1 + (-logit[:, 0]).exp()))
    return answers, chances


def distribution(chances):
    """Return the probabilities of halting at each step, given that one of them is it."""
    left, found = torch.ones_like(chances[0]), []
    for chance in chances:
        found.append(left * chance)
        left = left * (1 - chance)
    found = torch.stack(found)
    return found / found.sum(0)


def test_the_halting_distribution_of_a_hand_computed_case():
    # Halting with 1/2, then 1/4, then 1/5: 1/2, 1/8 and 3/40, which add up to 7/10.
    logits = torch.tensor([[0.5], [0.25], [0.2]], dtype=torch.float64).logit()
    expected = torch.tensor([[5 / 7], [1.25 / 7], [0.75 / 7]], dtype=torch.float64)

    torch.testing.assert_close(log_halting(logits).exp(), expected)


@pytest.mark.parametrize("steps", [1, 5, 80])
def test_halting_distributions_sum_to_one(steps):
    generator = torch.Generator().manual_seed(0)
    scale = torch.logspace(-2, 3, 20, dtype=torch.float64)
    halting = log_halting(scale * torch.randn(steps, 20, generator=generator, dtype=torch.float64))

    torch.testing.assert_close(halting.exp().sum(0), torch.ones(20).double())


def test_the_divergence_is_that_from_the_geometric_prior():
    solver = ponder(prior=0.3)
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    halting = log_halting(logits)
    prior = Categorical(logits=Geometric(torch.tensor(0.3).double()).log_prob(torch.arange(6)))
    expected = kl_divergence(Categorical(halting.exp().T), prior).mean()

    torch.testing.assert_close(solver.divergence(halting), expected)
    same = log_halting(torch.full((6, 2), 0.3, dtype=torch.float64).logit())
    torch.testing.assert_close(solver.divergence(same), torch.tensor(0.0).double())


@pytest.mark.parametrize("depth", [2, 3])
def test_each_answer_is_read_at_the_next_step(depth):
    solver = ponder(depth=depth)
    start = torch.ones(5, 2).double()
    answers, _ = by_hand(solver, X, start, 4)

    for steps, expected in enumerate(answers, 1):
        found = solver.solve(X, max_steps=steps, start=start).last
        torch.testing.assert_close(found, expected)


def test_expected_halting_answers_with_the_mean_of_the_outputs():
    solver = ponder(width=16)
    start = torch.ones(5, 2).double()
    answers, chances = by_hand(solver, X, start, 6)
    halting = distribution(chances)
    solution = solver.solve(X, max_steps=6, start=start)

    torch.testing.assert_close(
        solution.y, torch.einsum("np,npe->pe", halting, torch.stack(answers))
    )
    mean = (halting * torch.arange(1, 7).double()[:, None]).sum(0)
    assert solution.steps.tolist() == mean.round().tolist()
    assert len(set(solution.steps.tolist())) > 1


def test_sampled_halting_answers_with_an_output_as_often_as_the_distribution_says():
    solver = ponder(halt="sampled")
    count = 20_000
    x, start = X[:1].expand(count, 3), torch.ones(count, 2).double()
    answers, chances = by_hand(solver, X[:1], start[:1], 4)
    halting = distribution(chances)[:, 0]
    solution = solver.solve(x, max_steps=4, start=start)

    torch.testing.assert_close(solution.y, torch.cat(answers)[solution.steps - 1])
    shares = torch.bincount(solution.steps, minlength=5)[1:] / count
    spread = (halting * (1 - halting) / count).sqrt()
    assert ((shares - halting).abs() < 4 * spread).all()
    assert (halting > 0.02).all()
    torch.testing.assert_close(solution.last[0], answers[-1][0])


def test_sampled_halting_is_decided_by_the_generator():
    solver = ponder(halt="sampled")
    x, start = X[:1].expand(100, 3), torch.zeros(100, 2).double()
    first, again, other = (
        solver.solve(x, start=start, generator=torch.Generator().manual_seed(seed)).steps
        for seed in (0, 0, 1)
    )

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_loss_weighs_errors_by_the_halting_distribution():
    solver = ponder(steps=3, penalty=0.5, prior=0.4)
    target = torch.arange(10).double().view(5, 2)
    start = solver.answer.start(
        Problem(X).layout, torch.Generator().manual_seed(7), dtype=torch.float64
    )
    answers, chances = by_hand(solver, X, start, 3)
    halting = distribution(chances)
    error = divergence = 0.0
    prior = [0.4, 0.6 * 0.4, 0.36 * 0.4]
    for problem in range(5):
        for step in range(3):
            p = halting[step, problem]
            error += p * (answers[step][problem] - target[problem]).square().sum() / 10
            divergence += p * (p / (prior[step] / sum(prior))).log() / 5

    loss = solver.loss(Problem(X), target, torch.Generator().manual_seed(7))
    torch.testing.assert_close(loss, error + 0.5 * divergence)
    loss.backward()
    assert all((each.grad != 0).any() for each in solver.parameters())


def test_on_edges_one_layer_is_repeated_and_graphs_halt_apart():
    solver = ponder(EDGES, steps=3, penalty=0.0)
    network, sizes = solver.network, [3, 2]
    problem, target = complete(sizes)
    expected, steps, loss = [], [], 0.0
    for index, nodes in enumerate(sizes):
        rows = problem.layout.owner == index
        messages = carried(network, all_pairs(nodes), problem.x.edge_attr[rows])
        features, answers, chances = gine(network, 0, zeros(nodes), messages), [], []
        for _ in range(3):
            features = [each.clamp(min=0) for each in gine(network, 1, features, messages)]
            read = gine(network, 2, features, messages)
            answers.append(decode(network, read, all_pairs(nodes)))
            logit = affine(solver.halting, torch.stack(read).max(0).values)
            chances.append(1 / (1 + (-logit).exp()))
        halting = distribution(chances)[:, 0]
        expected.append(sum(p * y for p, y in zip(halting, answers, strict=True)))
        steps.append(round((halting * torch.tensor([1.0, 2.0, 3.0])).sum().item()))
        for p, y in zip(halting, answers, strict=True):
            loss = loss + p * (y - target[rows]).square().sum() / len(target)

    solution = solver.solve(problem, max_steps=3)
    torch.testing.assert_close(solution.y, torch.cat(expected))
    assert solution.steps.tolist() == steps
    torch.testing.assert_close(solver.loss(problem, target, torch.Generator()), loss)
