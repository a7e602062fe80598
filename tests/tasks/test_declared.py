"""Difficulty parameters that are declared with what they may be."""

import pytest
import torch

from irem_core import Difficulty, SettingError, load_task
from irem_core.registry import TASKS, plugins
from irem_tasks import Add

NAMES = [plugin.name for plugin in plugins(TASKS) if plugin.distribution == "irem-tasks"]


@pytest.mark.parametrize("name", NAMES)
def test_no_parameter_is_without_a_range(name):
    task = load_task(name)

    assert task.parameters
    for parameter in task.parameters:
        with pytest.raises(SettingError, match=rf"parameter {parameter} got -7; expected "):
            task.sample(
                1, Difficulty("wrong", {parameter: -7}), generator=torch.Generator().manual_seed(0)
            )


def test_a_size_that_is_not_given_is_that_of_the_task():
    class Doubled(Add):
        def draw(self, count, generator, device, *, twice: bool = True, **parameters):
            problem, y = super().draw(count, generator, device, **parameters)
            return problem, y * (1 + twice)

    task = Doubled(size=3)
    generator = torch.Generator().manual_seed(0)

    assert task.parameters == {"twice": True, "scale": 1.0, "size": 3}
    assert task.draw(4, generator, torch.device("cpu"), twice=False)[1].shape == (4, 3)
    assert task.sample(4, Difficulty("long", {"size": 5}), generator=generator)[1].shape == (4, 5)
    with pytest.raises(TypeError, match="sizes"):
        task.draw(4, generator, torch.device("cpu"), sizes=5)
