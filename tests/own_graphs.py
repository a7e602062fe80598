"""Graphs and factor graphs with answers, as users have them."""

from __future__ import annotations

import numpy as np
import torch
from torch_geometric.data import Data, HeteroData

SMALL = "factor(width=8, rounds=1)"
TRAINING = {"iterations": 3, "batch_size": 4}


def chain(nodes, seed):
    """A path whose right answers are twice the feature of the node before."""
    draw = np.random.default_rng(seed)
    x = torch.tensor(draw.normal(size=(nodes, 1)))
    y = torch.cat([x[:1], 2 * x[:-1]])
    edges = torch.stack([torch.arange(nodes - 1), torch.arange(1, nodes)])
    length = torch.tensor(draw.uniform(size=(nodes - 1, 1)))
    return Data(x=x, edge_index=edges, edge_attr=length, y=y)


CHAINS = [chain(3 + each % 4, each) for each in range(30)]


def about_edges(graph):
    """The same graph with an answer for each edge."""
    return Data(
        x=graph.x, edge_index=graph.edge_index, edge_attr=graph.edge_attr, y=graph.edge_attr + 1
    )


def puzzle(seed):
    """Three entries of which a factor joins two, and some a third kind, with 0 or 1 as answers."""
    draw = np.random.default_rng(seed)
    made = HeteroData()
    made["entry"].x = torch.tensor(draw.integers(0, 2, size=(3, 2)))
    made["entry"].y = torch.tensor(draw.integers(0, 2, size=3))
    made["pair"].x = torch.tensor(draw.normal(size=(2, 1)))
    made["pair", "first", "entry"].edge_index = torch.tensor([[0, 1], [0, 1]])
    made["pair", "second", "entry"].edge_index = torch.tensor([[0, 1], [1, 2]])
    if seed % 2:
        made["all"].num_nodes = 1
        made["all", "member", "entry"].edge_index = torch.tensor([[0, 0, 0], [0, 1, 2]])
    return made


PUZZLES = [puzzle(each) for each in range(24)]


def written(folder, graphs):
    """Write graphs as files of arrays."""
    folder.mkdir(exist_ok=True)
    for number, graph in enumerate(graphs):
        np.savez(folder / f"{number:03}.npz", **{k: v.numpy() for k, v in graph.to_dict().items()})
    return folder
