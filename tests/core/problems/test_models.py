"""Models written for CPMpy: read as they mean, solved, decoded and refused by name."""

import sys
from itertools import permutations, product

import cpmpy as cp
import pytest
import torch
from cpmpy.expressions.utils import flatlist

from irem_core import Constraints, SettingError

SUDOKU = "..53.....8......2..7..1.5..4....53...1..7...6..32...8..6.5....9..4....3......97.."


def kinds(puzzle):
    return [each.kind for each in puzzle.constraints if each.kind != "variable"]


def solutions(model, variables):
    """Return all solutions that CPMpy's own solver finds."""
    found = set()
    model.solveAll("pysat", display=lambda: found.add(tuple(int(v.value()) for v in variables)))
    return found


def held(model, variables, candidates=None):
    """Return all values of the variables, within their bounds, of which nothing is broken."""
    puzzle = Constraints.of(model)
    names = [str(each) for each in variables]
    order = [names.index(str(each)) for each in puzzle.variables]
    ranges = [range(low, high + 1) for low, high in (each.get_bounds() for each in variables)]
    return {
        values
        for values in candidates or product(*ranges)
        if not puzzle.broken([values[place] for place in order])
    }


def one_hot(puzzle, values):
    """Return the answer that says what the variables of the puzzle are."""
    return torch.tensor(
        [
            [float(value == own)]
            for each, own in zip(puzzle.variables, values, strict=True)
            for value in each.values
        ]
    )


X, Y, Z = cp.intvar(0, 3, shape=3, name="x")
A, B, C = cp.boolvar(shape=3, name="b")
NAMED = (X, Y, Z, A, B, C)


