"""Recursive composition (Eq. 7): exact where the algorithm is."""

import pytest
import torch
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from irem_core import (
    IREM,
    EnergyFn,
    EnergyPlateau,
    FixedSteps,
    GradientDescent,
    GradientNorm,
    MLPEnergy,
    Outcome,
    Problem,
    SettingError,
    ShapeError,
    Solution,
    Solver,
    VectorSpace,
    compose,
)
from irem_core.evaluation.composition_scores import score_composition
from irem_tasks import Add, Negate


class Exact(Solver):
    """Answers by a task's textbook algorithm; problem `late` fails at application `at`."""

    def __init__(self, task, late=None, at=0):
        super().__init__()
        self.task, self.answer = task, task.answer
        self.late, self.at, self.calls = late, at, 0

    def loss(self, problem, target, generator):
        raise NotImplementedError

    def solve(self, x, **options):
        problem = x if isinstance(x, Problem) else Problem(x, self.answer)
        solution = Solution.answered(self.task.classical(problem), problem.layout)
        self.calls += 1
        if self.calls == self.at:
            solution.outcome[self.late] = int(Outcome.NONFINITE)
        return solution


class Sum(EnergyFn):
    """The squared distance to the sum of two operands."""

    def energy(self, context, y):
        first, second = context.chunk(2, 1)
        return (y - first - second).square().sum(-1)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def whole(shape, seed):
    """Draw whole numbers, so that every order of addition is exact."""
    return torch.randint(-9, 10, shape, generator=generator(seed)).float()


def joined_sum(x):
    first, second = x.chunk(2, -1)
    return first + second


def separate_sum(a, b):
    return a + b


def operands(count, size=3, batch=4):
    return list(whole((count, batch, size), count))


BINARY = {
    "joined": joined_sum,
    "separate": separate_sum,
    "torch.add": torch.add,
    "lambda": lambda a, b: a + b,
    "variadic": lambda *parts: sum(parts),
    "solver": Exact(Add(size=3)),
}
UNARY = {
    "function": lambda x: 3 * x + 1,
    "torch": torch.neg,
    "solver": Exact(Negate(size=3)),
}


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("name", BINARY)
def test_composed_addition_is_exact(name, k):
    given = operands(k + 1)

    assert torch.equal(compose(BINARY[name], k)(*given), sum(given))
    assert torch.equal(compose(BINARY[name], k).solve(given).y, sum(given))


