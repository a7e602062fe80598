"""Training that keeps the best weights, ends early, has checkpoints by time and new schedules."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from irem_core import Callback, Problem, Progress, SettingError, Solution, Solver, load
from irem_core.runs.checkpoint import read_metadata
from irem_core.training import fit as fitting
from irem_core.training import pace
from irem_core.training.best import BestWeights
from irem_core.training.pace import updates_within
from irem_tasks import Add
from trainings import TASK, At, bits, small_solver, train, train_on


class Judged(Add):
    """Addition of which two problems are never drawn, as far as anybody knows."""

    def unseen(self, count: int, device: Any = "cpu") -> tuple[Problem, Tensor]:
        assert count >= 2
        problem, answer = self.sample(2, generator=torch.Generator().manual_seed(9))
        return problem, answer


class Climbing(Solver):
    """A weight that rises by the learning rate at each update; the nearer to 1 the better."""

    def __init__(self) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.zeros(()))

    def loss(self, problem: Problem, target: Tensor, generator: torch.Generator) -> Tensor:
        return -self.level

    def solve(self, x: Any, **_: Any) -> Solution:
        raise NotImplementedError

    def error(self, problem: Problem, target: Tensor, generator: torch.Generator) -> float:
        assert len(problem.x) == len(target) == 2
        assert not self.training
        return abs(float(self.level.detach()) - 1)


def climb(out: Path | None = None, **options: Any) -> Progress:
    settings = {"iterations": 3000, "patience": 2.0, "learning_rate": 0.005}
    return train_on(Judged(size=4), Climbing(), out=out, **settings | options)


def test_weights_are_judged_whenever_a_tenth_more_updates_are_done() -> None:
    best = BestWeights([torch.zeros(1)], 2.0)
    due = [each for each in range(1, 5000) if best.due(each)]
    assert due[0] == 50
    # 50 times 1.1 to whole powers, rounded up.
    expected = [-(-50 * 11**power // 10**power) for power in range(len(due))]
    assert due == expected


@pytest.mark.parametrize("rate", [0.005, 0.002])
def test_the_best_weights_are_kept_and_no_better_ones_waited_for(rate: float) -> None:
    progress = climb(learning_rate=rate)
    # Level 1 is after 1 / rate updates; the nearest judgement is at most a twentieth away.
    assert progress.kept == pytest.approx(1 / rate, rel=0.05)
    assert float(progress.solver.level.detach()) == pytest.approx(rate * progress.kept, rel=1e-4)
    assert progress.iteration == max(500, 2 * progress.kept)
    logged = {each["iteration"]: each["unseen"] for each in progress.records if "unseen" in each}
    assert min(logged, key=logged.__getitem__) == progress.kept
    assert logged[50] == pytest.approx(1 - 50 * rate, rel=1e-4)


def test_nothing_is_judged_without_patience_or_unseen_problems() -> None:
    for progress in (climb(patience=None, iterations=60), train(patience=2.0, iterations=60)):
        assert (progress.kept, progress.iteration) == (None, 60)
        assert not any("unseen" in each for each in progress.records)


@pytest.mark.parametrize("iterations", [7, 73])
def test_last_weights_that_are_the_best_are_kept(iterations: int) -> None:
    progress = climb(iterations=iterations, learning_rate=1e-3)
    assert progress.kept == progress.iteration == iterations
    level = float(progress.solver.level.detach())
    assert level == pytest.approx(iterations * 1e-3, rel=1e-4)


def test_the_best_weights_outlive_a_kill(tmp_path: Path) -> None:
    def press() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        climb(tmp_path, callbacks=[At(333, press)], checkpoint_every=10)
    resumed = climb(tmp_path, resume=True)
    assert (resumed.kept, resumed.iteration) == (climb().kept, 500)
    assert bits(load(tmp_path, solver=Climbing())) == bits(climb().solver)
    # It is over, whatever iterations were left.
    again = climb(tmp_path, resume=True)
    assert (again.kept, again.iteration) == (resumed.kept, 500)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_training_that_ended_early_is_taken_further_where_more_is_asked(
    schedule: str, tmp_path: Path
) -> None:
    first = climb(tmp_path, schedule=schedule)
    assert first.iteration == 500
    further = climb(tmp_path, resume=True, iterations=4000, schedule=schedule)
    # No better weights come, which is waited for as long as at first.
    assert (further.kept, further.iteration, further.training.since) == (first.kept, 1000, 500)
    assert further.training.rate(500) == pytest.approx(0.005)
    twice = climb(tmp_path, resume=True, iterations=4000, schedule=schedule)
    assert (twice.kept, twice.iteration) == (first.kept, 1000)
    with pytest.raises(SettingError, match="done 1000 iterations already"):
        climb(tmp_path, resume=True, iterations=900, schedule=schedule)


@pytest.mark.parametrize("patience", [1.0, 0, -2, float("nan"), "2"])
def test_patience_is_above_1(patience: Any) -> None:
    with pytest.raises(SettingError, match="patience="):
        climb(patience=patience)


def test_slow_updates_are_saved_by_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "_OFTEN", 0.05)

    class Slow(Callback):
        saved: list[int]

        def started(self, progress: Progress) -> None:
            self.saved = []

        def stepped(self, progress: Progress) -> None:
            time.sleep(0.06)
            file = tmp_path / "training.safetensors"
            self.saved.append(read_metadata(file)["iteration"] if file.exists() else 0)

    slow = Slow()
    train(tmp_path, iterations=5, callbacks=[slow])
    # Callbacks take their time before an update is saved, so that every second one is late.
    assert slow.saved == [0, 0, 2, 2, 4]
    assert bits(load(tmp_path)) == bits(train(iterations=5).solver)


def test_a_finished_schedule_is_followed_by_a_new_one(tmp_path: Path) -> None:
    def press() -> None:
        raise KeyboardInterrupt

    options: dict[str, Any] = {"schedule": "cosine", "checkpoint_every": 3}
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, iterations=20, callbacks=[At(8, press)], **options)
    with pytest.raises(SettingError, match="cosine of 20 iterations, of which 6 are done"):
        train(tmp_path, resume=True, iterations=40, **options)
    train(tmp_path, resume=True, iterations=20, **options)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, resume=True, iterations=40, callbacks=[At(31, press)], **options)
    further = train(tmp_path, resume=True, iterations=40, **options)
    assert (further.iteration, further.training.since) == (40, 20)
    # Half of the rate is left in the middle of each schedule, and all of it where one begins.
    rates = [further.training.rate(each) for each in (20, 30, 39)]
    assert rates[:2] == pytest.approx([1e-3, 5e-4])
    assert rates[2] < 1e-5
    assert bits(load(tmp_path)) == bits(further.solver)
    # Two schedules with a kill in each are two without.
    train(tmp_path / "other", iterations=20, **options)
    other = train(tmp_path / "other", resume=True, iterations=40, **options)
    assert bits(other.solver) == bits(further.solver)
    with pytest.raises(SettingError, match="done 40 iterations already"):
        train(tmp_path, resume=True, iterations=30, **options)


def test_minutes_are_turned_into_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    solver, now = small_solver(), [0.0]
    before = bits(solver)

    def counted() -> float:
        now[0] += 0.5
        return now[0]

    # Every look at the clock is half a second after the one before; one is after each update.
    monkeypatch.setattr(pace, "time", SimpleNamespace(perf_counter=counted))
    assert updates_within(3, solver, TASK, batch_size=8) == 360
    assert bits(solver) == before
    with pytest.raises(SettingError, match="minutes="):
        updates_within(0, solver, TASK)
