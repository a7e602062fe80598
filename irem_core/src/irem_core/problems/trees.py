"""The four operations on contexts and states.

A context, a state or an iterate is a tree: a tensor, or a tuple, list, dict or attrs instance of
trees. Its tensors lead with problems `(B, ...)` or, in a ragged batch, with answer rows; what all
problems share stays on the module that made the tree. torch-geometric batches are leaves too.
optree would walk trees as torch's pytree does, but knows neither attrs classes nor problems and
their rows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

import attrs
import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

from irem_core.errors import ShapeError
from irem_core.problems import graphs
from irem_core.problems.graphs import Column
from irem_core.problems.layout import Layout
from irem_core.problems.space import Space

Tree = TypeVar("Tree")

# attrs classes that hold no tensor leading with problems, and so are leaves.
_LEAVES = (Layout, Space)


def map_leaves(function: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """Apply `function` to the leaves of trees of one shape; attrs instances count as branches."""
    return cast(Tree, _mapped(function, tree, *others))


def _mapped(function: Callable[..., Any], *trees: Any) -> Any:
    names = _fields(trees[0].__class__)
    if names is not None:
        changes = {
            argument: _mapped(function, *(getattr(each, name) for each in trees))
            for name, argument in names
        }
        return attrs.evolve(trees[0], **changes)
    # torch's walk through containers takes longer than most functions, so it has those alone.
    if isinstance(trees[0], (Tensor, *_LEAVES)):
        return function(*trees)

    def visit(*leaves: Any) -> Any:
        leaf = _fields(leaves[0].__class__) is None
        return function(*leaves) if leaf else _mapped(function, *leaves)

    return tree_map(visit, *trees)


@functools.cache
def _fields(kind: type) -> tuple[tuple[str, str], ...] | None:
    """Return the fields of an attrs class that is a branch, with their arguments; else None."""
    if issubclass(kind, _LEAVES) or not attrs.has(kind):
        return None
    return tuple((field.name, field.alias or field.name) for field in attrs.fields(kind))


def leaves(tree: Any) -> list[Any]:
    """List the leaves of a tree, in a fixed order."""
    found: list[Any] = []
    for leaf in tree_flatten(tree)[0]:
        names = _fields(leaf.__class__)
        if names is None:
            found.append(leaf)
        else:
            for name, _ in names:
                found += leaves(getattr(leaf, name))
    return found


def tensors(tree: Any) -> list[Tensor]:
    """List the tensors of a tree, in a fixed order."""
    return [leaf for leaf in leaves(tree) if isinstance(leaf, Tensor)]


def columns(tree: Any, layout: Layout) -> list[Column]:
    """List the tensors of a tree as columns, in a fixed order; a batch of graphs has several.

    Raises:
        ShapeError: a tensor leads with neither problems nor rows.
    """
    rows = None
    if layout.owner is not None:
        rows = torch.bincount(layout.owner, minlength=layout.count)
    found: list[Column] = []

    def visit(leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            by_rows = rows is not None and leads_with_rows(leaf, layout)
            found.append(Column(leaf, rows if by_rows else None))
        elif graphs.is_batch(leaf):
            found.extend(graphs.take_apart(leaf).values())
        return leaf

    map_leaves(visit, tree)
    return found


def fill(tree: Tree, values: Iterable[Column], layout: Layout) -> Tree:
    """Rebuild a tree around other columns, listed as `columns` does, and another layout."""
    remaining = iter(values)

    def visit(leaf: Any) -> Any:
        if isinstance(leaf, Layout):
            return layout
        if isinstance(leaf, Tensor):
            return next(remaining).values
        if graphs.is_batch(leaf):
            names = graphs.take_apart(leaf)
            return graphs.assemble({name: next(remaining) for name in names})
        return leaf

    return map_leaves(visit, tree)


def join(tree: Tree, layout: Layout, other: Tree, other_layout: Layout) -> tuple[Tree, Layout]:
    """Put the problems of two trees of one shape together, those of the first before.

    Returns:
        The tree, and the layout of its problems.

    Raises:
        ShapeError: a tensor leads with neither problems nor rows.
    """
    joined = layout.joined(other_layout)
    pairs = zip(columns(tree, layout), columns(other, other_layout), strict=True)
    return fill(tree, (first.joined(second) for first, second in pairs), joined), joined


def leads_with_rows(leaf: Tensor, layout: Layout) -> bool:
    """Say whether a tensor leads with answer rows rather than with problems.

    Raises:
        ShapeError: it leads with neither.
    """
    length = leaf.shape[0] if leaf.ndim else 0
    if length == layout.rows:
        return True
    if length == layout.count:
        return False
    expected = f"{layout.count} (problems)"
    if layout.owner is not None:
        expected += f" or {layout.rows} (answer rows)"
    raise ShapeError(
        f"A tensor of shape {tuple(leaf.shape)} stands in a context or state; its first dimension "
        f"must be {expected}. Keep what all problems share on the module."
    )


def select(tree: Tree, layout: Layout, problems: Int[Tensor, " kept"]) -> Tree:
    """Keep the problems of a list, in its order and some perhaps more than once.

    Raises:
        ShapeError: a tensor leads with neither problems nor rows.
    """
    rows = layout.rows_of(problems)

    def visit(leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return leaf[rows if leads_with_rows(leaf, layout) else problems]
        if isinstance(leaf, Layout):
            return leaf.select(problems)
        return graphs.select(leaf, problems) if graphs.is_batch(leaf) else leaf

    return map_leaves(visit, tree)


def put(tree: Tree, layout: Layout, problems: Int[Tensor, " kept"], part: Tree) -> None:
    """Write the tree of some problems, an ascending list, into the tree of all, in place.

    Raises:
        ShapeError: a tensor leads with neither problems nor rows.
    """
    rows = layout.rows_of(problems)

    def visit(leaf: Any, values: Any) -> Any:
        if isinstance(leaf, Tensor):
            leaf[rows if leads_with_rows(leaf, layout) else problems] = values
        return leaf

    map_leaves(visit, tree, part)


def where(condition: Bool[Tensor, " problems"], layout: Layout, then: Tree, other: Tree) -> Tree:
    """Take each problem's part from `then` where the condition holds, else from `other`.

    Raises:
        ShapeError: a tensor leads with neither problems nor rows.
    """
    per_problem = Layout(layout.count)

    def visit(leaf: Any, alternative: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        shape = layout if leads_with_rows(leaf, layout) else per_problem
        return torch.where(shape.spread(condition, leaf), leaf, alternative)

    return map_leaves(visit, then, other)


def detach(tree: Tree) -> Tree:
    """Cut every tensor of a tree from the autograd graph."""
    return map_leaves(lambda leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf, tree)