@pytest.mark.parametrize(
    ("constraint", "expected", "truth"),
    [
        (X != Y, "at_most_one", "x != y"),
        (X == Y, "at_most_one", "x == y"),
        (X < Y, "at_most_one", "x < y"),
        (X + 1 >= 2 * Y, "at_most_one", "x + 1 >= 2 * y"),
        (abs(X - Y) == 1, "at_most_one", "abs(x - y) == 1"),
        (X * Y == 2, "at_most_one", "x * y == 2"),
        (X // Y == 1, "at_most_one", "y and x // y == 1"),
        ((X == 2) == A, "at_most_one", "(x == 2) == a"),
        (A != B, "at_most_one", "a != b"),
        (A == (B & A), "at_most_one", "not a or b"),
        (cp.Table([X, Y], [[0, 1], [2, 2]]), "at_most_one", "(x, y) in [(0, 1), (2, 2)]"),
        (X == 2, None, "x == 2"),
        (X >= 2, None, "x >= 2"),
        (X % 2 == 1, None, "x % 2 == 1"),
        (~A, None, "not a"),
        ((X != 1) & (X != 2) & (X != 3), None, "x == 0"),
        (cp.AllDifferent(X, Y, Z), "at_most_one", "len({x, y, z}) == 3"),
        (cp.AllDifferent(X, Y + 1, 2 * Z), "at_most_one", "len({x, y + 1, 2 * z}) == 3"),
        (cp.AllDifferent(X, X + 1, Y), "at_most_one", "len({x, x + 1, y}) == 3"),
        (cp.AllDifferent(A, B), "all_different", "a != b"),
        (
            [cp.AllDifferent(X, Y, Z), X != 0, Y > 0, Z > 0],
            "all_different",
            "{x, y, z} == {1, 2, 3}",
        ),
        (A | ~B | (X == 3), "clause", "a or not b or x == 3"),
        (~(A & B & C), "clause", "not (a and b and c)"),
        ((A & B).implies(C | (X > 1)), "clause", "not (a and b) or c or x > 1"),
        (A.implies(X == 1), "clause", "not a or x == 1"),
        (A + B + C == 1, "exactly_one", "a + b + c == 1"),
        (cp.sum([A, ~B, X == 1]) <= 1, "at_most_one", "a + (not b) + (x == 1) <= 1"),
        (cp.sum([A, X >= 1, Y < 2]) < 2, "at_most_one", "a + (x >= 1) + (y < 2) < 2"),
        (A + B + C - 1 >= 0, "clause", "a or b or c"),
        (A + B + C > 0, "clause", "a or b or c"),
    ],
    ids=str,
)
def test_each_constraint_holds_where_it_is_true_in_python(constraint, expected, truth):
    # All variables are named, so that none is absent.
    model = cp.Model(constraint, [each >= 0 for each in NAMED])
    assert set(kinds(Constraints.of(model))) == ({expected} if expected else set())
    code = compile(truth, "truth", "eval")
    everything = product(*[range(4)] * 3, *[(False, True)] * 3)
    expected = {each for each in everything if eval(code, dict(zip("xyzabc", each, strict=True)))}
    assert held(model, NAMED) == expected


def test_a_sudoku_is_built_as_by_hand_and_its_solution_assigned():
    given = torch.tensor([int(each) for each in SUDOKU.replace(".", "0")]).view(9, 9).numpy()
    cells = cp.intvar(1, 9, shape=(9, 9), name="cell")
    boxes = [cells[r : r + 3, c : c + 3].flatten() for r in (0, 3, 6) for c in (0, 3, 6)]
    lines = [*cells, *cells.T, *boxes]
    model = cp.Model(
        [cp.AllDifferent(each) for each in lines], cells[given > 0] == given[given > 0]
    )
    puzzle = Constraints.of(model)

    own = Constraints()
    made = {str(each): own.variable(range(1, 10), name=str(each)) for each in puzzle.variables}
    for line in lines:
        own.all_different(made[str(each)] for each in line)
    for each, value in zip(cells[given > 0], given[given > 0].tolist(), strict=True):
        own.given(made[str(each)], value)
    assert puzzle.givens == own.givens
    assert [(each.kind, each.entries, each.text) for each in puzzle.constraints] == [
        (each.kind, each.entries, each.text) for each in own.constraints
    ]

    assert model.solve("pysat")
    order = [str(each) for each in cells.flat]
    values = [int(cells.flat[order.index(str(each))].value()) for each in puzzle.variables]
    solved = cells.value().tolist()
    cells.clear()
    assert puzzle.broken(values) == []
    y = one_hot(puzzle, values)
    assert puzzle.problem().verified(y)
    assert puzzle.assign(y)
    assert cells.value().tolist() == solved
    assert all(each.value() for each in flatlist(model.constraints))
    swapped = [{1: 2, 2: 1}.get(value, value) for value in values]
    assert not puzzle.assign(one_hot(puzzle, swapped))
    assert puzzle.broken(swapped)


def test_a_zebra_has_the_one_solution_that_its_sentences_leave():
    def sentences(red, green, blue, dane, swede, finn, tea, milk, beer):
        return [
            dane == red,
            finn == beer,
            abs(swede - blue) == 2,
            green == red + 1,
            milk != 2,
            beer < dane,
        ]

    groups = [cp.intvar(1, 3, shape=3, name=name) for name in ("colour", "person", "drink")]
    variables = [each for group in groups for each in group]
    model = cp.Model([cp.AllDifferent(group) for group in groups], sentences(*variables))
    candidates = [sum(each, ()) for each in product(permutations((1, 2, 3)), repeat=3)]
    expected = {each for each in candidates if all(sentences(*each))}
    assert held(model, variables, candidates) == expected
    assert len(expected) == 1


def test_colourings_and_formulas_have_the_solutions_that_cpmpy_finds():
    nodes = cp.intvar(1, 3, shape=5, name="node")
    edges = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0), (0, 2)]
    model = cp.Model([nodes[a] != nodes[b] for a, b in edges])
    assert held(model, nodes) == solutions(model, nodes) != set()

    signs = torch.randint(2, (12, 3), generator=torch.Generator().manual_seed(0)).tolist()
    x = cp.boolvar(shape=6, name="v")
    chosen = [torch.randperm(6, generator=torch.Generator().manual_seed(n))[:3] for n in range(12)]
    clauses = [
        cp.any(x[int(v)] if sign else ~x[int(v)] for v, sign in zip(which, signs[n], strict=True))
        for n, which in enumerate(chosen)
    ]
    model = cp.Model(clauses)
    assert held(model, x) == solutions(model, x) != set()


