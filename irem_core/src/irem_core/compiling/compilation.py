"""Energies by programs that torch's compiler makes of them.

What `differentiate` does for a descent, an energy and its gradient, is written down once as tensor
operations, the derivative included, and compiled: work entry by entry is then fused, and on graphs
that is most of it. A program serves any number of problems. How a loss on the result depends on
weights and candidates is a program of its own, which computes anew whatever it needs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any

import attrs
import torch
from torch import Tensor, fx
from torch._dispatch.python import enable_python_dispatcher
from torch._ops import OpOverload
from torch._subclasses import FakeTensorMode
from torch.autograd.function import once_differentiable
from torch.autograd.graph import saved_tensors_hooks
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from irem_core.compiling.rewriting import rewrite
from irem_core.compiling.tracing import filled, first_line, of_any_length, weights_of, with_weights
from irem_core.energies.landscape import Evaluation, Landscape, by_autograd
from irem_core.errors import CompileError, IremError
from irem_core.problems import trees
from irem_core.problems.iterate import Iterate
from irem_core.problems.layout import Layout

# Programs of one energy, each of which takes seconds to make; further shapes do without.
_MOST = 16

# Modes of torch's compiler that capture CUDA graphs, and what they are without.
_CAPTURING = {"reduce-overhead": None, "max-autotune": "max-autotune-no-cudagraphs"}

Function = Callable[..., tuple[Tensor | None, ...]]


@attrs.frozen(eq=False)
class _Place:
    """An evaluation of an energy as a function of tensors.

    Args:
        landscape: the energy.
        tree: context and iterate; what their tensors hold does not matter.
        gradient: whether the gradient is computed.
    """

    landscape: Landscape
    tree: tuple[Any, Iterate]
    gradient: bool

    @property
    def layout(self) -> Layout:
        """Whose rows there are."""
        return self.tree[1].layout

    def arguments(self) -> list[Tensor]:
        """List what is given: the weights, the tensors of the tree, and those of the layout."""
        layout, y = self.layout, self.tree[1].y
        # How many problems there are is read off a tensor, since a program takes nothing else.
        shape = [y.new_empty(layout.count)]
        owner = [] if layout.owner is None else [layout.owner]
        given = (*trees.tensors(self.tree), *owner, *shape)
        return [*weights_of(self.landscape).values(), *(each.contiguous() for each in given)]

    def evaluate(self, *given: Tensor) -> tuple[Tensor, ...]:
        """Return the energy and its gradient."""
        return tuple(each.detach() for each in self._evaluated(given, create_graph=False))

    def pull_back(self, wanted: Sequence[bool], *given: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients, in what was given, of energy and gradient along given slopes.

        Args:
            wanted: in which of the arguments; the result has None for the others.
            given: the arguments, then a slope for each result of `evaluate`.
        """
        leaves = [
            each.detach().requires_grad_() if asked else each.detach()
            for each, asked in zip(given, wanted, strict=False)
        ]
        with torch.enable_grad():
            results: Sequence[Tensor] = self._evaluated(leaves, create_graph=True)
        pairs = zip(results, given[len(wanted) :], strict=True)
        attached = [pair for pair in pairs if pair[0].requires_grad]
        asked = [leaf for leaf in leaves if leaf.requires_grad]
        found: Iterator[Tensor | None] = iter(())
        if attached:
            results, slopes = zip(*attached, strict=True)
            found = iter(torch.autograd.grad(results, asked, slopes, allow_unused=True))
        return tuple(next(found, None) if each else None for each in wanted)

    def _evaluated(self, given: Sequence[Tensor], *, create_graph: bool) -> list[Tensor]:
        weights = weights_of(self.landscape)
        named = dict(zip(weights, given, strict=False))
        *values, shape = given[len(weights) :]
        owner = values.pop() if self.layout.owner is not None else None
        at = filled(self.tree, values, Layout(shape.shape[0], owner))

        def evaluated() -> Evaluation:
            return by_autograd(
                self.landscape, *at, gradient=self.gradient, create_graph=create_graph
            )

        found = with_weights(self.landscape, named, evaluated)
        return trees.tensors((found.energy, found.gradient))


@attrs.frozen(eq=False)
class _Program:
    """A compiled function of tensors.

    Args:
        call: the function.
        random: whether it draws numbers, others at every call.
        captured: whether later calls may write to where its results are.
    """

    call: Function
    random: bool
    captured: bool

    def __call__(self, *given: Tensor) -> tuple[Tensor | None, ...]:
        """Return the function's values, without a graph."""
        # A tensor with a graph would have the compiler make another program.
        with torch.no_grad():
            found = self.call(*(each.detach() for each in given))
            if not self.captured:
                return found
            return tuple(None if each is None else each.clone() for each in found)


