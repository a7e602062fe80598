"""The PonderNet baseline (Banino et al., 2021): at every step an answer and a chance to halt."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from irem_baselines.iterated import Iterated, Output
from irem_baselines.networks import make_network, paper_preset, paper_width, width_of
from irem_core import Preset, Problem, SettingError, Space, checks


def paper(question: Space, answer: Space) -> Preset:
    """Return the settings of the paper (Appendix C, Tables 9 and 13) for answers of a space."""
    settings = {"width": paper_width(answer), "depth": 3, "steps": 5, "prior": 0.2}
    return paper_preset(answer, settings)


def log_halting(logits: Float[Tensor, "steps problems"]) -> Float[Tensor, "steps problems"]:
    """Return the logarithms of the halting distribution over the steps that were taken.

    Step n is halted at with p_n = lambda_n prod_{m < n} (1 - lambda_m), where lambda is the sigmoid
    of the logits, given that it is one of these steps.
    """
    onward = logsigmoid(-logits).cumsum(0)
    before = torch.cat([torch.zeros_like(onward[:1]), onward[:-1]])
    return (logsigmoid(logits) + before).log_softmax(0)


class Ponder(Iterated):
    """Layers from [y, x] to the next y and to the logit of halting there (Table 13).

    The first y is drawn from U(-1, 1). On edges the layers read x alone (Table 9): the first GINE
    layer is applied once, those between, with ReLU, to their own output at every step, and the last
    at every step gives the features that edges are decoded from, and the logit from their maximum
    over nodes. In training each step's error is weighted by the probability of halting there.

    A solve takes `max_steps` steps and shows all outputs; its answer depends on where it halts, and
    the steps of the solution say so.

    Args:
        question: space of x; its entries are flattened, or are values on edges.
        answer: space of y, with values on edges where x has.
        width: features of each layer; "paper" is 512, or 128 on edges.
        depth: number of layers, at least 3 on edges; the paper has 3, the published code 2 layers
            on vectors.
        steps: in training.
        prior: probability of halting at a step, under the geometric prior; the paper's 0.8 is that
            of going on.
        penalty: factor of the divergence from the prior, at least 0; that of the published code.
        halt: "expected" answers with the mean of the outputs under the halting distribution, and
            reports the mean step, rounded; "sampled" draws the step from it.

    Raises:
        SettingError: one space alone is that of edges, or a setting is out of range.
    """

    presets: ClassVar = {"paper": paper}

    def __init__(
        self,
        question: Space,
        answer: Space,
        *,
        width: int | str = "paper",
        depth: int = 3,
        steps: int = 5,
        prior: float = 0.2,
        penalty: float = 0.01,
        halt: str = "expected",
    ) -> None:
        """Make the layers with torch's default initialisation."""
        super().__init__()
        units = width_of("Ponder", width, paper=lambda: paper_width(answer))
        checks.check(checks.count, "Ponder", depth=depth, steps=steps)
        checks.check(checks.proper_fraction, "Ponder", prior=prior)
        checks.check(checks.non_negative, "Ponder", penalty=penalty)
        checks.check(checks.one_of("expected", "sampled"), "Ponder", halt=halt)
        self.network = make_network(
            "Ponder",
            question,
            answer,
            width=units,
            depth=depth,
            reads_answer=not answer.ragged,
        )
        if answer.ragged and depth < 3:
            raise SettingError(
                f"Ponder got depth={depth}; expected at least 3 on edges: a layer before the "
                "steps, one that is repeated, and one after."
            )
        self.halting = nn.Linear(units, 1)
        self.question = question
        self.answer = answer
        self.steps = steps
        self.prior = prior
        self.penalty = penalty
        self.halt = halt

    def unroll(
        self, problem: Problem, start: Tensor | None, generator: torch.Generator
    ) -> Iterator[tuple[Tensor, Float[Tensor, " problems"]]]:
        """Yield the answers and halting logits of step 1, 2, ... without end.

        Args:
            problem: the questions.
            start: `(B, ...)` the first y, drawn if None; edges need none.
            generator: draws it.
        """
        assert self.answer is not None
        network = self.network
        reading = network.read(problem)
        if self.answer.ragged:
            features = network.layer(0, reading, None)
            while True:
                for place in range(1, network.depth - 1):
                    features = network.layer(place, reading, features).relu()
                found = network.layer(network.depth - 1, reading, features)
                yield network.decode(reading, found), self._logit(reading, found)
        y = start
        if y is None:
            y = self.answer.start(
                problem.layout, generator, device=problem.device, dtype=problem.dtype
            )
        while True:
            found = network.body(reading, y)
            y = network.decode(reading, found)
            yield y, self._logit(reading, found)

    def _logit(self, reading: object, features: Tensor) -> Float[Tensor, " problems"]:
        logit: Tensor = self.halting(self.network.pool(reading, features))
        return logit.squeeze(1)

    def outputs(
        self, problem: Problem, start: Tensor | None, generator: torch.Generator
    ) -> Iterator[Output]:
        """Yield all outputs, and how far each moves the answer: the first all the way.

        Among the steps so far the n-th has the share s_n = p_n / (p_1 + ... + p_n) of the halting
        distribution. Moving by s_n makes the answer the mean of the outputs; replacing it with
        probability s_n makes it a sample of them.
        """
        onward = total = None
        for y, logit in self.unroll(problem, start, generator):
            if onward is None or total is None:
                onward, total = torch.zeros_like(logit), torch.full_like(logit, -torch.inf)
            mine = onward + logsigmoid(logit)
            total = torch.logaddexp(total, mine)
            onward = onward + logsigmoid(-logit)
            share = (mine - total).exp()
            if self.halt == "sampled":
                drawn = torch.empty_like(share).uniform_(generator=generator)
                share = (drawn < share).to(share.dtype)
            yield Output(y, share)

    def loss(
        self, problem: Problem, target: Tensor, generator: torch.Generator
    ) -> Float[Tensor, ""]:
        """Return the expected squared error, and a share of KL(halting distribution || prior).

        Args:
            problem: questions `(B, ...)`.
            target: `(B, ...)` or `(rows, ...)` their answers.
            generator: draws the first y.
        """
        unrolled = islice(self.unroll(problem, None, generator), self.steps)
        answers, logits = zip(*unrolled, strict=True)
        halting = log_halting(torch.stack(logits))
        error = torch.stack(
            [
                (problem.layout.spread(chance, target) * (y - target).square()).mean()
                for chance, y in zip(halting.exp(), answers, strict=True)
            ]
        ).sum()
        return error + self.penalty * self.divergence(halting)

    def divergence(self, halting: Float[Tensor, "steps problems"]) -> Float[Tensor, ""]:
        """Return the mean KL divergence of halting distributions from the geometric prior.

        The prior too is that of halting at one of these steps.

        Args:
            halting: logarithms, as `log_halting` returns them.
        """
        logit = torch.full_like(halting[:, :1], self.prior).logit()
        return (halting.exp() * (halting - log_halting(logit))).sum(0).mean()
