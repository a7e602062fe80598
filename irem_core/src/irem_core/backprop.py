"""Backpropagation rules: how a loss on the iterates reaches the weights of the energy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import attrs
import torch

from irem_core import trees
from irem_core.descent.base import Descent, Probe
from irem_core.energy import Landscape, differentiate
from irem_core.iterate import Iterate, project
from irem_core.problem import Problem


@attrs.frozen(kw_only=True)
class Backprop(ABC):
    """A rule for training through a descent of fixed length."""

    @abstractmethod
    def unroll(
        self,
        energy: Landscape,
        problem: Problem,
        start: Iterate,
        *,
        descent: Descent,
        steps: int,
        every: bool = False,
    ) -> Iterator[Iterate]:
        """Descend from `start` and yield the iterates that a loss is put on, the last one last.

        Args:
            energy: the energy to train.
            problem: the questions.
            start: the iterates of step 0.
            descent: how to step.
            steps: N, the number of steps.
            every: yield the iterate of every step (Algorithm 1) rather than the last (Eq. 6).

        Yields:
            Iterates attached to the weights as the rule sees fit.
        """


def _unroll(
    energy: Landscape,
    problem: Problem,
    start: Iterate,
    descent: Descent,
    steps: int,
    *,
    every: bool,
    truncate: bool,
) -> Iterator[Iterate]:
    attached = energy.encode(problem)
    context = trees.detach(attached) if truncate else attached
    iterate = start

    def probe(trial: Iterate) -> torch.Tensor:
        return differentiate(energy, context, trial, gradient=False).energy

    state = None
    for step in range(1, steps + 1):
        yielded = every or step == steps
        graph = yielded or not truncate
        if truncate:
            iterate, state = iterate.detach(), trees.detach(state)
        with torch.set_grad_enabled(graph):
            evaluation = differentiate(
                energy,
                attached if graph else context,
                iterate,
                gradient=descent.needs_gradient,
                create_graph=graph,
            )
            if step == 1:
                state = descent.init(evaluation)
            iterate, state = descent.step(evaluation, state, Probe(probe, problem.answer))
            iterate = project(problem.answer, iterate)
        if yielded:
            yield iterate


@attrs.frozen(kw_only=True)
class LastStep(Backprop):
    """The paper's truncation (Section 3.2): a loss reaches the weights through one step alone.

    With y^{N-1} taken as a constant, the gradient of a loss on y^N is that of
    y^{N-1} - step_size * dE/dy(y^{N-1}) in the weights. The question is encoded once, with its
    graph, and the steps before the last descend on the detached context.
    """

    def unroll(
        self,
        energy: Landscape,
        problem: Problem,
        start: Iterate,
        *,
        descent: Descent,
        steps: int,
        every: bool = False,
    ) -> Iterator[Iterate]:
        """Descend, cutting the graph before each step (see `Backprop.unroll`)."""
        return _unroll(energy, problem, start, descent, steps, every=every, truncate=True)


@attrs.frozen(kw_only=True)
class FullUnroll(Backprop):
    """Differentiate through all steps of the descent (Section 3.2, before truncation)."""

    def unroll(
        self,
        energy: Landscape,
        problem: Problem,
        start: Iterate,
        *,
        descent: Descent,
        steps: int,
        every: bool = False,
    ) -> Iterator[Iterate]:
        """Descend, keeping the graph of every step (see `Backprop.unroll`)."""
        return _unroll(energy, problem, start, descent, steps, every=every, truncate=False)
