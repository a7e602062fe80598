"""The abstract `Descent`: one way to take a step down an energy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import attrs
from torch import Tensor

from irem_core.energies.landscape import Evaluation
from irem_core.problems.iterate import Iterate, project
from irem_core.problems.space import Space


@attrs.frozen(eq=False)
class Probe:
    """What a line search may ask of trial iterates: where the bounds leave them, and their energy.

    Args:
        evaluate: returns the energies `(B,)` of iterates within the bounds; every call is counted.
        space: the space of the answers, or None where it is not known.
    """

    evaluate: Callable[[Iterate], Tensor]
    space: Space | None = None

    def within(self, iterate: Iterate) -> Iterate:
        """Move a trial within the bounds of the answers, as the loop does after each step."""
        return project(self.space, iterate)

    def __call__(self, iterate: Iterate) -> Tensor:
        """Return the energies `(B,)` of trials, moved within the bounds."""
        return self.evaluate(self.within(iterate))


@attrs.frozen(kw_only=True)
class Descent(ABC):
    """A rule that turns an evaluation into the next iterate.

    A descent is frozen and has settings, no weights; what it remembers between steps is its state,
    a tree whose tensors lead with problems or rows, so that halted problems can be dropped from it.
    It decides for each problem apart, so that a batch gives the answers of its problems alone.
    """

    needs_gradient: ClassVar[bool] = True
    """Whether evaluations must hold the gradient."""

    def init(self, evaluation: Evaluation) -> Any:
        """Return the state before the first step; none by default."""
        return None

    @abstractmethod
    def step(self, evaluation: Evaluation, state: Any, energy: Probe) -> tuple[Iterate, Any]:
        """Take one step.

        Args:
            evaluation: the current iterates, with energies and gradients.
            state: what `init` or the previous step returned.
            energy: gives the energies of trial iterates, for line searches.

        Returns:
            The next iterates and the next state.
        """
