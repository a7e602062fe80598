"""Recipes: a solver for a task and how to train it, from a preset, as `irem train` chooses them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import attrs

from irem_core.descent import BarzilaiBorwein
from irem_core.energies.landscape import Landscape
from irem_core.errors import UnknownNameError, near_matches
from irem_core.registry import ENERGIES, SOLVERS, Target, build, find, plain_name
from irem_core.solvers.base import Solver
from irem_core.solvers.irem import IREM
from irem_core.tasks.task import Task


@attrs.frozen(kw_only=True, eq=False)
class Recipe:
    """An untrained solver, and the arguments of `fit` that go with it.

    Args:
        preset: the name of the settings; None where the solver has none.
        solver: what to train.
        training: keyword arguments of `fit`.
    """

    preset: str | None
    solver: Solver
    training: Mapping[str, Any]


def recipe(
    task: Task,
    solver: str = "irem",
    *,
    energy: str | Landscape | None = None,
    preset: str | None = None,
    seed: int = 0,
    **settings: Any,
) -> Recipe:
    """Build the solver that `irem train` builds for a task, with its settings of training.

    `made = recipe(task)` and `fit(made.solver, task, **made.training)` train what this library
    takes for the best: the energy that the task or its answers call for, with settings for it.

    Args:
        task: what to solve.
        solver: its name, or a constructor such as "irem(steps=10)".
        energy: what the solver trains: a name, a constructor such as "mlp(width=256)", or an energy
            that was built for the task; None for the task's or the preset's choice.
        preset: the name of settings; the first that suits the energy if None.
        seed: of the initial weights.
        settings: further constructor arguments of the solver, such as `descent`.

    Raises:
        UnknownNameError: a part or the preset does not exist.
        SettingError: the solver does not take a part, or a setting is out of range.
    """
    name = plain_name(solver)
    kind = find(SOLVERS, name).load()
    if preset is not None and preset not in kind.presets:
        raise UnknownNameError(
            f"The solver {name!r} has no preset {preset!r}. {near_matches(preset, kind.presets)}"
        )
    target = Target(task, seed)
    if energy is None and preset is None and "energy" in inspect.signature(kind).parameters:
        energy = task.preferred
    if energy is not None:
        made = build(ENERGIES, energy, target=target) if isinstance(energy, str) else energy
        settings = {**settings, "energy": made}
    presets = {key: made(task.question, task.answer) for key, made in kind.presets.items()}
    suited = (key for key, each in presets.items() if each.suits(settings.get("energy")))
    named = preset or next(suited, None)
    chosen = None if named is None else presets[named]
    if chosen is not None and chosen.energies and "energy" not in settings:
        settings = {**settings, "energy": chosen.energies[0].for_task(task, seed=seed)}
    built = build(
        SOLVERS, solver, settings={**(chosen.solver if chosen else {}), **settings}, target=target
    )
    adapted = task.adapted(built)
    return Recipe(preset=named, solver=adapted, training=dict(chosen.training if chosen else {}))


def solver_for(task: Task) -> Solver | None:
    """Return what solves a task without training, None where its energy must be learned.

    That is the task's own solver, or the descent of its written energy. Such an energy has no step
    size that it was trained with, so each problem finds its own.
    """
    solver = task.solver()
    if isinstance(solver, Solver):
        return solver
    energy = task.energy()
    return IREM(energy, descent=BarzilaiBorwein()) if isinstance(energy, Landscape) else None
