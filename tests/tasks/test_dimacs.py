"""DIMACS files: what is read, written and refused."""

import re

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pysat.formula import CNF

from irem_core import InputFileError, Outcome, Problem, StorageError, VectorSpace
from irem_tasks.sat import Sat, SatEnergy, SatSolver, read_cnf, write_cnf

CPU = torch.device("cpu")
IN_A_FOLDER = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def clauses_of(literals):
    return [[each for each in clause if each] for clause in literals.tolist()]


def read(tmp_path, text):
    file = tmp_path / "formula.cnf"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    literals, variables = read_cnf(file)
    assert literals.dtype == torch.int64
    return clauses_of(literals), variables


FORMULAS = st.integers(1, 30).flatmap(
    lambda variables: st.tuples(
        st.lists(
            st.lists(st.integers(-variables, variables).filter(bool), min_size=1, max_size=6),
            max_size=12,
        ),
        st.just(variables),
    )
)


def padded(clauses):
    width = max(map(len, clauses), default=1)
    rows = [[*clause, *[0] * (width - len(clause))] for clause in clauses]
    return torch.tensor(rows, dtype=torch.int64).reshape(len(clauses), width)


@given(FORMULAS)
@IN_A_FOLDER
def test_what_is_written_is_read_again(tmp_path, formula):
    clauses, variables = formula
    file = tmp_path / "formula.cnf"
    write_cnf(file, padded(clauses), variables, comments=["written", "p cnf 0 0 in a comment"])
    literals, read_variables = read_cnf(file)

    assert torch.equal(literals, padded(clauses))
    assert read_variables == variables
    # Another reader, which counts the variables that occur.
    other = CNF(from_file=str(file))
    assert other.clauses == clauses


@given(FORMULAS, st.randoms(use_true_random=False))
@IN_A_FOLDER
def test_clauses_may_be_laid_out_in_any_way(tmp_path, formula, random):
    clauses, variables = formula
    words = [str(word) for clause in clauses for word in (*clause, 0)]
    text = f"c head\n\n  p  cnf {variables}\t{len(clauses)} \r\n"
    for word in words:
        text += word + random.choice([" ", "  ", "\t", "\n", " \n\n", "\r\n", "\nc mid 5 0\n"])
    text += random.choice(["", "\n%\n0\n\n", "\n%", "\nc the end"])

    assert read(tmp_path, text) == (clauses, variables)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("p cnf 3 2\n1 -3 0\n2 3 -1 0\n", ([[1, -3], [2, 3, -1]], 3)),
        ("p cnf 3 2\n1 -3 0 2 3 -1 0", ([[1, -3], [2, 3, -1]], 3)),
        ("p cnf 3 2\n1\n-3\n0 2\n3 -1\n0", ([[1, -3], [2, 3, -1]], 3)),
        ("c\ncomment\np cnf 2 1\nc 1 0\n1 2 0\nc\n", ([[1, 2]], 2)),
        ("p cnf 2 1\n1 2 0\n%\n0\n\n", ([[1, 2]], 2)),
        (b"\xff\xfec caf\xe9\np cnf 2 1\n1 2 0\n"[2:], ([[1, 2]], 2)),
        ("p cnf 4 2\n1 1 -1 0\n-2 -2 0\n", ([[1, 1, -1], [-2, -2]], 4)),
        ("p cnf 9 0\n", ([], 9)),
        ("p cnf 2 1\r\n1 2 0\r\n", ([[1, 2]], 2)),
        ("p cnf 002 1\n01 -2 0\n", ([[1, -2]], 2)),
        ("\ufeffp cnf 2 1\n1 2 0\n", ([[1, 2]], 2)),
    ],
)
def test_files_of_all_kinds_are_read(tmp_path, text, expected):
    assert read(tmp_path, text) == expected


BAD = [
    ("", 1, "no header"),
    ("c only\nc comments\n", 1, "no header"),
    ("1 2 0\n", 1, "before the header"),
    ("\n\nc\n1 2 0\np cnf 2 1\n", 4, "before the header"),
    ("p cnf 2\n", 1, 'expected "p cnf VARIABLES CLAUSES"'),
    ("p cnf 2 1 1\n", 1, 'expected "p cnf VARIABLES CLAUSES"'),
    ("c\np sat 2 1\n", 2, "p sat 2 1"),
    ("p cnf two 1\n", 1, "two whole numbers"),
    ("p cnf -2 1\n", 1, "two whole numbers"),
    ("p cnf 0 0\n", 1, "no variables"),
    ("p cnf 2 999999999999\n", 1, "more than 100,000,000"),
    ("p cnf 2 1\n1 0\np cnf 2 1\n", 3, "second header; the first is in line 1"),
    ("p cnf 2 2\n1 2 0\n3 0\n", 3, "literal 3 names no variable from 1 to 2"),
    ("p cnf 2 2\n1 2 0\n\n-3\n0\n", 4, "literal -3"),
    ("p cnf 2 1\n1 x 0\n", 2, '"x" is no whole number'),
    ("p cnf 2 1\n1 2.0 0\n", 2, '"2.0"'),
    ("p cnf 2 1\n1 1_0 0\n", 2, '"1_0"'),
    ("p cnf 2 1\n1 \u0662 0\n", 2, "no whole number"),
    ("p cnf 2 1\n1 --2 0\n", 2, '"--2"'),
    ("p cnf 2 1\n" + "1" * 5000 + " 0\n", 2, "no whole number"),
    ("p cnf 2 1\n1 2\n", 2, "does not end in 0"),
    ("p cnf 2 1\n1\nc 0\n2\n\n\n", 4, "does not end in 0"),
    ("p cnf 2 1\n1 2\n%\n0\n", 2, "does not end in 0"),
    ("c\np cnf 2 3\n1 0\n2 0\n", 2, "announces 3 clauses and the file holds 2"),
    ("p cnf 2 1\n1 0\n2 0\n", 1, "announces 1 clauses and the file holds 2"),
    ("p cnf 2 2\n1 0\n0\n", 3, "an empty clause, which no assignment satisfies"),
    ("p cnf 2 2\n1 0 0\n", 2, "cannot be satisfied"),
    ("p cnf 9 20001\n" + "1 0\n" * 20000 + "1 " * 9000 + "0\n", 1, "side by side"),
]


