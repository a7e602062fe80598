"""Formulas as factor graphs, against enumeration, python-sat and the written energy."""

import itertools

import pytest
import torch
from pysat.solvers import Cadical153

from irem_core import (
    Between,
    Constraints,
    FactorEnergy,
    InputFileError,
    MLPEnergy,
    Problem,
    SettingError,
    VectorSpace,
    choices,
    factor_graphs,
    fit,
    recipe,
)
from irem_tasks.sat import Sat, SatEnergy, unsatisfied
from irem_tasks.sat.drawing import decide, random_clauses, satisfiable_formulas, solutions
from irem_tasks.sat.parts import answers_of, assignments_of, clauses_of, graphs_of, sizes_of


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def padded(*clauses):
    width = max(map(len, clauses))
    return torch.tensor([[[*clause, *[0] * (width - len(clause))] for clause in clauses]])


def all_assignments(variables):
    return torch.tensor(list(itertools.product((False, True), repeat=variables)))


def satisfiable(literals):
    clauses = [[each for each in clause if each] for clause in literals.tolist()]
    with Cadical153(bootstrap_with=[clause for clause in clauses if clause]) as complete:
        return complete.solve()


# Short, long and repeated literals, contradictions, a clause and a variable that are not there.
ODD = [
    (padded([1]), 1),
    (padded([-1], [1]), 2),
    (padded([1, 1, 2], [-2, -2, -2]), 3),
    (padded([1, -1], [2, 3, -2], [3]), 4),
    (padded([1, -2, 3, -4, 5], [], [-1, 2], [-3, 4, -5, 1]), 5),
    (torch.zeros(1, 0, 1, dtype=torch.int64), 2),
    *((random_clauses((1, 6 * ratio), 6, generator(ratio)), 6) for ratio in (1, 3, 6)),
]


@pytest.mark.parametrize(("literals", "variables"), ODD, ids=range(len(ODD)))
def test_both_forms_agree_on_every_assignment(literals, variables):
    task, dense = Sat(5, parts=True), Sat(5)
    true = all_assignments(variables)
    count, sizes = len(true), torch.full((len(true),), variables)
    formulas = literals.expand(count, -1, -1)
    graphs = Problem(graphs_of(formulas, sizes), task.answer)
    clauses = Problem(formulas, VectorSpace(variables, low=0.0, high=1.0))
    y = answers_of(true, sizes)
    energy = SatEnergy()(clauses, true.float())

    assert torch.equal(assignments_of(graphs.x, y), true.float())
    assert torch.equal(task.verify(graphs, y), dense.verify(clauses, true.float()))
    assert torch.equal(task.verify(graphs, y), energy == 0)
    assert torch.equal(choices.verify(graphs, y), energy == 0)
    assert torch.equal(task.measures(graphs, y, y)["unsatisfied_clauses"], energy)


def test_graphs_are_those_of_constraints():
    literals = padded([1, -2, 3], [-1, 2], [-3])
    puzzle = Constraints()
    variables = [puzzle.variable() for _ in range(3)]
    for clause in ([(0, True), (1, False), (2, True)], [(0, False), (1, True)], [(2, False)]):
        puzzle.clause([variables[number][value] for number, value in clause])
    expected, made = puzzle.problem().x, graphs_of(literals, torch.tensor([3]))

    Sat(3, parts=True).question.check_graphs("made", made)
    assert made.node_types == expected.node_types
    assert torch.equal(made[choices.ENTRY].x, expected[choices.ENTRY].x)
    for kind in ("variable", "clause"):
        ours, theirs = (
            set(map(tuple, each[kind, factor_graphs.ROLE, choices.ENTRY].edge_index.T.tolist()))
            for each in (made, expected)
        )
        assert ours == theirs


