"""Run folders: resuming to the bit, and what is refused."""

import errno
import itertools
import json
import os
import shutil
import textwrap
import time

import pytest
import torch

from irem_core import (
    IREM,
    CheckpointError,
    DamagedFileWarning,
    DescentError,
    FullUnroll,
    GradientDescent,
    IremError,
    MLPEnergy,
    Momentum,
    RunExistsError,
    SettingError,
    StorageError,
    load,
    settings_of,
)
from irem_core.distributed import Ranks
from irem_core.runs import checkpoint as checkpoints
from irem_core.runs.run_folder import RunFolder
from irem_tasks import Add
from trainings import (
    TASK,
    TESTS,
    At,
    DropoutEnergy,
    ScratchEnergy,
    bits,
    run_python,
    small_solver,
    train,
    train_on,
)


class Stop(Exception):
    """Stops a training from a callback."""


def stop():
    raise Stop


def stopped_at(out, iteration, **options):
    """Train until after an update, then stop without a checkpoint of that moment."""
    with pytest.raises(Stop):
        train(out, callbacks=[At(iteration, stop)], checkpoint_every=4, **options)


@pytest.fixture(scope="module")
def undisturbed():
    return bits(train(iterations=20).solver)


def test_killed_at_any_moment_a_training_resumes_to_the_bit(tmp_path):
    """Killed at and after each of the first writes, and six times at random (see the script)."""
    lines = run_python(TESTS / "interrupted.py", tmp_path, 1, "DropoutEnergy").splitlines()
    good = "same weights, same log, no leftovers"
    names = ["undisturbed", "killed at fsync", "killed at replace", "killed at random"]
    assert lines == [f"{name}, {good}" for name in names]


@pytest.mark.parametrize("iteration", [1, 4, 7, 19, 20])
def test_stopped_training_resumes_to_the_bit(tmp_path, undisturbed, iteration):
    stopped_at(tmp_path, iteration, iterations=20)
    resumed = train(tmp_path, iterations=20, resume=True)
    assert bits(resumed.solver) == bits(load(tmp_path)) == undisturbed
    assert resumed.iteration == 20


@pytest.mark.parametrize(
    ("energy", "settings"),
    [
        (DropoutEnergy, {}),
        (ScratchEnergy, {"objective": DescentError(supervise="every")}),
        (DropoutEnergy, {"replay": 0, "descent": Momentum(step_size=1.0)}),
    ],
)
def test_other_energies_resume_to_the_bit(tmp_path, energy, settings):
    solvers = [small_solver(energy, **settings) for _ in range(3)]
    whole = train(solver=solvers[0], iterations=20)
    stopped_at(tmp_path, 11, solver=solvers[1], iterations=20)
    resumed = train(tmp_path, solver=solvers[2], iterations=20, resume=True)
    assert bits(resumed.solver) == bits(whole.solver)


def test_resuming_takes_the_weights_of_the_checkpoint_not_of_the_solver(tmp_path, undisturbed):
    stopped_at(tmp_path, 9, iterations=20)
    other = small_solver(seed=5)
    assert bits(train(tmp_path, solver=other, iterations=20, resume=True).solver) == undisturbed


def test_resuming_where_there_is_nothing_starts_afresh(tmp_path, undisturbed):
    assert bits(train(tmp_path / "new", iterations=20, resume=True).solver) == undisturbed


def test_finished_training_may_be_taken_further(tmp_path, undisturbed):
    first = train(tmp_path, iterations=8)
    further = train(tmp_path, iterations=20, resume=True)
    assert bits(further.solver) == undisturbed
    assert further.seconds > first.seconds
    with pytest.raises(SettingError, match=r"20 iterations already.*rather than 8"):
        train(tmp_path, iterations=8, resume=True)
    assert bits(load(tmp_path)) == undisturbed


def test_resuming_a_finished_training_changes_nothing(tmp_path, undisturbed):
    train(tmp_path, iterations=20)
    metrics = (tmp_path / "metrics.jsonl").read_bytes()
    assert bits(train(tmp_path, iterations=20, resume=True).solver) == undisturbed
    assert (tmp_path / "metrics.jsonl").read_bytes() == metrics


def test_lost_model_is_written_again_from_the_checkpoint(tmp_path, undisturbed):
    """As after a kill between the two files."""
    train(tmp_path, iterations=20)
    (tmp_path / "model.safetensors").unlink()
    train(tmp_path, iterations=20, resume=True)
    assert bits(load(tmp_path)) == undisturbed


def losses(records):
    return [(record["iteration"], record["loss"]) for record in records]


