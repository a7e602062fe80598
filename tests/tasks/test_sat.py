"""Formulas, their energy and their solver, against exhaustive search and a complete solver."""

import itertools

import pytest
import torch
from pysat.solvers import Cadical153

from irem_core import (
    CoordinateFlip,
    EnergyPlateau,
    FixedSteps,
    GradientDescent,
    Outcome,
    Problem,
    SettingError,
    ShapeError,
    VectorSpace,
    differentiate,
    evaluate,
    load_task,
)
from irem_core.testing import check_solver
from irem_tasks.sat import ClauseSpace, Sat, SatEnergy, SatSolver, unsatisfied
from irem_tasks.sat.drawing import random_clauses


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def space(variables):
    return VectorSpace(variables, low=0.0, high=1.0)


def formula(*clauses, variables):
    width = max(map(len, clauses))
    rows = [[*clause, *[0] * (width - len(clause))] for clause in clauses]
    return Problem(torch.tensor([rows]), space(variables))


def draw(count, variables, ratio, seed=0):
    return random_clauses((count, round(ratio * variables)), variables, generator(seed))


def clauses_of(literals):
    kept = [[each for each in clause if each] for clause in literals.tolist()]
    return [clause for clause in kept if clause]


def broken_by_hand(literals, assignment):
    """Count clauses without a true literal, reading the formula word by word."""
    return sum(
        not any(assignment[abs(each) - 1] == (each > 0) for each in clause)
        for clause in clauses_of(literals)
    )


def satisfiable(literals):
    with Cadical153(bootstrap_with=clauses_of(literals)) as complete:
        return complete.solve()


def energy_at(problem, y):
    return SatEnergy()(problem, y)


# Formulas with short, long, repeated, contradictory and missing clauses.
ODD = [
    formula([1], variables=1),
    formula([-1], [1], variables=2),
    formula([1, 1, 2], [-2, -2, -2], variables=3),
    formula([1, -1], [2, 3, -2], [3], variables=4),
    formula([1, -2, 3, -4, 5], [], [-1, 2], [-3, 4, -5, 1], variables=5),
    *(Problem(draw(1, 6, ratio, seed), space(6)) for seed, ratio in enumerate((0.5, 3, 6))),
]


@pytest.mark.parametrize("problem", ODD, ids=range(len(ODD)))
def test_on_all_assignments_the_energy_is_the_number_of_unsatisfied_clauses(problem):
    variables = problem.answer.size
    for bits in itertools.product((False, True), repeat=variables):
        y = torch.tensor([bits]).float()
        expected = broken_by_hand(problem.x[0], bits)
        assert energy_at(problem, y).item() == expected
        assert unsatisfied(problem.x, y).sum().item() == expected


def test_the_energy_between_assignments_is_worked_by_hand():
    problem = formula([1, -2, 3], [-1, 2], variables=3)
    y = torch.tensor([[0.5, 0.25, -1.0]], dtype=torch.float64)

    # (1/2 * 1/4 * 2)^2 + (1/2 * 3/4)^2
    assert energy_at(problem, y).item() == 1 / 16 + 9 / 64


@pytest.mark.parametrize("problem", ODD, ids=range(len(ODD)))
def test_the_gradient_agrees_with_finite_differences(problem):
    energy = SatEnergy()
    start = torch.randn(1, problem.answer.size, generator=generator(), dtype=torch.float64)
    context = energy.encode(Problem(problem.x, problem.answer))

    assert torch.autograd.gradcheck(lambda y: energy.energy(context, y), start.requires_grad_())


def test_the_energy_is_never_negative_and_zero_only_where_literals_are_exactly_true():
    count = 400
    problem = Problem(draw(count, 8, 2, seed=3), space(8))
    drawn = 3 * torch.randn(count, 8, generator=generator(), dtype=torch.float64)
    # Of half the entries true and false exactly, so that some formulas are satisfied and some not.
    exact = torch.rand(count, 8, generator=generator(1)) < 0.8
    y = torch.where(exact, (drawn > 0).double(), drawn)
    energy = energy_at(problem, y)
    holds = [
        all(
            any(y[index, abs(each) - 1] == (each > 0) for each in clause)
            for clause in clauses_of(problem.x[index])
        )
        for index in range(count)
    ]

    assert (energy >= 0).all()
    assert (energy == 0).tolist() == holds
    assert 20 < sum(holds) < count - 20