def test_clauses_come_back_from_graphs():
    literals = torch.cat([padded([1, -2, 3], [2, -4, 0]), padded([-1, 2, -3], [])])
    x = graphs_of(literals, torch.tensor([4, 3]))

    assert sizes_of(x).tolist() == [4, 3]
    assert [sorted(clause) for clause in clauses_of(x)[0].tolist()] == [[-2, 1, 3], [-4, 0, 2]]
    assert [sorted(clause) for clause in clauses_of(x)[1].tolist()] == [[-3, -1, 2], [0, 0, 0]]


def test_all_solutions_are_listed():
    sizes = torch.tensor([3, 5, 7, 7])
    literals = random_clauses((4, 12), sizes, generator(1))
    owner, bits = solutions(literals, sizes)

    for number, variables in enumerate(sizes.tolist()):
        true = all_assignments(variables)
        broken = unsatisfied(literals[number].expand(len(true), -1, -1), true.float()).any(1)
        wanted = {
            sum(1 << place for place in row.nonzero()[:, 0].tolist()) for row in true[~broken]
        }
        assert set(bits[owner == number].tolist()) == wanted
        assert int((owner == number).sum()) == len(wanted)


def test_an_exact_method_decides_as_another():
    drawn = random_clauses((30, 21), 5, generator(3))
    found = [decide(each, 5) for each in drawn]

    assert [each is not None for each in found] == [satisfiable(each) for each in drawn]
    assert 3 < sum(each is None for each in found) < 27
    for literals, true in zip(drawn, found, strict=True):
        assert true is None or not unsatisfied(literals[None], true[None].float()).any()
    assert decide(torch.zeros(2, 3, dtype=torch.int64), 4) is not None


@pytest.mark.parametrize(
    ("text", "sizes", "clauses"),
    [
        ("train", (8, 12), (32, 60)),
        ("harder", (20, 20), (91, 91)),
        ("variables=22,ratio=4.2", (22, 22), (92, 92)),
        ("variables=4..6,ratio=2.0..3.0", (4, 6), (8, 18)),
    ],
)
def test_formulas_that_are_drawn_are_satisfied_by_their_answers(text, sizes, clauses):
    task = Sat(parts=True)
    problem, y = task.sample(12, text, generator=generator())
    counts = problem.x["clause"].ptr.diff()

    assert task.verify(problem, y).all()
    assert problem.verified(y).all()
    assert sizes[0] <= sizes_of(problem.x).min() <= sizes_of(problem.x).max() <= sizes[1]
    assert clauses[0] <= counts.min() <= counts.max() <= clauses[1]


def test_single_clauses_have_their_seven_answers_equally_often():
    task = Sat(parts=True, alone=True)
    problem, y = task.sample(7000, "train", generator=generator())
    literals, true = clauses_of(problem.x)[:, 0], assignments_of(problem.x, y)
    holds = (true.gather(1, literals.abs() - 1) > 0) == (literals > 0)
    times = torch.bincount((holds.long() * torch.tensor([1, 2, 4])).sum(1), minlength=8)

    assert (problem.x["clause"].ptr.diff() == 1).all()
    assert times[0] == 0
    # Each is 1000, with a standard error of 30.
    assert (times[1:] - 1000).abs().max() < 150
    assert sizes_of(task.sample(2, "same", generator=generator())[0].x).min() >= 8


def test_answers_of_small_formulas_are_any_that_satisfy():
    drawn = satisfiable_formulas(4000, 3, 0.34, generator(2))
    first = drawn.literals[0, 0]
    signs = (drawn.literals[:, 0].sort(1).values.sign() == 1).sum(1)

    # Of seven answers to a clause of three literals four set any one of them true.
    holds = (drawn.true.gather(1, drawn.literals[:, 0].abs() - 1)) == (drawn.literals[:, 0] > 0)
    assert holds.float().mean(0).tolist() == pytest.approx([4 / 7] * 3, abs=0.04)
    assert len(first) == 3
    assert signs.float().mean() == pytest.approx(1.5, abs=0.1)


