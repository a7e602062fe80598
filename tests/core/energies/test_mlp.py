"""The paper's energy for vectors and matrices (Table 10)."""

import pytest
import torch
from torch.nn import functional

from irem_core import Iterate, MatrixSpace, MLPEnergy, Problem, ScratchpadMLPEnergy, VectorSpace
from irem_tasks import Add

QUESTION, ANSWER = MatrixSpace(2, 3), VectorSpace(4)


def plain(energy, joined):
    """Apply the energy's weights to its inputs end to end, without the split first layer."""
    first = torch.cat([energy.candidate_weight, energy.question_weight], 1)
    later = [(layer.weight, layer.bias) for layer in energy.hidden]
    for weight, bias in [(first, energy.bias), *later]:
        linear = functional.linear(joined, weight, bias)
        joined = linear * torch.sigmoid(linear)
    return functional.linear(joined, energy.head.weight, energy.head.bias)[:, 0]


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("scratchpad", [None, 5])
def test_the_split_first_layer_is_one_on_everything_joined(depth, scratchpad):
    torch.manual_seed(0)
    x, y = torch.randn(6, 2, 3, dtype=torch.float64), torch.randn(6, 4, dtype=torch.float64)
    problem, z = Problem(x), None
    if scratchpad is None:
        energy = MLPEnergy(QUESTION, ANSWER, width=7, depth=depth).double()
        joined = torch.cat([y, x.flatten(1)], 1)
    else:
        energy = ScratchpadMLPEnergy(
            QUESTION, ANSWER, scratchpad=scratchpad, width=7, depth=depth
        ).double()
        z = torch.randn(6, scratchpad, dtype=torch.float64)
        joined = torch.cat([y, z, x.flatten(1)], 1)

    found = energy.value(energy.encode(problem), Iterate(y, problem.layout, z))
    torch.testing.assert_close(found, plain(energy, joined), rtol=0, atol=1e-12)
    assert found.std() > 1e-3


def test_calling_the_energy_encodes_and_evaluates():
    energy = MLPEnergy(VectorSpace(2), VectorSpace(3), width=5, depth=2)
    x, y = torch.randn(4, 2), torch.randn(4, 3)

    torch.testing.assert_close(energy(x, y), plain(energy, torch.cat([y, x], 1)))


def parameters(module):
    return sum(weight.numel() for weight in module.parameters())


def test_parameters_of_table_10():
    expected = (1200 * 512 + 512) + 2 * (512 * 512 + 512) + 513

    assert parameters(MLPEnergy.for_task(Add())) == expected
    assert parameters(ScratchpadMLPEnergy.for_task(Add())) == expected + 512 * 512


def test_weights_follow_the_seed_and_leave_the_global_state():
    torch.manual_seed(4)
    state = torch.get_rng_state()
    first, again, other = (MLPEnergy.for_task(Add(size=2), width=4, seed=s) for s in (1, 1, 2))

    assert torch.equal(first.head.weight, again.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)
    assert torch.equal(torch.get_rng_state(), state)


def test_both_parts_of_the_first_layer_start_as_one_layer_would():
    # torch draws from U(-b, b) with b = 1 / root of the inputs, here 100 = 75 + 25 of them.
    energy = MLPEnergy(VectorSpace(25), VectorSpace(75), width=200, depth=1)

    for part in (energy.candidate_weight, energy.question_weight):
        assert 0.099 < part.abs().max().item() <= 0.1
