"""Tasks on complete directed graphs: copy the edges, connected components, shortest paths.

A question is a torch-geometric batch of complete directed graphs with self loops whose edges hold a
number; so does an answer, `(rows, 1)`, in the order of the entries of a matrix.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch
from jaxtyping import Float, Int
from scipy.sparse import csr_array
from torch import Tensor

from irem_core import Between, EdgeSpace, InputFileError, Problem, ShapeError, checks, graphs
from irem_tasks._common import VARIANTS, identity, table_1, uniform
from irem_tasks._declared import Positive, Share
from irem_tasks._graph_files import read_graphs, square, write_graphs
from irem_tasks._graph_tasks import ComponentTask, GraphTask, Nodes, PathTask, draw_nodes

if TYPE_CHECKING:
    from torch_geometric.data import Batch

_TRAINED = Between(2, 10)


class CompleteGraphTask(GraphTask):
    """A task on complete graphs: 2 to 10 nodes in training, 10 on "same" and 15 on "harder"."""

    difficulties: ClassVar = {"train": {}, "same": {"nodes": 10}, "harder": {"nodes": 15}}
    formats: ClassVar = (".npy", ".npz", ".csv", ".safetensors")

    def __init__(self) -> None:
        """Set the spaces."""
        self.question = EdgeSpace(complete=True)
        self.answer = EdgeSpace(complete=True)

    def problem(self, nodes: Int[Tensor, " problems"], values: Float[Tensor, " rows"]) -> Problem:
        """Make problems of complete graphs from the values of their edges."""
        return Problem(graphs.complete(nodes, values[:, None]), self.answer)

    def own_input(self, problem: Problem) -> Tensor:
        """Return each pair's own edge, `(rows, 1, 1)`."""
        values: Tensor = problem.x.edge_attr
        return values[:, :, None]

    def group(self, problem: Problem, y: Tensor) -> Tensor:
        """Tell self loops, group 1, from other edges."""
        source, target = problem.x.edge_index
        loop: Tensor = source == target
        return loop.to(torch.int64)[:, None].expand_as(y)

    def stacked(self, x: Float[Tensor, "..."]) -> Problem:
        """Make complete graphs from n x n edge values each, `(n, n)` or `(B, n, n)`.

        Raises:
            ShapeError: the matrices are not square, or of one row.
            NonFiniteError: a value is no finite number.
        """
        stacked = square(x, "The array")
        nodes = torch.full((len(stacked),), stacked.shape[1], device=x.device)
        return self.problem(nodes, stacked.flatten())

    def unstacked(self, problem: Problem, y: Tensor) -> Float[Tensor, "problems nodes nodes"]:
        """Return the answers as n x n matrices."""
        nodes = int(problem.x.ptr[1])
        return y.reshape(-1, nodes, nodes)

    def read(self, file: Path, device: torch.device) -> Problem:
        """Read graphs from a file: n x n edge values, or several of them.

        Raises:
            InputFileError: the file cannot be read or does not hold square matrices.
        """
        nodes, values = read_graphs(file)
        return self.problem(nodes.to(device), values.to(device))

    def write(self, file: Path, problem: Problem, y: Tensor) -> None:
        """Write the answers as n x n matrices, one array a graph.

        Raises:
            InputFileError: a .csv file was asked to hold more than one graph.
            StorageError: writing failed.
        """
        write_graphs(file, [each.numpy() for each in matrices(problem.x, y)])


def matrices(batch: Batch, values: Tensor | None = None) -> Iterator[Float[Tensor, "nodes nodes"]]:
    """Yield the edge values of complete graphs one by one, as float64 matrices on the host."""
    values = batch.edge_attr if values is None else values
    nodes = batch.ptr.diff().tolist()
    for n, entries in zip(
        nodes, values[:, 0].double().cpu().split([n * n for n in nodes]), strict=True
    ):
        yield entries.reshape(n, n)


class EdgeCopy(CompleteGraphTask):
    """Return the values of a graph's edges, uniform on (-1, 1), as they are.

    There is nothing to reason about: an answer is checked entry by entry, and the energy that does
    so by construction is the one that is preferred.
    """

    preferred = "elementwise"
    published = table_1(
        irem=(0.0019, 0.0019),
        feedforward=(0.3016, 0.3124),
        recurrent=(0.3015, 0.3113),
        ponder=(0.3053, 0.4409),
        iterative_feedforward=(0.6163, 0.6498),
    )

    def generate(
        self,
        count: int,
        generator: torch.Generator,
        *,
        nodes: Nodes = _TRAINED,
        scale: Positive = 1.0,
    ) -> tuple[Problem, Float[Tensor, "rows 1"]]:
        """Draw graphs with edge values uniform on (-scale, scale)."""
        sizes = draw_nodes(nodes, count, generator)
        values = uniform((int(sizes.square().sum()),), -scale, scale, generator)
        return self.problem(sizes, values), values[:, None].clone()

    def solve_one(self, graph: csr_array, pairs: Int[Tensor, "pairs 2"]) -> Float[Tensor, " pairs"]:
        """Return the values themselves."""
        return torch.as_tensor(graph[tuple(pairs.T.numpy())])


