"""`fit`: what a training depends on, what it leaves alone, and whom it tells."""

import json
import math
import signal

import attrs
import pytest
import torch
from torch.nn import functional

from irem_core import (
    IREM,
    Callback,
    FactorEnergy,
    GINEEnergy,
    GradientDescent,
    MLPEnergy,
    Progress,
    SettingError,
    ShapeError,
    TrainingDivergedError,
    load,
)
from irem_core.distributed import derive
from irem_core.training.callbacks import EvaluateEvery, ProgressBar, best_evaluation
from irem_tasks import Add
from irem_tasks.graphs import ShortestPath
from irem_tasks.puzzles.assignment import Assignment
from trainings import TASK, At, DropoutEnergy, bits, small_solver, train, train_on


class Diary(Callback):
    """Writes down what it is told."""

    def __init__(self):
        self.entries = []

    def started(self, progress: Progress) -> None:
        self.entries.append(("started", progress.iteration))

    def stepped(self, progress: Progress) -> None:
        self.entries.append(("stepped", progress.iteration))

    def logged(self, progress: Progress) -> None:
        assert math.isfinite(progress.loss)
        self.entries.append(("logged", progress.iteration))

    def finished(self, progress: Progress) -> None:
        self.entries.append(("finished", progress.iteration))


class Explosive(Add):
    """Addition whose problems turn infinite at one iteration."""

    def __init__(self, at: int):
        super().__init__(size=4)
        # One more, since `fit` begins with a draw that shows whether the task can.
        self.left = at + 1

    def draw(self, count, generator, device, *, scale=1.0):
        self.left -= 1
        x, y = super().draw(count, generator, device, scale=scale)
        return x, y if self.left else y / 0.0


def test_the_seed_decides_everything():
    first, again, other = (train(seed=seed).solver for seed in (3, 3, 4))
    assert bits(first) == bits(again)
    assert bits(first) != bits(other)
    # Weights are drawn from the solver's own seed.
    assert bits(small_solver(seed=0)) == bits(small_solver(seed=0)) != bits(small_solver(seed=1))


def test_global_random_state_neither_matters_nor_changes():
    torch.manual_seed(11)
    before = torch.get_rng_state()
    first = train(solver=small_solver(DropoutEnergy))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(12)
    again = train(solver=small_solver(DropoutEnergy))
    assert bits(first.solver) == bits(again.solver)


def test_fit_is_adam_on_the_solvers_loss():
    """A loop written here with torch's plain Adam takes the same course, up to rounding."""
    solver, reference = small_solver(), small_solver()
    train(solver=solver, iterations=5, batch_size=8, learning_rate=1e-2, seed=7)
    generator = torch.Generator().manual_seed(derive(7, "problems", 0))
    optimizer = torch.optim.Adam(reference.parameters(), lr=1e-2, fused=False)
    for _ in range(5):
        problem, target = TASK.sample(8, generator=generator)
        optimizer.zero_grad()
        reference.loss(problem, target, generator).backward()
        optimizer.step()
    initial = small_solver().state_dict()
    for name, expected in reference.state_dict().items():
        torch.testing.assert_close(solver.state_dict()[name], expected, rtol=1e-4, atol=1e-6)
    assert not torch.equal(initial["energy.head.weight"], reference.energy.head.weight)


def test_training_learns():
    """The loss falls below the variance of the answers, 2/3, which the best constant scores."""
    solver = small_solver(descent=GradientDescent(step_size=10.0))
    progress = train(solver=solver, iterations=150, batch_size=64, learning_rate=1e-2)
    losses = [record["loss"] for record in progress.records]
    assert losses[0] > 2 / 3
    assert losses[-1] < 0.7 * 2 / 3


def test_callbacks_are_told_in_order():
    diary = Diary()
    train(iterations=5, log_every=2, callbacks=[diary])
    assert diary.entries == [
        ("started", 0),
        ("stepped", 1),
        ("stepped", 2),
        ("logged", 2),
        ("stepped", 3),
        ("stepped", 4),
        ("logged", 4),
        ("stepped", 5),
        ("logged", 5),
        ("finished", 5),
    ]


