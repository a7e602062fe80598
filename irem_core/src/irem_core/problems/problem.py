"""Problems: a batch of questions and the layout of their answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import torch
from jaxtyping import Bool
from torch import Tensor

from irem_core.errors import ShapeError
from irem_core.problems import graphs, trees
from irem_core.problems.layout import Layout
from irem_core.problems.space import Space


def _count_problems(x: Any) -> int:
    if graphs.is_batch(x):
        return int(x.num_graphs)
    if hasattr(x, "edge_index"):
        raise ShapeError(
            f"x is a single graph, a {type(x).__name__}; expected a torch-geometric Batch, such as "
            "Batch.from_data_list([graph])."
        )
    held = trees.tensors(x)
    if not held:
        raise ShapeError(
            f"x is a {type(x).__name__} without a tensor; expected torch tensors, or for problems "
            "one by one a solver's solve_many."
        )
    if not all(tensor.ndim for tensor in held):
        raise ShapeError(
            "x holds a single number; expected tensors that lead with the number of problems, such "
            "as x[None]."
        )
    leading = {tensor.shape[0] for tensor in held}
    if len(leading) != 1:
        raise ShapeError(
            f"x leads with {sorted(leading)}; expected tensors that all lead with the number of "
            "problems (give `owner` where answers are ragged)."
        )
    return leading.pop()


@attrs.frozen(eq=False, init=False)
class Problem:
    """A batch of B problems, perhaps of none.

    Args:
        x: the questions: a tensor or tree of tensors that lead with problems `(B, ...)` (or, where
            answers are ragged, with answer rows), or a torch-geometric `Batch`.
        answer: the space of the answers, or None where it is not known.
        owner: `(rows,)` the problem that each answer row belongs to, ascending from 0; None where
            each problem's answer is one row. Read from x where that is a torch-geometric batch
            (see `graphs.owner`). Kept as the attribute `layout`.
        verify: says of these problems, and of answers y, which answers hold, `(B,)`; None where
            that cannot be said without the right ones. `Task.sample` sets it for tasks that can.
        nearest: says which right answer is nearest to y, where there are several (`Task.nearest`);
            likewise.

    Raises:
        ShapeError: x leads with no common number of problems, `owner` leaves a gap, or a graph has
            no edge.
    """

    x: Any
    answer: Space | None
    layout: Layout = attrs.field(alias="owner")
    verify: Callable[[Problem, Tensor], Bool[Tensor, " problems"]] | None = None
    nearest: Callable[[Problem, Tensor], Tensor] | None = None

    def __init__(
        self,
        x: Any,
        answer: Space | None = None,
        owner: Tensor | Layout | None = None,
        *,
        verify: Callable[[Problem, Tensor], Bool[Tensor, " problems"]] | None = None,
        nearest: Callable[[Problem, Tensor], Tensor] | None = None,
    ) -> None:
        if owner is None and graphs.is_batch(x) and (answer is None or answer.ragged):
            owner = graphs.owner(x)
        if owner is None:
            layout = Layout(_count_problems(x))
        else:
            layout = owner if isinstance(owner, Layout) else Layout.of_owner(owner)
        self.__attrs_init__(x, answer, layout, verify, nearest)

    def verified(self, y: Tensor) -> Bool[Tensor, " problems"] | None:
        """Say which answers hold; None where they cannot be checked."""
        return None if self.verify is None else self.verify(self, y)

    def wanted(self, y: Tensor, target: Tensor) -> Tensor:
        """Return the right answers that candidates are to be compared with, as constants.

        Args:
            y: the candidates.
            target: the right answers that are known, where there is but one.
        """
        if self.nearest is None:
            return target
        with torch.no_grad():
            return self.nearest(self, y.detach())

    @property
    def device(self) -> torch.device:
        """Where the questions live."""
        held = self._tensors
        if held:
            return held[0].device
        return torch.device("cpu") if self.layout.owner is None else self.layout.owner.device

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of the questions, which answers share."""
        kinds = (tensor.dtype for tensor in self._tensors if tensor.is_floating_point())
        return next(kinds, torch.get_default_dtype())

    @property
    def _tensors(self) -> list[Tensor]:
        return trees.tensors(self.x.to_dict() if graphs.is_batch(self.x) else self.x)