@pytest.mark.parametrize(("text", "line", "message"), BAD, ids=range(len(BAD)))
def test_a_malformed_file_is_explained_with_its_line(tmp_path, text, line, message):
    with pytest.raises(InputFileError, match=re.escape(message)) as caught:
        read(tmp_path, text)

    told = str(caught.value)
    assert f"formula.cnf, line {line}: " in told
    assert "\n" not in told
    assert told.endswith(".")
    assert len(told) < 400


def test_a_binary_file_is_no_formula(tmp_path):
    with pytest.raises(InputFileError, match="line 1: "):
        read(tmp_path, bytes(range(256)) * 4)


def test_files_that_are_not_there_are_named(tmp_path):
    with pytest.raises(InputFileError, match=r"There is no file .*none\.cnf"):
        read_cnf(tmp_path / "none.cnf")
    with pytest.raises(InputFileError, match="cannot be read"):
        read_cnf(tmp_path)
    with pytest.raises(StorageError, match="cannot be written"):
        write_cnf(tmp_path / "nowhere" / "formula.cnf", padded([[1]]), 1)


def test_rows_that_are_no_clause_are_not_written(tmp_path):
    write_cnf(tmp_path / "f.cnf", torch.tensor([[1, 0, -2], [0, 0, 0], [0, 2, 0]]), 2)

    assert (tmp_path / "f.cnf").read_text() == "p cnf 2 2\n1 -2 0\n2 0\n"


def test_the_task_reads_problems(tmp_path):
    (tmp_path / "f.cnf").write_text("p cnf 5 2\n1 2 -3 0\n-4 0\n")
    problem = Sat().read(tmp_path / "f.cnf", CPU)

    assert problem.x.tolist() == [[[1, 2, -3], [-4, 0, 0]]]
    assert problem.answer == VectorSpace(5, low=0.0, high=1.0)
    with pytest.raises(InputFileError, match="is no formula"):
        Sat().read(tmp_path / "f.sol", CPU)


def solved(clauses, variables):
    problem = Problem(padded(clauses)[None], VectorSpace(variables, low=0.0, high=1.0))
    return problem, SatSolver(SatEnergy()).solve(problem, max_steps=1000)


def test_a_model_is_reported_in_lines_of_at_most_78_columns(tmp_path):
    # Every variable has a value that it must take.
    clauses = [[place if place % 3 else -place] for place in range(1, 1201)]
    problem, solution = solved(clauses, 1200)
    text = Sat().report(problem, solution)
    lines = text.split("\n")
    values = [line for line in lines if line.startswith("v ")]

    assert lines[:2] == ["c the assignment satisfies all 1200 clauses", "s SATISFIABLE"]
    assert lines[2:] == values
    assert 70 < max(map(len, values)) <= 78
    words = " ".join(line[2:] for line in values).split(" ")
    assert words == [*(str(clause[0]) for clause in clauses), "0"]
    Sat().write(tmp_path / "a.sol", problem, solution.y)
    assert (tmp_path / "a.sol").read_text() == text + "\n"


def test_what_is_not_satisfied_is_unknown_and_shows_no_assignment(tmp_path):
    problem, solution = solved([[1], [-1], [2, 3]], 3)
    text = Sat().report(problem, solution)

    assert text.split("\n") == [
        "c the best assignment found leaves 1 of 3 clauses unsatisfied",
        "s UNKNOWN",
    ]
    Sat().write(tmp_path / "a.sol", problem, solution.y)
    assert (tmp_path / "a.sol").read_text() == text + "\n"


def test_a_false_claim_of_a_solver_is_not_passed_on():
    problem, solution = solved([[1], [2, 3]], 3)
    assert solution.outcome.tolist() == [Outcome.CONVERGED]
    solution.y.zero_()

    assert "s UNKNOWN" in Sat().report(problem, solution)


def test_several_answers_are_written_one_after_the_other(tmp_path):
    problem = Problem(torch.tensor([[[1, 2]], [[-1, 0]]]), VectorSpace(2, low=0.0, high=1.0))
    Sat().write(tmp_path / "a.sol", problem, torch.tensor([[0.0, 1.0], [1.0, 0.0]]))

    assert (tmp_path / "a.sol").read_text().split("\n") == [
        "c problem 0",
        "c the assignment satisfies all 1 clauses",
        "s SATISFIABLE",
        "v -1 2 0",
        "c problem 1",
        "c the best assignment found leaves 1 of 1 clauses unsatisfied",
        "s UNKNOWN",
        "",
    ]


def test_answers_do_not_overwrite_formulas(tmp_path):
    problem, solution = solved([[1]], 1)
    with pytest.raises(InputFileError, match=r"ends in \.sol"):
        Sat().write(tmp_path / "f.cnf", problem, solution.y)
    with pytest.raises(StorageError, match="cannot be written"):
        Sat().write(tmp_path / "nowhere" / "a.sol", problem, solution.y)
