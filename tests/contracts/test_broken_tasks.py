"""The check of tasks passes where the contract is kept, and finds what is broken."""

import random

import numpy as np
import pytest
import torch

from irem_core import IREM, EdgeSpace, Floor, Problem, Published, Task, VectorSpace
from irem_core.testing import check_task
from variants import (
    Apart,
    Doubled,
    Graphs,
    Ragged,
    Tree,
    WithoutKnowledge,
    Written,
    WrittenGraphs,
    variant,
)


@pytest.mark.parametrize(
    "kind", [Doubled, Tree, Graphs, Ragged, Written, WrittenGraphs, WithoutKnowledge]
)
def test_tasks_that_keep_the_contract_pass(kind):
    check_task(kind())
    check_task(kind(), count=2, floors=False)


def changed(kind, change):
    """Derive a task that changes what `kind` draws."""

    def draw(self, count, generator, device, **parameters):
        return change(*kind.draw(self, count, generator, device, **parameters))

    return variant(kind, draw=draw)


def drawn(change):
    """Derive a task that changes what `Doubled` draws, and keeps its difficulty parameter."""

    def draw(self, count, generator, device, *, scale=1.0):
        return change(*Doubled.draw(self, count, generator, device, scale=scale))

    return variant(Doubled, draw=draw)


def touching(draw_globally):
    def change(x, y):
        draw_globally()
        return x, y

    return drawn(change)


def between(question, answer, kind=Doubled):
    """Derive a task with other spaces."""

    def __init__(self):
        self.question, self.answer = question, answer

    return variant(kind, __init__=__init__)


def written(change):
    """Derive a task that changes its written energy."""

    def energy(self, context, y):
        return change(Apart.energy(self, context, y), y)

    return variant(Written, energy=lambda self: variant(Apart, energy=energy).for_task(self))


def named(**difficulties):
    return variant(Doubled, difficulties={"train": {}, "same": {}} | difficulties)


def flagged(self, count, generator, device, *, flag=False):
    return Doubled.draw(self, count, generator, device)


def one_too_many(self, problems, difficulty="same", **place):
    return Task.batches(self, problems + 1, difficulty, **place)


def shares_a_tensor(problem, y):
    return Problem({**problem.x, "shared": torch.ones(1)}, problem.answer, problem.layout), y


def one_graph(problem, y):
    return Problem(problem.x, problem.answer, torch.zeros(len(y), dtype=torch.int64)), y


def counting(x, y):
    numbers = torch.arange(3.0) + torch.arange(len(x))[:, None]
    return numbers, 2 * numbers


class Forgetful(Doubled):
    """Its settings do not say how it was built."""

    def __init__(self, size=3, **hidden):
        super().__init__(size)
        self._recorded = {"size": size}
        self.offset = 1.0 if hidden else 0.0

    def draw(self, count, generator, device, *, scale=1.0):
        x, _ = super().draw(count, generator, device, scale=scale)
        return x + self.offset, 2 * (x + self.offset)


