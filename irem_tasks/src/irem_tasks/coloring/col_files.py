"""DIMACS files of graphs (.col), and lines of colours (.sol)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

import torch
from jaxtyping import Int
from torch import Tensor

from irem_core import InputFileError, storage

# A graph of more nodes cannot have been meant for us.
_MOST = 1_000_000
_DIGITS = 20
_HEADERS = ("edge", "edges", "col")


def read_col(file: Path) -> tuple[int, Int[Tensor, "edges 2"]]:
    """Read a graph: its number of nodes, and its edges, each once, nodes counted from 0.

    Edges may be given twice, and in both directions. Their number in the header is not checked,
    since files that are passed around count them either way.

    Raises:
        InputFileError: the file cannot be read, or is no DIMACS file; the error names the line.
    """
    try:
        text = file.read_text(encoding="utf-8-sig", errors="replace")
    except FileNotFoundError as error:
        raise InputFileError(f"There is no file {file}.") from error
    except OSError as error:
        raise InputFileError(f"{file} cannot be read ({error.strerror}).") from error
    nodes: int | None = None
    edges: list[tuple[int, int]] = []
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split()
        if not words or words[0] == "c":
            continue
        where = f"{file}, line {number}"
        if words[0] == "p":
            if nodes is not None:
                _fail(where, "there is a second header")
            nodes = _header(where, words)
        elif words[0] == "e":
            if nodes is None:
                _fail(where, 'an edge stands before the header "p edge NODES EDGES"')
            edges.append(_edge(where, words, nodes))
        else:
            _fail(
                where,
                f'it begins with "{words[0][:20]}"; expected "c" of a comment, "p" of the header, '
                'or "e" of an edge',
            )
    if nodes is None:
        raise InputFileError(f'{file} has no header; expected a line "p edge NODES EDGES".')
    return nodes, torch.tensor(edges, dtype=torch.int64).view(-1, 2).unique(dim=0)


def _header(where: str, words: list[str]) -> int:
    if len(words) != 4 or words[1] not in _HEADERS or not all(map(_whole, words[2:])):
        _fail(
            where,
            f'the header is "{" ".join(words)[:60]}"; expected "p edge NODES EDGES" with two whole '
            "numbers",
        )
    nodes = int(words[2])
    if not 1 <= nodes <= _MOST:
        _fail(where, f"the header announces {nodes:,} nodes; expected 1 to {_MOST:,}")
    return nodes


def _edge(where: str, words: list[str], nodes: int) -> tuple[int, int]:
    ends = [int(word) for word in words[1:] if _whole(word)]
    if len(words) != 3 or len(ends) != 2 or not all(1 <= end <= nodes for end in ends):
        _fail(
            where,
            f'the edge is "{" ".join(words)[:60]}"; expected "e" and two nodes from 1 to {nodes}',
        )
    if ends[0] == ends[1]:
        _fail(
            where,
            f"the edge joins node {ends[0]} with itself, so that no colour does; leave it out",
        )
    return min(ends) - 1, max(ends) - 1


def _whole(word: str) -> bool:
    # Python reads numbers of other scripts, of any length, and with underscores.
    return len(word) <= _DIGITS and word.isascii() and word.isdigit()


def _fail(where: str, fault: str) -> NoReturn:
    raise InputFileError(f"{where}: {fault}.")


def colour_lines(colours: Int[Tensor, " nodes"], conflicts: int) -> list[str]:
    """Return a comment on how many edges join nodes alike, then a line for each node.

    Args:
        colours: of the nodes, from 0; both are counted from 1 in the lines.
        conflicts: how many edges join nodes of one colour.
    """
    lines = [f"c {conflicts} edges join nodes of one colour"]
    return lines + [f"v {node} {colour + 1}" for node, colour in enumerate(colours.tolist(), 1)]


def write_lines(file: Path, lines: Iterable[str]) -> None:
    """Write lines of text.

    Raises:
        StorageError: writing failed.
    """
    with storage.replacing(file) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
