"""Denoising: PSNR on the held-out photographs by noise level, method and number of steps.

Beside trained runs stand the noisy image itself, non-local means and total variation, both given
the noise level and with the strength that does best on training images. All methods see the same
noise.

    irem train denoise --out runs/denoise
    irem train denoise --solver residual --out runs/denoise-residual
    python benchmarks/denoise.py runs/denoise runs/denoise-residual --json results/denoise.json
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle
from torch import Tensor

import measuring
from irem_core import Evaluation, FixedSteps, Problem, Solver, load
from irem_core.checkpoint import read_metadata
from irem_tasks import Denoise

SIGMAS = (45, 55, 65, 75)
STEPS = (5, 10, 30, 100)
SEED = 1
# Strengths to choose from, in units of the noise level.
NON_LOCAL_MEANS = (0.4, 0.6, 0.8, 1.0)
TOTAL_VARIATION = (0.8, 1.0, 1.2, 1.5, 2.0)
CROP = 128

Grey = NDArray[np.float32]
Batches = Iterable[tuple[Problem, Tensor]]


def non_local_means(noisy: Grey, sigma: float, strength: float) -> Any:
    return denoise_nl_means(
        noisy, patch_size=5, patch_distance=6, h=strength * sigma, sigma=sigma, fast_mode=True
    )


def total_variation(noisy: Grey, sigma: float, strength: float) -> Any:
    return denoise_tv_chambolle(noisy, weight=strength * sigma)


def classical(filtered: Callable[[Grey], Any], batches: Batches, task: Denoise) -> float:
    """Mean PSNR over images of a filter of one grey image."""
    values = []
    for problem, y in batches:
        clean = torch.as_tensor(filtered(problem.x[0, 0].numpy()), dtype=y.dtype)[None, None]
        values.append(task.measures(problem, clean, y)["psnr"].item())
    return sum(values) / len(values)


def learned(solver: Solver, batches: Batches, task: Denoise, steps: int) -> dict[int, float]:
    """Mean PSNR over images after every step; the answer of a one-shot solver is its step 1."""
    sums: defaultdict[int, float] = defaultdict(float)
    images = 0
    for problem, y in batches:

        def note(step: int, x: Tensor, problem: Problem = problem, y: Tensor = y) -> None:
            sums[step] += task.measures(problem, x, y)["psnr"].item()

        def follow(step: int, _: Tensor, at: Evaluation, note: Any = note) -> None:
            note(step, at.iterate.y)

        solution = solver.solve(
            problem,
            max_steps=steps,
            halting=FixedSteps(steps=steps),
            observer=follow,
        )
        if solution.energy is None:
            note(1, solution.y)
        images += 1
    return {step: total / images for step, total in sums.items()}


def best_strength(
    name: str, filtered: Callable[..., Any], strengths: Iterable[float], task: Denoise, sigma: int
) -> tuple[float, Callable[[Grey], Any]]:
    """Choose a filter's strength on crops of training images, all with the same noise level."""
    generator = torch.Generator().manual_seed(SEED)
    crops = [image[None, :, :CROP, :CROP] for image in task.photographs.train]
    noise = [torch.empty_like(each).normal_(generator=generator) * sigma / 255 for each in crops]
    pairs = [(Problem(y + e), y) for y, e in zip(crops, noise, strict=True)]
    made = {each: partial(filtered, sigma=sigma / 255, strength=each) for each in strengths}
    scores = {each: classical(made[each], pairs, task) for each in made}
    best = max(scores, key=lambda each: scores[each])
    print(f"{name} at {sigma}: strength {best}, of {', '.join(map(str, made))}", flush=True)
    return best, made[best]


def measure(runs: list[Path], sigma: int) -> dict[str, Any]:
    """PSNR of every method at one noise level."""
    task = Denoise()

    def batches() -> Batches:
        generator = torch.Generator().manual_seed(SEED + sigma)
        return task.batches(1000, f"sigma={sigma}", generator=generator)

    found: dict[str, Any] = {"noisy": {"psnr": classical(lambda noisy: noisy, batches(), task)}}
    filters = {
        "non-local means": (non_local_means, NON_LOCAL_MEANS),
        "total variation": (total_variation, TOTAL_VARIATION),
    }
    for name, (filtered, strengths) in filters.items():
        strength, chosen = best_strength(name, filtered, strengths, task, sigma)
        psnr = classical(chosen, batches(), task)
        found[name] = {"psnr": psnr, "strength": strength}
    for run in runs:
        by_step = learned(load(run), batches(), task, max(STEPS))
        best = max(by_step, key=lambda step: by_step[step])
        found[run.name] = {
            "psnr": by_step.get(STEPS[0], by_step[max(by_step)]),
            "best_step": best,
            "psnr_by_step": {str(step): value for step, value in by_step.items()},
        }
    return found


def described(run: Path) -> dict[str, Any]:
    """What was trained, for how long, and how large it is."""
    metadata = read_metadata(run)
    return {
        "solver": metadata["solver"],
        "training": metadata["training"],
        "parameters": sum(each.numel() for each in load(run).parameters()),
    }


def show(levels: dict[str, dict[str, Any]]) -> None:
    table = Table("method", *(f"sigma {sigma}" for sigma in levels))
    first = next(iter(levels.values()))
    for method, scores in first.items():
        iterative = len(scores.get("psnr_by_step", {})) > 1
        for step in STEPS if iterative else (None,):
            values = [
                each[method]["psnr"] if step is None else each[method]["psnr_by_step"][str(step)]
                for each in levels.values()
            ]
            name = method if step is None else f"{method}, {step} steps"
            table.add_row(name, *(f"{value:.2f}" for value in values))
        if iterative:
            best = [str(each[method]["best_step"]) for each in levels.values()]
            table.add_row(f"{method}, best step", *best)
    Console().print(table)


def main() -> None:
    parser = measuring.parser(__doc__ or "", rounds=1)
    parser.add_argument("runs", type=Path, nargs="*", help="folders of trained runs")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    state = measuring.machine()
    measuring.announce(state)
    levels = {str(sigma): measure(options.runs, sigma) for sigma in SIGMAS}
    show(levels)
    runs = {run.name: described(run) for run in options.runs}
    measuring.write(options.json, {"machine": state, "runs": runs, "sigma": levels})


if __name__ == "__main__":
    main()
