"""Pairs of one's own: read, split, measured, learned from, and solved in the user's units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from irem_core import (
    IREM,
    EnergyFn,
    GradientDescent,
    ImageSpace,
    InputFileError,
    IremError,
    MatrixSpace,
    MLPEnergy,
    PairsTask,
    Problem,
    SettingError,
    Standardized,
    VectorSpace,
    evaluate,
    export_solver,
    fit_pairs,
    load,
    recipe,
    solve_file,
    write_arrays,
)
from irem_core.cli.files import read_questions
from irem_core.pairs import files, split
from irem_core.pairs import held_out as module
from irem_core.runs.description import describe, rebuild
from irem_core.testing import check_solver, check_task
from trainings import small_solver

Arrays = tuple[NDArray[Any], NDArray[Any]]


def linear_pairs(count: int = 60, seed: int = 0) -> Arrays:
    """Return pairs with y linear in x, in units far from 0 and 1."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(count, 3)) * [1.0, 50.0, 1e-3] + [0.0, 400.0, -2.0]
    weights = np.array([[100.0, 0.0], [1.0, -2e-4], [0.0, 3.0]])
    return x, x @ weights + [1e4, 0.0]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


WRITERS = {
    "pairs.npz": lambda file, x, y: np.savez(file, x=x, y=y),
    "pairs.safetensors": lambda file, x, y: save_file({"x": x, "y": y}, file),
    "pairs.csv": lambda file, x, y: np.savetxt(
        file,
        np.c_[x[:, :2], y, x[:, 2:]],
        delimiter=",",
        header='x0, "x_1",y0,Y 1,x[2]',
        comments="",
    ),
    "x.npy,y.npy": lambda file, x, y: (
        np.save(file.parent / "x.npy", x),
        np.save(file.parent / "y.npy", y),
    ),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_pairs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    x, y = linear_pairs()
    WRITERS[name](tmp_path / name, x, y)
    task = PairsTask.open(name)
    assert (task.question, task.answer) == (VectorSpace(3), VectorSpace(2))
    np.testing.assert_allclose(task.pairs.x, x)
    np.testing.assert_allclose(task.pairs.y, y)


def test_two_npy_files_stay_on_the_disk(tmp_path: Path) -> None:
    x, y = linear_pairs()
    WRITERS["x.npy,y.npy"](tmp_path / "x.npy", x, y)
    read = files.Pairs.read(f"{tmp_path}/x.npy,{tmp_path}/y.npy")
    assert isinstance(read.x, np.memmap)
    assert isinstance(read.y, np.memmap)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (np.zeros((20, 3)), np.ones((19, 3)), "20 questions x and 19 answers y"),
        (np.zeros((9, 3)), np.ones((9, 3)), "9 pairs; expected at least 10"),
        (np.zeros((20, 0)), np.ones((20, 3)), "rows of no entries"),
        (np.zeros((20, 3)), np.ones((20, 3)), "all answers y are the same"),
        (np.full((20, 3), "a"), np.ones((20, 3)), "x holds <U1 values"),
        (np.zeros((20, 3), complex), np.ones((20, 3)), "x holds complex128 values"),
        (np.zeros((20, 8, 8, 3)), np.ones((20, 3)), "numpy.moveaxis(x, -1, 1)"),
        (np.zeros((20, 3, 8, 3)), np.ones((20, 3)), "x.reshape(len(x), -1)"),
        (np.zeros((20, 9, 8, 7)), np.ones((20, 3)), "x.reshape(len(x), -1)"),
        (np.zeros((20, 3)), np.ones((20, 2, 2, 2, 2)), "y.reshape(len(y), -1)"),
    ],
)
def test_what_no_solver_can_learn_from_is_refused(x: Any, y: Any, words: str) -> None:
    with pytest.raises(InputFileError) as error:
        PairsTask.of(x, y)
    assert words in str(error.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
@pytest.mark.parametrize("name", ["x", "y"])
def test_nan_is_refused_with_its_row(
    name: str, bad: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_CHUNK", 30)  # ten rows of x at a time
    arrays = dict(zip("xy", linear_pairs(), strict=True))
    arrays[name][37, 1] = bad
    with pytest.raises(InputFileError, match=f"{name} holds NaN or infinity, first in row 37"):
        PairsTask.of(**arrays)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "x0,price\n1,2\n", "'price'; say which are answers with --y-columns"),
        ("a.csv", "1,2\n3,4\n", "names its columns"),
        ("a.csv", "x0,y0\n1,2\n1,two\n", "text, such as 'two' in row 1"),
        ("a.csv", "", "no data"),
        ("a.npy", "", "x.npy,y.npy"),
        ("a.npz,b.npz", "", "x.npy,y.npy"),
        ("a.txt", "", "must end in"),
        ("a.npz", "", "cannot be read"),
    ],
)
def test_files_without_pairs_are_refused(name: str, text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputFileError) as error:
        files.Pairs.read(str(tmp_path / name))
    assert words in str(error.value)


