"""Every task, energy and solver of our packages keeps its contract."""

import pytest

from irem_core import build, load_task
from irem_core.registry import ENERGIES, OBJECTIVES, SOLVERS, TASKS, Target, find
from irem_core.testing import check_energy, check_objective, check_solver, check_task
from official import cases, missing

# A task with small settings, and how to check it.
TASK_CASES = {
    "add": [("add(size=3)", {}), ("add(size=1)", {})],
    "assignment": [("assignment()", {})],
    # Squared errors to one of many answers say nothing, so neither do floors.
    "coloring": [("coloring()", {"floors": False}), ("coloring(colors=4)", {"floors": False})],
    "connected-components": [("connected_components()", {})],
    "denoise": [("denoise(patch=12)", {"count": 3})],
    "determinant": [("determinant(size=3)", {})],
    "edge-copy": [("edge_copy()", {})],
    "eigenvector": [("eigenvector(size=3)", {})],
    "linear-system": [("linear_system(size=3)", {})],
    "lu": [("lu(size=3)", {})],
    "matrix-completion": [("matrix_completion(size=4)", {})],
    "matrix-inverse": [
        ("matrix_inverse(size=3)", {}),
        ("matrix_inverse(size=3, variant='paper')", {}),
    ],
    "maze": [("maze()", {"count": 5})],
    "negate": [("negate(size=5)", {})],
    "parity": [("parity(bits=6)", {})],
    "qr": [("qr(size=3)", {})],
    "queens": [("queens()", {"floors": False})],
    # Squared errors to one of many answers say nothing, so neither do floors.
    "sat": [
        ("sat(variables=8)", {"floors": False}),
        ("sat(parts=True)", {"floors": False}),
        ("sat(variables=5, parts=True, alone=True)", {"floors": False}),
    ],
    "shortest-path": [("shortest_path()", {})],
    "sort": [("sort(values=5)", {})],
    "roots": [("roots()", {}), ("roots(degree=2)", {})],
    "inverse-kinematics": [("inverse_kinematics()", {}), ("inverse_kinematics(links=3)", {})],
    "sparse-components": [("sparse_components()", {"floors": False, "count": 3})],
    "sparse-shortest-path": [("sparse_shortest_path()", {"floors": False, "count": 3})],
    "square": [("square(size=3)", {})],
    "sudoku": [("sudoku(size=4)", {})],
}
# A task with small settings, and an energy for it.
ENERGY_CASES = {
    "conv": [("denoise(patch=8)", "conv(width=4, depth=2)")],
    "distance": [
        ("add(size=3)", "distance(width=6, depth=2)"),
        ("determinant(size=3)", "distance(width=6, further=0)"),
    ],
    "elementwise": [
        ("add(size=3)", "elementwise(width=6, hidden=4)"),
        ("negate(size=5)", "elementwise(width=4, neighbours=2)"),
        ("square(size=3)", "elementwise(width=4)"),
        ("edge_copy()", "elementwise(width=4)"),
    ],
    "ensemble": [
        ("add(size=3)", "ensemble(members=3, width=6, depth=2)"),
        ("determinant(size=3)", "ensemble(members=1, width=6, depth=1)"),
    ],
    "factor": [
        ("sudoku()", "factor(width=4)"),
        ("sudoku()", "factor(width=4, rounds=1, read='both')"),
        ("sat(parts=True)", "factor(width=4, rounds=0)"),
        ("queens()", "factor(width=4, rounds=0)"),
    ],
    "gine": [
        ("edge_copy()", "gine(width=8)"),
        ("shortest_path()", "gine(width=8, layers=2, path='edges')"),
        ("sparse_components()", "gine(width=8)"),
    ],
    "mlp": [
        ("add(size=3)", "mlp(width=6, depth=1)"),
        ("negate(size=5)", "mlp(width=6, depth=3)"),
    ],
    "pairwise": [
        ("shortest_path()", "pairwise(width=6)"),
        ("matrix_inverse(size=4)", "pairwise(width=6, blocks=1, pooling='product')"),
    ],
    "scratchpad-mlp": [("add(size=3)", "scratchpad_mlp(scratchpad=2, width=6, depth=2)")],
    "periodic": [
        ("parity(bits=4)", "periodic(waves=6)"),
        ("matrix_inverse(size=3)", "periodic(waves=4, frequency=0.5)"),
    ],
    "ranking": [("sort(values=5)", "ranking(width=6)")],
    "rational": [
        ("matrix_inverse(size=4)", "rational()"),
        ("square(size=3)", "rational(degree=2)"),
    ],
    "sparse-pairwise": [
        ("sparse_shortest_path(every=True)", "sparse_pairwise(width=6)"),
        ("sparse_components()", "sparse_pairwise(width=4, blocks=1)"),
        ("shortest_path()", "sparse_pairwise(width=4)"),
    ],
    "spectral": [
        ("matrix_completion(size=4)", "spectral()"),
        ("matrix_completion(size=5)", "spectral(terms=1)"),
    ],
    "weighted": [
        (
            "add(size=3)",
            "weighted(energies=[scratchpad_mlp(scratchpad=2, width=6), mlp(width=4, depth=1)], "
            "weights=[1, 0.5])",
        ),
        (
            "add(size=3)",
            "weighted(energies=[scratchpad_mlp(scratchpad=2, width=6), "
            "scratchpad_mlp(scratchpad=1, width=4)])",
        ),
        ("shortest_path()", "weighted(energies=[pairwise(width=4, blocks=1), gine(width=4)])"),
    ],
}
# A task, a solver, its energy where it takes one, and how to check it.
MLP, SCRATCHPAD = "mlp(width=8, depth=2)", "scratchpad_mlp(scratchpad=2, width=8, depth=2)"
IREM = "steps=2, descent=gradient(step_size=1.0)"
SOLVER_CASES = {
    "classical": [("shortest_path()", "classical", None)],
    "constant": [("lu(size=3)", "constant", None), ("edge_copy()", "constant", None)],
    "entrywise": [("add(size=3)", "entrywise", None), ("shortest_path()", "entrywise", None)],
    "irem": [
        ("add(size=3)", f"irem({IREM}, replay=20)", MLP),
        ("add(size=3)", f"irem({IREM}, replay=0)", MLP),
        ("add(size=3)", f"irem({IREM}, objective=descent(supervise='every'))", MLP),
        ("add(size=3)", f"irem({IREM})", SCRATCHPAD),
        ("edge_copy()", f"irem({IREM}, replay=20)", "gine(width=8)"),
        ("sudoku()", f"irem({IREM}, replay=20)", "factor(width=4)"),
    ],
    "feedforward": [
        ("add(size=3)", "feedforward(width=8, depth=1)", None),
        ("matrix_inverse(size=3)", "feedforward(width=8)", None),
        ("edge_copy()", "feedforward(width=8)", None),
        ("sparse_components()", "feedforward(width=8)", None),
    ],
    "iterative-feedforward": [
        ("add(size=3)", "iterative_feedforward(width=8, depth=1)", None),
        ("matrix_inverse(size=3)", "iterative_feedforward(width=8, levels=3)", None),
        ("edge_copy()", "iterative_feedforward(width=8)", None),
        ("edge_copy()", "iterative_feedforward(width=8, trained_by='unroll')", None),
        ("sparse_components()", "iterative_feedforward(width=8)", None),
    ],
    "ired": [
        ("add(size=3)", "ired()", None),
        ("matrix_inverse(size=3)", "ired(corruption='entries', clip=2)", None),
        ("edge_copy()", "ired(contrast=0)", "gine(width=8)"),
        ("sudoku(size=4)", "ired(restarts=1)", "factor(width=4)"),
        ("denoise(patch=8)", "ired(steps=1)", "mlp(width=8)"),
    ],
    "ponder": [
        ("add(size=3)", "ponder(width=8, depth=1)", None),
        ("matrix_inverse(size=3)", "ponder(width=8, steps=3)", None),
        ("edge_copy()", "ponder(width=8)", None),
        ("sparse_components()", "ponder(width=8)", None),
    ],
    "recurrent": [
        ("add(size=3)", "recurrent(width=8, steps=2)", None),
        ("matrix_inverse(size=3)", "recurrent(width='matched')", None),
        ("edge_copy()", "recurrent(width=8)", None),
        ("sparse_components()", "recurrent(width=8)", None),
    ],
    "residual": [("denoise(patch=8)", "residual(width=4, depth=2)", None)],
}
# An objective, and a task and an energy that it is made for.
OBJECTIVE_CASES = {
    "descent": [
        ("descent()", "add(size=3)", MLP),
        ("descent(supervise='every')", "add(size=3)", SCRATCHPAD),
        ("descent()", "edge_copy()", "gine(width=8)"),
        ("descent()", "sat(parts=True)", "factor(width=4)"),
    ],
    "denoising": [
        ("denoising()", "add(size=3)", MLP),
        ("denoising(levels=0.2)", "add(size=3)", SCRATCHPAD),
        ("denoising()", "edge_copy()", "gine(width=8)"),
        ("denoising()", "sudoku()", "factor(width=4)"),
    ],
    "contrastive": [
        ("contrastive()", "add(size=3)", MLP),
        ("contrastive(against='noise')", "add(size=3)", SCRATCHPAD),
        ("contrastive(against=('entries', 'descent'))", "edge_copy()", "gine(width=8)"),
        ("contrastive(against='entries', share=0.1)", "sudoku()", "factor(width=4)"),
    ],
    "calibrated": [
        ("calibrated()", "add(size=3)", "distance(width=8)"),
        ("calibrated()", "shortest_path()", "pairwise(width=4, blocks=1)"),
    ],
    "regression": [("regression()", "add(size=3)", "ensemble(members=2, width=8)")],
    "grounded": [("grounded()", "sudoku()", "factor(width=4)")],
    "weighted": [
        ("weighted(objectives=(descent(), calibrated()), weights=(1, 0.3))", "add(size=3)", MLP),
        ("weighted(objectives=(denoising(), contrastive(against='noise')))", "add(size=3)", MLP),
    ],
}
TABLES = {
    TASKS: TASK_CASES,
    ENERGIES: ENERGY_CASES,
    SOLVERS: SOLVER_CASES,
    OBJECTIVES: OBJECTIVE_CASES,
}


@pytest.mark.parametrize("group", TABLES)
def test_no_part_is_left_out(group):
    assert missing(group, TABLES[group]) == []


@pytest.mark.parametrize(("name", "case"), cases(TASK_CASES))
def test_tasks(name, case):
    text, options = case
    check_task(load_task(text), **options)


@pytest.mark.parametrize(("name", "case"), cases(ENERGY_CASES))
def test_energies(name, case):
    text, energy = case
    task = load_task(text)
    check_energy(build(ENERGIES, energy, target=Target(task)), task)


@pytest.mark.parametrize(("name", "case"), cases(SOLVER_CASES))
def test_solvers(name, case):
    text, solver, energy = case
    task = load_task(text)
    target = Target(find(SOLVERS, name).load().posed(task))
    settings = {} if energy is None else {"energy": build(ENERGIES, energy, target=target)}
    built = build(SOLVERS, solver, settings=settings, target=target)
    check_solver(built, task, trains=any(True for _ in built.parameters()))


@pytest.mark.parametrize(("name", "case"), cases(OBJECTIVE_CASES))
def test_objectives(name, case):
    text, task, energy = case
    task = load_task(task)
    built = build(ENERGIES, energy, target=Target(task))
    check_objective(build(OBJECTIVES, text), built, task)
