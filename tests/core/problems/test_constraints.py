"""Discrete problems of one's own: what is built of them, decoded and checked."""

import pickle
from itertools import product

import pytest
import torch

from irem_core import (
    Constraints,
    EnergyFn,
    EntrySpace,
    FactorEnergy,
    FactorSpace,
    GradientDescent,
    SettingError,
    ShapeError,
    Verified,
    choices,
    minimize,
)
from irem_core.solving.outcome import Outcome


def latin(size=3):
    puzzle = Constraints()
    cells = [
        [puzzle.variable(range(1, size + 1), name=f"r{r}c{c}") for c in range(size)]
        for r in range(size)
    ]
    for line in (*cells, *zip(*cells, strict=True)):
        puzzle.all_different(line)
    puzzle.given(cells[0][0], 2)
    return puzzle, cells


def one_hot(values, size):
    return torch.nn.functional.one_hot(torch.tensor(values) - 1, size).view(-1, 1).float()


def test_latin_squares_are_built_as_the_task_builds_them():
    puzzle, _ = latin()
    grid = torch.arange(9).view(3, 3)
    givens = torch.tensor([[1, -1, -1, -1, -1, -1, -1, -1, -1]])
    built, expected = puzzle.problem().x, choices.build(givens, 3, torch.cat([grid, grid.T]))
    assert built.metadata() == expected.metadata()
    for kind in built.node_types:
        if "x" in built[kind]:
            assert torch.equal(built[kind].x, expected[kind].x)
    for key in built.edge_types:
        assert torch.equal(built[key].edge_index, expected[key].edge_index)


def test_answers_are_checked_alike_in_batches_and_in_words():
    puzzle, _ = latin()
    problem = puzzle.problem()
    solved = 0
    for rest in product((1, 2, 3), repeat=4):
        values = [2, 1, 3, rest[0], 3, rest[1], 3, rest[2], rest[3]]
        broken = puzzle.broken(values)
        y = one_hot(values, 3)
        assert puzzle.values(y) == values
        assert bool(problem.verified(y)) == (not broken)
        solved += not broken
    assert solved == 1
    values = [3, 1, 2, 1, 2, 3, 2, 3, 1]
    assert puzzle.broken(values) == ["r0c0 should be 2, as given"]
    assert puzzle.values(one_hot(values, 3)) == [2, *values[1:]]
    assert not problem.verified(one_hot(values, 3))


def test_every_kind_means_what_it_says():
    puzzle = Constraints()
    a, b, c = (puzzle.variable(name=name) for name in "abc")
    puzzle.clause([a[True], b[False]])
    puzzle.at_most_one([b[True], c[True]])
    puzzle.exactly_one([a[True], c[False], b[True]])
    problem = puzzle.problem()
    for values in product((False, True), repeat=3):
        true = dict(zip("abc", values, strict=True))
        holds = (
            (true["a"] or not true["b"])
            and not (true["b"] and true["c"])
            and (true["a"] + (not true["c"]) + true["b"] == 1)
        )
        y = torch.tensor([[float(v == each)] for each in values for v in (False, True)])
        assert bool(problem.verified(y)) == holds == (not puzzle.broken(values))


def test_kinds_of_ones_own_are_checked_by_ones_own_rule_or_count_as_broken():
    puzzle = Constraints()
    a, b = puzzle.variable(name="a"), puzzle.variable(name="b")
    puzzle.factor(
        "implies", [a[True], b[True]], roles=["if", "then"], holds=lambda e: not e[0] or e[1]
    )
    problem = puzzle.problem()
    first, second = (problem.x["implies", role, "entry"].edge_index for role in ("if", "then"))
    assert [first.tolist(), second.tolist()] == [[[0], [1]], [[0], [3]]]
    y = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
    assert not problem.verified(y)
    assert problem.verified(1 - y)
    assert puzzle.broken([True, False]) == ["implies of a = True, b = True"]
    puzzle.factor("odd", [a[True]])
    assert puzzle.broken([True, True]) == [
        "odd of a = True, which cannot be checked without holds="
    ]
    assert not puzzle.problem().verified(1 - y)


