"""The ranking energy: its formula, what it does not depend on, and sorting."""

import pytest
import torch
from torch.nn import functional

from irem_core import (
    IREM,
    GradientDescent,
    MatrixSpace,
    RankingEnergy,
    SettingError,
    VectorSpace,
    evaluate,
    fit,
    minimize,
)
from irem_tasks.vectors import Sort


def energy(size=5):
    torch.manual_seed(0)
    return RankingEnergy(VectorSpace(size), VectorSpace(size), width=4).double()


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def test_the_energy_is_that_of_its_formula():
    made = energy()
    x, y = draw(3, 5), draw(3, 5, seed=1)
    k, m = made.answer_map.weight[:, 0], made.question_map.weight[:, 0]
    b = made.question_map.bias
    for question, candidate, found in zip(x, y, made(x, y), strict=True):
        total = 0
        for i, value in enumerate(candidate):
            counts = sum(torch.tanh(k * value + m * each + b) for each in question) / 5
            known = torch.cat([counts, value[None], torch.tensor([(i + 0.5) / 5 * 2 - 1])])
            bent = made.second(functional.silu(made.first(known)))
            residual = made.straight(known) + bent
            total = total + made.log_scale.exp() / 2 * residual.square().mean()
        torch.testing.assert_close(found, total)


def test_the_order_of_the_question_has_no_part_in_it():
    made = energy()
    x, y = draw(3, 5), draw(3, 5, seed=1)
    torch.testing.assert_close(made(x[:, [3, 1, 4, 0, 2]], y), made(x, y))
    assert not torch.allclose(made(x, y[:, [1, 0, 2, 3, 4]]), made(x, y))


def test_a_sharp_count_is_linear_in_the_rank():
    """At y = x_i, r entries are below and n - 1 - r above, which leaves (2 r - n + 1) / n."""
    made = energy()
    x = torch.tensor([[0.3, -0.8, 0.5, -0.1, 0.9]], dtype=torch.float64)
    with torch.no_grad():
        compared = made.answer_map(x[..., None])[:, :, None] + made.encode(made.problem(x))[:, None]
        counts = compared.tanh().mean(2)[0, :, -1]
    rank = x[0].argsort().argsort()
    torch.testing.assert_close(counts, (2 * rank - 4) / 5, rtol=0, atol=1e-6, check_dtype=False)


def test_any_number_of_entries_is_taken():
    x = draw(2, 9)
    solution = minimize(energy(), x, descent=GradientDescent(step_size=0.01), max_steps=2)
    assert solution.y.shape == x.shape


def test_sorting_is_learned_and_holds_for_more_values():
    task = Sort(values=6)
    solver = IREM.for_task(
        task,
        energy=RankingEnergy.for_task(task),
        descent=GradientDescent(step_size=1.0),
        replay=200,
        replayed=1.0,
    )
    options = {"learning_rate": 0.005, "schedule": "cosine", "clip_norm": 1.0}
    fit(solver, task, iterations=200, batch_size=16, **options)
    for difficulty in ("same", "values=12"):
        error = evaluate(solver, task, difficulty=difficulty, problems=100, max_steps=30).mse
        # Far below the best that does not look at the values: their mean at each place.
        assert error < task.floor(difficulty).constant / 4


@pytest.mark.parametrize(
    ("question", "answer"),
    [(VectorSpace(4), VectorSpace(3)), (MatrixSpace(2, 2), MatrixSpace(2, 2))],
)
def test_other_spaces_are_refused(question, answer):
    with pytest.raises(SettingError, match="two VectorSpaces of one length"):
        RankingEnergy(question, answer)