def test_shapes_name_spaces() -> None:
    draw = np.random.default_rng(0)
    shapes = {
        (12,): VectorSpace(1),
        (12, 4): VectorSpace(4),
        (12, 4, 5): MatrixSpace(4, 5),
        (12, 3, 8, 9): ImageSpace(3, 8, 9),
        (12, 1, 8, 8): ImageSpace(1, 8, 8),
    }
    for shape, space in shapes.items():
        task = PairsTask.of(draw.normal(size=shape), draw.normal(size=shape))
        assert (task.question, task.answer) == (space, space)


def test_numbers_in_a_row_are_questions_of_one_entry() -> None:
    x = np.linspace(0, 1, 40)
    task = PairsTask.of(x, x**2)
    assert task.stacked(torch.zeros(5)).x.shape == (5, 1)
    assert task.stacked(torch.zeros(5, 1)).x.shape == (5, 1)
    assert PairsTask.of(*linear_pairs()).stacked(torch.zeros(3)).x.shape == (1, 3)


def test_the_split_is_by_a_seed_and_covers_all() -> None:
    x, y = linear_pairs(57)
    held = PairsTask.of(x, y).held
    assert held.sum() == 6
    assert (held == PairsTask.of(x, y).held).all()
    assert (held != PairsTask.of(x, y, split_seed=1).held).any()
    assert PairsTask.of(x, y, held_out=0.4).held.sum() == 23
    assert PairsTask.of(x, y, held_out=1e-9).held.sum() == 1
    assert PairsTask.of(x, y, held_out=0.96).held.sum() == 55
    with pytest.raises(SettingError, match="between 0 and 1"):
        PairsTask.of(x, y, held_out=1.0)


@pytest.mark.parametrize("most", [2**27, 10])
def test_draws_and_batches_keep_to_their_part(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split, "_HELD", most)  # in memory, or mapped and copied batch by batch
    monkeypatch.setattr(module, "_BATCH", 4)
    x, y = (each.astype(np.float32) for each in linear_pairs())
    task = PairsTask.of(x, y, held_out=0.2)
    for name, rows in (("train", ~task.held), ("same", task.held)):
        problem, target = task.sample(200, name, generator=generator())
        drawn = {tuple(row) for row in torch.cat([problem.x, target], 1).tolist()}
        assert drawn <= {tuple(row) for row in np.c_[x, y][rows].tolist()}
        assert len(drawn) > 0.9 * rows.sum()
        whole = list(task.batches(1000, name, generator=generator()))
        np.testing.assert_array_equal(torch.cat([each.x for each, _ in whole]), x[rows])
        np.testing.assert_array_equal(torch.cat([each for _, each in whole]), y[rows])
        assert len(list(task.batches(5, name, generator=generator()))[1][1]) == 1


