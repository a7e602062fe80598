"""Updates by the mean gradient of several batches."""

import pytest
import torch

from irem_core import IREM, GradientDescent, Iterate, MLPEnergy, SettingError, load
from irem_tasks import Add
from trainings import TASK, At, bits, train, train_on


class Reading(Add):
    """Addition that reads its problems from one list, whatever the sizes of batches."""

    def __init__(self):
        super().__init__(size=4)
        problem, self.y = TASK.sample(200, generator=torch.Generator().manual_seed(2))
        self.x = problem.x
        self.read = 0

    def draw(self, count, generator, device, *, scale=1.0):
        # `fit` begins with a draw of one problem that shows whether the task can.
        first = self.read
        self.read += count if count > 1 else 0
        part = slice(first, first + count)
        return self.x[part].double(), self.y[part].double()


class Starting(MLPEnergy):
    """The energy of `MLPEnergy`, whose descents start from the question."""

    def start(self, problem, generator):
        return Iterate(problem.x[:, :4] / 2, problem.layout)


def reader(**options):
    """Train on the listed problems, without replay."""
    energy = Starting.for_task(TASK, width=16, depth=2).double()
    solver = IREM(energy, steps=2, replay=0, descent=GradientDescent(step_size=1.0))
    options = {"iterations": 5, "learning_rate": 1e-2, "log_every": 1} | options
    return train_on(Reading(), solver, **options)


@pytest.mark.parametrize("clip_norm", [None, 1e-2])
def test_an_update_is_that_of_one_large_batch(clip_norm):
    parts = reader(batch_size=6, accumulate=4, clip_norm=clip_norm)
    whole = reader(batch_size=24, clip_norm=clip_norm)
    assert parts.task.read == whole.task.read == 5 * 24

    weights, expected = parts.solver.state_dict(), whole.solver.state_dict()
    torch.testing.assert_close(weights, expected, rtol=1e-8, atol=1e-10)
    losses, wanted = ([record["loss"] for record in each.records] for each in (parts, whole))
    assert losses == pytest.approx(wanted, rel=1e-6)
    assert [record["iteration"] for record in parts.records] == [1, 2, 3, 4, 5]
    alone = reader(batch_size=6).solver.state_dict()
    assert max((alone[name] - expected[name]).abs().max() for name in expected) > 1e-3


def test_training_resumes_to_the_bit_between_updates(tmp_path):
    def stop():
        raise RuntimeError("stopped")

    options = {"accumulate": 3, "iterations": 12, "checkpoint_every": 5, "average": 0.9}
    whole = train(**options)
    with pytest.raises(RuntimeError, match="stopped"):
        train(tmp_path, callbacks=[At(7, stop)], **options)
    with pytest.raises(SettingError, match=r"training\.accumulate was 3 and is 2"):
        train(tmp_path, resume=True, **(options | {"accumulate": 2}))
    resumed = train(tmp_path, resume=True, **options)
    assert bits(load(tmp_path)) == bits(resumed.solver) == bits(whole.solver)
    assert resumed.iteration == 12
