"""The abstract `Descent`: one way to take a step down an energy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Self

import attrs
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from irem_core.energies.derivatives import Linearized, Product, hessian_at, linearized
from irem_core.energies.landscape import Evaluation, Landscape, differentiate
from irem_core.errors import EnergyError
from irem_core.problems import trees
from irem_core.problems.iterate import Iterate, project
from irem_core.problems.space import Space

# Up to this share of a batch its problems are evaluated apart from the others.
_FEW = 0.7


@attrs.define(eq=False)
class Spent:
    """What a probe was asked for, a number for each problem or one for all.

    Args:
        evaluations: of the energy, with its gradient or without.
        hessian_products: of the energy's Hessian with a direction.
        jacobian_products: of the residuals' Jacobian, or its transpose, with a direction.
    """

    evaluations: Tensor | int = 0
    hessian_products: Tensor | int = 0
    jacobian_products: Tensor | int = 0

    @property
    def products(self) -> Tensor | int:
        """Products of both kinds."""
        return self.hessian_products + self.jacobian_products


@attrs.frozen(eq=False)
class Probe:
    """What a descent may ask of trial iterates, each of which is moved within the bounds first.

    Args:
        evaluate: returns the energies `(B,)` of iterates within the bounds.
        space: the space of the answers, or None where it is not known.
        landscape: the energy, for probes that can be asked for more than energies.
        context: what its `encode` returned.
        running: `(B,)` which problems have not halted; all if None.
        spent: counts what was asked for.
    """

    evaluate: Callable[[Iterate], Tensor]
    space: Space | None = None
    landscape: Landscape | None = None
    context: Any = None
    running: Bool[Tensor, " problems"] | None = None
    spent: Spent = attrs.field(factory=Spent)
    _settled: list[Evaluation] = attrs.field(factory=list, init=False)

    @classmethod
    def of(
        cls,
        landscape: Landscape,
        context: Any,
        space: Space | None,
        running: Bool[Tensor, " problems"] | None = None,
    ) -> Self:
        """Make a probe that can be asked for all that there is."""

        def evaluate(iterate: Iterate) -> Tensor:
            return differentiate(landscape, context, iterate, gradient=False).energy

        return cls(evaluate, space, landscape, context, running)

    def within(self, iterate: Iterate) -> Iterate:
        """Move a trial within the bounds of the answers, as the loop does after each step."""
        return project(self.space, iterate)

    def __call__(
        self, iterate: Iterate, wanted: Bool[Tensor, " problems"] | None = None
    ) -> Float[Tensor, " problems"]:
        """Return the energies `(B,)` of trials.

        Args:
            iterate: the trials.
            wanted: which problems' trials; only these are paid for, and others' energies are
                anything. All if None.
        """
        trial = self.within(iterate)
        if wanted is None or self.landscape is None:
            self._count(wanted)
            return self.evaluate(trial)
        return self._evaluated(self.landscape, trial, wanted, None).energy

    def differentiate(
        self, trial: Iterate, wanted: Bool[Tensor, " problems"], known: Evaluation
    ) -> Evaluation:
        """Evaluate trials with their gradients, without a graph.

        Args:
            trial: where.
            wanted: which problems' trials; only these are paid for.
            known: the evaluation to return of the others.

        Raises:
            EnergyError: the probe knows of energies alone.
        """
        landscape = self._of("gradients")
        return self._evaluated(landscape, self.within(trial).detach(), wanted, known)

    def _evaluated(
        self,
        landscape: Landscape,
        trial: Iterate,
        wanted: Bool[Tensor, " problems"],
        known: Evaluation | None,
    ) -> Evaluation:
        """Evaluate wanted trials, with gradients where the others' evaluation is known."""
        self._count(wanted)
        layout, gradient = trial.layout, known is not None
        rest = known or Evaluation(trial, trial.y.new_zeros(layout.count))
        count = int(wanted.sum())
        if not count:
            return rest
        if count > _FEW * layout.count:
            found = differentiate(landscape, self.context, trial, gradient=gradient)
            return found if count == layout.count else trees.where(wanted, layout, found, rest)
        chosen = wanted.nonzero().squeeze(1)
        at, context = trees.select((trial, self.context), layout, chosen)
        found = trees.map_leaves(_copied, rest)
        part = differentiate(landscape, context, at, gradient=gradient)
        trees.put(found, layout, chosen, part)
        return found

    def _count(self, wanted: Bool[Tensor, " problems"] | None) -> None:
        asked = 1 if wanted is None else wanted.to(torch.int64)
        self.spent.evaluations = self.spent.evaluations + asked

    def hessian_at(self, iterate: Iterate) -> Product:
        """Return what multiplies directions by each problem's Hessian (see `hessian_at`).

        Raises:
            EnergyError: the energy is linear or cannot be differentiated twice, or the probe knows
                of energies alone.
        """
        landscape = self._of("products with the Hessian")
        product = hessian_at(landscape, self.context, iterate, linear=False)

        def counted(direction: Iterate) -> Iterate:
            self.spent.hessian_products = self.spent.hessian_products + 1
            return product(direction)

        return counted

    def linearized(self, iterate: Iterate) -> Linearized:
        """Return the residuals and products with their Jacobian (see `linearized`).

        Raises:
            EnergyError: the energy has no residuals, or the probe knows of energies alone.
            ShapeError: the residuals lead neither with problems nor with answer rows.
        """
        landscape = self._of("residuals")
        return linearized(landscape, self.context, iterate, self._count_product)

    def _count_product(self) -> None:
        self.spent.jacobian_products = self.spent.jacobian_products + 1

    def settle(self, evaluation: Evaluation) -> Iterate:
        """Return an evaluation's iterate, the next one, so that it need not be evaluated again."""
        self._settled[:] = [evaluation]
        return evaluation.iterate

    def settled(self, iterate: Iterate) -> Evaluation | None:
        """Return the evaluation of an iterate that `settle` returned, None of any other."""
        return next((each for each in self._settled if each.iterate is iterate), None)

    def _of(self, what: str) -> Landscape:
        if self.landscape is None:
            raise EnergyError(
                f"A descent asked for {what}, and its probe gives energies alone; make the probe "
                "by Probe.of(energy, context, space)."
            )
        return self.landscape


