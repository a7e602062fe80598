"""What `fit_pairs` makes of graphs with answers, beside a plain network of the same processor time.

    python benchmarks/own_graphs.py                  all sets of graph_sets.py, seed 0
    python benchmarks/own_graphs.py --set tree --seed 1

Each set and seed is one file of results/graphs, and one that is there is left out. The plain
network passes messages six times over the edges (torch-geometric's `GINEConv`, 64 wide, each layer
added to what was before), and reads answers off nodes, or off edges and their two nodes. It learns
by AdamW under a cosine.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GINEConv

from graph_sets import SETS
from irem_core import fit_pairs
from irem_core.evaluation.scores import auroc
from measuring import keep_each

RESULTS = Path(__file__).parent.parent / "results" / "graphs"
TRAIN, TEST = 1000, 200
WIDTH, LAYERS, BATCH = 64, 6, 16


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", action="append", choices=SETS, help="which; all if unset")
    parser.add_argument("--seed", type=int, default=0, help="of graphs, weights and draws")
    parser.add_argument("--iterations", type=int, default=4000, help="of the run")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    keep_each(
        options.set or SETS,
        options.seed,
        options.results,
        lambda name: measure(name, options.seed, options.iterations),
    )


def measure(name: str, seed: int, iterations: int) -> dict[str, Any]:
    """Train a run and a plain network on a set, and score them on new graphs."""
    kind = SETS[name]
    graphs = kind.graphs(TRAIN, seed=seed)
    begin = time.process_time()
    solver = fit_pairs(graphs, seed=seed, iterations=iterations).solver
    seconds = time.process_time() - begin
    plain = Plain(graphs, kind.about, seconds, seed=seed)
    scores: dict[str, Any] = {"about": kind.about, "iterations": iterations}
    scores |= {"seconds": seconds, "restarts": getattr(solver, "restarts", 0)}
    for difficulty in ("same", "harder"):
        new = kind.graphs(TEST, seed=seed + 1, harder=difficulty == "harder")
        right = torch.cat([each.y for each in new])
        counts = [len(each.y) for each in new]
        solution = solver.solve(new)
        others = plain(new)
        assert solution.energy is not None
        error = _by_graph((solution.y - right).square(), counts)
        scores[difficulty] = {
            "error": float((solution.y - right).square().mean()),
            "plain": float((others - right).square().mean()),
            "constant": float(right.var(correction=0)),
            "exact": _exact(solution.y, right, counts),
            "plain_exact": _exact(others, right, counts),
            "steps": float(solution.steps.double().mean()),
            "auroc": auroc(solution.energy, error, share=0.1),
        }
    return scores


def _by_graph(values: Tensor, counts: list[int]) -> Tensor:
    return torch.stack([each.mean() for each in values.split(counts)])


def _exact(answers: Tensor, right: Tensor, counts: list[int]) -> float | None:
    """Return the share of graphs that are right once rounded; None where answers are numbers."""
    if not ((right == 0) | (right == 1)).all():
        return None
    hit = ((answers > 0.5) == (right > 0.5)).float()
    return float((_by_graph(hit, counts) == 1).float().mean())


class Plain:
    """Message passing that answers in one go, trained for so many seconds of processor time."""

    def __init__(
        self, graphs: list[Data], about: str, seconds: float, *, seed: int, rate: float = 2e-3
    ) -> None:
        torch.manual_seed(seed)
        y = torch.cat([each.y for each in graphs])
        self.mean, self.scale = y.mean(0), y.std(0)
        self.net = _Network(graphs[0].num_node_features, graphs[0].num_edge_features, about)
        optimizer = torch.optim.AdamW(self.net.parameters(), lr=rate)
        begin = time.process_time()
        while True:
            for batch in DataLoader(graphs, BATCH, shuffle=True):
                share = (time.process_time() - begin) / seconds
                if share >= 1:
                    return
                for group in optimizer.param_groups:
                    group["lr"] = rate * (1 + math.cos(math.pi * share)) / 2
                optimizer.zero_grad()
                right = (batch.y - self.mean) / self.scale
                nn.functional.mse_loss(self.net(batch), right).backward()
                optimizer.step()

    @torch.no_grad()
    def __call__(self, graphs: list[Data]) -> Tensor:
        answers: Tensor = self.net(Batch.from_data_list(graphs)) * self.scale + self.mean
        return answers


class _Network(nn.Module):
    def __init__(self, features: int, edge_features: int, about: str) -> None:
        super().__init__()
        self.about = about
        self.begin = nn.Linear(max(features, 1), WIDTH)
        self.layers = nn.ModuleList(
            GINEConv(_mlp(WIDTH, WIDTH, WIDTH), edge_dim=edge_features) for _ in range(LAYERS)
        )
        read = WIDTH if about == "nodes" else 2 * WIDTH + edge_features
        self.end = _mlp(read, WIDTH, 1)

    def forward(self, batch: Data) -> Tensor:
        x = batch.x if batch.x is not None else torch.ones(batch.num_nodes, 1)
        h = self.begin(x)
        for layer in self.layers:
            h = h + layer(h, batch.edge_index, batch.edge_attr)
        if self.about == "edges":
            source, target = batch.edge_index
            h = torch.cat([h[source], h[target], batch.edge_attr], 1)
        answers: Tensor = self.end(h)
        return answers


def _mlp(inputs: int, width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, outputs))


if __name__ == "__main__":
    main()