def test_none_is_a_value_like_others():
    puzzle = Constraints()
    puzzle.all_different([puzzle.variable((None, 1)) for _ in range(2)])
    puzzle.given(puzzle.variables[0], None)
    problem = puzzle.problem()
    assert problem.verified(torch.tensor([[1.0], [0.0], [0.0], [1.0]]))
    puzzle.given(puzzle.variables[1], None)
    with pytest.raises(SettingError, match="contradict each other: None should occur once"):
        puzzle.problem()


def test_a_given_value_is_that_of_the_variable():
    puzzle = Constraints()
    puzzle.given(puzzle.variable(), 1)
    assert puzzle.values(torch.zeros(2, 1))[0] is True


def test_constraints_and_their_problems_can_be_pickled():
    puzzle, _ = latin()
    held, problem = pickle.loads(pickle.dumps((puzzle, puzzle.problem())))
    assert held.broken([2, 1, 3, 1, 3, 2, 3, 2, 1]) == []
    assert problem.verified(one_hot([2, 1, 3, 1, 3, 2, 3, 2, 1], 3))


def test_solvers_take_constraints_in_their_own_precision():
    puzzle, _ = latin()
    space = FactorSpace(choices.FEATURES, kinds={"variable": 0, "all_different": 0})
    energy = FactorEnergy(space, EntrySpace(), width=2).double()
    found = minimize(energy, puzzle, descent=GradientDescent(step_size=1.0), max_steps=1)
    assert found.y.dtype == torch.float64


def test_fewer_variables_than_values_are_at_most_one_of_each():
    puzzle = Constraints()
    puzzle.all_different([puzzle.variable("abc"), puzzle.variable("abc")])
    assert puzzle.problem().x.node_types == ["entry", "variable", "at_most_one"]
    assert puzzle.broken(["a", "a"]) == ["a should occur at most once among variable 0, variable 1"]
    assert puzzle.broken(["c", "a"]) == []


class Wishes(EnergyFn):
    """Zero where each entry is as wished."""

    def __init__(self, wish):
        super().__init__()
        self.wish = torch.nn.Parameter(wish)

    def encode(self, problem):
        return problem.layout

    def energy(self, context, y):
        return context.sum((y - self.wish).square())


def test_a_problem_is_solved_as_it_is_until_it_is_verified():
    puzzle, _ = latin()
    wish = one_hot([2, 1, 3, 1, 3, 2, 3, 2, 1], 3)
    solution = minimize(
        Wishes(wish), puzzle, descent=GradientDescent(step_size=0.1), halting=Verified()
    )
    assert solution.verified.item()
    assert solution.outcome.item() == Outcome.VERIFIED
    assert solution.steps < 30
    assert puzzle.broken(puzzle.values(solution.y)) == []
    solution.check()


def test_kinds_that_an_energy_was_not_trained_with_are_refused_by_name():
    puzzle = Constraints()
    puzzle.clause([puzzle.variable()[True]])
    known = FactorSpace(choices.FEATURES, kinds={"variable": 0, "all_different": 0})
    with pytest.raises(ShapeError, match=r"kind 'clause'.*learned in training"):
        minimize(FactorEnergy(known, EntrySpace()), puzzle, descent=GradientDescent(step_size=1.0))


def three():
    puzzle = Constraints()
    return puzzle, [puzzle.variable((1, 2, 3), name=f"v{n}") for n in range(3)]


def outside(puzzle, v):
    puzzle.given(v[0], 4)


def off_the_board(puzzle, v):
    puzzle.given(Constraints().variable((1, 2, 3), name="w"), 1)


def two(puzzle, v):
    puzzle.given(v[0], 1)
    puzzle.given(v[0], 2)


def contradiction(puzzle, v):
    puzzle.all_different(v)
    puzzle.given(v[0], 1)
    puzzle.given(v[2], 1)
    puzzle.problem()


