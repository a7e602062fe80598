"""What `irem train --pairs` makes of pairs, beside a plain network of the same processor time.

    python benchmarks/own_pairs.py                  all sets of pair_sets.py, seed 0
    python benchmarks/own_pairs.py --set kepler --seed 1

Each set and seed is one file of results/pairs; one that is there is left out, so that a call that
was interrupted goes on where it was. `benchmarks/render_results.py` makes the table of
docs/results.md.

The plain network has three layers of 512 SiLU, and learns the same standardised pairs by AdamW
under a cosine. It and two more of other seeds disagree, which is one rival of the energy; the
distance to the nearest question of training is the other. Both rank the answers of the run.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from irem_core import Reliability, Solution, auroc, fit_pairs
from measuring import keep_each
from pair_sets import SETS

RESULTS = Path(__file__).parent.parent / "results" / "pairs"
TRAIN, TEST = 5000, 1000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", action="append", choices=SETS, help="which; all if unset")
    parser.add_argument("--seed", type=int, default=0, help="of pairs, weights and draws")
    parser.add_argument("--iterations", type=int, help="of the run; its default if unset")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    keep_each(
        options.set or SETS,
        options.seed,
        options.results,
        lambda name: measure(name, options.seed, options.iterations),
    )


def measure(name: str, seed: int, iterations: int | None) -> dict[str, Any]:
    """Train a run and three plain networks on a set, and score them on new questions."""
    x, y = SETS[name].pairs(TRAIN, seed=seed)
    begin = time.process_time()
    asked: dict[str, Any] = {} if iterations is None else {"iterations": iterations}
    solver = fit_pairs(x, y, seed=seed, **asked).solver
    seconds = time.process_time() - begin
    plain = [Plain(x, y, seconds, seed=seed + 1000 * member) for member in range(3)]
    scores: dict[str, Any] = {"kind": SETS[name].kind, "seconds": seconds}
    scores |= {"restarts": getattr(solver, "restarts", 0)}
    for difficulty in ("same", "harder"):
        new, right = SETS[name].pairs(TEST, seed=seed + 1, harder=difficulty == "harder")
        solution = solver.solve(new)
        assert solution.energy is not None
        answers = solution.y.double().numpy()
        error = np.square(answers - right).mean(1)
        others = np.stack([each(new) for each in plain])
        ranks = {
            "energy": solution.energy.numpy(),
            "disagreement": others.var(0).mean(1),
            "neighbour": nearest(x, new),
        }
        scores[difficulty] = {
            "error": float(error.mean()),
            "plain": float(np.square(others[0] - right).mean()),
            "constant": float(right.var(0).mean()),
            "exact": exact(answers, right),
            "plain_exact": exact(others[0], right),
            "steps": float(solution.steps.double().mean()),
            "auroc": {
                by: auroc(torch.from_numpy(rank), torch.from_numpy(error), share=0.1)
                for by, rank in ranks.items()
            },
            "expected": expected(solver, solution, answers, right),
        }
    return scores


class Plain:
    """Three layers of 512 SiLU, trained for so many seconds of processor time."""

    def __init__(
        self, x: NDArray[Any], y: NDArray[Any], seconds: float, *, seed: int, rate: float = 1e-3
    ) -> None:
        self.units = [(each.mean(0), each.std(0) + 1e-12) for each in (x, y)]
        asked, right = (
            torch.from_numpy((each - mean) / scale).float()
            for each, (mean, scale) in zip((x, y), self.units, strict=True)
        )
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        widths = [x.shape[1], 512, 512, 512]
        layers = [
            layer for pair in itertools.pairwise(widths) for layer in (nn.Linear(*pair), nn.SiLU())
        ]
        self.net = nn.Sequential(*layers, nn.Linear(512, y.shape[1]))
        optimizer = torch.optim.AdamW(self.net.parameters(), lr=rate, fused=True)
        begin = time.process_time()
        while (share := (time.process_time() - begin) / seconds) < 1:
            for group in optimizer.param_groups:
                group["lr"] = rate * (1 + math.cos(math.pi * share)) / 2
            rows = torch.randint(len(asked), (128,), generator=generator)
            optimizer.zero_grad()
            nn.functional.mse_loss(self.net(asked[rows]), right[rows]).backward()
            optimizer.step()

    @torch.no_grad()
    def __call__(self, x: NDArray[Any]) -> NDArray[np.float64]:
        (mean, scale), (centre, spread) = self.units
        answers: Tensor = self.net(torch.from_numpy((x - mean) / scale).float())
        return np.asarray(answers.double().numpy() * spread + centre)


def nearest(x: NDArray[Any], new: NDArray[Any]) -> NDArray[np.float64]:
    """Return the standardised distance of new questions to the nearest of training."""
    scale = x.std(0) + 1e-12
    return torch.cdist(torch.from_numpy(new / scale), torch.from_numpy(x / scale)).amin(1).numpy()


def exact(answers: NDArray[Any], right: NDArray[Any]) -> float | None:
    """Return the share of answers that are right once rounded; None where they are no 0 and 1."""
    if not np.isin(right, (0, 1)).all():
        return None
    return float(((answers > 0.5) == (right > 0.5)).all(1).mean())


def expected(
    solver: Any, solution: Solution, answers: NDArray[Any], right: NDArray[Any]
) -> list[float | None]:
    """Return real over expected squared error, standardised, in ten bins of rising energy."""
    units = solver.answer_units
    deviation = units.standard(torch.from_numpy(answers)) - units.standard(torch.from_numpy(right))
    told = Reliability(
        expected=solver.solver.expected_error(solution), real=deviation.square().mean(1)
    )
    return [each.ratio for each in told.bins()]


if __name__ == "__main__":
    main()
