"""Assignments: least of all permutations, and how others are measured."""

from itertools import permutations

import torch

from irem_core import load_task


def sample(count, difficulty="train"):
    return load_task("assignment").sample(
        count, difficulty, generator=torch.Generator().manual_seed(0)
    )


def costs_of(problem):
    sizes = (problem.x["exactly_one"].ptr.diff() // 2).tolist()
    costs = problem.x["entry"].x[:, 0].split([size**2 for size in sizes])
    return [each.view(size, size) for each, size in zip(costs, sizes, strict=True)]


def test_answers_are_the_least_of_all_permutations():
    problem, y = sample(12, "size=3..5")
    costs = costs_of(problem)
    chosen = y[:, 0].split([each.numel() for each in costs])
    assert len({len(each) for each in costs}) > 1
    for cost, answer in zip(costs, chosen, strict=True):
        rows = range(len(cost))
        least = min(permutations(rows), key=lambda columns: float(cost[rows, columns].sum()))
        assert answer.view_as(cost).argmax(1).tolist() == list(least)
        assert answer.sum() == len(cost)


def test_rows_and_columns_are_factors_of_their_entries():
    problem, y = sample(5)
    factor, entry = problem.x["exactly_one", "member", "entry"].edge_index
    totals = torch.zeros(problem.x["exactly_one"].num_nodes).index_add(0, factor, y[entry, 0])
    assert totals.eq(1).all()
    assert torch.bincount(entry).eq(2).all()


def test_answers_are_rounded_to_assignments_and_measured_against_the_best():
    problem, y = sample(4, "size=3")
    measured = load_task("assignment").measures(problem, y * 0.6 + 0.2, y)
    assert measured["optimal"].tolist() == [1] * 4
    assert measured["excess"].abs().max() < 1e-6
    other = y.view(4, 3, 3).roll(1, 2).reshape(-1, 1)
    measured = load_task("assignment").measures(problem, other, y)
    for cost, right, wrong, excess in zip(
        costs_of(problem), y.view(4, 3, 3), other.view(4, 3, 3), measured["excess"], strict=True
    ):
        expected = (cost * wrong).sum() / (cost * right).sum() - 1
        torch.testing.assert_close(excess, expected)
    assert measured["optimal"].tolist() == [0] * 4


def test_costs_are_no_answer():
    task = load_task("assignment")
    problem, y = sample(20, "size=8")
    costs = problem.x["entry"].x[:, :1]
    for answer in (-costs, 1 - costs):
        measured = task.measures(problem, answer, y)
        assert measured["optimal"].mean() < 0.2
        assert measured["excess"].mean() > 0.2
