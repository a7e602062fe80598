"""Energies by programs that torch's compiler makes of them.

What `differentiate` does for a descent, an energy and its gradient, is written down once as tensor
operations, the derivative included, and compiled: work entry by entry is then fused, and on graphs
that is most of it. A program serves any number of problems. Where a graph to the weights is asked
for, as in the last step of training, autograd takes over.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from torch import Tensor, fx
from torch._dispatch.python import enable_python_dispatcher
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from irem_core import trees
from irem_core.energy import Evaluation, Landscape, by_autograd
from irem_core.errors import CompileError, IremError
from irem_core.iterate import Iterate
from irem_core.layout import Layout
from irem_core.tracing import filled, first_line, of_any_length, weights_of, with_weights

# Programs of one energy, each of which takes seconds to make; further shapes do without.
_MOST = 16

Program = Callable[..., tuple[Tensor, ...]]


class Programs:
    """The compiled evaluations of one energy, made as they are needed.

    There is one for each shape of question and answer, whatever the number of problems.

    Args:
        options: of `torch.compile`.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Begin without any."""
        self._options = dict(options)
        self._made: dict[Hashable, Program] = {}

    def __reduce__(self) -> tuple[type[Programs], tuple[dict[str, Any]]]:
        """Copy and pickle without the programs, since a copy of the energy makes its own."""
        return Programs, (self._options,)

    def __len__(self) -> int:
        """Return how many were made."""
        return len(self._made)

    def evaluate(
        self, landscape: Landscape, context: Any, iterate: Iterate, *, gradient: bool
    ) -> Evaluation | None:
        """Evaluate an energy as `differentiate` does, without a graph.

        Args:
            landscape: the energy, the same at every call.
            context: what its `encode` returned.
            iterate: where to evaluate.
            gradient: whether to compute the gradient.

        Returns:
            The evaluation, or None where there is no program: for one problem alone, for a ragged
            batch of problems with one row each, for contexts that hold torch-geometric batches, and
            for further shapes once there are 16 programs.

        Raises:
            CompileError: torch cannot compile the energy.
            ShapeError: the energy is not `(B,)`.
            EnergyError: the energy does not depend on y, or not on z where there is one.
        """
        layout = iterate.layout
        # A compiler takes sizes of 1, and equal ones, to be so for ever.
        if layout.count < 2 or (layout.owner is not None and layout.rows == layout.count):
            return None
        form = _form(context)
        if form is None:
            return None
        key = (gradient, landscape.training, form, _form(iterate))
        with torch.no_grad():
            weights = weights_of(landscape).values()
            given = [*weights, *_values(context, iterate)]
            program = self._made.get(key)
            if program is not None:
                found = program(*given)
            elif len(self._made) < _MOST:
                with _compiling(landscape):
                    traced = _traced(landscape, context, iterate, gradient)
                    program = torch.compile(traced, **self._options)
                    for each in given[len(weights) :]:
                        torch._dynamo.mark_dynamic(each, 0)
                    found = program(*given)
                self._made[key] = program
            else:
                return None
        slopes = None if not gradient else Iterate(found[1], layout, *found[2:])
        return Evaluation(iterate.detach(), found[0], slopes)


def _values(context: Any, iterate: Iterate) -> list[Tensor]:
    """List what a program is given besides weights, the layout at the end."""
    layout = iterate.layout
    # How many problems there are is read off a tensor, since a program takes nothing else.
    problems = iterate.y.new_empty(layout.count)
    owner = [] if layout.owner is None else [layout.owner]
    return [each.contiguous() for each in (*trees.tensors((context, iterate)), *owner, problems)]


def _form(tree: Any) -> tuple[Any, ...] | None:
    """Return what programs are told apart by: all of a tree but what tensors and layouts hold.

    None if it holds what a program cannot be given, such as torch-geometric batches.
    """
    found: list[Any] = [type(tree)]
    for leaf in trees.leaves(tree):
        if isinstance(leaf, Tensor):
            found.append((leaf.shape[1:], leaf.dtype, leaf.device))
        elif isinstance(leaf, Layout):
            found.append(leaf.owner is None)
        elif leaf is None or isinstance(leaf, (int, float, str)):
            found.append(leaf)
        else:
            return None
    return tuple(found)


def _stand_ins(context: Any, iterate: Iterate) -> list[Tensor]:
    """Return tensors like those of `_values`, of lengths that no other dimension has."""
    layout, values = iterate.layout, _values(context, iterate)
    taken = {size for each in values for size in each.shape[1:]}
    problems, rows = islice((size for size in range(32, 1 << 20) if size not in taken), 2)
    return [
        each.new_empty(rows if trees.leads_with_rows(each, layout) else problems, *each.shape[1:])
        for each in values
    ]


@contextmanager
def _compiling(landscape: Landscape) -> Iterator[None]:
    """Say in our own words that compiling failed.

    Raises:
        CompileError: whatever torch raised.
    """
    try:
        with warnings.catch_warnings():
            # torch warns of what it does not fuse, which nobody here can change.
            warnings.simplefilter("ignore", UserWarning)
            yield
    except IremError:
        raise
    # Tracing and compiling raise whatever torch or the energy do where a value is missing.
    except Exception as error:
        raise CompileError(
            f"{type(landscape).__name__} cannot be compiled here ({first_line(error)}); what an "
            "energy does must not depend on the values of tensors, and torch needs a C++ compiler. "
            "Leave compiling out otherwise."
        ) from error


def _traced(landscape: Landscape, context: Any, iterate: Iterate, gradient: bool) -> fx.GraphModule:
    """Write down an evaluation as tensor operations, for any number of problems.

    Raises:
        CompileError: it is not the same for any number.
    """
    weights = weights_of(landscape)
    layout, tree = iterate.layout, (context, iterate)

    def evaluated(*given: Tensor) -> tuple[Tensor, ...]:
        named = dict(zip(weights, given, strict=False))
        *values, problems = given[len(weights) :]
        owner = values.pop() if layout.owner is not None else None
        at = filled(tree, values, Layout(problems.shape[0], owner))
        found = with_weights(
            landscape, named, lambda: by_autograd(landscape, *at, gradient=gradient)
        )
        return tuple(trees.tensors((found.energy, found.gradient)))

    shapes = ShapeEnv()
    fake = FakeTensorMode(shape_env=shapes)
    given: list[Tensor] = [
        fake.from_tensor(each.detach(), static_shapes=True) for each in weights.values()
    ]
    given += [of_any_length(fake, each) for each in _stand_ins(context, iterate)]
    with enable_python_dispatcher():
        traced = make_fx(evaluated, tracing_mode="fake")(*given)
    if any(each.is_number for each in shapes.replacements.values()):
        raise CompileError(
            f"{type(landscape).__name__} cannot be compiled, since it takes the number of problems "
            "for a fixed one, as len(y) and int(y.shape[0]) do; use y.shape[0] as it is, or leave "
            "compiling out."
        )
    return traced
