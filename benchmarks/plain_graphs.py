"""The paper's Algorithm 1 for graphs, transcribed line by line with torch-geometric.

As `plain.py`, and for the same reason plain: a graph at a time from a stream, collated by
torch-geometric, a list for a replay buffer, and every step a pass through the layers as they come.
It imports nothing of the packages that it is compared with.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components, shortest_path
from torch import Tensor, nn
from torch.utils.data import IterableDataset
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GINEConv, global_max_pool

from plain import LEARNING_RATE, REPLAY_CAPACITY, STEP_SIZE

Array = NDArray[np.float64]

SMALLEST, LARGEST = 2, 10


class Graphs(IterableDataset[Data]):
    """An endless stream of complete graphs with values on their edges, their answers, and starts.

    Args:
        task: "edge-copy", "connected-components" or "shortest-path".
        seed: of the stream.
    """

    def __init__(self, task: str, seed: int) -> None:
        self.task = task
        self.random = np.random.default_rng(seed)

    def __iter__(self) -> Iterator[Data]:
        while True:
            nodes = int(self.random.integers(SMALLEST, LARGEST + 1))
            values, answers = self.solved((nodes, nodes))
            ends = np.indices((nodes, nodes)).reshape(2, -1)
            yield Data(
                x=torch.zeros(nodes, 1),
                edge_index=torch.from_numpy(ends),
                edge_attr=torch.from_numpy(values.reshape(-1, 1)).float(),
                y=torch.from_numpy(answers.reshape(-1, 1)).float(),
                start=2.0 * torch.rand(nodes * nodes, 1) - 1.0,
            )

    def solved(self, shape: tuple[int, int]) -> tuple[Array, Array]:
        """Draw the matrix of a graph, and solve it."""
        if self.task == "edge-copy":
            values = self.random.uniform(-1.0, 1.0, shape)
            return values, values
        if self.task == "connected-components":
            given = (self.random.uniform(size=shape) < 0.05).astype(float)
            _, label = connected_components(given, directed=False)
            return given, (label[:, None] == label).astype(float)
        half = self.random.uniform(0.0, 1.0, shape)
        lengths = half + half.T
        np.fill_diagonal(lengths, 0.0)
        return lengths, shortest_path(lengths)


class GraphEnergy(nn.Module):
    """E(x, y) as in the paper's Table 6: three GINE layers, a maximum over nodes, two layers."""

    def __init__(self, hidden: int = 128) -> None:
        super().__init__()
        self.question_map = nn.Linear(1, hidden // 2)
        self.answer_map = nn.Linear(1, hidden // 2)
        self.first = GINEConv(nn.Linear(1, hidden), edge_dim=hidden)
        self.second = GINEConv(nn.Linear(hidden, hidden), edge_dim=hidden)
        self.third = GINEConv(nn.Linear(hidden, hidden), edge_dim=hidden)
        self.head = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, graphs: Batch, y: Tensor) -> Tensor:
        edges = torch.cat([self.question_map(graphs.edge_attr), self.answer_map(y)], dim=1)
        nodes = graphs.x
        for layer in (self.first, self.second, self.third):
            nodes = layer(nodes, graphs.edge_index, edges)
        energy: Tensor = self.head(global_max_pool(nodes, graphs.batch))
        return energy.squeeze(1)


class PlainGraphIREM:
    """IREM on graphs, trained as in Algorithm 1.

    Args:
        task: what to learn (see `Graphs`).
        batch_size: fresh problems of one iteration.
        replayed: problems of one iteration that come from the replay buffer.
        steps: steps of descent on each problem in training.
        seed: seed of the data, the replayed problems, the starts and the initial weights.
        device: where the energy is descended; problems come from the host.
    """

    def __init__(
        self,
        task: str,
        batch_size: int = 64,
        replayed: int = 32,
        steps: int = 5,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        torch.manual_seed(seed)
        self.device = device
        self.replayed = replayed
        self.steps = steps
        self.random = np.random.default_rng(seed)
        self.energy = GraphEnergy().to(device)
        self.optimizer = torch.optim.Adam(self.energy.parameters(), lr=LEARNING_RATE)
        self.batches = iter(DataLoader(Graphs(task, seed), batch_size, num_workers=0))
        self.replay: list[Data] = []

    def train_iteration(self) -> float:
        """Run the body of Algorithm 1's loop once and return the mean square error."""
        graphs = next(self.batches)
        if self.replay:
            chosen = self.random.integers(len(self.replay), size=self.replayed)
            old = [self.replay[i] for i in chosen]
            graphs = Batch.from_data_list(graphs.to_data_list() + old)
        graphs = graphs.to(self.device)

        y = graphs.start
        for step in range(1, self.steps + 1):
            # Only the last step reaches the weights: the truncation of the paper's Section 3.2.
            y = self.descend(graphs, y.detach(), create_graph=step == self.steps)

        loss = nn.functional.mse_loss(y, graphs.y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

        graphs.start = y.detach()
        self.replay.extend(graphs.cpu().to_data_list())
        del self.replay[:-REPLAY_CAPACITY]
        return loss.item()

    def descend(self, graphs: Batch, y: Tensor, create_graph: bool = False) -> Tensor:
        """Take one step of Equation 3, keeping its graph where the loss must reach the weights."""
        y = y.requires_grad_()
        energy = self.energy(graphs, y).sum()
        (gradient,) = torch.autograd.grad(energy, y, create_graph=create_graph)
        return y - STEP_SIZE * gradient