def test_a_model_and_its_values_are_left_as_they_are():
    x, y = cp.intvar(0, 3, shape=2, name="kept")
    model = cp.Model(x < y, x + y == 5)
    assert model.solve("pysat")
    before = (x.value(), y.value(), str(model))
    Constraints.of(model)
    assert (x.value(), y.value(), str(model)) == before


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            cp.Model(X + Y + Z == 4),
            "cannot take '==' of 'sum', as in sum(x[0], x[1], x[2]) == 4; of",
        ),
        (cp.Model(X + Y < Z), "cannot take '<' of 'sum'"),
        (cp.Model(X * Y == Z), "cannot take '==' of 'mul'"),
        (cp.Model(2 * A + B + C == 1), "cannot take '==' of 'wsum'"),
        (cp.Model(A + B + C == 2), "cannot take '==' of 'sum'"),
        (cp.Model(cp.sum([A, A, B, C]) <= 1), "cannot take '<=' of 'sum'"),
        (cp.Model(cp.Xor([A, B, C])), "cannot take 'xor'"),
        (cp.Model(A.implies(B & C)), "cannot take '->' of 'and'"),
        (cp.Model((A & B) | C), "cannot take 'or' of 'and'"),
        (cp.Model(A == (B | C)), "cannot take '==' of 'or'"),
        (cp.Model(cp.AllEqual(X, Y, Z)), "cannot take 'allequal'"),
        (cp.Model(cp.Circuit(X, Y, Z)), "cannot take 'circuit'"),
        (cp.Model(cp.Table([X, Y, Z], [[0, 1, 2]])), "cannot take 'table'"),
        (cp.Model(cp.AllDifferentExcept0(X, Y, Z)), "cannot take 'alldifferent_except_0'"),
        (cp.Model(cp.Count([X, Y, Z], 1) == 1), "cannot take '==' of 'count'"),
        (cp.Model(cp.max([X, Y]) < Z), "cannot take '<' of 'max'"),
        (cp.Model(cp.AllDifferent(X, Y, Z, 1)), "cannot take 'alldifferent'"),
        (cp.Model(X < Y, minimize=X), "minimizes or maximizes; expected constraints alone"),
        (cp.Model(X < 2, X > 2), "its constraints of x[0] alone, x[0] > 2 among them, leave it no"),
        (cp.Model(False, X > 2), "holds boolval(False), which is never true"),
        (cp.Model((X == 7) | (Y == 7) | (Z == 7)), "which is never true"),
        (cp.Model(cp.AllDifferent(A, B, C)), "3 variables cannot all be different"),
        (cp.Model(cp.intvar(1, 10**9, name="big") > 3), "variable big has 1000000000 values; expe"),
        (
            cp.Model(cp.intvar(1, 999, name="wide") < cp.intvar(1, 999, name="broad")),
            "(wide) < (broad) joins 998001 pairs of values; expected at most 100000",
        ),
        ([X < Y], "got an object of type list; expected a cpmpy.Model"),
    ],
    ids=str,
)
def test_what_is_no_factor_is_refused_by_its_name(model, said):
    with pytest.raises(SettingError) as caught:
        Constraints.of(model)
    assert said in str(caught.value)


def test_givens_that_contradict_each_other_are_refused():
    with pytest.raises(SettingError, match="The givens contradict each other"):
        Constraints.of(cp.Model(X == 1, Y == 1, X != Y)).problem()


def test_without_cpmpy_it_is_said_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "cpmpy", None)
    with pytest.raises(SettingError, match=r'pip install "irem-core\[cp\]"'):
        Constraints.of(None)


def test_problems_that_are_of_no_model_have_nothing_to_assign():
    puzzle = Constraints()
    puzzle.variable()
    with pytest.raises(SettingError, match="not made of a CPMpy model"):
        puzzle.assign(torch.zeros(2, 1))
