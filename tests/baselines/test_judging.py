"""What is measured of trained energies, as far as it hangs on how long that takes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from irem_baselines.reproduce import judging
from irem_tasks.graphs import ShortestPath


@pytest.mark.parametrize(
    ("power", "measured"),
    # A problem of 10 nodes takes a second, and one of n nodes (n / 10) to that power.
    [(2, [10, 15, 20, 30]), (0.0, [10, 15, 20, 30, 50, 100])],
)
def test_sizes_whose_problems_would_take_minutes_are_left_out(
    power: float, measured: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=0.0)
    solver: Any = SimpleNamespace(energy=SimpleNamespace(size_free=True))

    def evaluate(_: Any, __: Any, *, difficulty: str, problems: int, seed: int) -> Any:
        clock.now += problems * (int(difficulty.removeprefix("nodes=")) / 10) ** power
        return SimpleNamespace(mse=0.1, steps_mean=3.0, mse_by_step={}, measures={})

    monkeypatch.setattr(judging, "evaluate", evaluate)
    monkeypatch.setattr(judging.time, "perf_counter", lambda: clock.now)
    found = judging.sizes(solver, ShortestPath(), {})
    assert list(found) == [str(size) for size in measured]
    assert found["20"]["seconds"] == pytest.approx(2**power)
    # By 50 nodes, 9 (5 / 3)^4 = 69 seconds a problem are to be expected.
    assert 9 * (5 / 3) ** judging._POWER > judging._LONGEST > 4 * (3 / 2) ** judging._POWER
