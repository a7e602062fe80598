"""What is descended: the abstract `Landscape`, and the one function that differentiates it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol, Self, cast

import attrs
import torch
from jaxtyping import Float
from torch import Tensor, nn

from irem_core.energies.precision import products_in_bfloat16
from irem_core.errors import CompileError, EnergyError, SettingError, ShapeError
from irem_core.part import Preset, Recorded, Source
from irem_core.problems import graphs
from irem_core.problems.iterate import Iterate
from irem_core.problems.problem import Problem
from irem_core.problems.questions import as_questions
from irem_core.problems.space import Space, require_finite, uniform
from irem_core.problems.units import Units


@attrs.frozen(eq=False)
class Evaluation:
    """What is known of a batch of iterates: they, their energies and their gradients.

    Args:
        iterate: the candidates.
        energy: `(B,)` their energies.
        gradient: the gradient of each energy in y and z; None where no descent or halting rule
            asked for it.
    """

    iterate: Iterate
    energy: Float[Tensor, " problems"]
    gradient: Iterate | None = None

    @property
    def slope(self) -> Iterate:
        """The gradient, for parts that cannot do without.

        Raises:
            EnergyError: it was not computed.
        """
        if self.gradient is None:
            raise EnergyError(
                "This evaluation holds no gradient, since its descent declares "
                "needs_gradient = False; combine it with a halting rule that needs none."
            )
        return self.gradient

    def detach(self) -> Evaluation:
        """Cut all of it from the autograd graph."""
        gradient = None if self.gradient is None else self.gradient.detach()
        return Evaluation(self.iterate.detach(), self.energy.detach(), gradient)


class Programs(Protocol):
    """What evaluates an energy in place of autograd, operation by operation."""

    def evaluate(
        self,
        landscape: Landscape,
        context: Any,
        iterate: Iterate,
        *,
        gradient: bool,
        create_graph: bool,
    ) -> Evaluation | None:
        """Evaluate as `differentiate` does; None where that is left to autograd."""


class Landscape(Recorded, nn.Module, ABC):
    """What descent and training ask of an energy, with a scratchpad or without.

    Authors derive from `EnergyFn` or `ScratchpadEnergy` instead.
    """

    answer: Space | None = None
    """The space of the answers; `for_task` sets it where the constructor does not."""
    size_free: bool = False
    """Whether the energy takes questions of any height and width, whatever it was built for."""
    scratchpad: int = 0
    """Width of the scratchpad z (Appendix B); 0 where there is none."""
    programs: Programs | None = None
    """What `compile` makes evaluations with; None before."""
    autocasts: bool = False
    """Whether products are in bfloat16 (see `autocast`)."""
    exacting: bool = False
    """Whether the energy says nothing of answers once its products are rounded."""
    calibrated: bool = False
    """Whether 2 E / n is by its making the squared error to expect of an entry, of n entries."""
    trained_within_bounds: bool = False
    """Whether training on pairs knows of bounds, which hide from most how far steps lead beyond."""

    @property
    def units(self) -> Units | None:
        """The standard units that answers are descended in; None for those that they are in."""
        return None

    def problem(self, x: Any) -> Problem:
        """Wrap a bare x as a problem with answers in the energy's space; complete a `Problem`.

        A bare x may be an array or hold numbers of another type (see `Solver.solve`). What has a
        method `problem`, such as `Constraints`, is asked for it, in the type and on the device of
        the weights. The answers of a size-free energy are as large as the questions.

        Raises:
            ShapeError: x has another number of dimensions or channels than the energy takes, or
                holds no numbers.
        """
        weight = next(self.parameters(), None)
        place: dict[str, Any] = {}
        if weight is not None:
            place = {"device": weight.device, "dtype": weight.dtype}
        if hasattr(x, "problem"):
            x = x.problem(**place)
        known = isinstance(x, Problem)
        if not known:
            space = getattr(self, "question", None)
            question = space if isinstance(space, Space) else None
            x = as_questions(x, question, **place)
        if known and (x.answer is not None or self.answer is None):
            return cast(Problem, x)
        asked, answer = x.x if known else x, self.answer
        if answer is not None and self.size_free and isinstance(asked, Tensor):
            answer = answer if answer.ragged else answer.sized(tuple(asked.shape[1:]))
        if known:
            return Problem(asked, answer, x.layout, verify=x.verify, nearest=x.nearest)
        return Problem(asked, answer)

    def encode(self, problem: Problem) -> Any:
        """Compute whatever does not depend on y, once per solve.

        Returns:
            The context: a tree of tensors that lead with problems, or with answer rows where
            answers are ragged. By default x itself.
        """
        return problem.x

    @abstractmethod
    def value(self, context: Any, iterate: Iterate) -> Float[Tensor, " problems"]:
        """Return the energy of each problem's iterate."""

    def misfits(self, context: Any, iterate: Iterate) -> Tensor | None:
        """Return residuals whose squares add up to the energy; None where there are none.

        Like y they lead with problems, or with answer rows where answers are ragged.
        """
        return None

    def proposals(self, problem: Problem) -> Float[Tensor, "members problems entries"] | None:
        """Return answers that the energy proposes before any descent; None where it has none.

        The objective `regression` trains by them.
        """
        return None

    def level_of(self, problem: Problem) -> Float[Tensor, " problems"] | None:
        """Return what is subtracted from all energies of a problem; None where nothing is.

        It moves no minimum. The objective `grounded` trains it.
        """
        return None

    def calibrate(self, problem: Problem, target: Tensor) -> None:
        """Set what answers of training would flatter, once it is over; by default nothing.

        Args:
            problem: questions that training did not see.
            target: their answers.
        """

    def start(self, problem: Problem, generator: torch.Generator) -> Iterate:
        """Draw a start from U(-1, 1) in the problem's answer space (Algorithms 1 and 2).

        Raises:
            ShapeError: the problem's answer space is not known.
        """
        if problem.answer is None:
            raise ShapeError(
                "No answer space is known, so no start can be drawn; pass start=, or build the "
                "energy with for_task, or give the Problem its answer space."
            )
        y = problem.answer.start(
            problem.layout, generator, device=problem.device, dtype=problem.dtype
        )
        return self.with_scratchpad(Iterate(y, problem.layout), generator)

    def first_start(self, problem: Problem, generator: torch.Generator) -> Iterate:
        """Draw where solving begins: like any start, unless an energy knows of a better place.

        Training and restarts begin at `start`.

        Raises:
            ShapeError: the problem's answer space is not known.
        """
        return self.start(problem, generator)

    def with_scratchpad(self, iterate: Iterate, generator: torch.Generator) -> Iterate:
        """Give an iterate without z one from U(-1, 1) (Algorithm 3); none without a scratchpad."""
        if not self.scratchpad:
            return iterate
        y, shape = iterate.y, (iterate.layout.count, self.scratchpad)
        return Iterate(y, iterate.layout, uniform(shape, generator, y.device, y.dtype))

    def forward(self, x: Any, y: Tensor) -> Float[Tensor, " problems"]:
        """Return E(x, y) for a batch of questions and candidates; a scratchpad is then zero.

        Args:
            x: questions, or a `Problem`.
            y: candidates.

        Raises:
            ShapeError: the energy returned something other than `(B,)`.
        """
        problem = self.problem(x)
        return valued(self, encoded(self, problem), Iterate(y, problem.layout))

    def compile(self, **options: Any) -> None:
        """Refuse, since only an `Energy` can be compiled.

        Raises:
            CompileError: always.
        """
        raise CompileError(
            f"{type(self).__name__} cannot be compiled, since it derives from Landscape itself; "
            "derive it from EnergyFn or ScratchpadEnergy."
        )

    def autocast(self, wanted: bool = True) -> None:
        """Have layers multiply in bfloat16 wherever the energy is descended or trained.

        Weights, candidates, gradients and energies stay in float32, sums of energies included if
        the energy sums what is `precision.wide`. It takes less time where processors have units for
        bfloat16, and rounds what layers find to 3 digits, so answers are no more exact than that.

        Args:
            wanted: False to multiply in the precision of the weights again.

        Raises:
            SettingError: the energy says nothing of answers then.
        """
        if wanted and self.exacting:
            raise SettingError(
                f"{type(self).__name__} tells answers apart by digits that bfloat16 does not have; "
                "leave autocast out."
            )
        self.autocasts = wanted

    @classmethod
    def preset(cls, question: Space, answer: Space) -> Preset | None:
        """Return the settings that suit the energy, which `irem train` takes unless told otherwise.

        By default there are none, and the solver has some for any energy. Where they depend on no
        space a class attribute will do: `preset = Preset(...)`.

        Args:
            question: the space of the questions to train on.
            answer: the space of their answers.
        """
        return None

    @classmethod
    def for_task(cls, task: Source, *, seed: int = 0, **settings: Any) -> Self:
        """Build the energy for a task (see `Recorded.for_task`) and note the answer space."""
        energy = super().for_task(task, seed=seed, **settings)
        if energy.answer is None:
            energy.answer = task.answer
        return energy