def test_log_of_a_resumed_training_is_that_of_an_undisturbed_one(tmp_path):
    """The checkpoint at 12 falls between two reports, and the kill within a line."""
    stopped_at(tmp_path, 14, iterations=20, log_every=5)
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text(metrics.read_text() + '{"iteration": 13, "loss": 9.0}\n{"iterat')
    resumed = train(tmp_path, iterations=20, resume=True, log_every=5)
    whole = train(iterations=20, log_every=5)
    assert losses(resumed.records) == losses(whole.records)
    lines = metrics.read_text().splitlines()
    assert [json.loads(line) for line in lines] == resumed.records


@pytest.mark.parametrize(
    "line",
    [
        *("[1, 2]", '"text"', "null", '{"loss": 1}', '{"iteration": "3"}', '{"iteration": true}'),
        *("\x00\xff", '{"iteration": 3, "lo', "[" * 100_000, "9" * 10_000),
    ],
    ids=lambda line: line[:20],
)
def test_damaged_lines_of_metrics_are_told_and_dropped(tmp_path, line):
    train(tmp_path, iterations=20)
    metrics = tmp_path / "metrics.jsonl"
    before = metrics.read_text()
    first, rest = before.split("\n", 1)
    metrics.write_text(f"{first}\n{line}\n{rest}")
    told = r"metrics\.jsonl is damaged, first in line 2; 1 of its lines"
    with pytest.warns(DamagedFileWarning, match=told):
        train(tmp_path, iterations=20, resume=True)
    assert metrics.read_text() == before


@pytest.mark.parametrize("end", ["", "\n", '{"iterat', '{"iteration": 20', "\x00" * 50])
def test_a_torn_last_line_of_metrics_is_what_a_kill_leaves(tmp_path, end):
    train(tmp_path, iterations=20)
    metrics = tmp_path / "metrics.jsonl"
    before = metrics.read_text()
    metrics.write_text(before + end)
    train(tmp_path, iterations=20, resume=True)
    assert metrics.read_text() == before


def test_a_clock_that_was_set_back_changes_nothing(tmp_path, monkeypatch, undisturbed):
    """What is newest is told by iterations; the seconds of a run only grow."""
    stopped_at(tmp_path, 9, iterations=20)
    for age, file in enumerate(sorted(tmp_path.iterdir())):
        os.utime(file, (2**32 - age, 2**32 - age))
    clock = itertools.count(10**9, -3600)
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    monkeypatch.setattr(time, "time_ns", lambda: next(clock) * 10**9)
    resumed = train(tmp_path, iterations=20, resume=True)
    assert bits(resumed.solver) == bits(load(tmp_path)) == undisturbed
    seconds = [record["seconds"] for record in resumed.records]
    assert seconds == sorted(seconds)
    assert seconds[0] >= 0


@pytest.mark.parametrize(
    "damage",
    [
        lambda tensors, metadata: metadata.pop("settings"),
        lambda tensors, metadata: metadata.update(settings=[]),
        lambda tensors, metadata: metadata.update(total=None),
        lambda tensors, metadata: metadata.update(logged_at=30),
        lambda tensors, metadata: metadata.update(iteration=10**400),
        lambda tensors, metadata: tensors.pop("random.cpu"),
        lambda tensors, metadata: tensors.pop("optimizer.0.exp_avg"),
        lambda tensors, metadata: tensors.update({"optimizer.99.step": torch.tensor(1.0)}),
        lambda tensors, metadata: tensors.update({"optimizer.0.step": torch.zeros(2)}),
        lambda tensors, metadata: tensors.update({"random.problems": torch.zeros(3)}),
        lambda tensors, metadata: tensors.update({"solver.ring": torch.tensor([32, 99, 0])}),
    ],
)
def test_a_checkpoint_that_fits_no_training_is_refused_with_a_sentence(tmp_path, damage):
    """Its digest is right, as of a file that another program wrote."""
    train(tmp_path, iterations=5)
    file = tmp_path / "training.safetensors"
    tensors, metadata = checkpoints.read(file)
    damage(tensors, metadata)
    checkpoints.write(file, tensors, metadata)
    with pytest.raises(IremError, match="checkpoint"):
        train(tmp_path, iterations=10, resume=True)


def without(tree, names):
    """Return a tree of settings as it was before there were settings of some names."""
    if not isinstance(tree, dict):
        return tree
    return {name: without(value, names) for name, value in tree.items() if name not in names}


