"""`irem solve` on graphs: files of edge values in, files of answers out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.sparse.csgraph import floyd_warshall

from commands import Irem
from irem_core import IREM, GINEEnergy, GradientDescent, Task, fit, read_arrays
from irem_tasks.graphs import ShortestPath
from irem_tasks.sparse_graphs import SparseShortestPath


def trained(task: Task, folder: Path) -> Path:
    solver = IREM(
        GINEEnergy.for_task(task, width=8), steps=1, descent=GradientDescent(step_size=1.0)
    )
    fit(solver, task, iterations=1, batch_size=2, out=folder)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A solver of shortest paths that has hardly been trained."""
    return trained(ShortestPath(), tmp_path_factory.mktemp("runs") / "shortest-path")


def lengths(size: int, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).uniform(0.1, 1, (size, size))
    return (drawn + drawn.T) * (1 - np.eye(size))


@pytest.mark.parametrize("ending", [".npy", ".npz", ".csv", ".safetensors"])
def test_matrices_in_and_matrices_out(irem: Irem, run: Path, tmp_path: Path, ending: str) -> None:
    given = [lengths(4)] if ending in (".npy", ".csv") else [lengths(4), lengths(6), lengths(2)]
    question, answer = tmp_path / "x.npz", tmp_path / f"y{ending}"
    np.savez(question, *given)
    settings = ("--max-steps", 3, "--halting", "fixed_steps(steps=3)")
    result = irem("solve", run, "--input", question, "--output", answer, *settings, "--json")
    assert result.status == 0, result.err

    found = ShortestPath().read(answer, torch.device("cpu")).x
    answers = found.edge_attr[:, 0].split(found.ptr.diff().square().tolist())
    told = json.loads(result.out)["problems"]
    assert [each["steps"] for each in told] == [3] * len(given)
    if ending in (".npz", ".safetensors"):
        beside = read_arrays(answer)
        np.testing.assert_allclose(beside["energy"], [each["energy"] for each in told], rtol=1e-6)
        assert beside["steps"].tolist() == [3] * len(given)
        assert len(beside["outcome"]) == len(given)
    for row, own, matrix in zip(told, answers, given, strict=True):
        error = np.square(own.reshape(matrix.shape).numpy() - floyd_warshall(matrix)).mean()
        assert row["error"] == pytest.approx(error, rel=1e-4)


def test_tables_are_shown_for_graphs_of_a_size_of_ones_own(irem: Irem, run: Path) -> None:
    shown = irem("solve", run, "--difficulty", "nodes=12..13", "--count", 3, "--max-steps", 2)
    assert shown.status == 0, shown.err
    assert "step by step" in shown.out
    assert "3 problems" in shown.out


MISTAKES = {
    "not square": (lengths(4)[:3], r"of shape (3, 4); expected (n, n)"),
    "not joined": (np.where(lengths(3) == 0, np.inf, 1), "a length longer than any path"),
    "one node": (np.zeros((1, 1)), "a graph of one node"),
    "negative": (-lengths(3), "from node 0 to node 1 of graph 0 has the length -"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_file_that_has_no_answer_is_one_line(
    irem: Irem, run: Path, tmp_path: Path, name: str
) -> None:
    array, message = MISTAKES[name]
    np.save(tmp_path / "x.npy", array)
    result = irem("solve", run, "--input", tmp_path / "x.npy")
    assert message in result.mistake()


@pytest.mark.parametrize(
    ("difficulty", "message"),
    [("nodes=1", "expected at least 2"), ("nodes=9..3", "is empty"), ("density=2", "'density'")],
)
def test_a_difficulty_without_graphs_is_one_line(
    irem: Irem, run: Path, difficulty: str, message: str
) -> None:
    assert message in irem("solve", run, "--difficulty", difficulty).mistake()


def test_several_graphs_do_not_fit_into_a_text_file(irem: Irem, run: Path, tmp_path: Path) -> None:
    result = irem(
        "solve", run, "--difficulty", "train", "--count", 2, "--max-steps", 1,
        "--output", tmp_path / "y.csv",
    )  # fmt: skip
    assert "can hold one array and 2 were to be written" in result.mistake()


def test_tasks_without_files_of_their_graphs_say_so(irem: Irem, tmp_path: Path) -> None:
    run = trained(SparseShortestPath(), tmp_path / "run")
    np.save(tmp_path / "x.npy", lengths(4))
    result = irem("solve", run, "--input", tmp_path / "x.npy")
    assert "solve graphs that it draws with --difficulty" in result.mistake()