class Programs:
    """The compiled evaluations of one energy, made as they are needed.

    There is one for each shape of question and answer, whatever the number of problems.

    Args:
        options: of `torch.compile`.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Begin without any."""
        self._options = dict(options)
        # None where a program cannot be made and none is needed.
        self._made: dict[Hashable, _Program | None] = {}

    def __reduce__(self) -> tuple[type[Programs], tuple[dict[str, Any]]]:
        """Copy and pickle without the programs, since a copy of the energy makes its own."""
        return Programs, (self._options,)

    def __len__(self) -> int:
        """Return how many were made."""
        return sum(each is not None for each in self._made.values())

    def evaluate(
        self,
        landscape: Landscape,
        context: Any,
        iterate: Iterate,
        *,
        gradient: bool,
        create_graph: bool = False,
    ) -> Evaluation | None:
        """Evaluate an energy as `differentiate` does.

        Args:
            landscape: the energy, the same at every call.
            context: what its `encode` returned.
            iterate: where to evaluate.
            gradient: whether to compute the gradient.
            create_graph: whether a loss on the result reaches the weights and whatever else is
                attached; its own gradient has no graph.

        Returns:
            The evaluation, or None where there is no program: for one problem alone, for a ragged
            batch of problems with one row each, for contexts that hold torch-geometric batches, for
            further shapes once there are 16 programs, and with a graph for energies that draw
            numbers, since a second evaluation would draw others.

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
        place = _Place(landscape, (context, iterate), gradient)
        given = place.arguments()
        program = self._program(key, place, place.evaluate, given)
        if program is None or (create_graph and program.random):
            return None
        if create_graph:
            with torch.enable_grad():
                found = _Attached.apply(program, partial(self._pull_back, key, place), *given)  # type: ignore[no-untyped-call]
        else:
            iterate, found = iterate.detach(), program(*given)
        energy, *slopes = found
        return Evaluation(
            iterate, energy, Iterate(slopes[0], layout, *slopes[1:]) if slopes else None
        )

    def _pull_back(
        self, key: Hashable, place: _Place, wanted: tuple[bool, ...], *given: Tensor
    ) -> tuple[Tensor | None, ...]:
        function = partial(place.pull_back, wanted)
        try:
            program = self._program((key, wanted), place, function, given)
        except CompileError:
            # Second derivatives of fewer operations can be written down than first ones.
            program = self._made[key, wanted] = None
        return (program or function)(*given)

    def _program(
        self, key: Hashable, place: _Place, function: Function, given: Sequence[Tensor]
    ) -> _Program | None:
        """Return the program of a function of some tensors, made if need be and possible."""
        if key in self._made or len(self._made) >= _MOST:
            return self._made.get(key)
        weights = len(weights_of(place.landscape))
        given = [each.detach() for each in given]
        for each in given[weights:]:
            torch._dynamo.mark_dynamic(each, 0)
        with _compiling(place.landscape), torch.no_grad():
            traced = _traced(place, function, given[:weights], given[weights:])
            # A captured graph is of one size, and sizes change where there are ragged answers, and
            # where problems that have halted are dropped.
            steady = place.landscape.training and place.layout.owner is None
            options = self._options if steady else _without_capture(self._options)
            captured = options != _without_capture(options)
            call = torch.compile(traced, **options)
            # What is compiled is compiled at the first call.
            call(*given)
        made = self._made[key] = _Program(call, _draws(traced), captured)
        return made


class _Attached(torch.autograd.Function):
    """Calls a program, and for the gradient another one."""

    @staticmethod
    def forward(
        ctx: Any, program: _Program, pull_back: Callable[..., Any], *given: Tensor
    ) -> tuple[Tensor | None, ...]:
        """Evaluate, keeping nothing but what was given."""
        ctx.save_for_backward(*given)
        ctx.pull_back = pull_back
        return program(*given)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients in what was given."""
        along = (each.contiguous() for each in slopes)
        return (None, None, *ctx.pull_back(ctx.needs_input_grad[2:], *ctx.saved_tensors, *along))


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


def _stand_ins(values: Sequence[Tensor], layout: Layout) -> list[Tensor]:
    """Return tensors like those given, of lengths that no other dimension has."""
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


def _traced(
    place: _Place, function: Function, weights: Sequence[Tensor], values: Sequence[Tensor]
) -> fx.GraphModule:
    """Write a function down as tensor operations, for any number of problems.

    Raises:
        CompileError: it is not the same for any number.
    """
    shapes = ShapeEnv()
    fake = FakeTensorMode(shape_env=shapes)
    given: list[Tensor] = [fake.from_tensor(each, static_shapes=True) for each in weights]
    given += [of_any_length(fake, each) for each in _stand_ins(values, place.layout)]
    # Checkpointing, if a step is taken within it, is not to make tensors here anew.
    with enable_python_dispatcher(), saved_tensors_hooks(_as_it_is, _as_it_is):
        traced = make_fx(function, tracing_mode="fake")(*given)
    if any(each.is_number for each in shapes.replacements.values()):
        raise CompileError(
            f"{type(place.landscape).__name__} cannot be compiled, since it takes the number of "
            "problems for a fixed one, as len(y) and int(y.shape[0]) do; use y.shape[0] as it is, "
            "or leave compiling out."
        )
    rewrite(traced)
    return traced


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor


def _without_capture(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of `torch.compile` that capture no CUDA graphs, else the same."""
    found, mode, further = dict(options), options.get("mode"), options.get("options")
    if mode in _CAPTURING:
        found["mode"] = _CAPTURING[mode]
    if further and further.get("triton.cudagraphs"):
        found["options"] = {**further, "triton.cudagraphs": False}
    return found


def _draws(traced: fx.GraphModule) -> bool:
    """Say whether a program draws random numbers."""
    targets = (node.target for node in traced.graph.nodes)
    return any(
        torch.Tag.nondeterministic_seeded in target.tags
        for target in targets
        if isinstance(target, OpOverload)
    )
