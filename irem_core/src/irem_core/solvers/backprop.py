"""Backpropagation rules: how a loss on the iterates reaches the weights of the energy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import attrs
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from irem_core import checks
from irem_core.descent.base import Descent, Probe
from irem_core.energies.landscape import Landscape, differentiate, encoded
from irem_core.problems import trees
from irem_core.problems.iterate import Iterate, project
from irem_core.problems.problem import Problem
from irem_core.problems.space import normal_like
from irem_core.solvers.lending import lent


@attrs.frozen(kw_only=True, eq=False)
class Rollout:
    """A descent of fixed length, to be trained through.

    Args:
        energy: the energy to train.
        problem: the questions.
        start: the iterates of step 0.
        descent: how to step.
        steps: N, the number of steps.
        every: whether the loss is on the iterate of every step (Algorithm 1) rather than on the
            last (Eq. 6).
    """

    energy: Landscape
    problem: Problem
    start: Iterate
    descent: Descent
    steps: int
    every: bool = False

    def iterates(
        self, *, truncate: bool, attach: bool = True, recompute: bool = False
    ) -> Iterator[Iterate]:
        """Descend and yield the iterates that the loss is put on, the last one last.

        Args:
            truncate: cut the graph before each step.
            attach: whether iterates are attached to the weights at all.
            recompute: keep no graph of a step, and take it again for its gradient.
        """
        energy, problem, descent = self.energy, self.problem, self.descent
        attached = encoded(energy, problem)
        context = trees.detach(attached) if truncate else attached
        iterate, state = self.start, None

        def advance(
            iterate: Iterate, state: Any, *, graph: bool, first: bool
        ) -> tuple[Iterate, Any]:
            evaluation = differentiate(
                energy,
                attached if graph else context,
                iterate,
                gradient=descent.needs_gradient,
                create_graph=graph,
            )
            if first:
                state = descent.init(evaluation)
            iterate, state = descent.step(
                evaluation, state, Probe.of(energy, context, problem.answer)
            )
            return project(problem.answer, iterate), state

        for step in range(1, self.steps + 1):
            yielded = self.every or step == self.steps
            graph = attach and (yielded or not truncate)
            if truncate:
                iterate, state = iterate.detach(), trees.detach(state)
            take = partial(advance, graph=graph, first=step == 1)
            if recompute:
                take = partial(_forgetting, take)
            with torch.set_grad_enabled(graph):
                iterate, state = take(iterate, state)
            if yielded:
                yield iterate


@attrs.frozen(kw_only=True)
class Backprop(ABC):
    """A rule for training through a descent of fixed length."""

    @abstractmethod
    def unroll(self, rollout: Rollout) -> Iterator[Iterate]:
        """Descend and yield the iterates that a loss is put on, the last one last.

        Args:
            rollout: the descent.

        Yields:
            Iterates attached to the weights as the rule sees fit.
        """

    def loss(
        self,
        rollout: Rollout,
        error: Callable[[Iterate], Float[Tensor, ""]],
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, ""], Iterate]:
        """Return the loss after a descent, whose gradient in the weights is the rule's.

        By default it is the sum of the errors of what `unroll` yields. A rule whose iterates are
        not attached to the weights overrides this.

        Args:
            rollout: the descent.
            error: the loss on an iterate, smaller for better ones.
            generator: the only source of randomness; the default draws nothing.

        Returns:
            The loss, and the last iterate.
        """
        errors, last = [], rollout.start
        for last in self.unroll(rollout):
            errors.append(error(last))
        return torch.stack(errors).sum(), last


def _forgetting(
    take: Callable[[Iterate, Any], tuple[Iterate, Any]], iterate: Iterate, state: Any
) -> tuple[Iterate, Any]:
    """Take a step that keeps no graph but takes itself again once its gradient is asked for."""
    # Of these tensors torch reads which GPUs' random states the step must find again.
    seen = trees.tensors((iterate, state))
    taken: tuple[Iterate, Any] = checkpoint(
        lambda *_: take(iterate, state), *seen, use_reentrant=False
    )
    return taken


@attrs.frozen(kw_only=True)
class LastStep(Backprop):
    """The paper's truncation (Section 3.2): a loss reaches the weights through one step alone.

    With y^{N-1} taken as a constant, the gradient of a loss on y^N is that of
    y^{N-1} - step_size * dE/dy(y^{N-1}) in the weights. The question is encoded once, with its
    graph, and the steps before the last descend on the detached context.
    """

    def unroll(self, rollout: Rollout) -> Iterator[Iterate]:
        """Descend, cutting the graph before each step (see `Backprop.unroll`)."""
        return rollout.iterates(truncate=True)


@attrs.frozen(kw_only=True)
class FullUnroll(Backprop):
    """Differentiate through all steps of the descent (Section 3.2, before truncation).

    Args:
        recompute: keep of each step its iterate and the state of the descent alone, and take the
            step again, with the same random numbers, when its gradient is computed (Chen et al.,
            2016). The gradients are the same. A step then takes the memory of its answers rather
            than that of the energy's layers, and an update takes 1.7 times as long with layers of
            512 units, and longer with smaller ones.
    """

    recompute: bool = attrs.field(default=False, validator=checks.true_or_false)

    def unroll(self, rollout: Rollout) -> Iterator[Iterate]:
        """Descend, keeping the graph of every step or making it again (see `Backprop.unroll`)."""
        return rollout.iterates(truncate=False, recompute=self.recompute)


@attrs.frozen(kw_only=True)
class GradientFree(Backprop):
    """Estimate the gradient from losses at perturbed weights, and differentiate no descent.

    The paper names gradient-free training as future work (Section 5). This is evolution strategies
    with mirrored sampling (Salimans et al., 2017; with another distribution of directions, SPSA:
    Spall, 1992). With L(w) the loss after the full descent and e a direction whose entries, one a
    weight, are standard normal, the estimate is the mean over pairs of

        (L(w + sigma e) - L(w - sigma e)) / (2 sigma) * e,

    in expectation the gradient of L averaged over w + sigma e, which tends to that of `FullUnroll`
    as sigma tends to 0. Its error is about sqrt(weights / pairs) times as long as the gradient, so
    it suits energies with few weights, or long trainings. It also trains through descents that pass
    no gradient on, such as `CoordinateFlip`.

    An update takes 2 pairs + 1 descents, one after another, in the memory of one evaluation of the
    energy. All share their starts and whatever layers such as dropout draw, so that the weights
    alone make the difference. One of them descends with the weights as they are: its loss is the
    value, as with any other rule, and its last iterate is the one to replay, since it is where
    solving goes. Where a perturbed descent diverges the loss is NaN, so that training stops.

    Args:
        pairs: antithetic pairs of perturbations in each update, at least 1.
        sigma: the standard deviation of a weight's perturbation: small beside the weights, whose
            initial spread is 0.025 in the paper's layers of 512 units, and large beside rounding.
    """

    pairs: int = attrs.field(default=4, validator=checks.count)
    sigma: float = attrs.field(default=0.001, validator=checks.positive)

    def unroll(self, rollout: Rollout) -> Iterator[Iterate]:
        """Descend without a graph to the weights (see `Backprop.unroll`)."""
        return rollout.iterates(truncate=True, attach=False)

    def loss(
        self,
        rollout: Rollout,
        error: Callable[[Iterate], Float[Tensor, ""]],
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, ""], Iterate]:
        """Return the loss with the estimate for a gradient (see `Backprop.loss`).

        The generator draws the directions.
        """
        descend = partial(super().loss, rollout, error, generator)
        weights = [weight for weight in rollout.energy.parameters() if weight.requires_grad]
        with torch.no_grad():
            estimates = self._estimate(weights, lambda: descend()[0], generator)
            value, last = descend()
        for weight, estimate in zip(weights, estimates, strict=True):
            # Adds 0, exactly, and the estimate to the gradient.
            value = value + ((weight - weight.detach()) * estimate).sum()
        return value, last

    def _estimate(
        self,
        weights: Sequence[Tensor],
        loss: Callable[[], Float[Tensor, ""]],
        generator: torch.Generator,
    ) -> list[Tensor]:
        gpus = {weight.device for weight in weights if weight.is_cuda}
        estimates = [torch.zeros_like(weight) for weight in weights]
        for _ in range(self.pairs):
            directions = [normal_like(weight, generator) for weight in weights]
            ends = []
            for shift in (self.sigma, -self.sigma):
                moved = [w + shift * e for w, e in zip(weights, directions, strict=True)]
                # Layers that draw from the global state draw the same in every descent.
                with lent(weights, moved), torch.random.fork_rng(gpus):
                    ends.append(loss())
            slope = (ends[0] - ends[1]) / (2 * self.sigma * self.pairs)
            for estimate, direction in zip(estimates, directions, strict=True):
                estimate += slope * direction
        return estimates