def test_standard_units_are_those_of_training_pairs() -> None:
    x, y = linear_pairs()
    x[:, 1] = 7.25
    task = PairsTask.of(x, y)
    solver = recipe(task, energy="mlp(width=8)").solver
    assert isinstance(solver, Standardized)
    kept = ~task.held
    mean, spread = x[kept].mean(0), x[kept].std(0)
    units = solver.question_units
    np.testing.assert_allclose(units.mean, mean, rtol=1e-5)
    np.testing.assert_allclose(units.scale[[0, 2]], spread[[0, 2]], rtol=1e-5)
    assert units.scale[1] == 0
    standard = units.standard(torch.tensor([[0.0, 99.0, -2.0]]))
    assert standard[0, 1] == 0
    np.testing.assert_allclose(
        standard[0, [0, 2]], (([0.0, -2.0] - mean[[0, 2]]) / spread[[0, 2]]), rtol=1e-2, atol=1e-4
    )
    answers = solver.answer_units.standard(torch.tensor(y[kept], dtype=torch.float32))
    np.testing.assert_allclose(answers.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(answers.std(0, correction=0), 1, rtol=1e-3)


def test_moments_are_shared_over_matrices_and_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_CHUNK", 100)  # several chunks
    draw = np.random.default_rng(0)
    rows = draw.random(12) < 0.7
    matrices = draw.normal(3e3, 2, size=(12, 4, 5))
    found = files.Moments.measure(matrices, MatrixSpace(4, 5), rows)
    assert found.mean.shape == found.scale.shape == (1, 1)
    assert found.mean == pytest.approx(matrices[rows].mean(), rel=1e-9)
    assert found.scale == pytest.approx(matrices[rows].std(), rel=1e-6)
    images = draw.normal(size=(12, 3, 6, 7)) * [[[1.0]], [[5.0]], [[0.0]]]
    found = files.Moments.measure(images, ImageSpace(3, 6, 7), rows)
    assert found.mean.shape == (3, 1, 1)
    np.testing.assert_allclose(found.scale[:, 0, 0], images[rows].std((0, 2, 3)), rtol=1e-6)
    assert found.scale[2] == 0


def test_offsets_neither_change_what_is_learned_nor_are_lost(tmp_path: Path) -> None:
    offset = 2.0**30
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(60, 3)), draw.normal(size=(60, 2))
    settings = {"energy": "distance(width=8)", "iterations": 3, "batch_size": 8}
    plain = fit_pairs(x, y, **settings)
    moved = fit_pairs(x + offset, y + offset, **settings, out=tmp_path / "run")
    wanted = plain.solver.solve(x, max_steps=4).y.numpy()
    np.save(tmp_path / "x.npy", x)
    solve_file(plain.solver, plain.task, tmp_path / "x.npy", tmp_path / "plain.npy", max_steps=4)
    np.save(tmp_path / "x.npy", x + offset)
    np.savetxt(tmp_path / "x.csv", x + offset, "%.17g", ",")
    for solver in (moved.solver, load(tmp_path / "run")):
        assert all(weight.dtype == torch.float32 for weight in solver.parameters())
        for file in ("x.npy", "x.csv"):
            asked = read_questions(tmp_path / file, moved.task, solver, torch.device("cpu"))
            np.testing.assert_array_equal(asked.problem.x, x + offset)
        solve_file(solver, moved.task, tmp_path / "x.npy", tmp_path / "y.npy", max_steps=4)
        in_parts = np.load(tmp_path / "y.npy") - offset
        np.testing.assert_allclose(in_parts, np.load(tmp_path / "plain.npy"), atol=1e-3)
        (tmp_path / "y.npy").unlink()
        found = solver.solve(x + offset, max_steps=4).y
        write_arrays(tmp_path / "y.csv", {"": found.numpy()})
        np.testing.assert_array_equal(np.loadtxt(tmp_path / "y.csv", delimiter=","), found)
        assert found.dtype == torch.float64
        np.testing.assert_allclose(found - offset, wanted, atol=1e-3)
        problem, _ = next(iter(moved.task.batches(60, "same", generator=generator())))
        assert solver.solve(problem, max_steps=1).y.dtype == torch.float64
    scores = [evaluate(each.solver, each.task, max_steps=4) for each in (plain, moved)]
    assert scores[1].mse == pytest.approx(scores[0].mse, rel=1e-3)
    assert scores[1].measures["r2"] == pytest.approx(scores[0].measures["r2"], abs=1e-3)
    floors = [each.task.floor("same") for each in (plain, moved)]
    assert floors[1].linear == pytest.approx(floors[0].linear, rel=1e-4)


