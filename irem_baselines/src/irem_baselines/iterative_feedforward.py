"""The iterative feedforward baseline: a network that removes noise from answers, bit by bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from irem_baselines.iterated import Iterated, Output
from irem_baselines.networks import make_network, paper_preset, paper_width, width_of
from irem_core import Preset, Problem, Space, checks

OBJECTIVES = ("denoise", "unroll")


def paper(question: Space, answer: Space) -> Preset:
    """Return the settings of the paper (Appendix C); six noise levels, for five steps, are ours."""
    settings = {"width": paper_width(answer), "depth": 3, "levels": 6, "trained_by": "denoise"}
    return paper_preset(answer, settings)


class IterativeFeedforward(Iterated):
    """y <- y + f(x, y), where f takes noisy answers one level of noise down (Tables 7 and 11).

    At level t of T, counted from 0, an answer y is sqrt(a_t) y + sqrt(1 - a_t) e, where e is one
    draw of N(0, 1) for all levels and a_t falls linearly from 1 to 0. Solving starts from noise
    alone, and reaches level 0 after T - 1 steps; the network is not told the level, and further
    steps go on likewise.

    The paper names the denoising objective; what it released trains T - 1 steps from U(-1, 1) on
    the error of the last one ("unroll"). Its figures on graphs tell that they are of the latter:
    an edge's update is decoded from its two nodes, which cannot know the edge's own noise, and the
    figures are about a plain network's plus 1/3, the variance of U(-1, 1).

    Args:
        question: space of x; its entries are flattened, or are values on edges.
        answer: space of y, with values on edges where x has.
        width: features of each hidden layer; "paper" is 512, or 128 on edges, 64 of an edge's for x
            and 64 for y.
        depth: number of hidden layers; the paper has 3.
        levels: T, at least 2.
        trained_by: "denoise", one step between neighbouring levels, or "unroll", all steps.

    Raises:
        SettingError: one space alone is that of edges, or a number is out of range.
    """

    presets: ClassVar = {"paper": paper}
    first: ClassVar[int] = 0

    def __init__(
        self,
        question: Space,
        answer: Space,
        *,
        width: int | str = "paper",
        depth: int = 3,
        levels: int = 6,
        trained_by: str = "denoise",
    ) -> None:
        """Make the layers with torch's default initialisation."""
        super().__init__()
        owner = "IterativeFeedforward"
        units = width_of(owner, width, paper=lambda: paper_width(answer))
        two = checks.number("a whole number of at least 2", low=2, whole=True)
        checks.check(two, owner, levels=levels)
        checks.check(checks.one_of(*OBJECTIVES), owner, trained_by=trained_by)
        self.question = question
        self.answer = answer
        self.levels = levels
        self.steps = levels - 1
        self.trained_by = trained_by
        self.network = make_network(
            owner, question, answer, width=units, depth=depth, reads_answer=True
        )

    def outputs(
        self, problem: Problem, start: Tensor | None, generator: torch.Generator
    ) -> Iterator[Output]:
        """Yield the start, which is drawn if None, and the answers of all steps."""
        assert self.answer is not None
        reading = self.network.read(problem)
        y = start
        if y is None:
            kind: dict[str, Any] = {"device": problem.device, "dtype": problem.dtype}
            if self.trained_by == "unroll":
                y = self.answer.start(problem.layout, generator, **kind)
            else:
                shape = (problem.layout.rows, *self.answer.shape)
                y = torch.randn(shape, generator=generator, **kind)
        while True:
            yield Output(y)
            y = y + self.network.decode(reading, self.network.body(reading, y))

    def pairs(
        self, problem: Problem, target: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Draw a level t of 1 ... T - 1 for each problem, and one noise for each entry.

        Returns:
            The answers `(B, ...)` or `(rows, ...)` at the levels t, and at the levels t - 1.
        """
        layout = problem.layout
        level = torch.randint(
            1, self.levels, (layout.count,), generator=generator, device=target.device
        )
        noise = torch.empty_like(target).normal_(generator=generator)

        def at(level: Tensor) -> Tensor:
            share = layout.spread(level.to(target.dtype) / (self.levels - 1), target)
            return (1 - share).sqrt() * target + share.sqrt() * noise

        return at(level), at(level - 1)

    def loss(
        self, problem: Problem, target: Tensor, generator: torch.Generator
    ) -> Float[Tensor, ""]:
        """Return the mean squared error of answers one level down, or of the last of T - 1 steps.

        Args:
            problem: questions `(B, ...)`.
            target: `(B, ...)` or `(rows, ...)` their answers.
            generator: draws levels and noise.

        Source: Sohl-Dickstein et al., ICML 2015, for "denoise".
        """
        if self.trained_by == "unroll":
            return super().loss(problem, target, generator)
        noisy, cleaner = self.pairs(problem, target, generator)
        reading = self.network.read(problem)
        update = self.network.decode(reading, self.network.body(reading, noisy))
        return functional.mse_loss(noisy + update, cleaner)