def test_runs_from_before_a_setting_are_resumed_with_its_default_alone(tmp_path, monkeypatch):
    save = RunFolder.save

    def as_before(self, tensors, metadata):
        save(self, tensors, without(metadata, ["recompute", "replay_dtype", "accumulate"]))

    def full(**settings):
        return small_solver(backprop=FullUnroll(**settings))

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save", as_before)
        train(tmp_path, solver=full(), iterations=10)
    with pytest.raises(SettingError, match="recompute was False and is True"):
        train(tmp_path, solver=full(recompute=True), iterations=20, resume=True)
    with pytest.raises(SettingError, match=r"training\.accumulate was 1 and is 2"):
        train(tmp_path, solver=full(), iterations=20, resume=True, accumulate=2)
    resumed = train(tmp_path, solver=full(), iterations=20, resume=True)
    assert bits(resumed.solver) == bits(train(solver=full(), iterations=20).solver)


def changed(**changes):
    def resume(out):
        train(out, iterations=20, resume=True, **changes)

    return resume


def with_threads(out):
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        train(out, iterations=20, resume=True)
    finally:
        torch.set_num_threads(before)


def with_another_task(out):
    task = Add(size=5)
    solver = small_solver()
    solver = type(solver)(MLPEnergy.for_task(task, width=16, depth=2), **other_settings(solver))
    train_on(task, solver, out=out, resume=True)


def other_settings(solver):
    return {name: value for name, value in settings_of(solver).items() if name != "energy"}