@pytest.mark.parametrize("k", [1, 2, 5])
def test_unary_algorithms_are_iterated(k):
    (x,) = operands(1)

    assert torch.equal(compose(UNARY["torch"], k)(x), x if k % 2 == 0 else -x)
    assert torch.equal(compose(UNARY["solver"], k)(x), x if k % 2 == 0 else -x)
    assert torch.equal(compose(UNARY["function"], k)(x), 3**k * x + (3**k - 1) // 2)


def test_operands_are_taken_in_order():
    # ((a - b) - c) - d, which no other order gives.
    a, b, c, d = operands(4)

    assert torch.equal(compose(torch.sub, 3)(a, b, c, d), a - b - c - d)
    assert torch.equal(compose(lambda a, b, c: a * b + c, 2)(a, b, c, d, a), (a * b + c) * d + a)


@pytest.mark.parametrize("name", [*BINARY, "minus"])
def test_compositions_of_binary_algorithms_compose(name):
    alg, given = BINARY.get(name, torch.sub), operands(7)
    nested, flat = compose(compose(alg, 2), 3), compose(alg, 6)

    assert torch.equal(nested(*given), flat(*given))
    assert torch.equal(nested.solve(given).y, flat.solve(given).y)


@pytest.mark.parametrize("name", UNARY)
def test_compositions_of_unary_algorithms_compose(name):
    given = operands(1)
    nested, flat = compose(compose(UNARY[name], 2), 3), compose(UNARY[name], 6)

    assert torch.equal(nested(*given), flat(*given))
    assert torch.equal(nested.solve(given).y, flat.solve(given).y)


def small_irem():
    energy = MLPEnergy.for_task(Add(size=3), width=8, depth=1)
    return IREM(energy, descent=GradientDescent(step_size=2.0), replay=0)


def test_one_application_answers_as_the_solver_itself():
    solver, given = small_irem(), operands(2)
    alone = solver.solve(torch.cat(given, -1), max_steps=7)
    composed = compose(solver, 1).solve(given, max_steps=7)

    assert torch.equal(composed.y, alone.y)
    assert torch.equal(composed.energy, alone.energy)
    assert torch.equal(composed.steps, alone.steps)
    assert torch.equal(composed.outcome, alone.outcome)
    default = solver.solve(torch.cat(given, -1)).y
    assert torch.equal(compose(solver, 1)(*given), default)


def test_parts_hold_every_application_and_totals_add_up():
    solver, given = small_irem(), operands(4)
    composed = compose(solver, 3).solve(given, max_steps=7)

    assert len(composed.parts) == 3
    y = given[0]
    for part, operand in zip(composed.parts, given[1:], strict=True):
        y = solver.solve(torch.cat([y, operand], -1), max_steps=7).y
        assert torch.equal(part.y, y)
    assert torch.equal(composed.y, y)
    assert composed.steps.tolist() == [
        sum(each) for each in zip(*(part.steps.tolist() for part in composed.parts), strict=True)
    ]
    assert torch.equal(composed.evaluations, sum(part.evaluations for part in composed.parts))


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_problem_is_as_good_as_its_worst_application(at):
    solution = compose(Exact(Add(size=3), late=2, at=at), 3).solve(operands(4))

    answered = int(Outcome.ANSWERED)
    assert solution.outcome.tolist() == [answered, answered, int(Outcome.NONFINITE), answered]


def test_a_join_of_ones_own_makes_x():
    def apart(x):
        return x["left"] - x["right"]

    given = operands(3)
    composed = compose(apart, 2, join=lambda a, b: {"left": a, "right": b})
    assert torch.equal(composed(*given), given[0] - given[1] - given[2])


FEW = settings(max_examples=25, deadline=None)
counts, seeds = st.integers(1, 5), st.integers(0, 10)


@FEW
@drawn(k=counts, arity=counts, batch=counts, size=counts, seed=seeds)
def test_sums_of_any_number_of_operands_are_exact(k, arity, batch, size, seed):
    given = list(whole((k * (arity - 1) + 1, batch, size), seed))

    assert torch.equal(compose(lambda *parts: sum(parts), k)(*given), sum(given))
    joined = compose(lambda x: x.unflatten(-1, (arity, size)).sum(-2), k)
    assert torch.equal(joined.solve(given).y, sum(given))


@FEW
@drawn(inner=counts, outer=counts, arity=counts, batch=counts, seed=seeds)
def test_nested_compositions_answer_as_flat_ones(inner, outer, arity, batch, seed):
    # Horner's rule, which neither commutes nor associates; modulo a prime, so that all is exact.
    def alg(first, *rest):
        return (2 * first + sum(rest, start=torch.ones(()))) % 1009

    given = list(whole((inner * outer * (arity - 1) + 1, batch, 3), seed))
    nested, flat = compose(compose(alg, inner), outer), compose(alg, inner * outer)

    assert torch.equal(nested(*given), flat(*given))
    assert torch.equal(nested.solve(given).y, flat.solve(given).y)
    deeper = compose(compose(compose(alg, 1), inner), outer)
    assert torch.equal(deeper(*given), flat(*given))


@FEW
@drawn(k=counts, batch=counts, seed=seeds)
def test_operands_reach_an_algorithm_as_the_join_makes_them(k, batch, seed):
    first, *rest = given = list(whole((k + 1, batch, 3), seed))
    shown = []

    def alg(x):
        shown.append(x)
        left, right = x.chunk(2, -1)
        return (3 * left - right) % 1009

    def reversed_join(answer, operand):
        return torch.cat([operand, answer], -1)

    found = compose(alg, k, join=reversed_join)(*given)
    for x, operand in zip(shown, rest, strict=True):
        assert torch.equal(x, torch.cat([operand, first], -1))
        first = (3 * operand - first) % 1009
    assert torch.equal(found, first)
    nested = compose(compose(alg, k, join=reversed_join), 1)
    assert torch.equal(nested(*given), found)
    assert torch.equal(nested.solve(given).y, found)


@pytest.mark.parametrize("name", [*BINARY, *UNARY])
def test_one_application_answers_as_the_algorithm_itself(name):
    alg, given = (BINARY | UNARY)[name], operands(2 if name in BINARY else 1)
    apart = name in ("separate", "torch.add", "lambda", "variadic")
    arguments = given if apart else [torch.cat(given, -1)]
    alone = alg.solve(*arguments).y if isinstance(alg, Solver) else alg(*arguments)

    assert torch.equal(compose(alg, 1)(*given), alone)
    assert torch.equal(compose(alg, 1).solve(given).y, alone)


def test_solvers_and_compositions_take_a_join_too():
    given = operands(5)
    swapped = {"join": lambda a, b: torch.cat([b, a], -1)}

    assert torch.equal(compose(Exact(Add(size=3)), 4, **swapped)(*given), sum(given))
    # Each application takes two operands as one x, and doubles and negates their difference.
    inner = compose(lambda x: -x, 3)
    outer = compose(inner, 2, join=lambda a, b: 2 * (a - b))
    a, b, c = given[:3]
    expected = -2 * (-2 * (a - b) - c)
    assert torch.equal(outer(a, b, c), expected)


@pytest.mark.parametrize(("inner", "outer"), [(2, 3), (3, 1), (1, 2)])
def test_each_application_halts_by_itself_and_steps_add_up(inner, outer):
    task = Add(size=3)
    solver = IREM(Sum.for_task(task), descent=GradientDescent(step_size=0.25))
    k = inner * outer
    # The first sums need more steps where operands are far from the starts in [-1, 1].
    far = torch.tensor([[1.0], [100.0], [10.0], [0.0]])
    given = [far * torch.ones(4, 3), *operands(k)]
    options = {"halting": GradientNorm(tolerance=1e-3), "max_steps": 60}
    flat = compose(solver, k).solve(given, generator=generator(0), **options)
    nested = compose(compose(solver, inner), outer).solve(given, generator=generator(0), **options)

    # Alone, with the starts that the generator gives in turn.
    starts, y, steps = generator(0), given[0], []
    for operand in given[1:]:
        alone = solver.solve(torch.cat([y, operand], -1), generator=starts, **options)
        y = alone.y
        steps.append(alone.steps)
    assert all(len(each.unique()) > 1 for each in steps)
    assert torch.equal(torch.stack([part.steps for part in flat.parts]), torch.stack(steps))
    assert torch.equal(flat.steps, sum(steps))
    assert torch.equal(flat.y, y)
    assert flat.outcome.tolist() == [int(Outcome.CONVERGED)] * 4
    for field in ("y", "last", "energy", "steps", "evaluations", "outcome"):
        assert torch.equal(getattr(nested, field), getattr(flat, field))
    assert [len(part.parts) for part in nested.parts] == [inner] * outer


@pytest.mark.parametrize(("k", "count"), [(2, 0), (2, 2), (2, 4), (3, 3), (3, 5), (3, 6)])
def test_a_wrong_number_of_operands_is_refused(k, count):
    with pytest.raises(SettingError, match=rf"compose\(alg, {k}\) got {count} operands"):
        compose(torch.add, k)(*operands(count))


def test_a_function_must_return_tensors_where_a_solution_is_wanted():
    with pytest.raises(ShapeError, match="returned float"):
        compose(lambda a, b: 0.5, 1).solve(operands(2))


def test_the_score_of_an_exact_solver_is_zero():
    for task in (Add(size=3), Negate(size=3)):
        scores = score_composition(Exact(task), task, 3, problems=50)
        assert scores["mse"] == pytest.approx(0, abs=1e-12)
        assert len(scores["mse_by_application"]) == 3
        assert scores["steps_mean"] == 3


def test_the_mean_square_of_a_composed_sum_grows_with_its_operands():
    # k + 1 operands from U(-1, 1), whose mean squares are 1/3 each.
    scores = score_composition(Exact(Add(size=20)), Add(size=20), 5, problems=500)

    assert scores["answer_mean_square"] == pytest.approx(2, rel=0.06)


def test_a_zero_solver_scores_the_mean_square():
    class Zero(Exact):
        def solve(self, x, **options):
            return Solution.answered(torch.zeros(len(x), 20), Problem(x).layout)

    scores = score_composition(Zero(Add(size=20)), Add(size=20), 2, problems=300)
    assert scores["mse_by_application"] == pytest.approx([2 / 3, 1.0], rel=0.1)
    assert scores["mse"] == pytest.approx(scores["answer_mean_square"], rel=1e-6)


def test_a_task_that_does_not_compose_is_refused():
    class Widening(Negate):
        def __init__(self):
            super().__init__(3)
            self.answer = VectorSpace(2)

    with pytest.raises(SettingError, match="does not compose"):
        score_composition(Exact(Negate(size=3)), Widening(), 2)


def test_scored_applications_halt_by_the_solvers_own_rule():
    task = Add(size=3)
    rule = EnergyPlateau(tolerance=1e-3)
    solver = IREM(Sum.for_task(task), descent=GradientDescent(step_size=0.25), halting=rule)
    scores = score_composition(solver, task, 2, problems=20)

    # The energy and its changes fall to a quarter at every step: those of steps 6, 7 and 8 are the
    # first three in a row below 1e-3 of the first, since 4^-5 < 1e-3 < 4^-4.
    assert scores["steps_mean"] == 2 * 8
    assert scores["mse"] < 1e-4
    assert "0.001" in scores["halting"]
    fixed = score_composition(solver, task, 2, problems=20, halting=FixedSteps(steps=30))
    assert fixed["steps_mean"] == 2 * 30


def test_a_task_without_exact_answers_is_told_before_anything_is_solved():
    class Secret(Add):
        def oracle(self, problem):
            raise NotImplementedError

    solver = Exact(Secret(size=3))
    with pytest.raises(SettingError, match="Secret knows no exact answers"):
        score_composition(solver, Secret(size=3), 2, problems=4)
    assert solver.calls == 0
