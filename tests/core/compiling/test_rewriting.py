"""Rewritten operations against the same ones as they were written down."""

from __future__ import annotations

import torch
from torch.fx.experimental.proxy_tensor import make_fx

from irem_core.compiling.rewriting import rewrite


def given(*shapes, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator).div(8).to(dtype) for shape in shapes]


def rewritten(function, *arguments):
    """Return the operators of a function once it is rewritten, and its result."""
    traced = make_fx(function, tracing_mode="fake")(*arguments)
    rewrite(traced)
    torch.testing.assert_close(traced(*arguments), function(*arguments), rtol=1e-4, atol=1e-4)
    return {str(node.target) for node in traced.graph.nodes if node.op == "call_function"}


def test_other_products_stay():
    bias, left, right = given((96,), (40, 64), (64, 96))
    assert rewritten(torch.mm, left, right) == {"aten.mm.default"}
    assert rewritten(torch.addmm, bias, left, right) == {"aten.addmm.default"}
    column, row, wide = given((40, 1), (1, 96), (40, 96))
    found = rewritten(lambda *each: torch.addmm(*each, beta=0.5, alpha=2), wide, column, row)
    assert found == {"aten.addmm.default"}


def test_products_of_a_column_and_a_row_are_multiplications():
    column, row, bias = given((500, 1), (1, 128), (500, 128))
    assert rewritten(torch.mm, column, row) == {"aten.mul.Tensor"}
    found = rewritten(torch.addmm, bias, column, row)
    assert found == {"aten.mul.Tensor", "aten.add.Tensor"}


def test_sums_at_indices_are_by_scatter_reduce():
    sums, source = given((5, 3, 2), (20, 3, 2))
    index = torch.arange(20) % 4
    found = rewritten(lambda a, i, b: a.index_add(0, i, b), sums, index, source)
    assert "aten.scatter_reduce.two" in found
    assert "aten.index_add.default" not in found
    # Along another dimension, or weighted, they stay.
    (across,) = given((5, 4, 2))
    index = torch.tensor([0, 2, 2, 1])
    found = rewritten(lambda a, i, b: a.index_add(1, i, b), sums, index, across)
    assert found == {"aten.index_add.default"}
    index = torch.arange(20) % 4
    found = rewritten(lambda a, i, b: a.index_add(0, i, b, alpha=2), sums, index, source)
    assert found == {"aten.index_add.default"}
