"""Graphs and factor graphs with answers: learned from lists and folders, solved at any size."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from irem_core import (
    InputFileError,
    evaluate,
    fit_pairs,
    load,
    read_arrays,
    recipe,
)
from irem_core.pairs.structured import StructuredPairs
from irem_core.problems import factor_graphs, graph_parts
from irem_core.runs.description import describe, rebuild
from own_graphs import CHAINS, PUZZLES, SMALL, TRAINING, about_edges, written


def test_graphs_become_entries_joined_by_their_edges():
    loose = Data(
        edge_index=torch.tensor([[0, 1, 2], [1, 0, 2]]), edge_attr=torch.arange(3.0), num_nodes=4
    )
    found = graph_parts.factored([loose, loose.clone()], "nodes")[1]
    assert found["entry"].num_nodes == 4
    assert found["edge", "source", "entry"].edge_index.tolist() == [[0, 1], [0, 1]]
    assert found["edge", "target", "entry"].edge_index.tolist() == [[0, 1], [1, 0]]
    assert found["loop", "member", "entry"].edge_index.tolist() == [[0], [2]]
    assert found["loop"].x.tolist() == [[2]]
    assert found["alone", "member", "entry"].edge_index.tolist() == [[0], [3]]


def test_graphs_become_edges_joined_by_their_nodes():
    loose = Data(x=torch.arange(4.0), edge_index=torch.tensor([[1, 3, 2], [3, 1, 2]]), num_nodes=4)
    for found in graph_parts.factored([loose, loose.clone()], "edges").to_data_list():
        assert found["entry"].x.tolist() == [[1], [1], [1]]
        # Node 0 has no edge, and the others are counted anew.
        assert found["node"].x.tolist() == [[1], [2], [3]]
        assert found["node", "leaving", "entry"].edge_index.tolist() == [[0, 2], [0, 1]]
        assert found["node", "arriving", "entry"].edge_index.tolist() == [[2, 0], [0, 1]]
        assert found["node", "loop", "entry"].edge_index.tolist() == [[1], [2]]


@pytest.mark.parametrize(
    ("graphs", "kinds"),
    [
        (CHAINS, (("edge", 1),)),
        ([about_edges(each) for each in CHAINS], (("node", 1),)),
        (PUZZLES, (("pair", 1), ("all", 0))),
    ],
    ids=["nodes", "edges", "factors"],
)
def test_a_run_answers_lists_batches_and_singles_alike(graphs, kinds, tmp_path):
    progress = fit_pairs(graphs, energy=SMALL, out=tmp_path / "run", **TRAINING)
    task = progress.task
    assert set(task.question.kinds) == set(kinds)
    solver = load(tmp_path / "run")
    bare = [each.clone() for each in graphs[:3]]
    start = torch.zeros(sum(len(task.problem(each).layout.owner) for each in bare), 1)
    together = solver.solve(bare, start=start, max_steps=3)
    again = solver.solve(task.problem(bare).x, start=start, max_steps=3)
    torch.testing.assert_close(together.y, again.y)
    torch.testing.assert_close(progress.solver.solve(bare, start=start, max_steps=3).y, again.y)
    alone = [solver.solve(bare[2:], start=start[: len(task.problem(bare[2]).layout.owner)] * 0)]
    assert alone[0].y.shape[0] == task.problem(bare[2]).layout.rows
    scores = evaluate(solver, task, max_steps=3)
    assert scores.problems == int(task.held.sum())
    assert ("solved" in scores.measures) == (kinds[0][0] == "pair")


def test_units_are_those_of_training_problems():
    task = StructuredPairs.of(CHAINS)
    solver = recipe(task, energy=SMALL).solver
    kept = [graph for graph, out in zip(CHAINS, task.held, strict=True) if not out]
    for units, values in (
        (solver.question_units, torch.cat([each.x for each in kept])),
        (solver.question_units.kinds()["edge"], torch.cat([each.edge_attr for each in kept])),
        (solver.answer_units, torch.cat([each.y for each in kept])),
    ):
        torch.testing.assert_close(units.mean.double(), values.mean(0), atol=1e-6, rtol=1e-5)
        deviation = values.std(0, correction=0)
        torch.testing.assert_close(units.scale.double(), deviation, atol=1e-6, rtol=1e-5)


def test_what_is_learned_does_not_depend_on_the_users_units():
    def moved(graph):
        new = graph.clone()
        new.x, new.edge_attr, new.y = 3 * graph.x - 7, graph.edge_attr / 5, 100 * graph.y + 40
        return new

    plain, other = (
        fit_pairs(graphs, energy=SMALL, seed=3, **TRAINING)
        for graphs in (CHAINS, [moved(each) for each in CHAINS])
    )
    start = torch.zeros(CHAINS[0].num_nodes, 1)
    here = plain.solver.solve(CHAINS[0], start=start, max_steps=2).y
    there = other.solver.solve(moved(CHAINS[0]), start=100 * start + 40, max_steps=2).y
    torch.testing.assert_close(there, 100 * here + 40, atol=1e-2, rtol=1e-3)


def test_problems_that_are_the_same_are_held_out_together():
    several = [graph.clone() for graph in CHAINS[:10] for _ in range(3)]
    task = StructuredPairs.of(several, held_out=0.3)
    assert task.questions.tolist() == list(np.repeat(np.arange(10), 3))
    assert {tuple(each) for each in task.held.reshape(10, 3)} == {(True,) * 3, (False,) * 3}
    held = [graph.y for graph, out in zip(several, task.held, strict=True) if out]
    assert torch.equal(task.unseen(1000)[1], torch.cat(held).float())


@pytest.mark.parametrize("graphs", [CHAINS, [about_edges(each) for each in CHAINS]])
def test_a_folder_is_read_as_what_was_written(graphs, tmp_path):
    folder = written(tmp_path / "graphs", graphs)
    task = StructuredPairs.open(str(folder))
    assert task.digest == StructuredPairs.of(graphs).digest
    rebuilt = rebuild(describe(task))
    assert torch.equal(rebuilt.unseen(100)[1], task.unseen(100)[1])
    written(folder, [*graphs[:-1], graphs[0]])
    with pytest.raises(InputFileError, match="does not hold the problems that this run"):
        rebuild(describe(task)).held  # noqa: B018


def test_factor_graphs_in_files_are_those_of_the_builder(tmp_path):
    members = np.array([[0, 1, -1], [0, 1, 2]])
    features = np.arange(6.0).reshape(3, 2)
    for number in range(10):
        np.savez(
            tmp_path / f"{number}.npz",
            **{"x": features + number, "y": features[:, 0] * number, "group": members},
            **{"pair.first": [0, 1], "pair.second": [1, 2], "pair.x": [[1.0], [2.0]]},
        )
    task = StructuredPairs.open(str(tmp_path))
    expected = factor_graphs.build(
        torch.tensor(features)[None].float(),
        {
            "group": torch.tensor(members),
            "pair": {
                "first": torch.tensor([[0], [1]]),
                "second": torch.tensor([[1], [2]]),
            },
        },
        factor_features={"pair": torch.tensor([[[1.0], [2.0]]])},
    )
    read = task.read(tmp_path / "0.npz", torch.device("cpu")).x
    for key in (*expected.node_types, *expected.edge_types):
        for name in ("x", "edge_index"):
            if name in expected[key]:
                assert torch.equal(read[key][name], expected[key][name]), (key, name)
    assert task.question.roles_of("pair") == ("first", "second")


def test_the_command_line_trains_solves_and_scores(irem, tmp_path):
    folder = written(tmp_path / "graphs", CHAINS)
    run = tmp_path / "run"
    arguments = ("--iterations", 2, "--batch-size", 4, "--energy", SMALL, "--out", run)
    trained = irem("train", "--pairs", folder, *arguments)
    assert trained.status == 0, trained.err
    assert "30 problems." in trained.out
    assert "constant" in trained.out
    answers = tmp_path / "answers.npz"
    solved = irem("solve", run, "--input", folder, "--output", answers, "--max-steps", 2)
    assert solved.status == 0, solved.err
    held = read_arrays(answers)
    counts = [graph.num_nodes for graph in CHAINS]
    assert held["problem"].tolist() == list(np.repeat(np.arange(30), counts))
    assert held["y"].shape == (sum(counts), 1)
    assert held["energy"].shape == (30,)
    one = irem("solve", run, "--input", folder / "000.npz", "--json", "--max-steps", 2)
    errors = json.loads(one.out)["problems"]
    assert len(errors) == 1
    assert errors[0]["error"] is not None
    scored = irem("evaluate", run, "--on", folder, "--json")
    assert json.loads(scored.out)["other"]["problems"] == 30


def test_graphs_that_say_no_number_of_nodes_are_counted_without_a_warning():
    graphs = [
        Data(edge_index=each.edge_index, edge_attr=each.edge_attr, y=each.edge_attr)
        for each in CHAINS
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        task = StructuredPairs.of(graphs)
        batch = task.problem(graphs[1]).x
    assert dict(task.question.kinds) == {"node": 0}
    assert batch["node"].num_nodes == CHAINS[1].num_nodes


def test_a_batch_that_was_passed_stays_where_it_is():
    batch = graph_parts.factored(PUZZLES[:3], None)
    moved = graph_parts.factored(batch, None, device="meta")
    assert moved["entry"].x.device.type == "meta"
    assert batch["entry"].x.device.type == "cpu"
