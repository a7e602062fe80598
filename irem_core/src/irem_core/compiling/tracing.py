"""The whole of a descent as one program of tensor operations, with no gradient left to take.

`minimize` differentiates an energy at every step. Here its two pieces, what comes before the first
step and one step, run once on tensors without values whose number of problems is a symbol, and what
they do is written down, the derivative included. The loop around them stays a loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from jaxtyping import Shaped
from torch import Tensor, fx, nn
from torch._decomp import core_aten_decompositions
from torch._dispatch.python import enable_python_dispatcher
from torch._subclasses import FakeTensorMode
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext

from irem_core.descent.base import Descent
from irem_core.energies.landscape import Evaluation, Landscape, encoded
from irem_core.errors import ExportError, IremError
from irem_core.problems import trees
from irem_core.problems.graphs import Column
from irem_core.problems.iterate import Iterate
from irem_core.problems.layout import Layout
from irem_core.problems.problem import Problem
from irem_core.problems.space import Space
from irem_core.solving.descending import Descending, Found, advance, begin, solving
from irem_core.solving.halting import HaltingCriterion
from irem_core.solving.outcome import Outcome

Result = TypeVar("Result")

# Where the loop's tensors have the outcomes, the steps, the answers and their energies.
_OUTCOME, _STEPS, _ANSWER, _ENERGY = range(4)


class Program(nn.Module):
    """Descends from given starts, as `minimize` does but that halted problems stay in the batch.

    Args:
        weights: what the energy has learned.
        begin: takes weights, x and start, and returns the context, then what a step changes.
        step: takes weights, context and what a step changes, and returns the last anew.
        constants: how many tensors the context has.
        max_steps: the most steps any problem takes.
    """

    def __init__(
        self,
        weights: Sequence[Tensor],
        begin: fx.GraphModule,
        step: fx.GraphModule,
        *,
        constants: int,
        max_steps: int,
    ) -> None:
        """Keep the weights as buffers, so that they are written with the program."""
        super().__init__()
        for index, weight in enumerate(weights):
            self.register_buffer(f"weight_{index}", weight)
        self.begin = begin
        self.step = step
        self.constants = constants
        self.max_steps = max_steps

    def forward(
        self, x: Shaped[Tensor, "problems ..."], start: Shaped[Tensor, "problems ..."]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the answers, their energies, the steps taken and the outcomes."""
        # Its own: the pieces may hold constants, such as bounds.
        weights = tuple(self.buffers(recurse=False))
        held = self.begin(*weights, x, start)
        context, changing = held[: self.constants], held[self.constants :]
        count = len(changing)

        def goes_on(taken: Tensor, *given: Tensor) -> Tensor:
            return (taken < self.max_steps) & (given[_OUTCOME] == int(Outcome.RUNNING)).any()

        def advanced(taken: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
            return (taken + 1, *self.step(*given[count:], *given[:count]))

        # Copied for the same reason as in tracing: a loop changes each tensor for itself.
        first = tuple(each.clone() for each in changing)
        carried = (torch.zeros((), dtype=torch.int64, device=x.device), *first)
        # The operator itself: torch's function around it compiles the loop before it is written
        # down, which takes several times as long as all else.
        loop = torch.ops.higher_order.while_loop
        _, *last = loop(goes_on, advanced, carried, (*weights, *context))
        outcome = last[_OUTCOME]
        spent = outcome == int(Outcome.RUNNING)
        outcome = torch.where(spent, int(Outcome.BUDGET_SPENT), outcome)
        return last[_ANSWER], last[_ENERGY], last[_STEPS], outcome


class _Call(nn.Module):
    """Calls a function, so that `functional_call` can give the energy other weights meanwhile."""

    def __init__(self, energy: Landscape) -> None:
        super().__init__()
        self.energy = energy

    def forward(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)


def weights_of(energy: Landscape) -> dict[str, Tensor]:
    """Return the parameters and buffers of an energy, by name."""
    return dict([*energy.named_parameters(), *energy.named_buffers()])


def with_weights(
    energy: Landscape, weights: Mapping[str, Tensor], function: Callable[[], Result]
) -> Result:
    """Call a function while an energy has other weights."""
    named = {f"energy.{name}": each for name, each in weights.items()}
    found: Result = functional_call(_Call(energy), named, (function,))
    return found


class Tracer:
    """Writes down what descending an energy does.

    Args:
        energy: without a scratchpad, of dense answers and questions that are tensors.
        space: of the answers.
        descent: how to step.
        halting: when a problem has arrived.
    """

    def __init__(
        self, energy: Landscape, space: Space, descent: Descent, halting: HaltingCriterion
    ) -> None:
        """Take the parts over."""
        self._energy = energy
        self._space = space
        self._descent = descent
        self._halting = halting
        self._weights = weights_of(energy)
        # Trees around the tensors of the context and of what a step changes, once that is known.
        self._context: Any = None
        self._changing: Any = None

    def program(
        self, x: Tensor, start: Tensor, *, max_steps: int, decomposed: bool = False
    ) -> Program:
        """Trace the beginning and one step.

        Args:
            x: `(B, ...)` questions, of which only shape and type matter.
            start: `(B, ...)` candidates, likewise.
            max_steps: the most steps any problem takes.
            decomposed: write derivatives in the core operators alone, which are more and slower
                but known elsewhere than in torch.

        Raises:
            ExportError: they do something that depends on the values of tensors.
        """
        weights = [each.detach() for each in self._weights.values()]
        fake = FakeTensorMode(shape_env=ShapeEnv())
        given: list[Tensor] = [fake.from_tensor(each, static_shapes=True) for each in weights]
        given += [of_any_length(fake, each) for each in (x, start)]
        table = core_aten_decompositions() if decomposed else {}
        options: dict[str, Any] = {"tracing_mode": "fake", "decomposition_table": table}
        try:
            # By the Python dispatcher, since some of torch's shape rules take symbols only there.
            with _by_autograd(self._energy), solving(), enable_python_dispatcher():
                first = make_fx(self._begin, **options)(*given)
                # Copied, since tracing takes a tensor that is given twice for one input: the start
                # is the first iterate and the best so far.
                held = [each.clone() for each in _outputs(first)]
                second = make_fx(self._step, **options)(*given[: len(weights)], *held)
        except IremError:
            raise
        # Tracing raises whatever the parts or torch do where a value is missing.
        except Exception as error:
            names = ", ".join(type(part).__name__ for part in (self._energy, self._descent))
            raise ExportError(
                f"{names} and {type(self._halting).__name__} cannot be exported: what they do must "
                "not depend on the values of tensors, as the trials of a line search do "
                f"({first_line(error)}). Choose another descent or halting rule, such as "
                "gradient and energy_plateau."
            ) from error
        constants = len(trees.tensors(self._context))
        return Program(weights, first, second, constants=constants, max_steps=max_steps)

    def _begin(self, *given: Tensor) -> tuple[Tensor, ...]:
        *weights, x, start = given
        problem = Problem(x, self._space, Layout(x.shape[0]))

        def started() -> Descending:
            context = encoded(self._energy, problem)
            at = Iterate(start, problem.layout)
            return begin(self._energy, problem, context, at, self._descent, self._halting)

        held = self._with(weights, started)
        self._context, self._changing = held.context, _changing(held)
        return (*trees.tensors(self._context), *trees.tensors(self._changing))

    def _step(self, *given: Tensor) -> tuple[Tensor, ...]:
        count, constants = len(self._weights), len(trees.tensors(self._context))
        weights, values = given[:count], given[count:]
        # The outcomes, which lead with problems.
        layout = Layout(values[constants].shape[0])
        context = filled(self._context, values[:constants], layout)
        changing = filled(self._changing, values[constants:], layout)
        held = _held(context, changing)
        parts = (self._energy, self._space, held, self._descent, self._halting)
        # A program is the same for all numbers, so that no rule may look ahead where it needs to.
        held = self._with(weights, lambda: advance(*parts, asking=False))
        return tuple(trees.tensors(_changing(held)))

    def _with(self, weights: Sequence[Tensor], function: Callable[[], Descending]) -> Descending:
        return with_weights(self._energy, dict(zip(self._weights, weights, strict=True)), function)


@contextmanager
def _by_autograd(energy: Landscape) -> Iterator[None]:
    """Have an energy differentiated operation by operation, so that these are written down."""
    programs, energy.programs = energy.programs, None
    try:
        yield
    finally:
        energy.programs = programs


def _changing(held: Descending) -> tuple[Any, ...]:
    """Return what a step changes, the outcomes first, and nothing twice."""
    found = held.found
    states = held.descent_state, held.halting_state
    return (found.outcome, found.steps, found.best, held.current, *states)


def _held(context: Any, changing: tuple[Any, ...]) -> Descending:
    outcome, steps, best, current, descent_state, halting_state = changing
    assert isinstance(best, Evaluation) and isinstance(current, Evaluation)
    return Descending(
        problems=steps,
        context=context,
        current=current,
        # Evaluations and products are not reported, so anything may count them.
        found=Found(best, current.iterate, steps, steps, steps, outcome),
        descent_state=descent_state,
        halting_state=halting_state,
    )


def _outputs(traced: fx.GraphModule) -> list[Tensor]:
    """Return what tracing gave out, without values."""
    (output,) = (node for node in traced.graph.nodes if node.op == "output")
    return [node.meta["val"] for node in output.args[0]]


def filled(tree: Any, values: Sequence[Tensor], layout: Layout) -> Any:
    """Rebuild a tree around other tensors, listed as `trees.columns` does, and another layout."""
    return trees.fill(tree, (Column(each) for each in values), layout)


def of_any_length(fake: FakeTensorMode, tensor: Tensor) -> Tensor:
    """Return a tensor without values, whose number of problems is a symbol."""
    sizes = [DimDynamic.DYNAMIC, *[DimDynamic.STATIC] * (tensor.ndim - 1)]
    return fake.from_tensor(tensor, symbolic_context=StatelessSymbolicContext(sizes))


def first_line(error: Exception) -> str:
    """Return what an error says in its first line, for a sentence of our own."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