def test_starts_are_uniform_between_false_and_true():
    problem = Problem(draw(500, 40, 1), space(40))
    y = SatEnergy().start(problem, generator()).y

    assert 0 <= y.min() < 0.001
    assert 0.999 < y.max() <= 1
    assert abs(y.mean() - 1 / 2) < 0.01
    assert abs(y.var() - 1 / 12) < 0.003


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.ones(2, 3), r"\(2, 3\)"),
        (torch.ones(1, 2, 0), "expected"),
        (torch.full((1, 2, 3), 1.5), "no whole number"),
        (torch.full((1, 2, 3), float("nan")), "no whole number|NaN"),
        (torch.full((1, 2, 3), 6), "names no variable"),
        (torch.full((1, 2, 3), -6), "-5 to 5"),
    ],
)
def test_what_is_no_formula_is_refused(x, message):
    problem = Problem(x, space(5))
    with pytest.raises(ValueError, match=message):
        SatSolver(SatEnergy()).solve(problem)
    with pytest.raises(ValueError, match=message):
        energy_at(problem, torch.zeros(len(x), 5))


def test_formulas_without_an_answer_space_are_refused():
    with pytest.raises(ShapeError, match="how many variables"):
        SatSolver(SatEnergy()).solve(torch.ones(1, 2, 3, dtype=torch.int64))


def test_clause_spaces_take_formulas_of_any_length():
    question = Sat(variables=5).question

    assert question == ClauseSpace(variables=5, clauses=15)
    assert question.shape == (15, 3)
    question.check("x", draw(2, 5, 7), rows=2)
    question.check("x", torch.zeros(2, 0, 1, dtype=torch.int64))
    for wrong in (draw(2, 6, 7), draw(3, 5, 7), "x"):
        with pytest.raises(ShapeError, match=r"^x (holds|is)"):
            question.check("x", wrong, rows=2)
    with pytest.raises(SettingError, match="clauses=0"):
        ClauseSpace(variables=5, clauses=0)


@pytest.mark.parametrize("variables", [3, 4, 20])
def test_random_clauses_have_three_different_variables_and_fair_signs(variables):
    x = draw(40, variables, 1000 / variables, seed=variables)
    size, chosen = x.abs(), torch.bincount(x.abs().flatten())[1:]

    assert x.shape == (40, 1000, 3)
    assert 1 <= size.min() < size.max() <= variables
    assert (size.sort(2).values.diff(dim=2) > 0).all()
    # 120,000 literals: standard errors of 0.0015 and below.
    assert abs((x > 0).float().mean() - 1 / 2) < 0.006
    for place in range(3):
        share = torch.bincount(size[..., place].flatten())[1:] / 40_000
        assert (share - 1 / variables).abs().max() < 0.012
    # Chosen without repetition, all sets alike: pairs of variables too.
    pair = ((size == 1).any(2) & (size == 2).any(2)).float().mean()
    assert pair == pytest.approx(6 / (variables * (variables - 1)), abs=0.01)
    assert len(chosen) == variables
    # Signs of one clause do not go together.
    assert abs((x.sign()[..., 0] * x.sign()[..., 1]).float().mean()) < 0.02


def test_difficulties_set_the_clauses_and_the_variables():
    task = Sat(variables=10)
    shapes = {
        text: (problem.x.shape[1:], y.shape[1], problem.answer.size)
        for text in ("train", "harder", "ratio=2.55", "variables=7", "ratio=0.01,variables=3")
        for problem, y in [task.sample(2, text, generator=generator())]
    }

    assert shapes == {
        "train": ((30, 3), 10, 10),
        "harder": ((40, 3), 10, 10),
        "ratio=2.55": ((26, 3), 10, 10),
        "variables=7": ((21, 3), 7, 7),
        "ratio=0.01,variables=3": ((1, 3), 3, 3),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [("ratio=0", "above 0"), ("variables=2", "three different"), ("variables=5.5", "whole number")],
)
def test_bad_difficulties_are_explained(text, message):
    with pytest.raises(SettingError, match=message):
        Sat().sample(1, text, generator=generator())


