"""Tensor operations written down, put in ways that torch's compiler makes faster programs of.

Without this the row "training on graphs, compiled" of the targets in docs/speed.md falls short: on
an AMD EPYC of 2 cores from 2.7 times plain Algorithm 1 to 1.9.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx

aten = torch.ops.aten

Write = Callable[..., fx.Node]


def rewrite(traced: fx.GraphModule) -> None:
    """Replace operations that torch's compiler would make slow ones of.

    Sums at indices become atomic additions on CPUs, which several threads make in turns;
    `scatter_reduce` calls torch instead. Products of a column and a row are calls of a library for
    products, where multiplications are fused with what is around them.
    """
    graph = traced.graph

    def write(target: Callable[..., Any], *arguments: Any) -> fx.Node:
        return graph.call_function(target, arguments)

    for node in list(graph.nodes):
        rewritten = _REWRITTEN.get(node.target)
        if rewritten is None or node.kwargs:
            continue
        with graph.inserting_before(node):
            found = rewritten(node, write)
        if found is not None:
            found.meta = node.meta
            node.replace_all_uses_with(found)
            graph.erase_node(node)
    traced.recompile()


def _sum_at_indices(node: Any, write: Write) -> fx.Node | None:
    if _value(node).device.type != "cpu" or node.args[1] != 0:
        return None
    sums, _, index, source = node.args
    ones = [1] * (_value(source).ndim - 1)
    index = write(aten.expand_as.default, write(aten.view.default, index, [-1, *ones]), source)
    return write(aten.scatter_reduce.two, sums, 0, index, source, "sum")


def _matrix_product(node: Any, write: Write) -> fx.Node | None:
    *bias, left, right = node.args
    inner = _value(left).shape[1]
    if not isinstance(inner, int) or inner != 1:
        return None
    product = write(aten.mul.Tensor, left, right)
    return write(aten.add.Tensor, product, *bias) if bias else product


def _value(node: fx.Node) -> Tensor:
    """Return what a node gave in tracing, a tensor without values."""
    value: Tensor = node.meta["val"]
    return value


_REWRITTEN: dict[Any, Callable[[Any, Write], fx.Node | None]] = {
    aten.index_add.default: _sum_at_indices,
    aten.mm.default: _matrix_product,
    aten.addmm.default: _matrix_product,
}
