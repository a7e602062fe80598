"""Tensor operations written down, put in ways that torch's compiler makes faster programs of."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx

from irem_core.energies.linear import multiply, onednn_is_faster

aten = torch.ops.aten

Write = Callable[..., fx.Node]

# With fewer numbers in a row or column, or in the matrix of known size, as in narrow layers, a call
# of oneDNN costs more than it saves.
_NARROW, _SMALL = 32, 2**12

_LIBRARY = torch.library.Library("irem_core", "DEF")
_LIBRARY.define("product(Tensor left, Tensor right) -> Tensor", tags=torch.Tag.pt2_compliant_tag)


def _product(left: Tensor, right: Tensor) -> Tensor:
    return multiply(left, right.T)


def _product_without_values(left: Tensor, right: Tensor) -> Tensor:
    return left.new_empty(left.shape[0], right.shape[1])


_LIBRARY.impl("product", _product, "CPU")
torch.library.register_fake("irem_core::product", _product_without_values, lib=_LIBRARY)


def rewrite(traced: fx.GraphModule) -> None:
    """Replace operations that torch's compiler would make slow ones of.

    Sums at indices become atomic additions on CPUs, which several threads make in turns;
    `scatter_reduce` calls torch instead. Products of a column and a row are calls of a library for
    products, where multiplications are fused with what is around them. Other products of float32
    are by MKL, where oneDNN may be faster (`irem_core.energies.linear`).
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
    if isinstance(inner, int) and inner == 1:
        product = write(aten.mul.Tensor, left, right)
    elif _suits_onednn(_value(left), _value(right)):
        product = write(torch.ops.irem_core.product.default, left, right)
    else:
        return None
    return write(aten.add.Tensor, product, *bias) if bias else product


def _suits_onednn(left: Tensor, right: Tensor) -> bool:
    known = [each for each in (*left.shape, right.shape[1]) if isinstance(each, int)]
    return (
        left.dtype == torch.float32
        and left.device.type == "cpu"
        and min(known, default=0) >= _NARROW
        and math.prod(known) >= _SMALL
        and onednn_is_faster()
    )


def _value(node: fx.Node) -> Tensor:
    """Return what a node gave in tracing, a tensor without values."""
    value: Tensor = node.meta["val"]
    return value


_REWRITTEN: dict[Any, Callable[[Any, Write], fx.Node | None]] = {
    aten.index_add.default: _sum_at_indices,
    aten.mm.default: _matrix_product,
    aten.addmm.default: _matrix_product,
}