def checked(energy: Any, count: int, landscape: nn.Module) -> Float[Tensor, " problems"]:
    """Return an energy's result if it is one real number per problem.

    Raises:
        ShapeError: it is anything else.
    """
    if not isinstance(energy, Tensor) or energy.shape != (count,):
        got = tuple(energy.shape) if isinstance(energy, Tensor) else type(energy).__name__
        raise ShapeError(
            f"{type(landscape).__name__} returned {got} as energies of {count} problems; "
            f"expected a tensor of shape ({count},), one energy a problem."
        )
    if energy.is_complex():
        raise ShapeError(
            f"{type(landscape).__name__} returned energies of {energy.dtype}, of which none is "
            "lower than another; return real numbers, such as their absolute value."
        )
    return energy


def encoded(landscape: Landscape, problem: Problem) -> Any:
    """Return the context of a problem, as `encode` and the energy's precision have it."""
    with products_in_bfloat16(problem.device, landscape.autocasts):
        return landscape.encode(problem)


def valued(landscape: Landscape, context: Any, iterate: Iterate) -> Float[Tensor, " problems"]:
    """Return the energies in the precision of the candidates, which descent compares them in."""
    with products_in_bfloat16(iterate.y.device, landscape.autocasts):
        energy = landscape.value(context, iterate)
    found = checked(energy, iterate.layout.count, landscape)
    return found.to(torch.promote_types(iterate.y.dtype, torch.float32))


