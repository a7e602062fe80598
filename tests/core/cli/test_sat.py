"""The command line on formulas."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from commands import Irem

FORMULA = "c a formula\np cnf 4 5\n1 -2 0\n2 3\n-4 0\n4 0\n-1 -3 0 2 1 0\n"
CLAUSES = [[1, -2], [2, 3, -4], [4], [-1, -3], [2, 1]]
CONTRADICTION = "p cnf 2 4\n1 2 0\n1 -2 0\n-1 2 0\n-1 -2 0\n"


@pytest.fixture
def formula(tmp_path: Path) -> Path:
    file = tmp_path / "formula.cnf"
    file.write_text(FORMULA)
    return file


def model(lines: list[str]) -> set[int]:
    """Read the assignment of `v` lines."""
    words = [int(word) for line in lines if line.startswith("v ") for word in line.split()[1:]]
    assert words[-1] == 0
    assert 0 not in words[:-1]
    return set(words[:-1])


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--descent", "coordinate_flip"),
        ("--descent", "coordinate_flip(tenure=1)", "--halting", "fixed_steps(steps=20)"),
        ("--descent", "gradient(step_size=0.3)", "--max-steps", 5000, "--seed", 3),
        ("--halting", "energy_plateau(tolerance=1e-5)"),
    ],
    ids=str,
)
def test_a_file_is_answered_with_a_model_that_satisfies_it(
    irem: Irem, formula: Path, options: tuple[object, ...]
) -> None:
    result = irem("solve", "sat", "--input", formula, *options)
    assert result.status == 0, result.err
    lines = result.out.splitlines()

    assert lines.count("s SATISFIABLE") == 1
    assert {line[0] for line in lines} == {"c", "s", "v"}
    found = model(lines)
    assert {abs(each) for each in found} == {1, 2, 3, 4}
    assert all(found & set(clause) for clause in CLAUSES)
    # It is the only one, by exhaustive search.
    signs = itertools.product((1, -1), repeat=4)
    candidates = [{sign * place for place, sign in enumerate(each, 1)} for each in signs]
    assert [each for each in candidates if all(each & set(clause) for clause in CLAUSES)] == [found]


def test_a_contradiction_is_unknown(irem: Irem, tmp_path: Path) -> None:
    (tmp_path / "c.cnf").write_text(CONTRADICTION)
    result = irem("solve", "sat", "--input", tmp_path / "c.cnf", "--max-steps", 600)
    assert result.status == 0, result.err

    assert result.out.splitlines() == [
        "c the best assignment found leaves 1 of 4 clauses unsatisfied",
        "s UNKNOWN",
    ]


def test_answers_are_written_to_a_file(irem: Irem, formula: Path, tmp_path: Path) -> None:
    answer = tmp_path / "answer.sol"
    result = irem("solve", "sat", "--input", formula, "--output", answer)
    assert result.status == 0, result.err

    assert str(answer) in result.out
    written = answer.read_text().splitlines()
    assert "s SATISFIABLE" in written
    assert all(model(written) & set(clause) for clause in CLAUSES)


@pytest.mark.parametrize("options", [(), ("--descent", "coordinate_flip")])
def test_random_formulas_are_shown_in_a_table(irem: Irem, options: tuple[object, ...]) -> None:
    result = irem("solve", "sat", "--difficulty", "ratio=3.0,variables=20", "--count", 5, *options)
    assert result.status == 0, result.err
    head, *rows, last = result.out.splitlines()

    assert head.split() == ["problem", "satisfied", "unsatisfied", "clauses", "steps"]
    assert [row.split()[:3] for row in rows] == [[str(row), "yes", "0"] for row in range(5)]
    assert last == "5 of 5 formulas are satisfied."


def test_a_long_table_is_cut_and_counts_what_failed(irem: Irem) -> None:
    result = irem(
        "solve", "sat(variables=5)", "--difficulty", "ratio=12", "--count", 30, "--max-steps", 200
    )
    assert result.status == 0, result.err
    lines = result.out.splitlines()

    assert len(lines) == 1 + 20 + 2
    assert {line.split()[1] for line in lines[1:21]} >= {"no"}
    assert "10 more" in lines[-2]
    assert int(lines[-1].split()[0]) < 30


def test_json_tells_energies_and_outcomes(irem: Irem) -> None:
    result = irem(
        "solve", "sat(variables=6)", "--difficulty", "harder", "--count", 3, "--max-steps", 600,
        "--json",
    )  # fmt: skip
    told = json.loads(result.out)

    assert len(told["answers"]) == 3
    for answer, problem in zip(told["answers"], told["problems"], strict=True):
        assert set(answer) <= {0.0, 1.0}
        assert (problem["outcome"] == "converged") == (problem["energy"] == 0)


def test_json_gives_no_assignment_that_does_not_satisfy(irem: Irem, tmp_path: Path) -> None:
    file = tmp_path / "never.cnf"
    file.write_text("p cnf 1 2\n1 0\n-1 0\n")
    told = json.loads(irem("solve", "sat", "--input", file, "--max-steps", 200, "--json").out)
    assert told["answers"] is None
    assert told["problems"][0]["verified"] is False
    mixed = ("solve", "sat(variables=5)", "--difficulty", "ratio=8", "--count", 20)
    told = json.loads(irem(*mixed, "--max-steps", 200, "--json").out)
    holds = [each["verified"] for each in told["problems"]]
    assert holds == [each["energy"] == 0 for each in told["problems"]]
    assert [each is not None for each in told["answers"]] == holds
    assert {True, False} == set(holds)


def test_nothing_is_trained(irem: Irem) -> None:
    for energy in ((), ("--energy", "mlp")):
        assert "nothing needs training" in irem("train", "sat", *energy).mistake()


def test_an_energy_of_clauses_is_learned_where_one_is_named(
    irem: Irem, formula: Path, tmp_path: Path
) -> None:
    run, answer = tmp_path / "run", tmp_path / "answer.sol"
    small = ("--iterations", 2, "--batch-size", 2, "--problems", 2, "--threads", 1)
    trained = irem("train", "sat", "--energy", "factor(width=4)", *small, "--out", run)
    assert trained.status == 0, trained.err
    solved = irem(
        "solve", run, "--input", formula, "--output", answer, "--restarts", 500, "--max-steps", 20
    )
    assert solved.status == 0, solved.err
    lines = answer.read_text().splitlines()
    found = model(lines)
    told = irem("evaluate", run, "--difficulty", "variables=5,ratio=2.0", "--problems", 2, "--json")

    assert "s SATISFIABLE" in lines
    assert all(found & set(clause) for clause in CLAUSES)
    assert "satisfied" in json.loads(told.out)["variables=5,ratio=2.0"]
    other = irem("train", "sat(parts=True)", "--energy", "mlp", *small)
    assert "MLPEnergy" in other.mistake()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 0\n", "line 1: "),
        ("p cnf 2 2\n1 0\n5 0\n", "line 3: the literal 5"),
        ("p cnf 2 1\n1 2\n", "line 2: the last clause does not end in 0"),
        ("p cnf 2 2\n1 2 0\n0\n", "line 3: there is an empty clause"),
        ("p cnf 2 2\n1 2 0\n", "line 1: the header announces 2 clauses"),
    ],
)
def test_a_malformed_file_is_one_line(irem: Irem, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad.cnf").write_text(text)

    assert message in irem("solve", "sat", "--input", tmp_path / "bad.cnf").mistake()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--input", "none.cnf"), "There is no file none.cnf"),
        (("--input", "answer.sol"), "is no formula"),
        (("--difficulty", "ratio=-1"), "above 0"),
        (("--difficulty", "variables=2"), "at least 3"),
        (("--difficulty", "same", "--output", "answers.txt"), ".sol"),
        (("--difficulty", "same", "--output", "answers.cnf", "--max-steps", 1), "ends in .sol"),
        (("--difficulty", "same", "--max-steps", 1, "--halting", "gradient_norm",
          "--descent", "coordinate_flip"), "needs none"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(irem: Irem, arguments: tuple[object, ...], message: str) -> None:
    assert message in irem("solve", "sat(variables=6)", *arguments).mistake()


def test_a_formula_may_have_a_mark_and_a_capital_ending(irem: Irem, tmp_path: Path) -> None:
    file = tmp_path / "one.CNF"
    file.write_bytes(b"\xef\xbb\xbfp cnf 1 1\n1 0\n")
    assert "s SATISFIABLE" in irem("solve", "sat", "--input", file).out