def test_what_varies_by_rounding_alone_is_constant() -> None:
    draw = np.random.default_rng(0)
    for dtype, rounding in ((np.float32, 1e-7), (np.float64, 1e-14)):
        constant = (3e5 * (1 + rounding * draw.normal(size=(40, 1)))).astype(dtype)
        y = np.c_[constant, draw.normal(size=(40, 1)).astype(dtype)]
        scale = files.Moments.measure(y, VectorSpace(2), np.ones(40, bool)).scale
        assert scale[0] == 0 < scale[1]


def test_a_constant_answer_comes_back_exactly() -> None:
    x, y = linear_pairs()
    y[:, 0] = 12345.0
    task = PairsTask.of(x, y)
    solution = recipe(task, energy="mlp(width=8)").solver.solve(torch.zeros(4, 3), max_steps=3)
    assert solution.y[:, 0].tolist() == [12345.0] * 4


def test_errors_are_measured_as_scikit_learn_has_them() -> None:
    x, y = linear_pairs(200)
    task = PairsTask.of(x, y)
    progress = fit_pairs(x, y, energy="mlp(width=8)", iterations=3, batch_size=8)
    scores = evaluate(progress.solver, task, max_steps=3)
    held = y[task.held]
    answers = progress.solver.solve(
        torch.tensor(x[task.held], dtype=torch.float32), max_steps=3, generator=generator(0)
    ).y.numpy()
    # Another start than evaluation draws, so that only the formula is compared.
    shares = task.measures(None, torch.tensor(answers), torch.tensor(held, dtype=torch.float32))
    residual = ((answers - held) ** 2).sum(0) / ((held - held.mean(0)) ** 2).sum(0)
    assert float(shares["r2"].mean()) == pytest.approx(1 - residual.mean(), rel=1e-4)
    # The best constant answer is a mean for each entry, in its own unit.
    assert scores.relative == pytest.approx(scores.mse / held.var(0).mean(), rel=1e-4)
    assert scores.problems == 20
    assert scores.measures["r2"] < 1


def test_floors_are_the_mean_a_linear_regression_and_the_nearest_answer() -> None:
    x, y = linear_pairs(300)
    y = y + np.random.default_rng(1).normal(size=y.shape) * [300.0, 0.5]
    task = PairsTask.of(x, y)
    train, test = ~task.held, task.held
    floor = task.floor("same")
    assert floor.constant == pytest.approx(((y[test] - y[train].mean(0)) ** 2).mean(), rel=1e-4)
    design = np.c_[x, np.ones(len(x))]
    fitted, *_ = np.linalg.lstsq(design[train], y[train], rcond=None)
    assert floor.linear == pytest.approx(((y[test] - design[test] @ fitted) ** 2).mean(), rel=1e-3)
    # Columns count alike, whatever their spread.
    apart = (x[test][:, None] - x[train]) / x[train].std(0)
    nearest = y[train][np.square(apart).sum(2).argmin(1)]
    assert floor.neighbour == pytest.approx(((y[test] - nearest) ** 2).mean(), rel=1e-4)


def test_a_run_answers_in_the_users_units_without_its_pairs(tmp_path: Path) -> None:
    x, y = linear_pairs(300)
    np.savez(tmp_path / "pairs.npz", x=x, y=y)
    task = PairsTask.open(str(tmp_path / "pairs.npz"))
    made = recipe(task, energy="mlp(width=64)")
    from irem_core import fit

    fit(made.solver, task, out=tmp_path / "run", **(dict(made.training) | {"iterations": 150}))
    (tmp_path / "pairs.npz").unlink()
    solution = load(tmp_path / "run").solve(torch.tensor(x[task.held], dtype=torch.float32))
    held = y[task.held]
    residual = ((solution.y.numpy() - held) ** 2).mean(0) / held.var(0)
    assert (residual < 0.2).all()