@pytest.mark.parametrize(
    ("resume", "named"),
    [
        (changed(seed=1), "training.seed was 0 and is 1"),
        (changed(batch_size=9), "training.batch_size was 8 and is 9"),
        (changed(learning_rate=0.01), "training.learning_rate was 0.001 and is 0.01"),
        (changed(solver=small_solver(steps=3)), "solver.settings.steps was 2 and is 3"),
        (
            changed(solver=small_solver(descent=GradientDescent(step_size=2.0))),
            "step_size was 1.0 and is 2.0",
        ),
        (changed(solver=small_solver(DropoutEnergy)), "energy.*MLPEnergy.*DropoutEnergy"),
        (with_threads, "training.threads was"),
        (with_another_task, "task.settings.size was 4 and is 5"),
    ],
)
def test_changed_settings_are_refused_by_name(tmp_path, resume, named):
    train(tmp_path, iterations=8)
    model = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(SettingError, match=named):
        resume(tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == model


class Activated(DropoutEnergy):
    def __init__(self, question, answer, activation):
        super().__init__(question, answer)
        self.activation = activation

    def energy(self, context, y):
        return self.activation(super().energy(context, y))


def test_settings_that_are_functions_do_not_hinder_resuming(tmp_path):
    """Their representation holds an address, which differs from process to process."""
    functions = [lambda energy: energy for _ in range(2)]
    solvers = [IREM(Activated.for_task(TASK, activation=each), replay=8) for each in functions]
    train(tmp_path, solver=solvers[0], iterations=5)
    train(tmp_path, solver=solvers[1], iterations=8, resume=True)
    other = IREM(Activated.for_task(TASK, activation=torch.exp), replay=8)
    with pytest.raises(SettingError, match="activation"):
        train(tmp_path, solver=other, iterations=8, resume=True)


@pytest.mark.parametrize("kept", ["model.safetensors", "training.safetensors", "metrics.jsonl"])
def test_folder_of_another_run_is_left_alone(tmp_path, kept):
    train(tmp_path / "run", iterations=5)
    (tmp_path / "other").mkdir()
    shutil.copy(tmp_path / "run" / kept, tmp_path / "other" / kept)
    content = (tmp_path / "other" / kept).read_bytes()
    with pytest.raises(RunExistsError, match=rf"{kept}.*--resume") as raised:
        train(tmp_path / "other", iterations=5)
    assert isinstance(raised.value, FileExistsError)
    assert [each.name for each in (tmp_path / "other").iterdir()] == [kept]
    assert (tmp_path / "other" / kept).read_bytes() == content


def test_folder_with_unrelated_files_is_taken(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    train(tmp_path, iterations=5)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_output_path_that_is_a_file(tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(SettingError, match=r"is a file.*out="):
        train(file, iterations=5)
    with pytest.raises(StorageError, match=r"cannot be made.*out="):
        train(file / "below", iterations=5)
    assert file.read_text() == "mine"


@pytest.mark.parametrize("damage", ["truncated", "flipped", "foreign"])
def test_damaged_checkpoint_is_not_resumed_from(tmp_path, damage):
    train(tmp_path, iterations=5)
    file = tmp_path / "training.safetensors"
    content = bytearray(file.read_bytes())
    if damage == "truncated":
        file.write_bytes(content[:-100])
    elif damage == "flipped":
        content[-100] ^= 1
        file.write_bytes(content)
    else:
        shutil.copy(tmp_path / "model.safetensors", file)
    with pytest.raises(CheckpointError, match=r"training\.safetensors"):
        train(tmp_path, iterations=10, resume=True)


@pytest.mark.parametrize("failing", ["fsync", "save_file"])
def test_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch, undisturbed, failing):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    def fill_disk():
        owner = checkpoints.os if failing == "fsync" else checkpoints
        monkeypatch.setattr(owner, failing, full)

    with pytest.raises(StorageError, match=r"training\.safetensors.*No space left") as raised:
        train(tmp_path, iterations=20, checkpoint_every=8, callbacks=[At(10, fill_disk)])
    assert isinstance(raised.value, OSError)
    monkeypatch.undo()
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "metrics.jsonl",
        "model.safetensors",
        "training.safetensors",
    ]
    assert bits(load(tmp_path)) == bits(train(iterations=8).solver)
    assert bits(train(tmp_path, iterations=20, resume=True).solver) == undisturbed


def test_a_write_that_the_system_refuses(tmp_path, undisturbed):
    """A real limit on the size of files: first the checkpoint meets it, then the metrics."""
    script = textwrap.dedent(
        """
        import resource, sys
        import trainings
        from pathlib import Path
        from irem_core import StorageError

        out = Path(sys.argv[1])
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]

        def limit(size):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

        def attempt(name, size):
            callbacks = [trainings.At(10, lambda: limit(size))]
            try:
                trainings.train(
                    out / name, iterations=20, checkpoint_every=8, callbacks=callbacks
                )
            except StorageError as error:
                print(error)
            limit(hard)

        attempt("checkpoint", 8000)
        attempt("metrics", 0)
        """
    )
    checkpoint, metrics = run_python("-c", script, tmp_path).splitlines()
    assert "training.safetensors could not be written" in checkpoint
    assert "metrics.jsonl could not be written" in metrics
    for name in ("checkpoint", "metrics"):
        assert bits(load(tmp_path / name)) == bits(train(iterations=8).solver)
        assert not [each for each in (tmp_path / name).iterdir() if each.name.startswith(".")]
        resumed = train(tmp_path / name, iterations=20, resume=True)
        assert bits(resumed.solver) == undisturbed


def write_step(file, iteration):
    checkpoints.write(file, {"weight": torch.tensor([float(iteration)])}, {"iteration": iteration})


@pytest.mark.parametrize(
    ("current", "pending", "expected"),
    [(None, None, None), (4, None, 4), (4, 8, 8), (None, 8, 8), (8, 4, 8)],
)
def test_newest_checkpoint_of_one_process(tmp_path, current, pending, expected):
    """A pending file is complete once it has its name, so the later of the two counts."""
    folder = RunFolder(tmp_path, Ranks())
    for name, iteration in (("training", current), ("training.next", pending)):
        if iteration is not None:
            write_step(tmp_path / f"{name}.safetensors", iteration)
    newest = folder.newest()
    found = None if newest is None else (newest[0]["weight"].item(), newest[1]["iteration"])
    assert found == (None if expected is None else (expected, expected))


def test_what_a_kill_left_half_written_is_cleared_away(tmp_path):
    leftovers = [".training.safetensors.123", ".training-1.next.safetensors.5", ".metrics.jsonl.7"]
    for name in [*leftovers, ".model.safetensors.9", ".mine"]:
        (tmp_path / name).write_bytes(b"half")
    train(tmp_path, iterations=5)
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        ".mine",
        "metrics.jsonl",
        "model.safetensors",
        "training.safetensors",
    ]


def test_files_can_be_read_by_whom_the_umask_lets(tmp_path):
    train(tmp_path, iterations=5)
    (tmp_path / "plain").write_text("")
    expected = (tmp_path / "plain").stat().st_mode
    assert {each.stat().st_mode for each in tmp_path.iterdir()} == {expected}


def test_model_says_how_it_was_trained(tmp_path):
    train(tmp_path, iterations=5, seed=3)
    metadata = checkpoints.read_metadata(tmp_path)
    training = metadata["training"]
    assert training["iteration"] == training["iterations"] == 5
    assert (training["seed"], training["batch_size"], training["ranks"]) == (3, 8, 1)
    assert training["learning_rate"] == 1e-3
    assert metadata["task"]["name"] == "add"
    assert metadata["task"]["settings"] == {"size": TASK.answer.size}
    assert {"irem-core", "torch"} <= metadata["versions"].keys()
