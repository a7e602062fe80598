"""The check of energies passes where the contract is kept, and finds what is broken."""

import pytest
import torch
from torch import nn

from irem_core import EnergyFn, ScratchpadEnergy
from irem_core.testing import check_energy
from variants import Doubled, Graphs, variant


class Net(EnergyFn):
    """A small network: keeps the contract."""

    def __init__(self, question, answer, *, width=4):
        super().__init__()
        self.first = nn.Linear(question.size + answer.size, width)
        self.second = nn.Linear(width, 1)
        self.register_buffer("calls", torch.zeros(()))

    def energy(self, context, y):
        return self.second(torch.tanh(self.first(torch.cat([context, y], 1)))).squeeze(1)


class NetOnEdges(EnergyFn):
    """A small network on edges, added up for each graph."""

    def __init__(self, question, answer):
        super().__init__()
        self.first = nn.Linear(question.size + answer.size, 4)

    def encode(self, problem):
        return {"x": problem.x.edge_attr, "layout": problem.layout}

    def energy(self, context, y):
        features = torch.tanh(self.first(torch.cat([context["x"], y], 1)))
        return context["layout"].sum(features)


class Misfits(Net):
    """A sum of squares, whose residuals are of the energy without its factor."""

    def energy(self, context, y):
        return self.residuals(context, y).square().sum(1) / 2

    def residuals(self, context, y):
        return torch.tanh(self.first(torch.cat([context, y], 1)))


class NetWithScratchpad(ScratchpadEnergy):
    """A small network on [x, y, z]."""

    scratchpad = 2

    def __init__(self, question, answer):
        super().__init__()
        self.first = nn.Linear(question.size + answer.size + 2, 1)

    def energy(self, context, y, z):
        return torch.tanh(self.first(torch.cat([context, y, z], 1))).squeeze(1)


@pytest.mark.parametrize(
    ("kind", "task"), [(Net, Doubled()), (NetOnEdges, Graphs()), (NetWithScratchpad, Doubled())]
)
def test_energies_that_keep_the_contract_pass(kind, task):
    built = kind.for_task(task)
    before = {name: tensor.clone() for name, tensor in built.state_dict().items()}
    check_energy(built, task)
    after = built.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(tensor.dtype == torch.float32 for tensor in after.values())


def net(function, **members):
    """Derive a network whose energy is a function of itself, the context and y."""
    return variant(Net, energy=function, **members)


def counting(self, context, y):
    self.calls += 1
    return Net.energy(self, context, y)


def noting(self, context, y):
    context["seen"].add_(1)
    return Net.energy(self, context["x"], y)


def notes(self, problem):
    return {"x": problem.x, "seen": torch.zeros(problem.layout.count)}


def detaching(self, context, y):
    return Net.energy(self, context, (y + y.detach()) / 2)


def without_weights(self, context, y):
    return (y - context).square().sum(1) + self.second.weight.sum()


class Unrecorded(Net):
    """Draws something that its settings do not hold."""

    def __init__(self, question, answer):
        super().__init__(question, answer)
        self.factor = 1.5 + float(torch.rand(()))

    def energy(self, context, y):
        return self.factor * super().energy(context, y)


def on_edges(function):
    """Derive a network on edges whose energy is a function of the right one and of y."""

    def energy(self, context, y):
        return function(NetOnEdges.energy(self, context, y), y)

    return variant(NetOnEdges, energy=energy)


BROKEN_ENERGIES = {
    # By `value`, whose type the tests would check in `energy` before the library does.
    "one number": (
        variant(Net, value=lambda self, context, at: Net.energy(self, context, at.y).sum()),
        "one energy a problem",
    ),
    "a column": (
        variant(Net, value=lambda self, context, at: Net.energy(self, context, at.y)[:, None]),
        r"\(6, 1\)",
    ),
    "single precision": (
        net(lambda self, context, y: Net.energy(self, context, y).float()),
        "torch.float32",
    ),
    "not finite": (
        net(lambda self, context, y: Net.energy(self, context, y) + y.log().sum(1)),
        "not finite",
    ),
    "random": (
        net(lambda self, context, y: Net.energy(self, context, nn.functional.dropout(y, 0.5))),
        "other energies for the same",
    ),
    "stateful": (net(counting), "its own state"),
    "writes into its context": (net(noting, encode=notes), "changes the context"),
    "mixes problems": (
        net(lambda self, context, y: Net.energy(self, context, y - y.mean(0))),
        "other energies for problems alone",
    ),
    "mixes problems in its context": (
        variant(Net, encode=lambda self, problem: problem.x - problem.x.mean(0)),
        "other energies for problems alone",
    ),
    "numbers problems in its context": (
        net(
            lambda self, context, y: Net.energy(self, context[0], y) * (1 + context[1][: len(y)]),
            encode=lambda self, problem: (problem.x, torch.arange(problem.layout.count)),
        ),
        "other energies for problems alone",
    ),
    "context of all problems": (
        net(
            lambda self, context, y: Net.energy(self, context[0], y),
            encode=lambda self, problem: (problem.x, torch.ones(5)),
        ),
        "must be 6",
    ),
    "deaf to y": (net(lambda self, context, y: Net.energy(self, context, 0 * y)), "flat"),
    "without y": (
        net(lambda self, context, y: Net.energy(self, context, context)),
        "does not depend on y",
    ),
    "detached in part": (net(detaching), "another gradient than its values show"),
    "weights without effect": (net(without_weights), "cannot change them"),
    "not rebuilt by its settings": (Unrecorded, "rebuilt from its settings"),
    "counts edges of the batch": (
        on_edges(lambda right, y: right * len(y)),
        "other energies for problems alone",
    ),
    "residuals of another energy": (Misfits, "do not add up to its energy"),
    "one energy an edge": (on_edges(lambda right, y: y.sum(1)), "one energy a problem"),
}


@pytest.mark.parametrize("name", BROKEN_ENERGIES)
def test_a_broken_energy_is_found(name):
    kind, words = BROKEN_ENERGIES[name]
    task = Graphs() if issubclass(kind, NetOnEdges) else Doubled()
    with pytest.raises(AssertionError, match=words):
        check_energy(kind.for_task(task), task)
