"""The posterior mean of completion: equal to an integral, and better than any other completion."""

import pytest
import torch

from irem_core import SettingError
from irem_tasks.completion_posterior import posterior_mean
from irem_tasks.matrices import MatrixCompletion


def by_quadrature(x, scale, noise):
    """Integrate over U (rows x 1) on a grid; given U, the columns of x are Gaussian."""
    rows, columns = x.shape
    line = torch.linspace(-6, 6, 241, dtype=torch.float64)
    left = torch.cartesian_prod(*[line] * rows).reshape(-1, rows)
    logarithm = -left.square().sum(1) / 2
    means = []
    for column in range(columns):
        seen = x[:, column] != 0
        values, slopes = x[seen, column], scale * left[:, seen]
        # v ~ N(0, 1) and values = slopes v + noise, so both the evidence and E[v | values] are
        # known.
        precision = 1 + slopes.square().sum(1) / noise**2
        mean = (slopes @ values) / noise**2 / precision
        logarithm = logarithm - precision.log() / 2 + precision * mean.square() / 2
        means.append(mean)
    weights = (logarithm - logarithm.max()).exp()
    product = scale * left[:, :, None] * torch.stack(means, 1)[:, None]
    y = (weights[:, None, None] * product).sum(0) / weights.sum()
    return torch.where(x != 0, x, y)


@pytest.mark.parametrize(("scale", "noise"), [(1.0, 0.5), (0.5, 0.2)])
def test_the_mean_is_that_of_the_posterior_by_quadrature(scale, noise):
    x = torch.tensor([[0.9, -0.4, 0.7], [0.6, 0.0, 0.0]], dtype=torch.float64)
    chains = x.expand(300, 2, 3)
    found = posterior_mean(
        chains, scale=scale, rank=1, noise=noise, sweeps=60, generator=generator(0)
    )

    expected = by_quadrature(x, scale, noise)
    # What the answer is not: nothing, and what the signs alone would say.
    assert expected[1, 1] < -0.05 < 0.05 < expected[1, 2]
    torch.testing.assert_close(found.mean(0), expected, rtol=0, atol=0.01)
    assert torch.equal(found[:, 0], chains[:, 0])


def generator(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("scale", [0.2, 0.4])
def test_nothing_is_nearer_to_the_answers(scale):
    task = MatrixCompletion(size=8)
    problem, y = task.sample(250, f"scale={scale},rank=2", generator=generator(1))
    twice = problem.x.repeat(2, 1, 1)
    chains = posterior_mean(twice, scale=scale, rank=2, sweeps=150, generator=generator(2))
    found, other = chains.chunk(2)

    def error(answer):
        return float((answer - y).square().mean())

    copied, imputed = error(problem.x), error(task.classical(problem))
    assert error(found) < 0.95 * min(copied, imputed)
    # What is left of y goes with no function of x: E[(y - mean) mean] = 0. The second mean is from
    # chains of their own, since the chance in one and the same would be squared.
    left = ((y - found) * other).sum((1, 2))
    assert abs(left.mean()) < 4 * left.std() / 250**0.5


@pytest.mark.parametrize("scale", [0.05, pytest.param(0.3, marks=pytest.mark.slow)])
def test_the_task_answers_with_it_on_request(scale):
    difficulty = f"scale={scale}"
    task = MatrixCompletion(size=6, algorithm="posterior-mean")
    problem, y = task.sample(100, difficulty, generator=generator(1))
    found = task.classical(problem)
    given = posterior_mean(problem.x, scale=scale, generator=generator(0))
    # The scale that entries suggest is that of the difficulty, nearly.
    errors = [float((each - y).square().mean()) for each in (found, given)]
    assert errors[0] == pytest.approx(errors[1], rel=0.02)
    assert torch.equal(found, task.classical(problem))
    with pytest.raises(SettingError, match="expected 'soft-impute' or 'posterior-mean'"):
        MatrixCompletion(algorithm="svd")


def test_draws_come_from_the_generator_alone_and_problems_are_apart():
    x = MatrixCompletion(size=5).sample(3, generator=generator(0))[0].x
    state = torch.get_rng_state()
    first, again = (posterior_mean(x, sweeps=3, generator=generator(4)) for _ in range(2))

    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), state)
    changed = torch.cat([x[:2], 3 * x[2:]])
    other = posterior_mean(changed, sweeps=3, generator=generator(4))
    torch.testing.assert_close(other[:2], first[:2])
    assert not torch.allclose(other[2], 3 * first[2])


def test_what_is_shown_stays_and_what_is_unseen_is_nothing():
    x = torch.zeros(500, 3, 4)
    x[:, 0, 0] = 2.0
    found = posterior_mean(x, rank=2, sweeps=30, generator=generator(0))

    assert torch.equal(found[:, 0, 0], x[:, 0, 0])
    # One entry says nothing of the others, whose signs remain open.
    assert found.mean(0).flatten()[1:].abs().max() < 0.01


@pytest.mark.parametrize("setting", ["scale", "noise", "rank", "sweeps"])
def test_numbers_out_of_range_are_refused(setting):
    with pytest.raises(SettingError, match=rf"{setting}=0; expected"):
        posterior_mean(torch.ones(1, 2, 2), **{"generator": generator(0), setting: 0})
