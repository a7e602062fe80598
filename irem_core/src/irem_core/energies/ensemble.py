"""An energy around the mean answer of several networks, which knows where they disagree."""

from __future__ import annotations

import itertools
import math
from typing import cast

import attrs
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from irem_core import checks
from irem_core.energies.base import EnergyFn
from irem_core.energies.precision import wide
from irem_core.energies.scaled import scaled
from irem_core.part import Preset
from irem_core.problems.iterate import Iterate
from irem_core.problems.problem import Problem
from irem_core.problems.space import Space, require_dense

# Variances of an entry below this are rounding, where answers spread by about 1.
_FLOOR = 1e-10
# a and b of p = a v^b, a by its logarithm, before answers that training did not see are known.
_UNJUDGED = (0.0, 1.0)


@attrs.frozen(eq=False)
class _Belief:
    """What is believed of answers before a candidate is seen.

    Args:
        mean: the answers expected.
        level: n / 2 times the squared error expected of an entry.
    """

    mean: Float[Tensor, "problems *entries"]
    level: Float[Tensor, " problems"]


class EnsembleEnergy(EnergyFn):
    """E(x, y) = `|y - g(x)|^2 / 2 + n p(x) / 2`, g the mean answer of networks that may disagree.

    Each network learns the answers by itself, straight from the pairs, and no descent is trained:
    of one step of size 1 the end is known, it is g. So training costs what it costs for a plain
    network. Where the networks differ, in questions unlike those of training or too few of a kind,
    g is likely to be wrong (deep ensembles, Lakshminarayanan et al., NeurIPS 2017). p = a v^b is
    the squared error expected of an entry of g, for the variance v of an entry among the networks,
    with a and b of the greatest likelihood on answers that training did not see (`calibrate`). So
    2 E / n is what is to be expected of any candidate, and can be compared between questions.

    Of answers on a bound of their space, as solutions of constrained problems often are, it is only
    known that they would be there or beyond: a network that answers beyond is not wrong (censored
    regression, Tobin, Econometrica 1958), and is read as the bound.

    Args:
        question: space of x; its entries are flattened.
        answer: space of y; its entries are flattened.
        members: networks.
        width: units of each hidden layer of a network.
        depth: number of hidden layers.

    Raises:
        SettingError: a space is ragged, or a number is out of range.
    """

    trained_within_bounds = True
    judgement: Float[Tensor, " two"]

    def __init__(
        self,
        question: Space,
        answer: Space,
        *,
        members: int = 6,
        width: int = 160,
        depth: int = 3,
    ) -> None:
        """Draw every network from torch's default initialisation."""
        super().__init__()
        checks.check(checks.count, "EnsembleEnergy", members=members, width=width, depth=depth)
        require_dense("EnsembleEnergy", question=question, answer=answer)
        self.question = question
        self.answer = answer
        sizes = [question.size, *[width] * depth, answer.size]
        pairs = list(itertools.pairwise(sizes))
        self.weights = nn.ParameterList(_uniform(members, *pair, fan_in=pair[0]) for pair in pairs)
        self.biases = nn.ParameterList(_uniform(members, 1, b, fan_in=a) for a, b in pairs)
        self.register_buffer("judgement", torch.tensor(_UNJUDGED))

    @classmethod
    def preset(cls, question: Space, answer: Space) -> Preset:
        """Return this library's settings for pairs of one's own, without descents in training."""
        return scaled(
            answer,
            solver={"steps": 0, "solving": None, "replay": 0, "objective": "regression()"},
            training={
                "iterations": 5_000,
                # Many updates by few pairs each taught more than half as many by twice as many.
                "batch_size": 64,
                "learning_rate": 5e-3,
                "clip_norm": None,
                "average": 0.998,
            },
        )

    @property
    def calibrated(self) -> bool:  # type: ignore[override]
        """Whether a and b are of `calibrate`; p = v of before is far too sure."""
        return bool((self.judgement != torch.tensor(_UNJUDGED).to(self.judgement)).any())

    def proposals(self, problem: Problem) -> Float[Tensor, "members problems entries"]:
        """Return what each network answers, flat, as if there were no bounds."""
        members = self.weights[0].shape[0]
        features = problem.x.flatten(1).expand(members, -1, -1)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            features = functional.silu(torch.baddbmm(bias, features, weight))
        answers: Tensor = torch.baddbmm(self.biases[-1], features, self.weights[-1])
        return answers

    def encode(self, problem: Problem) -> _Belief:
        """Return the mean answer within bounds, and n / 2 times the error expected of an entry."""
        mean, variance = self._spread(problem)
        return _Belief(mean, self._expected(variance) * mean[0].numel() / 2)

    def energy(
        self, context: _Belief, y: Float[Tensor, "problems *entries"]
    ) -> Float[Tensor, " problems"]:
        """Return the energies `(B,)`."""
        return (y - context.mean).square().flatten(1).sum(1) / 2 + context.level

    def residuals(
        self, context: _Belief, y: Float[Tensor, "problems *entries"]
    ) -> Float[Tensor, "problems *entries"]:
        """Return the residuals, whose squares add up to the energy but for its level."""
        return (y - context.mean) * math.sqrt(0.5)

    def first_start(self, problem: Problem, generator: torch.Generator) -> Iterate:
        """Begin solving at the mean answer, which is the minimum."""
        return Iterate(self.encode(problem).mean, problem.layout)

    @torch.no_grad()
    def calibrate(self, problem: Problem, target: Tensor) -> None:
        """Set a and b of p = a v^b to those of the greatest likelihood of normal errors.

        That is, e / p + log p is least on average, for errors e of variance p.

        Args:
            problem: questions that training did not see, two at least.
            target: their answers.
        """
        mean, variance = self._spread(problem)
        errors = (mean - target).square().flatten(1).mean(1).double() + _FLOOR
        level = (variance.double() + _FLOOR).log()
        self.judgement.copy_(_likeliest(errors, level))

    def _expected(self, variance: Float[Tensor, " problems"]) -> Float[Tensor, " problems"]:
        a, b = self.judgement
        expected: Tensor = (a + b * (variance + _FLOOR).log()).exp()
        return expected

    def _spread(
        self, problem: Problem
    ) -> tuple[Float[Tensor, "problems *entries"], Float[Tensor, " problems"]]:
        """Return the mean answer within bounds, and the mean variance of an entry."""
        answers = wide(self.proposals(problem))
        space = problem.answer or cast(Space, self.answer)
        within = space.project(answers.flatten(0, 1).view(-1, *space.shape))
        within = within.view(len(answers), -1, *space.shape)
        return within.mean(0), within.flatten(2).var(0, correction=0).mean(1)


def _uniform(*shape: int, fan_in: int) -> nn.Parameter:
    bound = 1 / math.sqrt(fan_in)
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))


def _likeliest(
    errors: Float[Tensor, " problems"], levels: Float[Tensor, " problems"]
) -> Float[Tensor, " two"]:
    """Return a and b >= 0 for which e exp(-a - b l) + a + b l is least on average."""
    middle = levels.mean()
    at = torch.stack([errors.mean().log(), torch.ones_like(middle)]).requires_grad_()
    search = torch.optim.LBFGS([at], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        expected = at[0] + at[1] * (levels - middle)
        # One answer's worth of belief in b = 1 decides where variances are all alike.
        prior = (at[1] - 1).square() / len(errors)
        value = (errors * (-expected).exp() + expected).mean() + prior
        value.backward()
        return value

    with torch.enable_grad():
        search.step(loss)
    slope = at[1].detach().clamp(min=0)
    # The best a to any b.
    shift = (errors * (-slope * (levels - middle)).exp()).mean().log()
    return torch.stack([shift - slope * middle, slope])