def test_a_rebuilt_task_finds_its_pairs_or_says_why_not(tmp_path: Path) -> None:
    file = tmp_path / "pairs.npz"
    x, y = linear_pairs()
    np.savez(file, x=x, y=y)
    described = describe(PairsTask.open(str(file), held_out=0.3, split_seed=4))
    assert described["name"] == "pairs"
    again = rebuild(described)
    np.testing.assert_array_equal(again.pairs.x, x)
    assert (again.held == PairsTask.of(x, y, held_out=0.3, split_seed=4).held).all()
    y[3, 1] += 1e-6
    np.savez(file, x=x, y=y)
    with pytest.raises(InputFileError, match="content has changed"):
        _ = rebuild(described).pairs
    file.unlink()
    with pytest.raises(InputFileError, match="There is no file"):
        _ = rebuild(described).pairs
    with pytest.raises(InputFileError, match="trained on arrays"):
        _ = rebuild(describe(PairsTask.of(x, y))).pairs


def test_it_keeps_the_contract_of_tasks_and_of_solvers(tmp_path: Path) -> None:
    x, y = linear_pairs(40)
    np.savez(tmp_path / "pairs.npz", x=x / 100, y=y / 1e4)
    task = PairsTask.open(str(tmp_path / "pairs.npz"))
    check_task(task)
    for solver in ("irem(steps=2, descent=gradient(step_size=1.0))", "feedforward(width=8)"):
        energy = "mlp(width=8, depth=2)" if solver.startswith("irem") else None
        made = recipe(task, solver, energy=energy).solver
        assert isinstance(made, Standardized)
        check_solver(made, task)
    assert not isinstance(recipe(task, "constant").solver, Standardized)


def test_observers_traces_and_starts_are_in_the_users_units() -> None:
    task = PairsTask.of(*linear_pairs())
    solver = recipe(task, energy="mlp(width=8)").solver
    assert isinstance(solver, Standardized)
    problem, target = task.sample(4, generator=generator())
    seen = []
    solution = solver.solve(
        problem,
        start=target,
        max_steps=2,
        record=("y",),
        observer=lambda step, problems, at: seen.append((at.iterate.y, at.gradient.y)),
    )
    torch.testing.assert_close(seen[0][0], target)
    assert solution.trace is not None
    assert solution.trace.y is not None
    torch.testing.assert_close(solution.trace.of(0).y[0], target[0])
    # The slope in the user's units, against the energy at two candidates a little apart.
    energy, units = solver.solver.energy, solver.answer_units
    asked = solver.question_units.standard(problem.x)
    nudge = 1e-2 * units.scale
    up, down = (energy(asked, units.standard(target + sign * nudge)) for sign in (1, -1))
    torch.testing.assert_close(
        (seen[0][1] * nudge).sum(1), ((up - down) / 2).detach(), rtol=0.05, atol=1e-6
    )
    batches = [problem.x[:2], problem.x[2:]]
    assert sum(len(each.y) for each in solver.solve_many(batches, max_steps=2)) == 4


def test_pixels_and_matrices_of_other_sizes_are_scaled_too() -> None:
    draw = np.random.default_rng(0)
    y = draw.normal(2.0, 3.0, size=(20, 1, 8, 8))
    solver = recipe(PairsTask.of(y + draw.normal(size=y.shape), y), energy="conv(width=4)").solver
    assert solver.solve(torch.full((2, 1, 12, 10), 2.0), max_steps=2).y.shape == (2, 1, 12, 10)
    x = draw.normal(size=(20, 4, 4))
    square = recipe(PairsTask.of(x, x @ x), energy="pairwise(width=4)").solver
    assert square.solve(torch.ones(2, 6, 6), max_steps=2).y.shape == (2, 6, 6)


def test_the_energy_is_chosen_by_what_answers_are() -> None:
    draw = np.random.default_rng(0)
    shapes = {
        ((4,), (3,)): "ensemble",
        ((4, 4), (4, 4)): "ensemble",
        ((4,), (2, 3)): "ensemble",
        ((1, 8, 8), (4,)): "ensemble",
        ((1, 8, 8), (3, 8, 8)): "ensemble",
        ((1, 8, 8), (1, 8, 8)): "conv",
    }
    for (question, answer), name in shapes.items():
        task = PairsTask.of(draw.normal(size=(12, *question)), draw.normal(size=(12, *answer)))
        made = recipe(task)
        assert isinstance(made.solver, Standardized)
        assert describe(made.solver.solver.energy)["name"] == name
        assert made.preset == "default"
        assert made.training["iterations"] == (5_000 if name == "ensemble" else 120_000)
        problem, _ = task.sample(2, generator=generator())
        assert made.solver.solve(problem, max_steps=2).y.shape == (2, *answer)


