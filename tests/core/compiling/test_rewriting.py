"""Rewritten operations against the same ones as they were written down."""

from __future__ import annotations

import copy
import shutil

import pytest
import torch
from packaging.version import Version
from torch.fx.experimental.proxy_tensor import make_fx

from irem_core import CompileError, Iterate, MLPEnergy, VectorSpace, differentiate
from irem_core.compiling.rewriting import rewrite
from irem_core.part import seeded
from irem_core.problems import trees

ONEDNN = hasattr(torch.ops.mkldnn, "_linear_pointwise")
needs_onednn = pytest.mark.skipif(not ONEDNN, reason="this build of torch has no oneDNN")


def given(*shapes, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator).div(8).to(dtype) for shape in shapes]


def rewritten(function, *arguments):
    """Return the operators of a function once it is rewritten, and its result."""
    traced = make_fx(function, tracing_mode="fake")(*arguments)
    rewrite(traced)
    torch.testing.assert_close(traced(*arguments), function(*arguments), rtol=1e-4, atol=1e-4)
    return {str(node.target) for node in traced.graph.nodes if node.op == "call_function"}


@pytest.fixture(params=[True, False], ids=["onednn", "mkl"])
def onednn(request, monkeypatch):
    if request.param and not ONEDNN:
        pytest.skip("this build of torch has no oneDNN")
    monkeypatch.setattr("irem_core.compiling.rewriting.onednn_is_faster", lambda: request.param)
    return request.param


@pytest.mark.parametrize("shape", [(40, 64, 96), (64, 40, 96), (33, 512, 512)])
def test_products_are_by_the_faster_library(onednn, shape):
    rows, inner, columns = shape
    left, right, bias = given((rows, inner), (inner, columns), (columns,))
    wanted = "irem_core.product.default" if onednn else "aten.mm.default"
    assert rewritten(torch.mm, left, right) == {wanted}
    found = rewritten(torch.addmm, bias, left, right)
    assert found == ({wanted, "aten.add.Tensor"} if onednn else {"aten.addmm.default"})
    # A product of what was a product before.
    (square,) = given((columns, columns))
    found = rewritten(lambda a, b, c: a @ b @ c, left, right, square)
    assert found == {wanted}


@pytest.mark.parametrize(
    ("shapes", "dtype"),
    [
        ([(40, 64), (64, 96)], torch.float64),
        ([(40, 64), (64, 96)], torch.bfloat16),
        ([(400, 64), (64, 8)], torch.float32),
        ([(400, 8), (8, 96)], torch.float32),
        ([(32, 32), (32, 3)], torch.float32),
    ],
    ids=str,
)
def test_products_that_onednn_is_not_for_stay(monkeypatch, shapes, dtype):
    monkeypatch.setattr("irem_core.compiling.rewriting.onednn_is_faster", lambda: True)
    assert rewritten(torch.mm, *given(*shapes, dtype=dtype)) == {"aten.mm.default"}


def test_scaled_products_stay(monkeypatch):
    monkeypatch.setattr("irem_core.compiling.rewriting.onednn_is_faster", lambda: True)
    bias, left, right = given((96,), (40, 64), (64, 96))
    found = rewritten(lambda *each: torch.addmm(*each, beta=0.5, alpha=2), bias, left, right)
    assert found == {"aten.addmm.default"}


def test_products_of_a_column_and_a_row_are_multiplications(onednn):
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


@pytest.mark.parametrize(("width", "wanted"), [(48, False), (64, True)])
def test_layers_of_an_energy_are_wide_enough_or_not(monkeypatch, width, wanted):
    monkeypatch.setattr("irem_core.compiling.rewriting.onednn_is_faster", lambda: True)
    written = []
    monkeypatch.setattr(torch, "compile", lambda traced, **_: written.append(traced) or abs)
    energy = MLPEnergy(VectorSpace(width), VectorSpace(width), width=width)
    energy.compile()
    problem = energy.problem(*given((5, width)))
    start = energy.start(problem, torch.Generator().manual_seed(0))
    with pytest.raises(CompileError):
        differentiate(energy, energy.encode(problem), start)
    targets = {str(node.target) for node in written[0].graph.nodes}
    assert ("irem_core.product.default" in targets) == wanted


@pytest.mark.slow
@needs_onednn
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles for CPUs by g++")
@pytest.mark.skipif(Version(torch.__version__) < Version("2.13"), reason="made for later versions")
def test_torchs_own_compiler_calls_the_faster_library(monkeypatch):
    monkeypatch.setattr("irem_core.compiling.rewriting.onednn_is_faster", lambda: True)
    with seeded(0):
        energy = MLPEnergy(VectorSpace(96), VectorSpace(64), width=80)
    compiled = copy.deepcopy(energy)
    compiled.compile()
    for count in (4, 7, 7):
        x, y = given((count, 96), (count, 64))
        problem = energy.problem(x)
        context = trees.detach(energy.encode(problem))
        at = Iterate(y, problem.layout)
        found, wanted = (differentiate(each, context, at) for each in (compiled, energy))
        torch.testing.assert_close(found.energy, wanted.energy, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(found.gradient.y, wanted.gradient.y, rtol=1e-5, atol=1e-6)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        differentiate(compiled, context, at)
    calls = {each.key: each.count for each in seen.key_averages()}
    # Three layers onto the candidate and back.
    assert calls["irem_core::product"] == 6