def test_fewer_variables_than_a_clause_has_are_refused():
    with pytest.raises(SettingError, match="at least 3"):
        load_task("sat(variables=2)")


def test_solvers_keep_their_contract():
    task = Sat(variables=6)
    check_solver(task.solver(), task, trains=False)
    check_solver(SatSolver(task.energy(), descent=CoordinateFlip()), task, trains=False)


def solve_and_verify(literals, solver=None, **options):
    """Solve, check all that is reported against the formulas, and return what is satisfied."""
    variables = int(literals.abs().max())
    solver = solver or SatSolver(SatEnergy())
    solution = solver.solve(Problem(literals, space(variables)), **options)
    satisfied = solution.outcome == Outcome.CONVERGED

    assert ((solution.y == 0) | (solution.y == 1)).all()
    counts = [
        broken_by_hand(*pair) for pair in zip(literals, (solution.y == 1).tolist(), strict=True)
    ]
    assert solution.energy.tolist() == counts
    assert satisfied.tolist() == [count == 0 for count in counts]
    assert set(solution.outcome.tolist()) <= {Outcome.CONVERGED, Outcome.BUDGET_SPENT}
    return satisfied.tolist(), solution


def test_nothing_satisfiable_is_missed_at_ratio_3():
    literals = draw(200, 50, 3, seed=7)
    satisfied, solution = solve_and_verify(literals)

    assert satisfied == [satisfiable(each) for each in literals]
    assert sum(satisfied) >= 195
    assert solution.check() is solution


@pytest.mark.parametrize("ratio", [4.0, 5.0, 7.0])
def test_what_is_reported_agrees_with_a_complete_solver(ratio):
    literals = draw(20, 20, ratio, seed=11)
    satisfied, _ = solve_and_verify(literals, max_steps=2000)
    possible = [satisfiable(each) for each in literals]

    assert not any(claim and not truth for claim, truth in zip(satisfied, possible, strict=True))
    assert sum(satisfied) >= sum(possible) - 1


@pytest.mark.parametrize(
    "descent",
    [CoordinateFlip(), CoordinateFlip(tenure=1), GradientDescent(step_size=0.3)],
    ids=str,
)
def test_other_descents_satisfy_formulas_too(descent):
    satisfied, _ = solve_and_verify(draw(5, 20, 3, seed=5), max_steps=10_000, descent=descent)

    assert sum(satisfied) == 5


def test_odd_formulas_are_solved():
    for problem in ODD:
        solution = SatSolver(SatEnergy()).solve(problem, max_steps=2000)
        assert bool(solution.outcome == Outcome.CONVERGED) == satisfiable(problem.x[0])


def test_a_formula_without_clauses_is_satisfied_at_once():
    problem = Problem(torch.zeros(1, 0, 1, dtype=torch.int64), space(4))

    assert SatSolver(SatEnergy()).solve(problem).energy.tolist() == [0]


def test_thousands_of_variables_are_solved():
    satisfied, _ = solve_and_verify(draw(1, 4000, 3, seed=2))

    assert satisfied == [True]


def test_a_contradiction_spends_the_budget_and_no_more():
    problem = formula([1, 2], [1, -2], [-1, 2], [-1, -2], variables=2)
    solver = SatSolver(SatEnergy(), steps=10)
    solution = solver.solve(problem, max_steps=25, halting=FixedSteps(steps=100))

    assert solution.energy.tolist() == [1]
    assert solution.steps.tolist() == [25]
    assert solution.outcome.tolist() == [Outcome.BUDGET_SPENT]


