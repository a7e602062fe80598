"""The baselines' GINE layers and read-out by their definitions, message by message."""

from itertools import product

import torch

from irem_core import EdgeSpace, Problem, graphs


def complete(nodes, *, channels=1, seed=0, dtype=torch.float64):
    """Return complete graphs with random values on their edges, and random answers."""
    generator = torch.Generator().manual_seed(seed)
    rows = sum(each * each for each in nodes)
    x, y = (torch.randn(rows, channels, generator=generator, dtype=dtype) for _ in "xy")
    return Problem(graphs.complete(torch.tensor(nodes), x), EdgeSpace(channels)), y


def all_pairs(nodes):
    """List the edges of one complete graph in their order."""
    return list(product(range(nodes), repeat=2))


def affine(layer, values):
    """Apply a linear layer by its definition."""
    return torch.stack([(row * values).sum() for row in layer.weight]) + layer.bias


def carried(network, edges, x, pairs=None, y=None):
    """List what travels from node to node: the ends, and the features of the edge.

    Args:
        edges: pairs of nodes (i, j) that carry x, and y too where `pairs` is None.
        pairs: pairs of nodes that carry y alone.
    """
    if y is None:
        return [
            (edge, affine(network.question_map, value))
            for edge, value in zip(edges, x, strict=True)
        ]
    zero = torch.zeros(network.question_map.out_features, dtype=x.dtype)
    found = []
    for place, (edge, value) in enumerate(zip(edges, x, strict=True)):
        own = zero if pairs else affine(network.answer_map, y[place])
        found.append((edge, torch.cat([affine(network.question_map, value), own])))
    for pair, value in zip(pairs or [], y, strict=bool(pairs)):
        found.append((pair, torch.cat([zero, affine(network.answer_map, value)])))
    return found


def gine(network, place, features, messages):
    """Apply one layer: h_j <- W (h_j + sum_i relu(h_i + U e_ij)) + b."""
    summed = list(features)
    for (i, j), edge in messages:
        message = (features[i] + affine(network.edge_maps[place], edge)).clamp(min=0)
        summed[j] = summed[j] + message
    return [affine(network.convolutions[place].nn, each) for each in summed]


def zeros(nodes, dtype=torch.float64):
    """Return what nodes begin with."""
    return [torch.zeros(1, dtype=dtype) for _ in range(nodes)]


def decode(network, features, ends):
    """Read the answers of pairs of nodes out of the features of both."""
    return torch.stack(
        [affine(network.head, torch.cat([features[i], features[j]])) for i, j in ends]
    )
