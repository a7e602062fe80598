"""Solving files: answers, what a kill leaves, sharing between processes, and mistakes."""

import json
import multiprocessing
import signal
import socket
import time
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load_file, save_file

from irem_core import (
    IREM,
    EnergyPlateau,
    GradientDescent,
    InputFileError,
    Outcome,
    PairwiseEnergy,
    RunExistsError,
    SettingError,
    SkippedQuestionWarning,
    StorageError,
    minimize_many,
    solve_file,
)
from irem_core.bulk.solve_file import holds_rows
from irem_core.distributed import derive
from irem_core.files.row_files import RowReader, RowWriter
from irem_tasks.graphs import ShortestPath
from irem_tasks.matrices import MatrixInverse
from solving_files import HALTING, TASK, Sum, questions, solve, solve_until_killed, solver


def left(folder):
    return sorted(each.name for each in folder.iterdir() if ".part" in each.name)


def read(file):
    return {"y": np.load(file)} if file.suffix == ".npy" else load_file(file)


@pytest.mark.parametrize("count", [1, 40, 93])
@pytest.mark.parametrize("ending", [".npy", ".safetensors"])
def test_answers_stand_in_the_rows_of_their_questions(tmp_path, ending, count):
    x = questions(count)
    if ending == ".npy":
        np.save(tmp_path / "x.npy", x)
    else:
        save_file({"other": x[:1], "x": x}, tmp_path / "x.safetensors")
    seen, made = [], solver()
    found = solve(
        tmp_path, f"y{ending}", source=f"x{ending}", made=made,
        progress=lambda *numbers: seen.append(numbers),
    )  # fmt: skip
    written = read(tmp_path / f"y{ending}")
    assert written["y"].dtype == np.float32
    assert written["y"].shape == (count, 4)
    error = np.square(written["y"] - x[:, :4] - x[:, 4:]).mean(1)
    assert error.max() < 1e-2
    assert (found.problems, found.outcomes) == (count, {"CONVERGED": count})
    assert found.squared_error == pytest.approx(error.sum(), rel=1e-3)
    if ending == ".safetensors":
        assert set(written) == {"y", "energy", "steps", "outcome"}
        assert (written["outcome"] == Outcome.CONVERGED).all()
        assert written["steps"].sum() == found.steps
        curvature = np.where(x[:, 0] < 0, 0.1, 0.7)
        assert np.allclose(written["energy"], curvature / 2 * 4 * error, rtol=1e-3, atol=1e-7)
    assert left(tmp_path) == []
    assert made.energy.most <= 16
    assert seen == [(first, count) for first in range(0, count, 40)]


def test_a_block_is_solved_as_a_stream_of_its_own(tmp_path):
    x = questions(100)
    np.save(tmp_path / "x.npy", x)
    solve(tmp_path, seed=5)
    blocks = []
    for number, start in enumerate(range(0, 100, 40)):
        rows = torch.from_numpy(x[start : min(start + 40, 100)])
        stream = minimize_many(
            Sum(), rows.split(2), descent=GradientDescent(step_size=1.0), halting=HALTING,
            max_steps=200, capacity=16, seed=derive(5, "block", number),
        )  # fmt: skip
        blocks += [solution.y for solution in stream]
    assert np.array_equal(np.load(tmp_path / "y.npy"), torch.cat(blocks).numpy())


# Processes that begin with torch imported, and in which autograd has not run yet.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["irem_core.bulk.solve_file", "irem_tasks"])


def start(folder, name, limit, **environment):
    process = SERVER.Process(target=solve_until_killed, args=(folder, name, limit, environment))
    process.start()
    return process


def ended(process):
    process.join()
    return process.exitcode