def unmet(puzzle, v):
    puzzle.clause([v[0][1], v[1][2]])
    puzzle.given(v[0], 2)
    puzzle.given(v[1], 1)
    puzzle.problem()


def too_many(puzzle, v):
    puzzle.all_different([*v, puzzle.variable((1, 2, 3))])


def repeated(puzzle, v):
    puzzle.clause([v[0][1], v[0][1]])


def none(puzzle, v):
    puzzle.exactly_one([])


def foreign(puzzle, v):
    puzzle.clause([Constraints().variable((7, 8))[7]])


def short(puzzle, v):
    puzzle.factor("own", [v[0][1], v[1][1]], roles=["a"])


def variables(puzzle, v):
    puzzle.clause(v)


def no_word(puzzle, v):
    puzzle.factor("next to", [v[0][1], v[1][1]])


def entry(puzzle, v):
    puzzle.factor("entry", [v[0][1], v[1][1]])


def redefined(puzzle, v):
    puzzle.factor("clause", [v[0][1], v[1][1]], holds=all)


def empty(puzzle, v):
    puzzle.variable(())


def number(puzzle, v):
    puzzle.variable(4)


def lists(puzzle, v):
    puzzle.variable([(1, [2])])


def single(puzzle, v):
    puzzle.exactly_one(v[0][1])


def values(puzzle, v):
    puzzle.all_different([1, 2])


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (outside, "The variable v0 cannot have the value 4; it has one of 1, 2, 3"),
        (off_the_board, "w was given the value 1; expected a variable of this problem"),
        (two, "v0 was given the values 1 and 2; expected one"),
        (contradiction, "givens contradict each other: 1 should occur once among v0, v1, v2"),
        (unmet, "givens contradict each other: clause of v0 = 1, v1 = 2"),
        (too_many, "4 variables cannot all be different, since they have the 3 values"),
        (repeated, "none of them twice"),
        (none, "got the entries - and"),
        (foreign, "expected at least one entry of this problem"),
        (short, "a role for each or none at all"),
        (variables, r"entries v0, v1, v2 and.*such as x\[True\]"),
        (no_word, "kind 'next to' and.*names that are words"),
        (entry, "a kind other than 'entry'"),
        (redefined, "'clause' was given roles or holds"),
        (empty, "expected at least one, and none twice"),
        (number, "A variable's values were given as 4; expected a list"),
        (lists, r"given the values \(\(1, \[2\]\),\).*numbers and strings"),
        (single, "entries of a factor of the kind 'exactly_one' were given as v0 = 1"),
        (values, r"given as 1, 2; expected what variable\(values\)"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(write, said):
    with pytest.raises(SettingError, match=said):
        write(*three())


def test_variables_that_cannot_all_be_different_leave_nothing_behind():
    puzzle, v = three()
    before = list(puzzle.constraints)
    with pytest.raises(SettingError):
        puzzle.all_different([v[0], v[1], v[0]])
    assert puzzle.constraints == before


def test_of_equal_entries_the_first_is_the_value_wherever_it_is_decoded():
    puzzle = Constraints()
    a, b = puzzle.variable((1, 2, 3)), puzzle.variable((1, 2, 3))
    puzzle.clause([a[2], b[3]])
    y = torch.tensor([[0.0], [0.5], [0.5], [0.7], [0.7], [0.7]])

    assert puzzle.values(y) == [2, 1]
    assert puzzle.broken([2, 1]) == []
    problem = puzzle.problem()
    assert problem.verified(y).tolist() == [True]
    assert choices.decoded(problem.x, y).tolist() == [False, True, False, True, False, False]


def test_answers_of_another_problem_are_refused():
    puzzle, _ = three()
    with pytest.raises(ShapeError, match=r"expected \(9, 1\)"):
        puzzle.values(torch.zeros(8, 1))
    with pytest.raises(ShapeError, match="expected 3, one for each variable"):
        puzzle.broken([1, 2])
    with pytest.raises(SettingError, match="no variable"):
        Constraints().problem()
