"""Graphs and files of graphs that are not as they should be, and what is told of those that are."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from irem_core import (
    InputFileError,
    SettingError,
    ShapeError,
    fit_pairs,
    minimize,
    read_arrays,
    recipe,
    save,
)
from irem_core.pairs.opening import pairs_of
from irem_core.pairs.structured import StructuredPairs
from own_graphs import CHAINS, PUZZLES, SMALL, TRAINING, about_edges, written

EMPTY = torch.zeros(2, 0, dtype=torch.int64)
X = torch.zeros(3, 1)
DRAWS = torch.Generator().manual_seed(0)
SAME = [
    Data(x=X, edge_index=CHAINS[0].edge_index, y=torch.rand(3, generator=DRAWS)) for _ in range(12)
]


def changed(number, **fields):
    """Return the chains with one of them changed."""
    several = [each.clone() for each in CHAINS]
    for name, value in fields.items():
        several[number][name] = value
    return several


@pytest.mark.parametrize(
    ("graphs", "message"),
    [
        (CHAINS[:3], "there are 3 problems"),
        (changed(4, y=None), "Problem 4 has no answers y"),
        (changed(4, y=torch.zeros(9)), "Problem 4 has 9 rows of answers y, 3 nodes and 2 edges"),
        (changed(4, y=CHAINS[4].y * torch.nan), "Problem 4: y holds NaN"),
        (changed(4, x=CHAINS[4].x * torch.inf), "Problem 4: x holds NaN or infinity"),
        (changed(4, x=torch.zeros(3, 2)), "Problem 4 has 2 features x, and Problem 0 has 1"),
        (changed(4, y=torch.zeros(3, 2)), "2 numbers in a row"),
        ([*CHAINS, PUZZLES[0]], "expected all to be Data, or all HeteroData"),
        (
            [Data(x=each.x, edge_index=each.edge_index, y=each.x * 0) for each in CHAINS],
            "all answers y are the same",
        ),
        (changed(4, x=CHAINS[4].x * 1j), "Problem 4: x is .* expected rows of real numbers"),
        (changed(4, edge_attr=torch.zeros(1, 1)), "Problem 4: edge_attr has shape .1, 1."),
        (changed(4, edge_index=torch.tensor([[0, 1], [1, 3]])), "Problem 4: edge_index goes from"),
        (changed(4, edge_index=torch.tensor([[0.0, 1], [1, 2]])), "expected whole numbers"),
        (changed(4, edge_index=None), "Problem 4: edge_index is None"),
        ([*CHAINS, Data(x=X[:0], edge_attr=X[:0], edge_index=EMPTY, y=EMPTY[0])], "has no node"),
        (changed(4, edge_attr=None), "Problem 4 has 0 features edge_attr, and Problem 0 has 1"),
        (
            [*map(about_edges, CHAINS), Data(x=X, edge_attr=X[:0], edge_index=EMPTY, y=EMPTY[0])],
            "has no edge",
        ),
        ([*CHAINS[:20], None], "Problem 20 has no answers"),
        (SAME, "all questions are the same"),
        (np.zeros((20, 2)), "expected a list or a batch"),
        (3, "expected a list or a batch"),
    ],
)
def test_bad_problems_are_told_of_in_a_sentence(graphs, message):
    with pytest.raises(InputFileError, match=message):
        StructuredPairs.of(graphs)


def test_answers_of_rings_may_be_about_either():
    def ring(nodes, seed):
        draw = torch.rand(nodes, 1, generator=torch.Generator().manual_seed(seed))
        around = torch.stack([torch.arange(nodes), (torch.arange(nodes) + 1) % nodes])
        return Data(x=draw, edge_index=around, y=draw)

    rings = [ring(3 + each % 3, each) for each in range(12)]
    with pytest.raises(SettingError, match="say which"):
        StructuredPairs.of(rings)
    for about, kind in (("nodes", "edge"), ("edges", "node")):
        assert list(dict(pairs_of(rings, about=about).question.kinds)) == [kind]


def test_settings_of_arrays_are_refused():
    with pytest.raises(SettingError, match="cost"):
        fit_pairs(CHAINS, cost=lambda x, y: (y - x).square().sum(-1))
    with pytest.raises(SettingError, match="Graphs hold their answers"):
        fit_pairs(CHAINS, [0] * 30)
    with pytest.raises(SettingError, match="about"):
        fit_pairs(np.zeros((12, 2)), np.arange(12), about="nodes")


def test_kinds_that_training_did_not_see_are_refused():
    progress = fit_pairs(CHAINS, energy=SMALL, **TRAINING)
    lonely = Data(x=torch.zeros(2, 1), edge_index=torch.zeros(2, 0, dtype=torch.int64))
    with pytest.raises(ShapeError, match="alone"):
        progress.solver.solve(lonely)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((2, 1))}, "no factor"),
        ({"q": np.zeros(3)}, "expected a graph"),
        ({"edge_index": np.zeros((2, 2)), "y": np.zeros(2)}, "whole numbers"),
        ({"edge_index": np.array([[0], [5]]), "x": np.zeros((2, 1))}, "from 5 to 5; there are 2"),
        ({"edge_index": np.array([[0], [1]]), "pos": np.zeros(2)}, "pos beside a graph"),
        ({"x": np.zeros((2, 1)), "row": np.array([[0, 2]])}, "whole numbers of entries, 0 to 1"),
        ({"x": np.zeros((2, 1)), "a": [[0]], "a.x": np.zeros((2, 1))}, "a row for each factor"),
        ({"x": np.array(["a"])}, "expected rows of numbers"),
    ],
)
def test_bad_files_are_told_of_by_name(arrays, message, irem, tmp_path):
    for number in range(10):
        np.savez(tmp_path / f"{number}.npz", **{"y": np.zeros(len(arrays.get("x", [0]))), **arrays})
    found = irem("train", "--pairs", tmp_path)
    assert found.status == 2
    assert message in found.err.replace("\n", " ")
    assert found.err.count("\n") < 6


def test_an_empty_folder_is_refused(irem, tmp_path):
    assert "holds no file like problem.npz" in irem("train", "--pairs", tmp_path).err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros((3, 2))}, "features x of shape .3, 2.; expected .3, 1."),
        ({"x": None}, None),
        ({"edge_attr": None}, "'edge' nodes with features x of shape .2, 0."),
        ({"edge_attr": np.zeros((2, 3))}, "expected .2, 1."),
        ({"edge_attr": np.zeros((1, 1))}, "edge_attr has shape .1, 1.; expected 2 rows"),
        ({"y": np.zeros((3, 2))}, "y has 2 numbers in a row; expected 1, as in training"),
        ({"y": np.zeros(4)}, "has 4 rows of answers y and 3 entries"),
        ({"x": np.full((3, 1), np.nan)}, "odd.npz: x holds NaN"),
    ],
)
def test_a_file_that_a_run_cannot_answer_is_told_of(change, message, irem, tmp_path) -> None:
    task = StructuredPairs.of([each.clone() for each in CHAINS])
    save(recipe(task, energy=SMALL).solver, tmp_path / "run", task=task)
    arrays = {key: value.numpy() for key, value in CHAINS[0].to_dict().items()} | change
    held = {key: value for key, value in arrays.items() if value is not None}
    np.savez(tmp_path / "odd.npz", **held)
    found = irem("solve", tmp_path / "run", "--input", tmp_path / "odd.npz", "--max-steps", 1)
    if message is None:
        # Without features entries have a 1, which is a feature of the same width.
        assert found.status == 0
        return
    assert found.status == 2
    assert re.search(message, " ".join(found.err.split())), found.err


def test_answers_replace_no_question_and_say_whose_they_are(irem, tmp_path) -> None:
    folder = written(tmp_path / "graphs", CHAINS[:3])
    task = StructuredPairs.of(CHAINS)
    save(recipe(task, energy=SMALL).solver, tmp_path / "run", task=task)
    solve = ("solve", tmp_path / "run", "--input", folder, "--max-steps", 1, "--output")
    before = (folder / "000.npz").read_bytes()
    assert "holds the questions" in irem(*solve, folder / "000.npz").err
    assert (folder / "000.npz").read_bytes() == before
    for name in ("answers.safetensors", "answers.npz"):
        assert irem(*solve, tmp_path / name).status == 0
        assert read_arrays(tmp_path / name)["problem"].tolist() == [0] * 3 + [1] * 4 + [2] * 5
    assert "must end in .npz, .safetensors" in irem(*solve, tmp_path / "answers.csv").err
    assert "does not exist" in irem("solve", tmp_path / "run", "--input", tmp_path / "no").err
    # Where some answers are known their errors are shown.
    np.savez(
        folder / "001.npz", **{k: v.numpy() for k, v in CHAINS[1].to_dict().items() if k != "y"}
    )
    told = json.loads(irem("solve", tmp_path / "run", "--input", folder, "--json").out)["problems"]
    assert [each["error"] is None for each in told] == [False, True, False]


def test_features_far_from_0_are_told_apart_and_their_digest_is_of_the_data() -> None:
    def moved(graph, number):
        new = graph.clone()
        new.x = 1.7e9 + graph.x + number
        return new

    graphs = [moved(each, number) for number, each in enumerate(CHAINS)]
    task = StructuredPairs.of(graphs)
    assert len(set(task.questions.tolist())) == 30
    units = recipe(task, energy=SMALL).solver.question_units
    kept = [graph for graph, out in zip(graphs, task.held, strict=True) if not out]
    spread = torch.cat([each.x for each in kept]).std(0, correction=0)
    torch.testing.assert_close(units.scale.double(), spread, rtol=1e-3, atol=0)
    standard = units.standard(task.problem(graphs).x)["entry"].x
    assert standard.dtype == torch.float32
    assert standard.std().item() == pytest.approx(1, abs=0.1)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        assert StructuredPairs.of(graphs).digest == task.digest
    finally:
        torch.set_default_dtype(before)


def test_what_is_not_read_is_told_and_does_no_harm() -> None:
    graphs = [each.clone() for each in CHAINS]
    graphs[4].pos = torch.zeros(7)
    task = StructuredPairs.of(graphs)
    assert "Left out: pos." in task.remarks
    assert task.digest == StructuredPairs.of(CHAINS).digest
    parts = [each.clone() for each in PUZZLES]
    for each in parts:
        each["entry"].extra = torch.zeros(3)
        each["pair", "first", "entry"].edge_attr = torch.zeros(2, 1)
    said = " ".join(StructuredPairs.of(parts).remarks)
    assert "Left out: extra of entry, edge_attr of pair first." in said
    solver = recipe(task, energy=SMALL).solver
    start = torch.zeros(sum(each.num_nodes for each in graphs[3:5]), 1)
    answers = [
        solver.solve(several, start=start, max_steps=1).y
        for several in (graphs[3:5], [CHAINS[3], CHAINS[4]])
    ]
    assert torch.equal(*answers)


def test_what_was_found_of_answers_is_told() -> None:
    graphs = [each.clone() for each in CHAINS]
    for each in graphs:
        each.y = each.y.clamp(-0.5, 0.5)
        each.edge_attr = torch.ones_like(each.edge_attr)
    said = " ".join(StructuredPairs.of([*graphs, graphs[0].clone()]).remarks)
    assert "1 of 1 entries have a least value, 1 of 1 entries a greatest" in said
    assert "1 problems ask what an earlier one asks" in said
    assert "Never vary, and count for nothing: edge x[0]." in said


def test_about_has_no_use_with_factor_graphs() -> None:
    with pytest.raises(SettingError, match=r"about='nodes' .* has no use"):
        StructuredPairs.of(PUZZLES, about="nodes")
    with pytest.raises(SettingError, match="about="):
        StructuredPairs.of(CHAINS, about="ends")


def test_a_graph_is_no_table_of_pairs(irem, tmp_path) -> None:
    folder = written(tmp_path / "graphs", CHAINS)
    assert "holds a graph; give a folder" in irem("train", "--pairs", folder / "000.npz").err


def test_networks_of_the_baselines_take_no_graphs_of_ones_own() -> None:
    with pytest.raises(SettingError, match="no layers for graphs and factor graphs"):
        recipe(StructuredPairs.of(CHAINS), "feedforward")


def test_a_moved_folder_is_asked_for(irem, tmp_path) -> None:
    folder = written(tmp_path / "graphs", CHAINS)
    task = StructuredPairs.open(str(folder))
    save(recipe(task, energy=SMALL).solver, tmp_path / "run", task=task)
    folder.rename(tmp_path / "moved")
    assert "where they have moved, give --data FOLDER" in irem("evaluate", tmp_path / "run").err


def test_energies_of_runs_take_graphs_as_they_are() -> None:
    task = StructuredPairs.of(CHAINS)
    solver = recipe(task, energy=SMALL).solver
    found = minimize(solver.energy, CHAINS[:2], descent=solver.descent, max_steps=1)
    assert found.y.shape == (7, 1)