def start_two(folder, name, limit):
    """Start two processes that solve together; once one is killed the other is too."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    both = [start(folder, name, limit, RANK=str(rank), **shared) for rank in range(2)]
    while all(each.exitcode is None for each in both):
        time.sleep(0.05)
    if any(each.exitcode for each in both):
        for each in both:
            each.kill()
    return both


@pytest.mark.parametrize("name", ["y.npy", "y.safetensors"])
def test_a_killed_call_goes_on_and_ends_with_the_same_bytes(tmp_path, name):
    np.save(tmp_path / "x.npy", questions(110))
    torch.set_num_threads(1)
    undisturbed = solve(tmp_path, f"whole-{name}")
    for limit, torn in ((40, '{"block": 1, "fou'), (80, "\n")):
        assert ended(start(tmp_path, name, limit)) == -signal.SIGKILL
        assert not (tmp_path / name).exists()
        journal = tmp_path / f"{name}.part.jsonl"
        done = [json.loads(line) for line in journal.read_text().splitlines() if "found" in line]
        assert [each["block"] for each in done] == list(range(limit // 40))
        with journal.open("a") as handle:
            handle.write(torn)
    solve(tmp_path, name, resume=True)
    assert left(tmp_path) == []
    assert (tmp_path / name).read_bytes() == (tmp_path / f"whole-{name}").read_bytes()
    assert solve(tmp_path, name) == undisturbed


def test_processes_share_the_blocks(tmp_path):
    np.save(tmp_path / "x.npy", questions(250))
    torch.set_num_threads(1)
    solve(tmp_path, "alone.npy")
    # Interrupted as one process, gone on with as two, interrupted again and gone on with as one.
    assert ended(start(tmp_path, "y.npy", 40)) == -signal.SIGKILL
    both = start_two(tmp_path, "y.npy", 160)
    assert [ended(each) for each in both].count(-signal.SIGKILL) >= 1
    kept = [
        json.loads(line)
        for file in left(tmp_path)
        if file.endswith("l")
        for line in (tmp_path / file).read_text().splitlines()
    ]
    assert sum("block" in each for each in kept) >= 4
    assert len(left(tmp_path)) == 3
    # Stops at the first report, since as much is done already.
    assert ended(start(tmp_path, "y.npy", 160)) == -signal.SIGKILL
    assert len(left(tmp_path)) == 3
    solve(tmp_path, resume=True)
    assert left(tmp_path) == []
    assert (tmp_path / "y.npy").read_bytes() == (tmp_path / "alone.npy").read_bytes()


def test_two_processes_end_with_the_bytes_of_one(tmp_path):
    np.save(tmp_path / "x.npy", questions(210))
    torch.set_num_threads(1)
    solve(tmp_path, "alone.npy")
    assert [ended(each) for each in start_two(tmp_path, "y.npy", 10**9)] == [0, 0]
    assert left(tmp_path) == []
    assert (tmp_path / "y.npy").read_bytes() == (tmp_path / "alone.npy").read_bytes()


def interrupted(folder):
    """Leave two blocks of 100 questions behind."""

    def stop(solved, count):
        if solved == 80:
            raise KeyboardInterrupt

    np.save(folder / "x.npy", questions(100))
    with pytest.raises(KeyboardInterrupt):
        solve(folder, progress=stop)
    assert left(folder) == ["y.npy.part", "y.npy.part.jsonl"]


def test_what_was_left_is_not_overwritten_unasked(tmp_path):
    interrupted(tmp_path)
    with pytest.raises(RunExistsError, match=r"holds 80 answers .* --resume"):
        solve(tmp_path)
    solved = []
    solve(tmp_path, resume=True, progress=lambda done, _: solved.append(done))
    assert solved == [80]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"max_steps": 7}, "max_steps was 200 and is 7"),
        ({"seed": 1}, "seed was 0 and is 1"),
        ({"halting": EnergyPlateau(tolerance=0.5)}, "halting"),
        ({"capacity": 8}, "capacity was 16 and is 8"),
    ],
)
def test_going_on_with_other_settings_is_refused(tmp_path, changes, named):
    interrupted(tmp_path)
    with pytest.raises(SettingError, match=named):
        solve(tmp_path, resume=True, **changes)


def test_going_on_with_other_weights_or_questions_is_refused(tmp_path):
    interrupted(tmp_path)
    other = solver()
    other.energy.weight.data.mul_(2)
    with pytest.raises(SettingError, match="solver was"):
        solve(tmp_path, resume=True, made=other)
    np.save(tmp_path / "x.npy", questions(100, seed=1))
    with pytest.raises(SettingError, match=r"questions\.changed was"):
        solve(tmp_path, resume=True)


def test_what_was_begun_and_never_got_a_block_is_begun_again(tmp_path):
    np.save(tmp_path / "x.npy", questions(50))
    (tmp_path / "y.npy.part").write_bytes(b"half")
    (tmp_path / "y.npy.part.3.jsonl").write_text('{"block": 0, "found": {}}\n')
    solve(tmp_path)
    assert left(tmp_path) == []


def test_questions_that_are_not_finite_are_marked_and_the_others_answered(tmp_path):
    x = questions(100)
    x[77, 3], x[0, 0] = np.nan, np.inf
    x[40:80, 1] = np.nan  # a whole block
    bad = ~np.isfinite(x).all(1)
    right = x[:, :4] + x[:, 4:]
    save_file({"x": x, "y": right + 0.5}, tmp_path / "x.safetensors")
    with pytest.warns(SkippedQuestionWarning, match="41 of 100 questions, first in question 0"):
        found = solve(tmp_path, "y.safetensors", source="x.safetensors")
    written = load_file(tmp_path / "y.safetensors")
    assert np.isnan(written["y"][bad]).all()
    assert np.isnan(written["energy"][bad]).all()
    assert (written["outcome"][bad] == Outcome.NONFINITE).all()
    assert not written["steps"][bad].any()
    assert np.abs(written["y"] - right)[~bad].max() < 0.3
    assert (found.problems, found.unanswered) == (100, 41)
    assert found.outcomes == {"CONVERGED": 59, "NONFINITE": 41}
    # Against the y of the file, which is not what the task itself would say.
    errors = np.square(written["y"] - right - 0.5)[~bad]
    assert found.mse == pytest.approx(errors.mean(), rel=1e-4)


def test_bad_questions_are_found_before_any_work(tmp_path):
    x = questions(100)
    np.save(tmp_path / "x.npy", np.full_like(x, np.nan))
    with pytest.raises(InputFileError, match="in each of its 100 questions"):
        solve(tmp_path)
    for shape, told in (((100, 5), r"shape \(1, 5\)"), ((9, 2, 4), r"\(1, 2, 4\) .* \(B, 8\)")):
        np.save(tmp_path / "x.npy", np.zeros(shape))
        with pytest.raises(InputFileError, match=rf"x\.npy cannot be solved: .*{told}"):
            solve(tmp_path)
    np.save(tmp_path / "x.npy", x.astype("S3"))
    with pytest.raises(InputFileError, match="expected numbers"):
        solve(tmp_path)
    with pytest.raises(InputFileError, match="There is no file"):
        solve(tmp_path, source="none.npy")
    np.save(tmp_path / "x.npy", questions(3))
    for name, source in (("y.csv", "x.npy"), ("y.npy", "x.csv")):
        with pytest.raises(InputFileError, match=r"must end in \.npy or \.safetensors"):
            solve(tmp_path, name, source=source)
    assert left(tmp_path) == []


def test_a_full_disk_is_told_and_what_was_solved_is_kept(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", questions(100))
    solve(tmp_path, "whole.npy")
    write, calls = RowWriter.write, []

    def full(self, start, parts):
        calls.append(start)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        write(self, start, parts)

    monkeypatch.setattr(RowWriter, "write", full)
    with pytest.raises(StorageError, match=r"No space left.*kept in .*y.npy.part"):
        solve(tmp_path)
    assert solve(tmp_path, resume=True).problems == 100
    assert calls == [0, 40, 80, 80]
    assert (tmp_path / "y.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_graphs_and_matrices_of_another_size(tmp_path):
    lengths = np.random.default_rng(0).uniform(0.5, 1, (30, 6, 6)).astype(np.float32)
    np.save(tmp_path / "x.npy", lengths)
    task = ShortestPath()
    paths = IREM(PairwiseEnergy.for_task(task, width=4, blocks=1))
    options = {"capacity": 8, "block": 20, "max_steps": 2}
    solve_file(paths, task, tmp_path / "x.npy", tmp_path / "y.npy", **options)
    assert np.load(tmp_path / "y.npy").shape == (30, 6, 6)
    # Trained on 20 x 20, and free of a size.
    task = MatrixInverse()
    inverse = IREM(PairwiseEnergy.for_task(task, width=4, blocks=1))
    solve_file(inverse, task, tmp_path / "x.npy", tmp_path / "z.npy", **options)
    assert np.load(tmp_path / "z.npy").shape == (30, 6, 6)


def test_one_question_is_no_file_of_rows(tmp_path):
    for task, shape, rows in (
        (TASK, (8,), False),
        (TASK, (3, 8), True),
        (ShortestPath(), (4, 4), False),
        (ShortestPath(), (9, 4, 4), True),
        (MatrixInverse(), (20, 20), False),
        (MatrixInverse(), (5, 400), True),
        (MatrixInverse(), (5, 20, 20), True),
    ):
        np.save(tmp_path / "x.npy", np.ones(shape))
        assert holds_rows(task, RowReader.open(tmp_path / "x.npy")) == rows, shape


@settings(deadline=None, max_examples=60)
@given(
    array=hnp.arrays(
        st.sampled_from(["<f4", ">f4", "<f8", ">f8", "<f2", "<i4", ">i8", "u1", "?"]),
        hnp.array_shapes(min_dims=1, max_dims=4, max_side=7),
    ),
    fortran=st.booleans(),
    ends=st.tuples(st.integers(0, 7), st.integers(0, 9)),
)
def test_rows_are_those_that_numpy_reads(tmp_path_factory, array, fortran, ends):
    folder = tmp_path_factory.mktemp("rows")
    file = folder / "x.npy"
    np.save(file, np.asfortranarray(array) if fortran else array)
    reader = RowReader.open(file)
    assert len(reader) == len(array)
    assert np.array_equal(
        reader.rows(*ends), array[slice(*ends)], equal_nan=array.dtype.kind == "f"
    )


@settings(deadline=None, max_examples=60)
@given(
    first=hnp.arrays(st.sampled_from([np.float32, np.float64]), hnp.array_shapes(max_side=6)),
    cuts=st.lists(st.integers(0, 6), max_size=3),
)
def test_what_is_written_in_parts_is_read_whole(tmp_path_factory, first, cuts):
    folder = tmp_path_factory.mktemp("rows")
    arrays = {"y": first, "steps": np.arange(len(first)) * 3}
    bounds = sorted({0, *(min(cut, len(first)) for cut in cuts), len(first)})
    for ending, held in ((".npy", {"y": first}), (".safetensors", arrays)):
        file = folder / f"y{ending}"
        writer = RowWriter.like(file, ending, {k: v[:1] for k, v in held.items()}, len(first))
        writer.create()
        for low, high in reversed(list(pairwise(bounds))):
            writer.write(low, {name: each[low:high] for name, each in held.items()})
        found = read(file)
        assert set(found) == set(held)
        for name, each in held.items():
            assert found[name].dtype == each.dtype
            assert np.array_equal(found[name], each, equal_nan=True)