def test_solver_trains_in_training_mode_and_is_left_in_evaluation_mode():
    solver = small_solver(DropoutEnergy)
    modes = []
    train(solver=solver, iterations=2, callbacks=[At(1, lambda: modes.append(solver.training))])
    assert modes == [True]
    assert not solver.training


def test_logged_loss_is_the_mean_since_the_last_report():
    solver = small_solver()
    seen = []
    original = solver.loss

    def spy(problem, target, generator):
        loss = original(problem, target, generator)
        seen.append(float(loss.detach()))
        return loss

    solver.loss = spy
    progress = train(solver=solver, iterations=7, log_every=3)
    assert [record["iteration"] for record in progress.records] == [3, 6, 7]
    expected = [sum(seen[:3]) / 3, sum(seen[3:6]) / 3, seen[6]]
    assert [record["loss"] for record in progress.records] == pytest.approx(expected, rel=1e-5)
    assert progress.seconds > 0


def test_evaluations_on_the_way_leave_no_trace(tmp_path):
    task = Add(size=4)
    solvers = [small_solver(DropoutEnergy, max_steps=3) for _ in range(2)]
    plain = train_on(task, solvers[0]).solver
    watcher = EvaluateEvery(5, difficulties=("same", "harder"), problems=5)
    progress = train_on(task, solvers[1], out=tmp_path, callbacks=[watcher])
    assert bits(progress.solver) == bits(plain)
    evaluated = [record for record in progress.records if "evaluation" in record]
    assert [record["iteration"] for record in evaluated] == [5, 10, 15, 20]
    assert all(set(record["evaluation"]) == {"same", "harder"} for record in evaluated)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == progress.records
    best = min(record["evaluation"]["harder"] for record in evaluated)
    assert best_evaluation(progress.records, "harder") == best
    assert best_evaluation(progress.records, "parity") is None


def test_evaluation_error_is_that_of_the_solver_at_that_moment():
    solver = small_solver()
    watcher = EvaluateEvery(10, problems=20, seed=5)
    progress = train(solver=solver, iterations=10, callbacks=[watcher])
    generator = torch.Generator().manual_seed(derive(5, "evaluation", "same"))
    problem, target = TASK.sample(20, "same", generator=generator)
    answer = solver.solve(problem, generator=generator).y
    recorded = progress.records[0]["evaluation"]["same"]
    assert recorded == pytest.approx(float(functional.mse_loss(answer, target)), rel=1e-5)


def test_progress_bar_is_silent_where_output_is_no_terminal(capsys):
    train(iterations=5, callbacks=[ProgressBar()])
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


@pytest.mark.parametrize("failing", [1, 7, 12])
def test_divergence_names_its_iteration_and_keeps_the_last_good_checkpoint(tmp_path, failing):
    solver = small_solver()
    with pytest.raises(TrainingDivergedError, match=rf"at iteration {failing}[,\s]"):
        train_on(Explosive(failing), solver, out=tmp_path, checkpoint_every=5, log_every=20)
    assert issubclass(TrainingDivergedError, ArithmeticError)
    # The weights themselves have turned NaN by then.
    assert not all(tensor.isfinite().all() for tensor in solver.state_dict().values())
    if failing < 5:
        assert not (tmp_path / "model.safetensors").exists()
        return
    kept = load(tmp_path)
    undisturbed = train_on(Add(size=4), small_solver(), iterations=failing - failing % 5 or 5)
    assert bits(kept) == bits(undisturbed.solver)


def test_infinite_step_with_a_finite_loss_leaves_the_last_good_checkpoint(tmp_path):
    """The loss of the last update is finite here, and only the weights after it are not."""
    solver = small_solver()

    def spoil():
        with torch.no_grad():
            solver.energy.head.weight.fill_(math.nan)

    with pytest.raises(TrainingDivergedError, match="iteration 20"):
        train(
            tmp_path, solver=solver, iterations=20, checkpoint_every=10, callbacks=[At(20, spoil)]
        )
    assert all(tensor.isfinite().all() for tensor in load(tmp_path).state_dict().values())


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("iterations", 0),
        ("iterations", 1.5),
        ("batch_size", 0),
        ("accumulate", 0),
        ("accumulate", 1.5),
        ("learning_rate", 0.0),
        ("learning_rate", math.nan),
        ("seed", -1),
        ("log_every", 0),
        ("checkpoint_every", True),
    ],
)
def test_settings_out_of_range_are_named(setting, value):
    with pytest.raises(SettingError, match=f"{setting}="):
        train(**{setting: value})


