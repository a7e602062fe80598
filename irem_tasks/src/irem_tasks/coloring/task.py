"""The task of colouring graphs, random ones or those of files."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Annotated, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from irem_core import (
    Between,
    EntrySpace,
    FactorSpace,
    InputFileError,
    Problem,
    SettingError,
    ShapeError,
    Solution,
    checks,
    choices,
    factor_graphs,
    graphs,
)
from irem_tasks._declared import DeclaredTask, Positive, Range
from irem_tasks.coloring.col_files import colour_lines, read_col, write_lines
from irem_tasks.coloring.families import FAMILIES
from irem_tasks.coloring.search import Saturation, colouring

_EXPECTED = "a whole number of at least 2, since one colour does for no graph with an edge"
_COLORS = checks.number(_EXPECTED, low=2, whole=True)
# A triangulation has a triangle; beyond, backtracking goes deeper than Python does.
_FEWEST, _MOST = 3, 500
Nodes = Annotated[
    int | Between[int],
    Range(f"from {_FEWEST} to {_MOST}", lambda nodes: _FEWEST <= nodes <= _MOST),
]
Colors = Annotated[int, Range(_EXPECTED, lambda colors: isinstance(colors, int) and colors >= 2)]
Family = Annotated[str, Range(f"one of {', '.join(FAMILIES)}", lambda family: family in FAMILIES)]
_EDGE = "at_most_one"
# Where the colours of drawn problems are kept, so that others that are right too can be told.
_DRAWN = "drawn"
# What is tried for each node: colours of drawn graphs, and changes for the textbook's answer.
_DRAWING, _STEPS = 20, 200
# Graphs in a row that are drawn in vain.
_TRIES = 1_000
_MOST_COLORS = 6
_SHOWN = 20


class Coloring(DeclaredTask):
    """Colour the nodes of a graph so that no edge joins two of one colour.

    There is an entry for each colour of each node, and y is 1 for the one that it has. Nodes are
    variables, and each edge is a factor "at_most_one" for each colour. Training has random graphs
    of 8 to 14 nodes, 14 on "same" and 30 on "harder", of the average degree 4. Graphs are kept
    where backtracking finds a colouring soon, so that all have one; nothing is planted.

    Families are erdos-renyi, watts-strogatz, holme-kim, and delaunay, whose degree is below 6
    whatever is asked for, and whose graphs are planar: four colours suffice.

    Args:
        colors: how many there are, at least 2.

    Raises:
        SettingError: there are fewer.
    """

    difficulties: ClassVar = {"train": {}, "same": {"nodes": 14}, "harder": {"nodes": 30}}
    interim: ClassVar[int] = 100
    formats: ClassVar[tuple[str, ...]] = (".col", ".sol")

    def __init__(self, colors: int = 3) -> None:
        """Set the spaces."""
        checks.check(_COLORS, "Coloring", colors=colors)
        self.colors = colors
        self.question = FactorSpace(choices.FEATURES, kinds={choices.VARIABLE: 0, _EDGE: 0})
        self.answer = EntrySpace()

    def generate(
        self,
        count: int,
        generator: torch.Generator,
        *,
        nodes: Nodes = Between(8, 14),  # noqa: B008 (frozen)
        degree: Positive = 4.0,
        family: Family = "erdos-renyi",
        colors: Colors,
    ) -> tuple[Problem, Float[Tensor, "rows 1"]]:
        """Draw graphs that can be coloured, and a colouring of each.

        Args:
            count: how many.
            generator: the only source of randomness.
            nodes: of a graph.
            degree: edges of a node on average, before graphs that have no colouring are left out.
            family: which graphs.
            colors: how many there are.

        Raises:
            SettingError: hardly any such graph has a colouring.
        """
        sizes = Between.of(nodes).draw(count, generator, generator.device).tolist()
        drawn = [_drawn(family, size, degree, colors, generator) for size in sizes]
        problem = self.problem([edges for edges, _ in drawn], sizes, colors)
        y = choices.answers(torch.cat([found for _, found in drawn])[None], colors)
        problem.x[choices.ENTRY][_DRAWN] = y[:, 0]
        x = problem.x.to(generator.device)
        return Problem(x, self.answer), y.to(generator.device)

    def problem(
        self, edges: Sequence[Int[Tensor, "_edges 2"]], nodes: Sequence[int], colors: int
    ) -> Problem:
        """Make problems of graphs.

        Args:
            edges: of each graph, pairs of its nodes from 0.
            nodes: how many nodes each has.
            colors: how many colours there are.
        """
        place = torch.arange(max(nodes) * colors).view(1, -1, colors)
        counts = torch.tensor(nodes)
        variables = torch.where(place < counts[:, None, None] * colors, place, -1)
        padded = torch.nn.utils.rnn.pad_sequence(list(edges), batch_first=True, padding_value=-1)
        alike = padded[:, :, None, :] * colors + torch.arange(colors)[:, None]
        alike = torch.where(padded[:, :, None, :] >= 0, alike, -1).flatten(1, 2)
        features = torch.zeros(int(counts.sum()) * colors, choices.FEATURES)
        x = factor_graphs.build(
            graphs.Column(features, counts * colors),
            {choices.VARIABLE: variables, _EDGE: alike},
        )
        return Problem(x, self.answer)

    def verify(self, problem: Problem, y: Tensor) -> Bool[Tensor, " problems"]:
        """Say of which graphs no edge joins two nodes alike, each of the colour of its largest."""
        return choices.verify(problem, y)

    def nearest(self, problem: Problem, y: Tensor) -> Tensor:
        """Return the colourings that were drawn, with their colours permuted to be nearest to y.

        A graph may have further colourings, which are not looked for.

        Raises:
            ShapeError: problems were read rather than drawn, or have more than 6 colours.
        """
        entries = problem.x[choices.ENTRY]
        colors = _colors(problem)
        if _DRAWN not in entries or colors > _MOST_COLORS:
            raise ShapeError(
                f"The graphs have {colors} colours and {'a' if _DRAWN in entries else 'no'} known "
                f"colouring; expected drawn ones of at most {_MOST_COLORS} colours, whose "
                "permutations can be compared."
            )
        drawn = entries[_DRAWN].to(y.dtype).view(-1, colors)
        node = entries.batch[::colors]
        # How well each colour that was drawn fits each one of y.
        fits = (drawn[:, :, None] * y.view(-1, 1, colors)).flatten(1)
        fits = fits.new_zeros(problem.layout.count, colors**2).index_add(0, node, fits)
        orders = torch.tensor(list(permutations(range(colors))), device=y.device)
        taken = fits.view(-1, colors, colors)[:, torch.arange(colors), orders].sum(-1)
        # An order says what each drawn colour becomes; of y's colours, which they were is wanted.
        before = orders[taken.argmax(1)].argsort(1)
        found: Tensor = drawn.gather(1, before[node]).view(-1, 1)
        return found

    def classical(self, problem: Problem) -> Tensor:
        """Return the colourings of DSATUR and a local search (see `colouring`)."""
        generator = torch.Generator().manual_seed(0)
        colors, found = _colors(problem), []
        for graph in problem.x.to_data_list():
            _, entry = graph[_EDGE, factor_graphs.ROLE, factor_graphs.ENTRY].edge_index.cpu()
            edges = (entry.view(-1, 2) // colors).unique(dim=0)
            nodes = graph[choices.VARIABLE].num_nodes
            steps = _STEPS * nodes
            found.append(colouring(edges, nodes, colors, steps=steps, generator=generator))
        y = choices.answers(torch.cat(found)[None], colors)
        return y.to(problem.device, problem.dtype)

    def measures(
        self, problem: Problem, y: Tensor, target: Tensor
    ) -> dict[str, Float[Tensor, " problems"]]:
        """Count the edges whose nodes have one colour."""
        return {"conflicts": _conflicts(problem, y).to(y)}

    def read(self, file: Path, device: torch.device) -> Problem:
        """Read a graph in DIMACS format.

        Raises:
            InputFileError: the file cannot be read, or is no .col; the error names the line.
        """
        if file.suffix.lower() != ".col":
            raise InputFileError(f"{file} is no graph; expected a DIMACS file, named .col.")
        nodes, edges = read_col(file)
        problem = self.problem([edges], [nodes], self.colors)
        return Problem(problem.x.to(device), self.answer)

    def write(self, file: Path, problem: Problem, y: Tensor) -> None:
        """Write colours, a line `v NODE COLOUR` for each node, from 1 on.

        Raises:
            InputFileError: the name is that of a graph, perhaps the very one that was read.
            StorageError: writing failed.
        """
        if file.suffix.lower() != ".sol":
            raise InputFileError(
                f"{file} is named as a graph, which an answer is not; write answers to a file "
                "whose name ends in .sol."
            )
        lines: list[str] = []
        colours, conflicts = self.colours(problem, y), _conflicts(problem, y).tolist()
        for number, (each, wrong) in enumerate(zip(colours, conflicts, strict=True)):
            lines += [f"c problem {number}"] if len(conflicts) > 1 else []
            lines += colour_lines(each, wrong)
        write_lines(file, lines)

    def report(self, problem: Problem, solution: Solution) -> str:
        """Say of graphs how many edges join nodes of one colour."""
        conflicts = _conflicts(problem, solution.y).tolist()
        rows = zip(conflicts[:_SHOWN], solution.steps.tolist(), strict=False)
        lines = [f"{'graph':>5}  {'edges alike':>11}  {'steps':>6}"]
        lines += [
            f"{number:>5}  {wrong:>11}  {steps:>6}" for number, (wrong, steps) in enumerate(rows)
        ]
        if len(conflicts) > _SHOWN:
            lines.append(f"... and {len(conflicts) - _SHOWN} more; --json prints all.")
        lines.append(f"{conflicts.count(0)} of {len(conflicts)} graphs are coloured and checked.")
        return "\n".join(lines)

    def colours(self, problem: Problem, y: Tensor) -> list[Int[Tensor, " _nodes"]]:
        """Return the colour of each node, from 0, graph by graph."""
        chosen = choices.decoded(problem.x, y).view(-1, _colors(problem))
        nodes = problem.x[choices.VARIABLE].ptr.diff().tolist()
        return list(chosen.to(torch.int64).argmax(1).split(nodes))


def _colors(problem: Problem) -> int:
    """Return how many colours there are, the same in all problems.

    Raises:
        ShapeError: problems differ.
    """
    x = problem.x
    entries, nodes = (x[kind].ptr.diff() for kind in (choices.ENTRY, choices.VARIABLE))
    colors = entries // nodes
    if bool((colors != colors[:1]).any()):
        raise ShapeError(
            f"The graphs have {int(colors.min())} to {int(colors.max())} colours; expected as many "
            "in all of a batch."
        )
    return int(colors[0])


def _conflicts(problem: Problem, y: Tensor) -> Int[Tensor, " problems"]:
    broken = choices.broken(problem.x, choices.decoded(problem.x, y))[_EDGE]
    none = torch.zeros(problem.layout.count, dtype=torch.int64, device=y.device)
    return none.index_add(0, problem.x[_EDGE].batch, broken.to(torch.int64))


def _drawn(
    family: str, nodes: int, degree: float, colors: int, generator: torch.Generator
) -> tuple[Int[Tensor, "edges 2"], Int[Tensor, " nodes"]]:
    """Draw graphs until one is coloured; which colour is which is random."""
    for _ in range(_TRIES):
        edges = FAMILIES[family](nodes, degree, generator)
        found = Saturation(edges, nodes, colors).exact(branches=_DRAWING * nodes)
        if found is not None:
            order = torch.randperm(colors, generator=generator, device=generator.device).cpu()
            return edges, order[torch.tensor(found)]
    raise SettingError(
        f"None of {_TRIES} {family} graphs of {nodes} nodes could be coloured with {colors} "
        "colours; expected a smaller degree, or more colors."
    )