ELSEWHERE = (Published(method="irem", difficulty="hard", value=1.0, source="nowhere"),)
BROKEN_TASKS = {
    # Difficulties
    "no same": (variant(Doubled, difficulties={"train": {}}), "has no difficulty same"),
    "unknown parameter": (named(hard={"scal": 2}), r"\['scal'\].*\['scale'\]"),
    "cannot be drawn": (named(hard={"scale": -1.0}), "8 problems of difficulty 'hard': RuntimeErr"),
    "published for nothing": (variant(Doubled, published=ELSEWHERE), r"the unknown \['hard'\]"),
    "no steps": (variant(Doubled, max_steps=0), "takes 0 steps"),
    "formats without a dot": (variant(Doubled, formats=(".cnf", "png")), r"formats \['png'\]"),
    "takes any name": (
        variant(Doubled, difficulty=lambda self, text: Task.difficulty(self, "train")),
        "must refuse the difficulty 'no such difficulty'.*raised nothing",
    ),
    "refuses oddly": (
        variant(Doubled, difficulty=lambda self, text: {}[text]),
        "must refuse .* with an UnknownNameError; it raised KeyError",
    ),
    "parameter of a wrong kind": (
        variant(Doubled, draw=flagged, difficulties={"train": {}, "same": {}}),
        "'flag=False' as {'flag': True}",
    ),
    # Shapes and numbers
    "wrong width of x": (drawn(lambda x, y: (x[:, 1:], y)), "x has shape"),
    "wrong width of y": (drawn(lambda x, y: (x, y[:, 1:])), "y has shape"),
    "wrong count": (drawn(lambda x, y: (x[:1], y[:1])), "1 problems were drawn, not 8"),
    "no batch of one": (drawn(lambda x, y: (x, y.squeeze(0))), "y has shape"),
    "not finite": (drawn(lambda x, y: (x / 0, y)), "x holds NaN"),
    "no tensor": (drawn(lambda x, y: (x, y.tolist())), "y is a list"),
    "double precision": (drawn(lambda x, y: (x, y.double())), "expected torch.float32"),
    "whole numbers": (drawn(lambda x, y: (x, y.long())), "floating-point"),
    "on another device": (drawn(lambda x, y: (x, y.to("meta"))), "was drawn on meta, not on cpu"),
    "carries a graph": (drawn(lambda x, y: (x.requires_grad_(), y)), "carries a graph"),
    "out of bounds": (between(VectorSpace(3), VectorSpace(3, low=0.0)), "outside of the bounds"),
    "no answer space": (drawn(lambda x, y: (Problem(x), y)), "without its answer space"),
    "another kind of answer": (
        drawn(lambda x, y: (Problem(x, EdgeSpace(3)), y)),
        "expected some VectorSpace",
    ),
    "edges without an owner": (between(VectorSpace(3), EdgeSpace(3)), "need an owner"),
    "graphs of another count": (changed(Graphs, one_graph), "1 problems were drawn, not 8"),
    "graphs of other channels": (
        between(EdgeSpace(2), EdgeSpace(), Graphs),
        "x.edge_attr has shape",
    ),
    "tensor of all problems": (changed(Ragged, shares_a_tensor), "must be 8 .problems. or"),
    # Randomness
    "equal problems": (
        drawn(lambda x, y: (x[:1].expand_as(x), y[:1].expand_as(y))),
        "all problems of a batch are equal",
    ),
    "global torch": (touching(lambda: torch.rand(1)), "random state of torch"),
    "global numpy": (touching(lambda: np.random.rand()), "random state of numpy"),
    "global python": (
        drawn(lambda x, y: (x + random.random(), y)),
        "draws other problems from a generator of the same seed",
    ),
    "deaf to the generator": (drawn(counting), "generators of two seeds"),
    "settings not recorded": (lambda: Forgetful(hidden=True), "rebuilt from its settings"),
    # What is known of problems
    "wrong oracle": (
        variant(Doubled, oracle=lambda self, problem: 2.01 * problem.x),
        "oracle's answers differ",
    ),
    "oracle of another shape": (
        variant(Doubled, oracle=lambda self, problem: problem.x[:, :1]),
        "oracle's answers differ",
    ),
    "oracle changes x": (
        variant(Doubled, oracle=lambda self, problem: problem.x.mul_(2)),
        "methods change the problems",
    ),
    "textbook answer of another shape": (
        variant(Doubled, classical=lambda self, problem: problem.x[:, :1]),
        "textbook answer has shape",
    ),
    "own input of another shape": (
        variant(Doubled, own_input=lambda self, problem: problem.x),
        "own_input is of shape",
    ),
    "groups of another shape": (
        variant(Doubled, group=lambda self, problem, y: torch.zeros(len(y), dtype=torch.int64)),
        "group must give each entry",
    ),
    "measure of another shape": (
        variant(Doubled, measures=lambda self, problem, y, target: {"accuracy": y}),
        "'accuracy' is of shape",
    ),
    "too many to evaluate": (variant(Doubled, batches=one_too_many), "batches yields 9 problems"),
    "negative floor": (
        variant(Doubled, floor=lambda self, difficulty: Floor(constant=-1.0)),
        "constant floor is -1",
    ),
    "senseless own input": (
        variant(Doubled, floor=lambda self, difficulty: Floor(constant=1.0, entrywise=2.0)),
        "worse than the best constant",
    ),
    # Written energies
    "energy highest at the answers": (written(lambda value, y: -value), "higher at some answers"),
    "energy that mixes problems": (
        written(lambda value, y: value + y.square().sum()),
        "other energies for problems alone",
    ),
    "solver without an energy": (
        variant(Doubled, solver=lambda self: IREM(Apart.for_task(self))),
        "or neither",
    ),
}


@pytest.mark.parametrize("name", BROKEN_TASKS)
def test_a_broken_task_is_found(name):
    kind, words = BROKEN_TASKS[name]
    with pytest.raises(AssertionError, match=words):
        check_task(kind(), floors="floor" in name or "own input" in name)


def test_the_tolerance_of_oracles_is_a_share_of_the_largest_answer():
    close = variant(Doubled, oracle=lambda self, problem: 2 * problem.x + 1e-3)
    with pytest.raises(AssertionError, match="oracle"):
        check_task(close(), floors=False)
    check_task(close(), floors=False, tolerance=1e-2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a second device")
def test_tasks_draw_on_the_device_they_are_told():
    for kind in (Doubled, Graphs, Ragged):
        check_task(kind(), device="cuda", floors=False)
    on_host = drawn(lambda x, y: (x.cpu(), y.cpu()))
    with pytest.raises(AssertionError, match="not on cuda"):
        check_task(on_host(), device="cuda", floors=False)
