"""Addition and negation: their distributions, oracles, floors and difficulties."""

import pytest
import torch

from irem_core import Difficulty, Problem, SettingError, UnknownNameError
from irem_tasks import Add, Negate

KINDS = [Add, Negate]


def sample(task, difficulty="train", count=2000, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return task.sample(count, difficulty, generator=generator)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("difficulty", ["train", "same", "harder", "scale=0.1"])
def test_the_oracle_agrees_with_the_answers(kind, difficulty):
    task = kind(size=20)
    problem, y = sample(task, difficulty)

    assert y.shape == (2000, 20)
    torch.testing.assert_close(task.oracle(problem), y, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(task.classical(problem), y, rtol=1e-6, atol=1e-6)


def test_answers_are_worked_by_hand():
    x = torch.tensor([[0.5, -1.0, 0.25, 3.0]])

    assert Add(size=2).oracle(Problem(x)).tolist() == [[0.75, 2.0]]
    assert Negate(size=4).oracle(Problem(x)).tolist() == [[-0.5, 1.0, -0.25, -3.0]]
    assert Add(size=2).own_input(Problem(x)).tolist() == [[[0.5, 0.25], [-1.0, 3.0]]]
    assert Negate(size=4).own_input(Problem(x)).tolist() == [[[0.5], [-1.0], [0.25], [3.0]]]


@pytest.mark.parametrize(("difficulty", "scale"), [("same", 1.0), ("harder", 2.5), ("scale=4", 4)])
def test_summands_are_uniform_on_both_sides_of_zero(difficulty, scale):
    problem, _ = sample(Add(size=20), difficulty)
    x = problem.x / scale

    assert x.shape == (2000, 40)
    # Standard errors from 80,000 draws: 0.002, 0.001 and 0.001.
    assert abs(x.mean()) < 0.01
    assert abs(x.square().mean() - 1 / 3) < 0.006
    assert abs(x.pow(4).mean() - 1 / 5) < 0.006
    assert 0.999 < x.abs().max() <= 1
    # The two summands of an entry do not go together.
    first, second = x.chunk(2, 1)
    assert abs((first * second).mean()) < 0.01


@pytest.mark.parametrize(("difficulty", "scale"), [("same", 1.0), ("harder", 2.5), ("scale=4", 4)])
def test_negated_numbers_are_uniform_below_zero(difficulty, scale):
    problem, y = sample(Negate(size=20), difficulty)
    x = problem.x / scale

    assert x.shape == (2000, 20)
    assert abs(x.mean() + 1 / 2) < 0.01
    assert abs(x.var() - 1 / 12) < 0.003
    assert -1 <= x.min() < -0.999
    assert -0.001 < x.max() <= 0
    assert torch.equal(y, -problem.x)


FLOORS = [
    (Add, "same", 2 / 3),
    (Add, "harder", 2.5**2 * 2 / 3),
    (Add, "scale=0.5", 1 / 6),
    (Negate, "same", 1 / 12),
    # The constant fitted on training is 1/2, and the answers have mean 5/4.
    (Negate, "harder", 2.5**2 / 12 + 0.75**2),
]


@pytest.mark.parametrize(("kind", "difficulty", "constant"), FLOORS)
def test_floors_are_those_of_the_distribution(kind, difficulty, constant):
    floor = kind(size=20).floor(difficulty)

    assert floor.constant == pytest.approx(constant, rel=0.02)
    assert floor.entrywise == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_draws_come_from_the_generator_alone(kind):
    task = kind(size=3)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first, again, other = (sample(task, count=5, seed=seed) for seed in (0, 0, 1))

    assert torch.equal(first[0].x, again[0].x)
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[1], other[1])
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("kind", KINDS)
def test_difficulties_are_names_or_parameters(kind):
    task = kind(size=3)

    assert task.parameters == {"scale": 1.0}
    assert task.difficulty("train").parameters == {}
    assert task.difficulty("harder").parameters == {"scale": 2.5}
    assert task.difficulty(" scale = 5 ").parameters == {"scale": 5.0}
    assert isinstance(task.difficulty("scale=5").parameters["scale"], float)
    given = Difficulty("mine", {"scale": 3.0})
    assert task.difficulty(given) is given


BAD = [
    ("hard", UnknownNameError, "Did you mean 'harder'"),
    ("", UnknownNameError, "has no difficulty ''"),
    ("5", UnknownNameError, "scale=1.0"),
    ("size=5", UnknownNameError, "names the parameter 'size'"),
    ("scal=5", UnknownNameError, "Did you mean 'scale'"),
    ("scale=5,scale=6", UnknownNameError, "gives twice"),
    ("scale=5,", UnknownNameError, "has no difficulty"),
    ("scale=", SettingError, "scale got ''"),
    ("scale=big", SettingError, "scale got 'big'"),
    ("scale=nan", SettingError, "expected a finite number"),
    ("scale=inf", SettingError, "expected a finite number"),
    ("scale=0", SettingError, "expected above 0"),
    ("scale=-1", SettingError, "expected above 0"),
]


@pytest.mark.parametrize(("text", "error", "message"), BAD)
@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_difficulty_is_explained(kind, text, error, message):
    with pytest.raises(error, match=message) as caught:
        sample(kind(size=3), text)
    assert isinstance(caught.value, LookupError if error is UnknownNameError else ValueError)


def test_published_figures_are_those_of_the_paper_at_its_size_alone():
    figures = {(f.method, f.difficulty): f.value for f in Add().published}

    assert figures["irem", "same"] == 0.0003
    assert figures["irem", "harder"] == 0.0021
    assert figures["feedforward", "harder"] == 0.7029
    assert len(figures) == 10
    assert Add(size=8).published == ()
    assert Add().question.size == 2 * Add().answer.size == 800