def test_answers_of_0_and_1_are_seen_by_their_energy_and_many_pairs_trained_on_for_longer() -> None:
    draw = np.random.default_rng(0)
    task = PairsTask.of(draw.normal(size=(12, 4)), draw.integers(0, 2, size=(12, 3)))
    assert describe(recipe(task).solver.solver.energy)["name"] == "distance"
    many = recipe(PairsTask.of(*(draw.normal(size=(200_000, 1)) for _ in "xy")))
    # Of which 180,000 are for training, in batches of 128, each seen 20 times.
    assert many.training["iterations"] == 56_250


def test_an_energy_of_ones_own_is_trained_and_loaded(tmp_path: Path) -> None:
    x, y = linear_pairs()
    energy = MLPEnergy(VectorSpace(3), VectorSpace(2), width=8)
    progress = fit_pairs(x, y, energy=energy, iterations=2, batch_size=4, out=tmp_path)
    assert isinstance(progress.solver, Standardized)
    assert progress.solver.solver.energy is energy
    asked = torch.tensor(x[:3], dtype=torch.float32)
    torch.testing.assert_close(
        load(tmp_path).solve(asked, max_steps=3).y, progress.solver.solve(asked, max_steps=3).y
    )


def test_only_solvers_of_dense_answers_are_standardized() -> None:
    solver = Standardized(small_solver(), question=VectorSpace(8), answer=VectorSpace(4))
    with pytest.raises(ValueError, match="expected a floating-point tensor of shape"):
        solver.solve(torch.zeros(2, 5))
    with pytest.raises(ValueError, match="NaN"):
        solver.solve(torch.full((2, 8), torch.nan))


def test_restarts_begin_in_the_users_units() -> None:
    inside = small_solver()
    solver = Standardized(inside, question=VectorSpace(8), answer=VectorSpace(4))
    solver.answer_units.mean.fill_(100.0)
    solver.answer_units.scale.fill_(10.0)
    x = torch.rand(5, 8, generator=generator())
    start, standard = solver.draw_start(x, generator()), inside.draw_start(x, generator())
    torch.testing.assert_close(start.y, 100 + 10 * standard.y)
    assert torch.equal(solver.solve(x, start=start, max_steps=0).y, start.y)
    assert (
        recipe(PairsTask.of(*linear_pairs(30)), "constant").solver.draw_start(x, generator())
        is None
    )


def test_an_exported_program_takes_and_gives_the_users_units(tmp_path: Path) -> None:
    x, y = linear_pairs(300)
    y[:, 1] = 2.5
    least, most = float(y[:, 0].min()), float(y[:, 0].max())
    task = PairsTask.of(x, y, low=[least, -np.inf], high=[most, np.inf])
    solver = recipe(task, energy="distance(width=8, depth=2)").solver
    assert isinstance(solver, Standardized)
    file = tmp_path / "pairs.pt2"
    exported = export_solver(solver, file, max_steps=6)
    assert (exported.question, exported.answer) == ((3,), (2,))
    asked = torch.tensor(x[:7], dtype=torch.float32)
    start = 2 * torch.rand(7, 2, generator=generator()) - 1
    answers, energy, steps, _ = torch.export.load(file).module()(asked, start)
    inside = solver.solver.solve(solver.standard(asked), start=start, max_steps=6)
    torch.testing.assert_close(answers, solver.conversion(asked).solution(inside).y)
    torch.testing.assert_close(energy, inside.energy)
    assert torch.equal(steps, inside.steps)
    assert answers[:, 0].mean() == pytest.approx(y[:, 0].mean(), rel=0.1)
    assert answers[:, 1].tolist() == [2.5] * 7
    far = torch.export.load(file).module()(-9 * asked, start)[0][:, 0]
    assert set(far.tolist()) <= {float(np.float32(least)), float(np.float32(most))}
    images = np.random.default_rng(0).normal(size=(20, 1, 8, 8))
    at_question = recipe(PairsTask.of(images, 2 * images), energy="conv(width=4)").solver
    with pytest.raises(SettingError, match="starts at the question"):
        export_solver(at_question, file, max_steps=2)