def test_resuming_needs_a_folder():
    with pytest.raises(SettingError, match="out="):
        train(resume=True)


def press():
    signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def python_handles_ctrl_c():
    """A shell that runs the tests in its background has Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_finishes_the_update_and_leaves_a_checkpoint(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    solver = small_solver()
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, solver=solver, callbacks=[At(7, press)])
    assert signal.getsignal(signal.SIGINT) is before
    assert bits(load(tmp_path)) == bits(solver) == bits(train(iterations=7).solver)
    resumed = train(tmp_path, resume=True)
    assert bits(resumed.solver) == bits(train().solver)


@pytest.mark.parametrize(
    ("task", "kind"), [(ShortestPath(), GINEEnergy), (Assignment(), FactorEnergy)]
)
def test_training_on_graphs_is_resumed_to_the_bit(tmp_path, task, kind):
    """The replay buffer holds graphs of several sizes by then."""

    def train_on_graphs(**options):
        energy = kind.for_task(task, width=8)
        solver = IREM(energy, steps=2, replay=12, descent=GradientDescent(step_size=1.0))
        return train_on(task, solver, iterations=10, batch_size=4, **options)

    undisturbed = train_on_graphs()
    with pytest.raises(KeyboardInterrupt):
        train_on_graphs(out=tmp_path, callbacks=[At(6, press)])
    assert bits(load(tmp_path)) != bits(undisturbed.solver)
    resumed = train_on_graphs(out=tmp_path, resume=True)
    assert resumed.iteration == 10
    assert bits(resumed.solver) == bits(undisturbed.solver)


def test_second_ctrl_c_stops_at_once_and_spoils_nothing(tmp_path):
    def press_twice():
        press()
        press()

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, checkpoint_every=5, callbacks=[At(7, press_twice)])
    assert bits(load(tmp_path)) == bits(train(iterations=5).solver)
    assert bits(train(tmp_path, resume=True).solver) == bits(train().solver)


def test_without_a_folder_ctrl_c_stops_at_once():
    with pytest.raises(KeyboardInterrupt):
        train(callbacks=[At(7, press)])


def test_settings_of_a_training_are_immutable():
    progress = train(iterations=1)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        progress.training.seed = 5


def test_a_solver_may_be_trained_further_without_a_folder():
    """A second `fit` starts afresh but for the weights: Adam's moments are not carried over."""
    solver = small_solver()
    train(solver=solver, iterations=5)
    first = bits(solver)
    train(solver=solver, iterations=5)
    assert bits(solver) != first
    assert isinstance(solver.energy, MLPEnergy)


def test_solver_of_other_shapes_is_refused():
    with pytest.raises(ShapeError, match=r"VectorSpace\(length=8\).*VectorSpace\(length=10\)"):
        train_on(Add(size=5), small_solver())


def test_solver_without_weights_is_refused():
    solver = small_solver().requires_grad_(False)
    with pytest.raises(SettingError, match="no weights to train"):
        train_on(TASK, solver)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x, y: (x[:, 1:], y), r"Changed\.draw's x has shape \(1, 15\)"),
        (lambda x, y: (x, y[:, 1:]), r"Changed\.draw's y has shape \(1, 7\)"),
        (lambda x, y: (x, y.tolist()), r"Changed\.draw's y is a list"),
        (lambda x, y: (x.numpy(), y), "x is a ndarray without a tensor"),
        (lambda x, y: x, r"Changed\.draw returned a Tensor; expected two things"),
        (lambda x, y: (x, y, y), r"Changed\.draw returned a tuple of 3; expected two things"),
    ],
)
def test_a_task_that_draws_other_shapes_than_it_says_is_told_before_training(
    tmp_path, change, words
):
    class Changed(Add):
        def draw(self, *arguments, **parameters):
            problem, y = super().draw(*arguments, **parameters)
            return change(getattr(problem, "x", problem), y)

    task = Changed(size=8)
    with pytest.raises(ShapeError, match=words):
        train_on(task, IREM(MLPEnergy.for_task(task, width=4)), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
