"""The recurrent baseline (Tables 8 and 12): its formula, and that its state stays its own."""

import torch
from torch.nn import functional

from hand_gine import all_pairs, carried, complete, decode, gine, zeros
from irem_baselines import Recurrent
from irem_core import EdgeSpace, MatrixSpace, Problem, VectorSpace


def recurrent(question, answer, **settings):
    torch.manual_seed(0)
    return Recurrent(question, answer, width=4, **settings).double()


def lstm_step(cell, features, hidden, memory):
    """Take one step of an LSTM by its definition (Hochreiter and Schmidhuber, 1997)."""
    gates = features @ cell.weight_ih.T + cell.bias_ih + hidden @ cell.weight_hh.T + cell.bias_hh
    take, forget, new, show = gates.split(cell.hidden_size, -1)
    memory = forget.sigmoid() * memory + take.sigmoid() * new.tanh()
    return show.sigmoid() * memory.tanh(), memory


def by_hand(solver, x, steps):
    """Return the answers of all steps to flat questions."""
    network = solver.network
    features = functional.linear(x, network.first.weight, network.first.bias).clamp(min=0)
    hidden = memory = torch.zeros_like(features)
    answers = []
    for _ in range(steps):
        hidden, memory = lstm_step(solver.cell, features, hidden, memory)
        answers.append(functional.linear(hidden, network.head.weight, network.head.bias))
    return answers


def test_answers_are_those_of_an_lstm_that_sees_the_same_input():
    solver = recurrent(MatrixSpace(2, 3), VectorSpace(5))
    x = torch.randn(7, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    for steps, expected in enumerate(by_hand(solver, x.flatten(1), 6), 1):
        torch.testing.assert_close(solver.solve(x, max_steps=steps).y, expected)


def test_the_loss_is_on_the_last_output_alone():
    solver = recurrent(VectorSpace(3), VectorSpace(2), steps=3)
    x, target = torch.ones(4, 3).double(), torch.zeros(4, 2).double()
    expected = by_hand(solver, x, 3)[-1].square().sum() / 8

    loss = solver.loss(Problem(x), target, torch.Generator())
    torch.testing.assert_close(loss, expected)


def test_on_edges_nodes_remember_and_a_layer_reads_their_memory():
    solver = recurrent(EdgeSpace(), EdgeSpace())
    network, nodes = solver.network, 3
    problem, _ = complete([nodes])
    messages = carried(network, all_pairs(nodes), problem.x.edge_attr)
    features = gine(network, 0, zeros(nodes), messages)
    states = [(torch.zeros(4).double(), torch.zeros(4).double()) for _ in range(nodes)]

    for steps in range(1, 4):
        states = [
            lstm_step(solver.cell, own, *state) for own, state in zip(features, states, strict=True)
        ]
        read = gine(network, 1, [hidden for hidden, _ in states], messages)
        expected = decode(network, read, all_pairs(nodes))
        torch.testing.assert_close(solver.solve(problem, max_steps=steps).y, expected)


def test_nothing_is_remembered_from_one_problem_to_another():
    solver = recurrent(VectorSpace(3), VectorSpace(2))
    x = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    first = solver.solve(x, max_steps=5).y
    order = torch.tensor([4, 1, 5, 0, 3, 2])

    solver.loss(Problem(-x), torch.zeros(6, 2).double(), torch.Generator()).backward()
    solver.solve(10 * x, max_steps=9)
    assert torch.equal(solver.solve(x, max_steps=5).y, first)
    torch.testing.assert_close(solver.solve(x[order], max_steps=5).y, first[order])
    others = torch.cat([x[:1], 100 * x[1:]])
    torch.testing.assert_close(solver.solve(others, max_steps=5).y[0], first[0])