def test_columns_of_frames_and_files_are_chosen_by_name_and_recorded(tmp_path: Path) -> None:
    x, y = linear_pairs()
    frame = pd.DataFrame(np.c_[x, y], columns=["width", "height", "depth", "cost", "x[2]"])
    frame["kind"] = np.where(x[:, 0] > 0, "big", "small")
    frame["notes"] = "none"
    file = tmp_path / "pairs.csv"
    frame.to_csv(file)
    task = PairsTask.open(
        str(file), x_columns="kind,*h", y_columns="x[2],cost", categories="one-hot"
    )
    assert task.columns == (("kind=big", "kind=small", "width", "depth"), ("x[2]", "cost"))
    expected = np.c_[x[:, 0] > 0, x[:, 0] <= 0, x[:, 0], x[:, 2]]
    np.testing.assert_allclose(task.pairs.x, expected)
    np.testing.assert_allclose(task.pairs.y, y[:, ::-1])
    assert task.pairs.left_out == ("'' (which counts rows)", "'height'", "'notes'")
    again = rebuild(describe(task))
    np.testing.assert_array_equal(again.pairs.x, task.pairs.x)

    questions = frame[["depth", "kind", "width"]].iloc[:4]
    questions.to_csv(tmp_path / "new.csv", sep=";", index=False)
    read = again.arrays(tmp_path / "new.csv")
    assert set(read) == {"x"}
    np.testing.assert_allclose(read["x"], expected[:4])
    np.testing.assert_allclose(again.arrays(file)["y"], y[:, ::-1])

    rest = PairsTask.open(str(file), y_columns="cost,kind,notes,x*", categories="one-hot")
    assert rest.columns[0] == ("width", "height", "depth")
    framed = PairsTask.of(frame[["width", "kind"]], frame["cost"], categories="one-hot")
    assert framed.columns == (("width", "kind=big", "kind=small"), ("cost",))
    assert PairsTask.of(x, frame[["cost"]]).columns == (None, ("cost",))


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"y_columns": "b", "x_columns": "a,b"}, "'b' is to be of both x and y"),
        ({"y_columns": "*"}, "no column for x"),
        ({"y_columns": "c"}, "'c', which --y-columns"),
        ({"y_columns": "a", "categories": "ordinal"}, "expected 'one-hot'"),
        ({"y_columns": "a"}, "'b' holds text, such as 'u' in row 0"),
    ],
)
def test_columns_that_cannot_be_chosen_are_refused(
    wanted: dict[str, str], words: str, tmp_path: Path
) -> None:
    file = tmp_path / "a.csv"
    pd.DataFrame({"a": np.arange(20.0) ** 2, "b": ["u", "v"] * 10}).to_csv(file, index=False)
    with pytest.raises(IremError) as error:
        PairsTask.open(str(file), **wanted)
    assert words in str(error.value)
    np.savez(tmp_path / "a.npz", X=np.arange(20.0), Y=np.arange(20.0))
    assert PairsTask.open(str(tmp_path / "a.npz")).question == VectorSpace(1)
    with pytest.raises(SettingError, match="columns have no names"):
        PairsTask.open(str(tmp_path / "a.npz"), y_columns="a")


def test_the_same_question_is_on_one_side_alone() -> None:
    draw = np.random.default_rng(0)
    asked = draw.normal(size=(40, 3))
    x = asked[draw.integers(40, size=400)]
    task = PairsTask.of(x, draw.normal(size=400))
    rows = {name: {tuple(row) for row in x[part].tolist()}
            for name, part in (("train", ~task.held), ("same", task.held))}  # fmt: skip
    assert not rows["train"] & rows["same"]
    assert len(rows["same"]) == 4
    signed = PairsTask.of(np.r_[np.zeros(10), -np.zeros(10), np.ones(5)], np.arange(25.0))
    assert signed.questions.tolist() == [0] * 20 + [1] * 5
    assert PairsTask.of(np.arange(20.0) + 1e9, np.arange(20.0)).questions.tolist() == [*range(20)]
    with pytest.raises(InputFileError, match="all questions x are the same"):
        PairsTask.of(np.ones(20), np.arange(20.0))