class ConnectedComponents(ComponentTask, CompleteGraphTask):
    """Say for every pair of nodes whether a path of given edges, in any direction, joins them.

    Each directed edge, self loops included, is given with probability `density`, 0.05; x is 1 on
    those and 0 on the others. y is 1 where two nodes are in one component, so always on the
    diagonal, and 0 elsewhere.
    """

    published = table_1(
        irem=(0.1424, 0.2171),
        feedforward=(0.1796, 0.3460),
        recurrent=(0.1794, 0.2766),
        ponder=(0.2338, 3.1381),
        iterative_feedforward=(0.4908, 1.2064),
    )

    def generate(
        self,
        count: int,
        generator: torch.Generator,
        *,
        nodes: Nodes = _TRAINED,
        density: Share = 0.05,
    ) -> tuple[Problem, Float[Tensor, "rows 1"]]:
        """Draw graphs and find their components, all at once."""
        sizes = draw_nodes(nodes, count, generator)
        drawn = uniform((int(sizes.square().sum()),), 0, 1, generator)
        given = (drawn < density).to(drawn.dtype)
        reach = graphs.to_matrices(given, sizes, 0.0)
        reach = reach + reach.mT + identity(reach)
        # Squaring doubles the length of the paths that are seen.
        for _ in range(max(1, (reach.shape[1] - 1).bit_length())):
            reach = (reach @ reach).clamp(max=1)
        answers = (graphs.from_matrices(reach, sizes) > 0).to(given.dtype)
        return self.problem(sizes, given), answers[:, None]

    def own_input(self, problem: Problem) -> Tensor:
        """Return each pair's own edge and the reverse edge, `(rows, 1, 2)`."""
        values: Tensor = problem.x.edge_attr[:, 0]
        nodes = problem.x.ptr.diff()
        reverse = graphs.from_matrices(graphs.to_matrices(values, nodes, 0.0).mT, nodes)
        return torch.stack([values, reverse], 1)[:, None]


class ShortestPath(PathTask, CompleteGraphTask):
    """Return the length of the shortest path between every pair of nodes.

    Edges have lengths A + Aᵀ with A uniform on (0, 1), and the diagonal is 0, as in the published
    code. The paper's text says lengths in (0, 1): variant "paper" draws them uniformly there.

    Args:
        variant: "release" for the published code's lengths, "paper" for those of the text.

    Raises:
        SettingError: there is no such variant.
    """

    published = table_1(
        irem=(0.0274, 0.0464),
        feedforward=(0.1233, 1.4089),
        recurrent=(0.1259, 0.1083),
        ponder=(0.1375, 0.1290),
        iterative_feedforward=(0.4588, 0.7688),
    )

    def __init__(self, variant: str = "release") -> None:
        """Set the spaces."""
        checks.check(VARIANTS, "ShortestPath", variant=variant)
        super().__init__()
        self.variant = variant
        if variant != "release":
            self.published = ()

    def stacked(self, x: Float[Tensor, "..."]) -> Problem:
        """Make complete graphs from n x n lengths each (see `CompleteGraphTask.stacked`).

        Raises:
            ShapeError: two nodes are 0 apart, which others write for nodes that are not joined.
        """
        return _joined(super().stacked(x), "The array")

    def read(self, file: Path, device: torch.device) -> Problem:
        """Read graphs from a file of n x n lengths (see `CompleteGraphTask.read`).

        Raises:
            InputFileError: likewise, or two nodes are 0 apart.
        """
        try:
            return _joined(super().read(file, device), str(file))
        except ShapeError as error:
            raise InputFileError(str(error)) from error

    def generate(
        self, count: int, generator: torch.Generator, *, nodes: Nodes = _TRAINED
    ) -> tuple[Problem, Float[Tensor, "rows 1"]]:
        """Draw graphs and find all distances by Floyd and Warshall's algorithm, all at once."""
        sizes = draw_nodes(nodes, count, generator)
        size = int(sizes.max())
        drawn = uniform((count, size, size), 0, 1, generator)
        upper = drawn.triu(1)
        lengths = drawn + drawn.mT if self.variant == "release" else upper + upper.mT
        lengths = lengths * (1 - identity(lengths))
        values = graphs.from_matrices(lengths, sizes)
        distances = graphs.to_matrices(values, sizes, torch.inf)
        for node in range(size):
            through = distances[:, :, node, None] + distances[:, None, node, :]
            distances = torch.minimum(distances, through)
        return self.problem(sizes, values), graphs.from_matrices(distances, sizes)[:, None]


def _joined(problem: Problem, where: str) -> Problem:
    """Refuse lengths of 0 between nodes: scipy and others write them for what is not joined."""
    batch = problem.x
    first, second = batch.edge_index
    wrong = ((batch.edge_attr[:, 0] == 0) & (first != second)).nonzero()
    if wrong.numel():
        row = int(wrong[0, 0])
        graph = int(batch.batch[first[row]])
        source, target = (batch.edge_index[:, row] - batch.ptr[graph]).tolist()
        raise ShapeError(
            f"{where} has the length 0 from node {source} to node {target} of graph {graph}. Where "
            "no edge joins them write a length longer than any path, such as the sum of all; "
            "where they are at one place, a tiny one, such as 1e-6."
        )
    return problem
