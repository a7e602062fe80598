"""Denoising of photographs (Table 5, Figure 8): PSNR by noise level, method and number of steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from statistics import mean
from typing import Any

import torch
from torch import Tensor

from irem_baselines.reproduce.cells import SEED
from irem_core import Evaluation, FixedSteps, Problem, SettingError, Solver, Task

SIGMAS = (45, 55, 65, 75)
STEPS = (5, 10, 30, 100)
_IMAGES = 1000
_CROP = 128
# Strengths to choose from, in units of the noise level.
_STRENGTHS = {
    "non-local means": (0.4, 0.6, 0.8, 1.0),
    "total variation": (0.8, 1.0, 1.2, 1.5, 2.0),
}

Batches = Iterable[tuple[Problem, Tensor]]
Filter = Callable[[Any], Any]


def noisy(task: Task, sigma: int) -> Batches:
    """Yield the test images one at a time, with the same noise for every method."""
    generator = torch.Generator().manual_seed(SEED + sigma)
    return task.batches(_IMAGES, f"sigma={sigma}", generator=generator)


def psnr(solver: Solver, task: Task, evaluation: dict[str, Any]) -> dict[str, Any]:
    """Return the mean PSNR over images after every step; a one-shot answer counts as step 1."""
    found = {}
    for sigma in SIGMAS:
        listed = [_by_step(solver, task, problem, y) for problem, y in noisy(task, sigma)]
        found[str(sigma)] = {str(step): mean(image[step] for image in listed) for step in listed[0]}
    return found


def _by_step(solver: Solver, task: Task, problem: Problem, y: Tensor) -> dict[int, float]:
    found: dict[int, float] = {}

    def note(step: int, problems: Tensor, at: Evaluation) -> None:
        found[step] = task.measures(problem, at.iterate.y, y)["psnr"].item()

    steps = max(STEPS)
    solution = solver.solve(
        problem, max_steps=steps, halting=FixedSteps(steps=steps), observer=note
    )
    if solution.energy is None:
        found[1] = task.measures(problem, solution.y, y)["psnr"].item()
    return found


def filters(solver: Solver, task: Task, evaluation: dict[str, Any]) -> dict[str, Any]:
    """Return the PSNR of noisy images, and of filters that are given the noise level.

    Each filter has the strength that does best on crops of training images.

    Raises:
        SettingError: scikit-image is not installed.
    """
    found = {}
    for sigma in SIGMAS:
        scores = {"noisy": {"psnr": _mean_psnr(lambda grey: grey, noisy(task, sigma), task)}}
        for name, filtered in _filters().items():
            crops = list(_crops(task, sigma))
            made = {
                strength: partial(filtered, sigma=sigma / 255, strength=strength)
                for strength in _STRENGTHS[name]
            }
            best = max(made, key=lambda each: _mean_psnr(made[each], crops, task))
            value = _mean_psnr(made[best], noisy(task, sigma), task)
            scores[name] = {"psnr": value, "strength": best}
        found[str(sigma)] = scores
    return found


def _crops(task: Any, sigma: int) -> Batches:
    generator = torch.Generator().manual_seed(SEED)
    for image in task.photographs.train:
        y = image[None, :, :_CROP, :_CROP]
        noise = torch.empty_like(y).normal_(generator=generator)
        yield Problem(y + noise * sigma / 255), y


def _mean_psnr(filtered: Filter, batches: Batches, task: Task) -> float:
    values = []
    for problem, y in batches:
        clean = torch.as_tensor(filtered(problem.x[0, 0].numpy()), dtype=y.dtype)[None, None]
        values.append(task.measures(problem, clean, y)["psnr"].item())
    return mean(values)


def _filters() -> dict[str, Callable[..., Any]]:
    try:
        from skimage.restoration import denoise_nl_means, denoise_tv_chambolle
    except ImportError as error:
        raise SettingError(
            "Denoising is compared with the filters of scikit-image, which is not installed; pip "
            "install 'irem-baselines[images]'."
        ) from error

    def non_local_means(grey: Any, sigma: float, strength: float) -> Any:
        return denoise_nl_means(
            grey, patch_size=5, patch_distance=6, h=strength * sigma, sigma=sigma, fast_mode=True
        )

    def total_variation(grey: Any, sigma: float, strength: float) -> Any:
        return denoise_tv_chambolle(grey, weight=strength * sigma)

    return {"non-local means": non_local_means, "total variation": total_variation}