def test_a_single_held_out_pair_has_no_share_of_variance() -> None:
    x, y = linear_pairs(12)
    task = PairsTask.of(x, y, held_out=1e-9)
    assert task.held.sum() == 1
    solver = recipe(task, energy="mlp(width=8)").solver
    assert evaluate(solver, task, max_steps=2).measures == {}


def test_bounds_are_those_that_answers_lie_on_now_and_then() -> None:
    draw = np.random.default_rng(0)
    free = draw.normal(size=(400, 6))
    y = np.stack(
        [
            free[:, 0].clip(-1, 2.5),  # hardly ever above
            free[:, 1].clip(0, None),
            free[:, 2],
            free[:, 3].round(),  # whole numbers, which are alike everywhere
            (free[:, 4] > 0).astype(float),
            np.where(free[:, 5] > 1, 1e-12, free[:, 5].clip(0, None)),
        ],
        1,
    )
    task = PairsTask.of(free, y)
    inf = np.inf
    low, high = task.answer.limits(torch.zeros((), dtype=torch.float64))
    np.testing.assert_array_equal(low, [-1, 0, -inf, -inf, 0, 0])
    np.testing.assert_array_equal(high, [inf, inf, inf, inf, 1, inf])
    unbounded = PairsTask.of(free, y, low=-inf, high=inf)
    assert unbounded.answer == VectorSpace(6)


def test_energies_expect_the_errors_of_held_out_pairs(tmp_path: Path) -> None:
    x, y = linear_pairs(400)
    y = y + np.random.default_rng(1).normal(size=y.shape) * y.std(0) * 0.3
    done = fit_pairs(x, y, iterations=60, learning_rate=1e-2, out=tmp_path / "run")
    asked = done.task.unseen(2000)
    scale = done.solver.answer_units.scale
    for solver in (done.solver, load(tmp_path / "run")):
        found = solver.solve(asked[0])
        errors = ((found.y - asked[1]) / scale).square().mean(1)
        told = 2 * found.energy / y.shape[1]
        assert float(told.mean() / errors.mean()) == pytest.approx(1, abs=0.1)


class Sides(EnergyFn):
    """Lowest at 1 and, but for a tilt, at -1, whatever the question is."""

    def __init__(self, question: Any, answer: Any) -> None:
        super().__init__()
        self.tilt = torch.nn.Parameter(torch.tensor(0.3))

    def energy(self, context: Any, y: torch.Tensor) -> torch.Tensor:
        return ((y.square() - 1).square() + self.tilt * (1 - y)).sum(1)


@pytest.mark.parametrize(("right", "restarts"), [(1.0, 8), (-1.0, 0)])
def test_restarts_are_kept_where_they_pay(right: float, restarts: int, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(100, 1))
    # Of spread 1 around 0, so that standard units are the user's; training changes nothing.
    y = np.tile([[-1.0], [1.0]], (50, 1))
    task = PairsTask.of(x, y, low=-np.inf, high=np.inf)
    energy = Sides.for_task(task)
    solver = task.adapted(IREM(energy, descent=GradientDescent(step_size=0.05)))
    solver.calibrate(
        Problem(torch.zeros(40, 1), task.answer), torch.full((40, 1), right), generator()
    )
    assert solver.restarts == restarts
    assert describe(solver)["settings"]["solver"]["part"]["settings"]["restarts"] == restarts
    asked = torch.zeros(40, 1)
    several = solver.solve_many([asked[:20], asked[20:]])
    answers = (solver.solve(asked).y, torch.cat([each.y for each in several]))
    once = solver.solve(asked, restarts=0).y
    # From one start half of the questions end on the lower side, from nine hardly one does not.
    assert all(float((y > 0).float().mean() > 0.9) == (restarts > 0) for y in answers)
    assert float((once > 0).float().mean()) < 0.8
