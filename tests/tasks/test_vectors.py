"""Tasks on vectors: their distributions, oracles, floors and difficulties."""

from itertools import product

import pytest
import torch

from irem_core import Difficulty, Problem, SettingError, ShapeError, UnknownNameError, VectorSpace
from irem_tasks.vectors import Add, Negate, Parity, Sort

SCALED = [Add, Negate, Sort]
TASKS = {"add": Add(20), "negate": Negate(20), "sort": Sort(20), "parity": Parity(20)}


def sample(task, difficulty="train", count=2000, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return task.sample(count, difficulty, generator=generator)


DRAWN = [
    *product(TASKS, ["train", "same", "harder"]),
    *product(["add", "negate", "sort"], ["scale=0.1"]),
    ("sort", "values=7"),
    ("parity", "share=0.1,bits=31"),
]


@pytest.mark.parametrize(("name", "difficulty"), DRAWN)
def test_the_oracle_and_the_classical_algorithm_agree_with_the_answers(name, difficulty):
    task = TASKS[name]
    problem, y = sample(task, difficulty)

    assert y.shape == (2000, *problem.answer.shape)
    torch.testing.assert_close(task.oracle(problem), y, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(task.classical(problem), y, rtol=1e-6, atol=1e-6)


def test_answers_are_worked_by_hand():
    x = torch.tensor([[0.5, -1.0, 0.25, 3.0]])

    assert Add(size=2).oracle(Problem(x)).tolist() == [[0.75, 2.0]]
    assert Negate(size=4).oracle(Problem(x)).tolist() == [[-0.5, 1.0, -0.25, -3.0]]
    assert Sort(values=4).oracle(Problem(x)).tolist() == [[-1.0, 0.25, 0.5, 3.0]]
    assert Add(size=2).own_input(Problem(x)).tolist() == [[[0.5, 0.25], [-1.0, 3.0]]]
    for task in (Negate(size=4), Sort(values=4)):
        assert task.own_input(Problem(x)).tolist() == [[[0.5], [-1.0], [0.25], [3.0]]]


@pytest.mark.parametrize("values", range(1, 9))
def test_the_classical_algorithm_sorts_all_vectors_of_zeros_and_ones(values):
    # A network of comparisons that sorts these sorts everything (Knuth's 0-1 principle).
    x = torch.tensor(list(product([0.0, 1.0], repeat=values)))
    expected = [sorted(row) for row in x.tolist()]

    assert Sort(values).classical(Problem(x)).tolist() == expected


def test_parities_of_all_numbers_are_right():
    x = torch.tensor(list(product([0.0, 1.0], repeat=10)))
    expected = [[number.bit_count() % 2] for number in range(1024)]

    assert Parity(10).oracle(Problem(x)).tolist() == expected
    assert Parity(10).classical(Problem(x)).tolist() == expected


def test_an_answer_of_parity_is_accurate_where_it_rounds_to_the_right_bit():
    y = torch.tensor([[0.4], [0.6], [1.3], [-0.2], [1.6]])
    target = torch.tensor([[0.0], [0.0], [1.0], [0.0], [1.0]])
    measures = Parity(3).measures(Problem(torch.zeros(5, 3)), y, target)

    assert {name: values.tolist() for name, values in measures.items()} == {
        "accuracy": [1, 0, 1, 1, 0]
    }


@pytest.mark.parametrize("method", [Parity.oracle, Parity.classical])
def test_the_parity_of_other_numbers_than_bits_is_refused(method):
    with pytest.raises(ShapeError, match=r"x holds 0\.25; expected bits"):
        method(Parity(2), Problem(torch.tensor([[0.0, 1.0], [1.0, 0.25]])))


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


SORTED = [("same", 32, 1.0), ("harder", 64, 1.0), ("scale=4,values=5", 5, 4.0)]


@pytest.mark.parametrize(("difficulty", "values", "scale"), SORTED)
def test_sorted_values_are_the_order_statistics_of_a_uniform_law(difficulty, values, scale):
    problem, y = sample(Sort(), difficulty)
    x = problem.x / scale

    assert x.shape == y.shape == (2000, values)
    # Standard errors from 10,000 draws or more: 0.006 and 0.003.
    assert abs(x.mean()) < 0.02
    assert abs(x.square().mean() - 1 / 3) < 0.01
    # The i-th of n has the mean -1 + 2 i / (n + 1), here with a standard error below 0.009.
    means = -1 + 2 * torch.arange(1, values + 1) / (values + 1)
    torch.testing.assert_close(y.mean(0) / scale, means, rtol=0, atol=0.03)
    assert y.tolist() == [sorted(row) for row in problem.x.tolist()]


@pytest.mark.parametrize("kind", [Add, Negate])
def test_vectors_may_be_of_another_size_than_in_training(kind):
    task = kind(4)
    problem, y = sample(task, "size=3,scale=2", count=6)

    assert problem.x.shape == (6, 3 * task.question.size // 4)
    assert y.shape == (6, 3)
    assert problem.answer == VectorSpace(3)
    torch.testing.assert_close(task.oracle(problem), y)


SHARES = [("same", 20, 0.5), ("harder", 20, 0.8), ("bits=3,share=0.25", 3, 0.25)]


@pytest.mark.parametrize(("difficulty", "bits", "share"), SHARES)
def test_bits_are_ones_with_the_given_share_and_parities_follow(difficulty, bits, share):
    problem, y = sample(Parity(), difficulty, count=20_000)

    assert problem.x.shape == (20_000, bits)
    assert y.shape == (20_000, 1)
    assert set(problem.x.unique().tolist()) == {0.0, 1.0}
    # Standard errors: at most 0.0022 and 0.0035.
    assert abs(problem.x.mean() - share) < 0.01
    assert abs(y.mean() - (1 - (1 - 2 * share) ** bits) / 2) < 0.015


def order_statistic(place, values):
    """Mean and variance of the place-th of so many draws from U(-1, 1): a beta law, stretched."""
    mean = -1 + 2 * place / (values + 1)
    return mean, 4 * place * (values + 1 - place) / ((values + 1) ** 2 * (values + 2))


def sorting_floor(values, trained=20):
    """The error of a constant for each place, of which there are as many as in training at most."""
    sharing = {}
    for place in range(1, values + 1):
        group = sharing.setdefault((place - 1) * trained // values, [])
        group.append(order_statistic(place, values))
    total = 0
    for group in sharing.values():
        best = sum(mean for mean, _ in group) / len(group)
        total += sum(variance + (mean - best) ** 2 for mean, variance in group)
    return total / values


FLOORS = [
    ("add", "same", 2 / 3),
    ("add", "harder", 2.5**2 * 2 / 3),
    ("add", "scale=0.5", 1 / 6),
    ("add", "size=7", 2 / 3),
    ("negate", "same", 1 / 12),
    ("negate", "harder", 2.5**2 / 12),
    ("sort", "same", sorting_floor(20)),
    ("sort", "harder", sorting_floor(64)),
    ("sort", "values=10", sorting_floor(10)),
    ("parity", "same", 1 / 4),
    ("parity", "harder", 1 / 4),
]


@pytest.mark.parametrize(("name", "difficulty", "constant"), FLOORS)
def test_floors_are_those_of_the_distribution(name, difficulty, constant):
    floor = TASKS[name].floor(difficulty)

    assert floor.constant == pytest.approx(constant, rel=0.03)
    if name in ("add", "negate"):
        assert floor.entrywise == pytest.approx(0, abs=1e-8)
    elif name == "sort":
        # The value that stands in a place before sorting says next to nothing.
        assert floor.entrywise == pytest.approx(floor.constant, rel=0.1)
    else:
        assert floor.entrywise is None


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_draws_come_from_the_generator_alone(task):
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first, again, other = (sample(task, count=50, seed=seed) for seed in (0, 0, 1))

    assert torch.equal(first[0].x, again[0].x)
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[1], other[1])
    assert torch.equal(torch.get_rng_state(), state)


PARAMETERS = {
    "add": ({"scale": 1.0, "size": 20}, {"scale": 2.5}),
    "negate": ({"scale": 1.0, "size": 20}, {"scale": 2.5}),
    "sort": ({"scale": 1.0, "values": 20}, {"values": 64}),
    "parity": ({"share": 0.5, "bits": 20}, {"share": 0.8}),
}


@pytest.mark.parametrize("name", TASKS)
def test_difficulties_are_names_or_parameters(name):
    task, (defaults, harder) = TASKS[name], PARAMETERS[name]

    assert task.parameters == defaults
    assert task.difficulty("train").parameters == {}
    assert task.difficulty("harder").parameters == harder
    first = next(iter(defaults))
    assert task.difficulty(f" {first} = 5 ").parameters == {first: 5.0}
    assert isinstance(task.difficulty(f"{first}=5").parameters[first], float)
    given = Difficulty("mine", {first: 3.0})
    assert task.difficulty(given) is given


BAD = [
    ("hard", UnknownNameError, "Did you mean 'harder'"),
    ("", UnknownNameError, "has no difficulty ''"),
    ("5", UnknownNameError, "scale=1.0"),
    ("width=5", UnknownNameError, "names the parameter 'width'"),
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
BAD_OF_ONE = [
    (Add, "size=0", SettingError, "size got 0; expected a whole number of at least 1"),
    (Negate, "size=2.5", SettingError, "size got '2.5'; expected a whole number"),
    (Sort, "values=0", SettingError, "values got 0; expected a whole number of at least 1"),
    (Sort, "values=2.5", SettingError, "values got '2.5'; expected a whole number"),
    (Parity, "bits=-3", SettingError, "bits got -3; expected a whole number of at least 1"),
    (Parity, "share=1.5", SettingError, "share got 1.5; expected from 0 to 1"),
    (Parity, "share=-0.5", SettingError, "share got -0.5; expected from 0 to 1"),
    (Parity, "scale=2", UnknownNameError, "Did you mean 'share'"),
]


@pytest.mark.parametrize(
    ("kind", "text", "error", "message"),
    [*((kind, *case) for kind, case in product(SCALED, BAD)), *BAD_OF_ONE],
)
def test_a_bad_difficulty_is_explained(kind, text, error, message):
    with pytest.raises(error, match=message) as caught:
        sample(kind(3), text)
    assert isinstance(caught.value, LookupError if error is UnknownNameError else ValueError)


@pytest.mark.parametrize("kind", [Add, Negate, Sort, Parity])
@pytest.mark.parametrize("size", [0, -1, 2.5])
def test_a_task_without_entries_is_refused(kind, size):
    with pytest.raises(SettingError, match="expected a whole number of at least 1"):
        kind(size)


def test_published_figures_are_those_of_the_paper_at_its_size_alone():
    figures = {(f.method, f.difficulty): f.value for f in Add().published}

    assert figures["irem", "same"] == 0.0003
    assert figures["irem", "harder"] == 0.0021
    assert figures["feedforward", "harder"] == 0.7029
    assert len(figures) == 10
    assert Add(size=8).published == ()
    assert Add().question.size == 2 * Add().answer.size == 800
