"""Products with the Hessian of an energy and with the Jacobian of its residuals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import torch
from jaxtyping import Float
from torch import Tensor

from irem_core.energies.landscape import Landscape, by_autograd
from irem_core.energies.precision import products_in_bfloat16, wide
from irem_core.errors import EnergyError, ShapeError
from irem_core.problems.iterate import Iterate
from irem_core.problems.layout import Layout

Product = Callable[[Iterate], Iterate]


def hessian_at(
    landscape: Landscape, context: Any, iterate: Iterate, *, linear: bool = True
) -> Product:
    """Return the products of each problem's Hessian with directions, by a backward pass each.

    Args:
        landscape: the energy, to be differentiated twice.
        context: what its `encode` returned.
        iterate: where.
        linear: whether energies may be linear in y, as those are to autograd that hide from it how
            their gradient is computed.

    Raises:
        EnergyError: the energy is linear, and may not be.
    """
    evaluation = by_autograd(landscape, context, _leaf(iterate), create_graph=True)
    if not linear and not any(each.requires_grad for each in _leaves(evaluation.slope)):
        raise EnergyError(
            f"The gradient of {type(landscape).__name__} cannot be differentiated again, since the "
            "energy is linear in y or hides how it is computed from autograd; use a descent that "
            "needs gradients alone, such as lbfgs."
        )
    return hessian_of(evaluation.iterate, evaluation.slope)


def hessian_of(at: Iterate, slope: Iterate) -> Product:
    """Return the products with the Hessian, given the gradient with its graph.

    Args:
        at: where, leaves of the graph.
        slope: the gradient there.

    Raises:
        EnergyError: from a product, where autograd cannot differentiate the gradient.
    """
    slopes = _leaves(slope)

    def product(direction: Iterate) -> Iterate:
        if not any(each.requires_grad for each in slopes):  # of an energy linear in y
            return direction.map(torch.zeros_like)
        try:
            return _pulled_back(slopes, at, _leaves(direction))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise EnergyError(
                f"The gradient of an energy cannot be differentiated again ({error}); compute the "
                "energy by operations that can, or use a descent that needs gradients alone, such "
                "as lbfgs."
            ) from error

    return product


@attrs.frozen(eq=False)
class Linearized:
    """The residuals at an iterate, and products with their Jacobian J.

    Args:
        residuals: `(B, ...)` or `(rows, ...)`.
        layout: whose they are; rows of it, or else a row for each problem.
    """

    residuals: Tensor
    layout: Layout
    _at: Iterate
    _attached: Tensor
    # J^T times a weight for each residual, as a function of these weights, whose own is J.
    _weights: Tensor
    _pulled: Iterate
    _counted: Callable[[], None]

    def times(self, direction: Iterate) -> Tensor:
        """Return J times a direction of the iterate, in the shape of the residuals."""
        self._counted()
        slopes = [each for each in _leaves(self._pulled) if each.requires_grad]
        along = [
            way
            for way, each in zip(_leaves(direction), _leaves(self._pulled), strict=True)
            if each.requires_grad
        ]
        (found,) = torch.autograd.grad(
            slopes, self._weights, along, retain_graph=True, materialize_grads=True
        )
        return found

    def transposed(self, weights: Tensor) -> Iterate:
        """Return the transpose of J times a weight for each residual."""
        self._counted()
        return _pulled_back([self._attached], self._at, [weights])

    def square(self, values: Tensor) -> Float[Tensor, " problems"]:
        """Add up the squares of values in the shape of the residuals, for each problem."""
        return self.layout.sum(values.square())


def linearized(
    landscape: Landscape,
    context: Any,
    iterate: Iterate,
    counted: Callable[[], None] = lambda: None,
) -> Linearized:
    """Return an energy's residuals, and what multiplies by their Jacobian.

    Args:
        landscape: an energy that is the sum of squares of its residuals.
        context: what its `encode` returned.
        iterate: where.
        counted: called at each product.

    Raises:
        EnergyError: the energy has no residuals, or they do not depend on the answer.
        ShapeError: the residuals are no rows of them, for each problem or answer row.
    """
    at = _leaf(iterate)
    with torch.enable_grad():
        with products_in_bfloat16(at.y.device, landscape.autocasts):
            residuals = landscape.misfits(context, at)
        residuals = _checked(residuals, landscape, at.layout)
        weights = torch.zeros_like(residuals, requires_grad=True)
        pulled = torch.autograd.grad(
            residuals, _leaves(at), weights, create_graph=True, materialize_grads=True
        )
    layout = at.layout if residuals.shape[0] == at.layout.rows else Layout(at.layout.count)
    along = Iterate(pulled[0], at.layout, *pulled[1:])
    return Linearized(residuals.detach(), layout, at, residuals, weights, along, counted)


def _checked(residuals: Tensor | None, landscape: Landscape, layout: Layout) -> Tensor:
    title = type(landscape).__name__
    if residuals is None:
        raise EnergyError(
            f"{title} has no residuals, so levenberg-marquardt cannot descend it; write the method "
            "residuals(context, y), whose squares add up to the energy, or use lbfgs."
        )
    shape = tuple(residuals.shape) if isinstance(residuals, Tensor) else None
    leading = {f"({count}, m)": count for count in (layout.count, layout.rows)}
    if shape is None or len(shape) < 2 or shape[0] not in leading.values() or 0 in shape[1:]:
        given = f"a {type(residuals).__name__}" if shape is None else f"shape {shape}"
        raise ShapeError(
            f"{title} returned residuals of {given} for {layout.count} problems; expected a "
            f"tensor of shape {' or '.join(leading)} with those of each problem or answer row."
        )
    if not residuals.requires_grad:
        raise EnergyError(
            f"The residuals of {title} do not depend on y; compute them from y by differentiable "
            "operations."
        )
    return wide(residuals)


def _leaf(iterate: Iterate) -> Iterate:
    return iterate.map(lambda leaf: leaf.detach().requires_grad_())


def _leaves(iterate: Iterate) -> list[Tensor]:
    return [iterate.y] if iterate.z is None else [iterate.y, iterate.z]


def _pulled_back(values: list[Tensor], at: Iterate, along: list[Tensor]) -> Iterate:
    pairs = [pair for pair in zip(values, along, strict=True) if pair[0].requires_grad]
    attached, ways = zip(*pairs, strict=True)
    found = torch.autograd.grad(
        attached, _leaves(at), ways, retain_graph=True, materialize_grads=True
    )
    return Iterate(found[0], at.layout, *found[1:])