def _copied(leaf: Any) -> Any:
    return leaf.clone() if isinstance(leaf, Tensor) else leaf


@attrs.frozen(kw_only=True)
class Descent(ABC):
    """A rule that turns an evaluation into the next iterate.

    A descent is frozen and has settings, no weights; what it remembers between steps is its state,
    a tree whose tensors lead with problems or rows, so that halted problems can be dropped from it.
    A tree is a tensor of any type, an `Iterate`, an `Evaluation`, or a tuple, list, dict or attrs
    instance of trees. What is counted is a tensor `(B,)` of integers: a Python number would be
    shared by all problems, which begin at different times in `solve_many`.
    It decides for each problem apart, so that a batch gives the answers of its problems alone.
    """

    needs_gradient: ClassVar[bool] = True
    """Whether evaluations must hold the gradient. A descent that goes by energies alone sets it to
    False: then `evaluation.gradient` is None and costs nothing, `energy` gives the energies of
    trials, and the halting rules that read gradients, such as `GradientNorm`, refuse it."""

    def init(self, evaluation: Evaluation) -> Any:
        """Return the state before the first step; none by default."""
        return None

    @abstractmethod
    def step(self, evaluation: Evaluation, state: Any, energy: Probe) -> tuple[Iterate, Any]:
        """Take one step.

        Args:
            evaluation: the current iterates, with energies and gradients.
            state: what `init` or the previous step returned.
            energy: gives the energies of trial iterates, for line searches, and what else can be
                asked of the energy.

        Returns:
            The next iterates and the next state. An iterate that `energy.settle` returned is not
            evaluated again.
        """