def test_the_task_takes_the_form_that_an_energy_learns():
    assert Sat().as_learned(MLPEnergy).parts is False
    assert Sat(7).as_learned(FactorEnergy).variables == 7
    learned = Sat().as_learned(FactorEnergy)
    assert learned.parts
    assert learned.variables == Between(8, 12)
    assert learned.as_learned(FactorEnergy) is learned
    assert learned.energy() is learned.solver() is None


def test_the_textbook_algorithm_answers_graphs():
    task = Sat(parts=True)
    problem, _ = task.sample(6, "variables=5..9,ratio=2.0", generator=generator())

    assert task.verify(problem, task.classical(problem)).all()


def test_files_are_read_and_answered(tmp_path):
    task = Sat(parts=True)
    (tmp_path / "f.cnf").write_text("p cnf 4 3\n1 -2 0\n2 3 0\n-3 0\n")
    problem = task.read(tmp_path / "f.cnf", torch.device("cpu"))
    true = torch.tensor([[True, True, False, False]])
    answers = answers_of(true, torch.tensor([4]))
    task.write(tmp_path / "f.sol", problem, answers)

    assert (tmp_path / "f.sol").read_text().splitlines() == [
        "c the assignment satisfies all 3 clauses",
        "s SATISFIABLE",
        "v 1 2 -3 -4 0",
    ]
    task.write(tmp_path / "f.sol", problem, 1 - answers)
    assert "s UNKNOWN" in (tmp_path / "f.sol").read_text()
    with pytest.raises(InputFileError, match=r"named \.cnf"):
        task.read(tmp_path / "f.npy", torch.device("cpu"))


def test_formulas_of_several_sizes_are_written_each_with_its_variables(tmp_path):
    task = Sat(parts=True)
    literals = torch.cat([padded([1, 2], [-2, 3]), padded([-1, 2], [])])
    sizes = torch.tensor([3, 2])
    true = torch.tensor([[True, False, True], [True, True, True]])
    problem = Problem(graphs_of(literals, sizes), task.answer)
    task.write(tmp_path / "f.sol", problem, answers_of(true, sizes))
    values = [each for each in (tmp_path / "f.sol").read_text().splitlines() if each[0] == "v"]

    assert values == ["v 1 -2 3 0", "v 1 2 0"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"variables": 0, "parts": True}, "variables=0; expected a whole number of at least 3"),
        ({"variables": "2..9", "parts": True}, "variables=2"),
        ({"variables": "5..9"}, "without parts; expected one number"),
        ({"variables": "many"}, "at least 3"),
        ({"variables": "9..5", "parts": True}, "is empty"),
        ({"alone": True}, "add parts=True"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(SettingError, match=message):
        Sat(**settings)


def test_bad_difficulties_are_explained():
    for task, text, message in (
        (Sat(parts=True), "ratio=0", "above 0"),
        (Sat(parts=True), "variables=2..5", "three different"),
        (Sat(parts=True), "variables=6,ratio=40", "choose a smaller ratio"),
        (Sat(), "variables=2", "three different"),
    ):
        with pytest.raises(SettingError, match=message):
            task.sample(3, text, generator=generator())
    with pytest.raises(SettingError, match="parts=True"):
        Sat().draw(1, generator(), torch.device("cpu"), variables=Between(3, 5))


def test_energies_of_other_questions_are_refused():
    with pytest.raises(SettingError, match="MLPEnergy"):
        recipe(Sat(parts=True), energy="mlp")
    with pytest.raises(SettingError, match="expected a FactorSpace"):
        recipe(Sat(), energy="factor")


def test_an_energy_of_clauses_learns():
    task = Sat("4..6", parts=True)
    made = recipe(task, energy="factor(rounds=1, width=12)", replay=100)
    problem, y = task.sample(100, "same", generator=generator(5))

    def error():
        found = made.solver.solve(problem, max_steps=20).y
        return (found - problem.wanted(found, y)).square().mean()

    before = error()
    fit(made.solver, task, **{**made.training, "iterations": 60, "average": None}, seed=0)
    # The best constant has 0.25.
    assert before > 0.25
    assert error() < 0.2
