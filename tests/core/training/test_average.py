"""The moving average of the weights that a training can end with."""

import math

import pytest
import torch

from irem_core import Callback, Progress, SettingError, evaluate, load
from irem_core.runs.run_folder import RunFolder
from irem_core.training.callbacks import EvaluateEvery
from trainings import TASK, At, bits, small_solver, train


class Weights(Callback):
    """Keeps the weights of every update, in double precision."""

    def __init__(self):
        self.kept = []

    def stepped(self, progress: Progress) -> None:
        self.kept.append({n: w.double().clone() for n, w in progress.solver.state_dict().items()})


def written_out(first, updates, decay):
    """Return the weights that the recurrence makes of all updates."""
    average = first
    for t, weights in enumerate(updates, 1):
        keep = min(decay, (1 + t) / (10 + t))
        average = {name: keep * average[name] + (1 - keep) * weights[name] for name in weights}
    return average


@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_a_training_ends_with_the_average_of_the_weights_it_went_through(tmp_path, decay):
    first = {name: w.double().clone() for name, w in small_solver().state_dict().items()}
    plain, averaged = Weights(), Weights()
    last = train(callbacks=[plain]).solver
    ended = train(tmp_path, callbacks=[averaged], average=decay).solver
    # Averaging changes nothing about the training itself.
    assert all(
        torch.equal(one[name], other[name])
        for one, other in zip(plain.kept, averaged.kept, strict=True)
        for name in one
    )
    expected = written_out(first, averaged.kept, decay)
    for name, weight in ended.state_dict().items():
        torch.testing.assert_close(weight.double(), expected[name], rtol=1e-5, atol=1e-7)
    assert bits(ended) != bits(last)
    assert bits(load(tmp_path)) == bits(ended)


def test_resumed_averages_are_those_of_an_undisturbed_training(tmp_path):
    def press():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, callbacks=[At(17, press)], checkpoint_every=10, average=0.9)
    train(tmp_path, resume=True, average=0.9)
    assert bits(load(tmp_path)) == bits(train(average=0.9).solver)
    # A finished run goes on from the weights of its last update, not from their average.
    train(tmp_path, resume=True, average=0.9, iterations=60)
    assert bits(load(tmp_path)) == bits(train(average=0.9, iterations=60).solver)


def test_what_is_judged_and_saved_on_the_way_is_the_average(tmp_path):
    class Half(Callback):
        def stepped(self, progress):
            if progress.iteration == 20:
                with progress.averaged():
                    self.error = evaluate(progress.solver, TASK, problems=20, seed=5).mse
                    self.bits = bits(progress.solver)
                progress.solver.train()

        def logged(self, progress):
            if progress.iteration == 30:
                self.saved = bits(load(tmp_path))

    half, watcher = Half(), EvaluateEvery(20, problems=20, seed=5)
    shorter = train(average=0.9, iterations=20).solver
    options = {"average": 0.9, "checkpoint_every": 20}
    progress = train(tmp_path, callbacks=[watcher, half], **options)
    assert half.bits == half.saved == bits(shorter)
    evaluated = [
        record["evaluation"]["same"] for record in progress.records if "loss" not in record
    ]
    assert evaluated[0] == half.error
    assert bits(progress.solver) == bits(train(average=0.9).solver)


def test_a_callback_sees_the_weights_as_they_are_where_nothing_is_averaged():
    class Same(Callback):
        def finished(self, progress):
            before = bits(progress.solver)
            with progress.averaged():
                assert bits(progress.solver) == before

    train(callbacks=[Same()])


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5, 2, math.nan, "0.9"])
def test_a_decay_is_between_0_and_1(decay):
    with pytest.raises(SettingError, match="average="):
        train(average=decay)


def test_a_run_is_not_resumed_with_another_decay(tmp_path):
    train(tmp_path, average=0.9)
    with pytest.raises(SettingError, match=r"average was 0\.9 and is None"):
        train(tmp_path, resume=True)


def test_runs_from_before_there_were_averages_are_resumed(tmp_path, monkeypatch):
    save = RunFolder.save

    def as_before(self, tensors, metadata):
        del metadata["settings"]["training"]["average"]
        save(self, tensors, metadata)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save", as_before)
        train(tmp_path, iterations=20)
    train(tmp_path, resume=True)
    assert bits(load(tmp_path)) == bits(train().solver)
