"""Products by oneDNN against torch's own in float64: values, slopes and slopes of slopes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from irem_core import GradientDescent, MLPEnergy, load_task, minimize
from irem_core.energies import linear as module
from irem_core.energies.linear import Linear, linear, onednn_is_faster, without_weights

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN"
)


@pytest.fixture
def onednn(monkeypatch):
    """Multiply everything by oneDNN, and count the products."""
    products, product = [], module._product

    def counted(left, right):
        products.append((left.shape, right.shape))
        return product(left, right)

    monkeypatch.setattr(module, "_WORTHWHILE", 0)
    monkeypatch.setattr(module, "onednn_is_faster", lambda: True)
    monkeypatch.setattr(module, "_product", counted)
    return products


def laid_out(shape, layout, generator):
    """Return a random tensor, all of it positive so that nothing cancels, in some layout."""
    if layout == "transposed":
        return torch.rand((*shape[:-2], shape[-1], shape[-2]), generator=generator).mT
    if layout == "expanded":
        return torch.rand((*shape[:-1], 1), generator=generator).expand(shape)
    if layout == "sliced":
        return torch.rand((*shape[:-1], 2 * shape[-1]), generator=generator)[..., ::2]
    return torch.rand(shape, generator=generator)


LAYOUTS = st.sampled_from(["dense", "transposed", "expanded", "sliced"])


@settings(deadline=None, max_examples=60)
@given(
    leading=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    inputs=st.integers(1, 70),
    outputs=st.integers(1, 70),
    layouts=st.tuples(LAYOUTS, LAYOUTS),
    bias=st.sampled_from(["none", "shared", "own"]),
    seed=st.integers(0, 2**31),
)
def test_values_and_slopes_are_those_of_torch_in_float64(
    leading, inputs, outputs, layouts, bias, seed
):
    generator = torch.Generator().manual_seed(seed)
    leading = leading[:1] if bias == "own" else leading
    factors = [laid_out((*leading, inputs), layouts[0], generator)]
    factors.append(laid_out((outputs, inputs), layouts[1], generator))
    if bias != "none":
        shape = (outputs,) if bias == "shared" else (*leading, outputs)
        factors.append(torch.rand(shape, generator=generator))
    weights = [
        torch.rand((*leading, outputs), generator=generator),
        torch.rand(factors[0].shape, generator=generator),
    ]

    def derivatives(function, dtype):
        at = [each.detach().to(dtype).requires_grad_() for each in factors]
        value = function(*at)
        # Not linear in the value, so that the slope depends on all of them.
        first = torch.autograd.grad(
            (value.square() * weights[0].to(dtype)).sum(), at, create_graph=True
        )
        second = torch.autograd.grad((first[0].square() * weights[1].to(dtype)).sum(), at[:2])
        return [each.detach() for each in (value, *first, *second)]

    def own(x, weight, bias=None):
        product = x @ weight.T
        return product if bias is None else product + bias

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_WORTHWHILE", 0)
        patch.setattr(module, "onednn_is_faster", lambda: True)
        found = derivatives(linear, torch.float32)
    wanted = derivatives(own, torch.float64)
    for each, other in zip(found, wanted, strict=True):
        assert each.shape == other.shape
        torch.testing.assert_close(each.double(), other, rtol=1e-4, atol=1e-30)


def test_the_layer_is_torchs_by_name_and_value(onednn):
    torch.manual_seed(0)
    ours, theirs = Linear(5, 3), torch.nn.Linear(5, 3)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(4, 6, 5)
    assert torch.allclose(ours(x), theirs(x), atol=1e-6)
    assert len(onednn) == 1


def test_gradients_in_weights_are_not_computed_where_unwanted(onednn):
    x, weight = torch.randn(3, 5, requires_grad=True), torch.randn(4, 5, requires_grad=True)
    with without_weights():
        value = linear(x, weight).square().sum()
    (slope,) = torch.autograd.grad(value, x)
    assert torch.allclose(slope, 2 * x @ weight.T @ weight, atol=1e-4)
    assert len(onednn) == 2
    with without_weights(False):
        value = linear(x, weight).square().sum()
    _, slope = torch.autograd.grad(value, (x, weight))
    assert torch.allclose(slope, 2 * (x @ weight.T).T @ x, atol=1e-4)
    assert len(onednn) == 5


def test_solving_computes_no_gradient_in_weights(onednn):
    task = load_task("add", size=4)
    energy = MLPEnergy.for_task(task, width=8, depth=3)
    problem, _ = task.sample(5, generator=torch.Generator().manual_seed(0))
    energy.zero_grad()
    minimize(energy, problem, descent=GradientDescent(step_size=1.0), max_steps=6)
    evaluations = 7
    # The question once; then three layers and the read-out, forwards and backwards.
    assert len(onednn) <= 1 + evaluations * 8
    assert not any(left[1] == 5 for left, _ in onednn)


@pytest.mark.parametrize(
    "unsuited",
    [
        (torch.zeros(4, 5).double(), torch.zeros(3, 5).double()),
        (torch.zeros(4, 5).bfloat16(), torch.zeros(3, 5).bfloat16()),
        (torch.zeros(5), torch.zeros(3, 5)),
        (torch.zeros(4, 5, device="meta"), torch.zeros(3, 5, device="meta")),
        (torch.nn.Buffer(torch.zeros(4, 5)).as_subclass(torch.nn.Parameter), torch.zeros(3, 5)),
    ],
)
def test_what_onednn_does_not_take_is_left_to_torch(onednn, unsuited):
    assert linear(*unsuited).shape == functional.linear(*unsuited).shape
    assert onednn == []


def test_small_products_and_other_machines_are_left_to_torch(monkeypatch):
    monkeypatch.setattr(module, "_product", lambda *_: pytest.fail("oneDNN was called"))
    linear(torch.zeros(8, 16), torch.zeros(4, 16))
    monkeypatch.setattr(module, "onednn_is_faster", lambda: False)
    monkeypatch.setattr(module, "_WORTHWHILE", 0)
    linear(torch.zeros(8, 16), torch.zeros(4, 16))


def test_the_choice_is_one_for_a_machine():
    assert onednn_is_faster() is onednn_is_faster()
