"""Small parts that keep their contract, and variants of them that break it."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch_geometric.data import Batch, Data

from irem_core import EdgeSpace, EnergyFn, Problem, Published, Task, VectorSpace


def variant(base: type, **members: Any) -> Any:
    """Derive a class with other members."""
    return type(f"Odd{base.__name__}", (base,), members)


class Doubled(Task):
    """Twice the numbers of x: keeps the contract."""

    difficulties: ClassVar = {"train": {}, "same": {}, "harder": {"scale": 2.5}}
    published = (Published(method="irem", difficulty="same", value=0.1, source="nowhere"),)

    def __init__(self, size=3):
        self.question = self.answer = VectorSpace(size)

    def draw(self, count, generator, device, *, scale=1.0):
        x = torch.empty(count, *self.question.shape, device=device)
        x.uniform_(-scale, scale, generator=generator)
        return x, 2 * x

    def oracle(self, problem):
        return problem.x + problem.x

    def own_input(self, problem):
        return problem.x[..., None]


class Graphs(Task):
    """Twice the values of edges, one to three a graph, x a torch-geometric batch."""

    def __init__(self):
        self.question = self.answer = EdgeSpace()

    def draw(self, count, generator, device):
        edges = torch.randint(1, 4, (count,), generator=generator, device=device)
        values = torch.rand(int(edges.sum()), 1, generator=generator, device=device)
        graphs = [
            Data(
                edge_index=torch.zeros(2, len(part), dtype=torch.int64, device=device),
                edge_attr=part,
                num_nodes=1,
            )
            for part in values.split(edges.tolist())
        ]
        owner = torch.arange(count, device=device).repeat_interleave(edges)
        return Problem(Batch.from_data_list(graphs), self.answer, owner), 2 * values

    def oracle(self, problem):
        return problem.x.edge_attr + problem.x.edge_attr


class Tree(Doubled):
    """The same with x a tree."""

    def draw(self, count, generator, device, *, scale=1.0):
        x, y = super().draw(count, generator, device, scale=scale)
        return {"numbers": x, "signs": x.sign()}, y

    def oracle(self, problem):
        return problem.x["numbers"] * 2

    def own_input(self, problem):
        return None


class Ragged(Graphs):
    """The same with x a tree that leads with rows and with problems."""

    def draw(self, count, generator, device):
        problem, y = super().draw(count, generator, device)
        share = torch.rand(count, generator=generator, device=device)
        x = {"values": problem.x.edge_attr, "share": share}
        return Problem(x, self.answer, problem.layout), y

    def oracle(self, problem):
        return 2 * problem.x["values"]


class Apart(EnergyFn):
    """(y - 2 x)^2 for every entry."""

    def encode(self, problem):
        x = problem.x
        x = x if isinstance(x, torch.Tensor) else x.edge_attr
        return {"x": x, "layout": problem.layout}

    def energy(self, context, y):
        return context["layout"].sum((y - 2 * context["x"]).square())


class Written(Doubled):
    """The same with its energy written down."""

    def energy(self):
        return Apart.for_task(self)


class WrittenGraphs(Graphs):
    """The same on graphs."""

    def energy(self):
        return Apart.for_task(self)


class WithoutKnowledge(Doubled):
    """The same without an oracle, entries' own inputs, or free parameters."""

    difficulties: ClassVar = {"train": {}, "same": {}}

    def draw(self, count, generator, device):
        return super().draw(count, generator, device)

    def oracle(self, problem):
        raise NotImplementedError

    def own_input(self, problem):
        return None