def test_no_step_leaves_the_rounded_start():
    start = torch.tensor([[0.4, 0.6]])
    problem = formula([1, 2], [1, -2], variables=2)
    solution = SatSolver(SatEnergy()).solve(problem, max_steps=0, start=start)

    assert solution.y.tolist() == [[0, 1]]
    assert solution.energy.tolist() == [1]
    assert solution.steps.tolist() == [0]


def test_a_solver_shows_and_records_all_descents_in_order():
    problem = Problem(draw(6, 6, 6, seed=1), space(6))
    seen = []
    solution = SatSolver(SatEnergy(), steps=10).solve(
        problem,
        max_steps=40,
        halting=EnergyPlateau(patience=2),
        record=("energy", "y"),
        observer=lambda step, problems, evaluation: seen.append((step, problems, evaluation)),
    )

    assert [step for step, *_ in seen] == sorted({step for step, *_ in seen})
    assert seen[-1][0] > 10
    shown = {
        (int(problem), step): float(energy)
        for step, problems, evaluation in seen
        for problem, energy in zip(problems, evaluation.energy, strict=True)
    }
    trace = solution.trace
    assert trace.gradient_norm is None
    assert (trace.problem.diff() >= 0).all()
    for index in range(6):
        of = trace.of(index)
        assert (of.step.diff() >= 0).all()
        assert shown[index, int(of.step[-1])] == float(of.energy[-1])
        here = Problem(problem.x[index : index + 1].expand(len(of.y), -1, -1), space(6))
        torch.testing.assert_close(energy_at(here, of.y), of.energy)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps=0"),
        ({"steps": 2.5}, "steps=2.5"),
        ({"renewal": 0}, "renewal=0"),
        ({"renewal": 1.1}, "renewal=1.1"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(SettingError, match=message):
        SatSolver(SatEnergy(), **settings)


@pytest.mark.parametrize("max_steps", [-1, 2.5, "3", True])
def test_a_bad_budget_is_refused(max_steps):
    with pytest.raises(SettingError, match="max_steps"):
        SatSolver(SatEnergy()).solve(ODD[0], max_steps=max_steps)


def test_there_is_nothing_to_train():
    task = Sat(variables=4)
    with pytest.raises(SettingError, match="needs no training"):
        task.solver().loss(*task.sample(1, generator=generator()), generator())


def test_evaluation_says_how_many_are_satisfied():
    task = Sat(variables=12)
    scores = evaluate(task.solver(), task, problems=30, max_steps=2000, halting=EnergyPlateau())

    assert scores.measures["satisfied"] == scores.outcomes["CONVERGED"] / 30 > 0.9
    assert scores.measures["unsatisfied_clauses"] < 0.1
    assert scores.measures_by_step["satisfied"][0] < 0.1
    assert scores.to_dict()["satisfied"] == scores.measures["satisfied"]


def test_measures_round_assignments():
    task = Sat(variables=4)
    problem = formula([1, 2], [-1, 2], [3], variables=4)
    for y, broken in (([0.6, 0.4, 0.9, 0.5], 1), ([0.4, 0.7, 0.6, 0], 0), ([0, 0, 0, 0.0], 2)):
        measures = task.measures(problem, torch.tensor([y]), torch.zeros(1, 4))
        assert measures["unsatisfied_clauses"].tolist() == [broken]
        assert measures["satisfied"].tolist() == [float(not broken)]


def test_the_textbook_algorithm_satisfies_easy_formulas():
    problem, _ = Sat(variables=15).sample(10, "ratio=2", generator=generator())
    y = Sat(variables=15).classical(problem)

    assert not unsatisfied(problem.x, y).any()


def test_the_context_tells_problems_apart():
    problem = Problem(draw(3, 6, 3), space(6))
    energy = SatEnergy()
    context = energy.encode(problem)
    y = torch.rand(3, 6, generator=generator())
    evaluation = differentiate(energy, context, energy.start(problem, generator()))

    assert evaluation.energy.shape == (3,)
    for index in range(3):
        alone = Problem(problem.x[index : index + 1], problem.answer)
        torch.testing.assert_close(
            energy_at(alone, y[index : index + 1])[0], energy.energy(context, y)[index]
        )
