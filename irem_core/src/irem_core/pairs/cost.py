"""A cost that the user can write down: where it is found, and what minimises it."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from irem_core.energies.base import EnergyFn
from irem_core.energies.landscape import Landscape
from irem_core.errors import EnergyError, SettingError
from irem_core.problems.iterate import Iterate
from irem_core.problems.problem import Problem
from irem_core.problems.units import Units
from irem_core.solving.in_units import InStandardUnits
from irem_core.solving.minimization import minimize
from irem_core.solving.settled import Settled
from irem_core.solving.solution import Solution

Cost = str | Landscape | Callable[[Any, Tensor], Tensor]
"""A cost, or where it is: "module:name" of a function (x, y) -> (B,) or an `EnergyFn`."""

# Costs are descended in double precision, and so nearly to its end.
EXACT = Settled(relative=1e-6, absolute=1e-8)


class _Function(EnergyFn):
    """The energy that a function of question and answer is."""

    def __init__(self, function: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def energy(self, context: Any, y: Tensor) -> Float[Tensor, " problems"]:
        return self.function(context, y)


def cost_of(given: Cost) -> Landscape:
    """Return the energy that a cost is.

    Args:
        given: "module:name", a function (x, y) -> (B,), or an `EnergyFn`, its class among them.

    Raises:
        SettingError: there is no such module or name, or it is none of these.
    """
    with _at_home():
        found: Any = _imported(given) if isinstance(given, str) else given
        if isinstance(found, type) and issubclass(found, Landscape):
            found = found()
    if isinstance(found, Landscape):
        return found
    if not callable(found):
        raise SettingError(
            f"The cost {given} is a {type(found).__name__}; expected a function of x and y that "
            "returns one number a question, (B,), or an EnergyFn."
        )
    return _Function(found)


def lasting(cost: Cost, *, kept: bool) -> Cost:
    """Return a cost as runs are to remember it: functions and classes by "module:name".

    Args:
        cost: the cost.
        kept: whether a run is kept, which has to find it again.

    Raises:
        SettingError: a run is kept, and the function has no name that leads to it.
    """
    if isinstance(cost, str | Landscape):
        return cost
    name = f"{getattr(cost, '__module__', '')}:{getattr(cost, '__qualname__', '')}"
    try:
        with _at_home():
            if _imported(name) is cost:
                return name
    except SettingError:
        pass
    if kept:
        raise SettingError(
            f"The cost {name} cannot be found again by its name, so a run of it could not be "
            "loaded; define it at the top of a module, or leave out= away."
        )
    return cost


def _imported(text: str) -> Any:
    module, colon, name = text.partition(":")
    if not (colon and module and name):
        raise SettingError(
            f"The cost {text!r} names no function; expected module:name, such as mycode:cost for "
            "the function cost in mycode.py."
        )
    try:
        found: Any = importlib.import_module(module)
    except ImportError as error:
        raise SettingError(
            f"The cost {text} cannot be had: the module {module!r} cannot be imported ({error}). "
            f"Start from the folder that holds {module.partition('.')[0]}.py, or install the "
            "package that it is in."
        ) from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise SettingError(
                f"The cost {text} cannot be had: {module} holds no {name}. Name a function or an "
                "EnergyFn of that module."
            )
        found = getattr(found, part)
    return found


@contextmanager
def _at_home() -> Iterator[None]:
    """Import from the folder that the user is in, too, and tensors with their numbers.

    Checkpoints are measured on torch's device without numbers before they are loaded.
    """
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        with torch.device("cpu") if torch.get_default_device().type == "meta" else nullcontext():
            yield
    finally:
        sys.path.remove(folder)


def minimized(
    cost: Landscape,
    problem: Problem,
    start: Tensor | Iterate,
    *,
    units: Units | None = None,
    **options: Any,
) -> Solution:
    """Descend a cost in double precision.

    Args:
        cost: of questions and answers in the user's units.
        problem: the questions, with the space of their answers.
        start: where to begin.
        units: standard ones to descend in; the user's if None.
        options: of `minimize`.

    Raises:
        EnergyError: the cost cannot take numbers of double precision.
    """
    start = start if isinstance(start, Iterate) else Iterate(start, problem.layout)
    start = start.map(lambda leaf: leaf.double())
    cost = cost.to(problem.device).double()
    asked = Problem(problem.x.double(), problem.answer, problem.layout)
    try:
        if units is None:
            return minimize(cost, asked, start=start, **options)
        inside = InStandardUnits.of(cost, asked, units)
        way = inside.conversion
        observer = way.observer(options.pop("observer", None))
        begin = way.standard(start, torch.float64)
        found = minimize(inside.energy, inside.problem, start=begin, observer=observer, **options)
        return way.solution(found)
    except RuntimeError as error:
        if "dtype" not in str(error) and "scalar type" not in str(error):
            raise
        raise EnergyError(
            f"The cost cannot take x and y of float64, in which it is minimised ({error}). Make "
            "its own tensors of their type, such as matrix.to(y)."
        ) from error