def differentiate(
    landscape: Landscape,
    context: Any,
    iterate: Iterate,
    *,
    gradient: bool = True,
    create_graph: bool = False,
) -> Evaluation:
    """Evaluate an energy and its gradient in y and z, the direction of Eq. 3 and Eq. 9.

    Args:
        landscape: the energy.
        context: what its `encode` returned.
        iterate: where to evaluate.
        gradient: whether to compute the gradient at all.
        create_graph: keep the graph, so that a loss on a later iterate reaches the weights. Then
            the iterate must be attached or a leaf of its own; otherwise the result is detached.

    Raises:
        ShapeError: the energy is not `(B,)`.
        EnergyError: the energy does not depend on y, or not on z where there is one.
    """
    if landscape.programs is not None:
        found = landscape.programs.evaluate(
            landscape, context, iterate, gradient=gradient, create_graph=create_graph
        )
        if found is not None:
            return found
    return by_autograd(landscape, context, iterate, gradient=gradient, create_graph=create_graph)


def by_autograd(
    landscape: Landscape,
    context: Any,
    iterate: Iterate,
    *,
    gradient: bool = True,
    create_graph: bool = False,
) -> Evaluation:
    """Evaluate as `differentiate` does, operation by operation."""
    if not gradient:
        with torch.set_grad_enabled(create_graph):
            return Evaluation(iterate, valued(landscape, context, iterate))
    at = iterate if create_graph else iterate.detach()
    at = at.map(lambda leaf: leaf if leaf.requires_grad else leaf.detach().requires_grad_())
    leaves = [at.y] if at.z is None else [at.y, at.z]
    with torch.enable_grad():
        energy = valued(landscape, context, at)
        slopes: tuple[Tensor | None, ...] = (None,) * len(leaves)
        if energy.requires_grad:
            slopes = torch.autograd.grad(
                energy.sum(), leaves, create_graph=create_graph, allow_unused=True
            )
    found = dict(zip("yz", slopes, strict=False))
    for name, slope in found.items():
        if slope is None:
            raise EnergyError(
                f"{type(landscape).__name__} does not depend on {name}, so there is nothing to "
                f"descend; compute the energy from {name} by differentiable operations."
            )
    uphill = Iterate(cast(Tensor, found["y"]), iterate.layout, found.get("z"))
    if create_graph:
        return Evaluation(at, energy, uphill)
    return Evaluation(iterate.detach(), energy.detach(), uphill)


def check_problem(landscape: Landscape, problem: Problem) -> None:
    """Check the questions of a batch before any work is spent on them.

    Raises:
        ShapeError: x does not have the shape of the question space that the energy was built for,
            or its type or device is not that of the energy's weights.
        NonFiniteError: x holds NaN or infinity.
    """
    question = getattr(landscape, "question", None)
    if isinstance(question, Space) and not question.ragged:
        if landscape.size_free and isinstance(problem.x, Tensor):
            question = question.sized(tuple(problem.x.shape[1:]))
        question.check("x", problem.x, problem.layout.count)
    elif isinstance(problem.x, Tensor) and problem.x.is_floating_point():
        require_finite("x", problem.x)
    elif graphs.is_batch(problem.x):
        for name, column in graphs.take_apart(problem.x).items():
            require_finite(f"x's {name}", column.values)
    weight = next(landscape.parameters(), None)
    if weight is not None and isinstance(problem.x, Tensor):
        given, wanted = (problem.x.dtype, problem.x.device), (weight.dtype, weight.device)
        if problem.x.is_floating_point() and given != wanted:
            raise ShapeError(
                f"x is {given[0]} on {given[1]} and the weights of {type(landscape).__name__} are "
                f"{wanted[0]} on {wanted[1]}; convert one of them with .to(...)."
            )
