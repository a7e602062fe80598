"""Recipes: a solver for a task and how to train it, from a preset, as `irem train` chooses them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import attrs

from irem_core.descent import BarzilaiBorwein
from irem_core.energies.landscape import Landscape
from irem_core.errors import UnknownNameError, near_matches
from irem_core.part import Preset, preset_of
from irem_core.registry import (
    ENERGIES,
    SOLVERS,
    Target,
    build,
    built_parts,
    find,
    plain_name,
)
from irem_core.solvers.base import Solver
from irem_core.solvers.irem import IREM
from irem_core.tasks.task import Task

# What is trained where nothing is said, and the settings of an energy that has some.
_DEFAULT = "default"


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
        preset: the name of settings; if None, those of the energy itself, or the first that suits
            it.
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
    posed = kind.posed(task)
    target = Target(posed, seed)
    if energy is None and preset is None and "energy" in inspect.signature(kind).parameters:
        energy = task.preferred
    if energy is not None:
        made = build(ENERGIES, energy, target=target) if isinstance(energy, str) else energy
        settings = {**settings, "energy": made}
    named, chosen = _preset(kind, preset, task, settings.get("energy"))
    if chosen.energy is not None and "energy" not in settings:
        settings = {**settings, "energy": chosen.energy.for_task(posed, seed=seed)}
    settings = {**built_parts(chosen.solver), **settings}
    built = build(SOLVERS, solver, settings=settings, target=target)
    return Recipe(preset=named, solver=task.adapted(built), training=task.training(chosen.training))


def _preset(
    kind: type[Solver], named: str | None, task: Task, energy: Landscape | None
) -> tuple[str | None, Preset]:
    """Return the settings of a name, of an energy itself, or the first that suit it."""
    spaces = (task.question, task.answer)
    if energy is not None and issubclass(kind, IREM) and named in (None, _DEFAULT):
        own = preset_of(energy, *spaces)
        if own is not None:
            return _DEFAULT, own
    made = {name: each(*spaces) for name, each in kind.presets.items()}
    found = named or next((name for name, each in made.items() if each.suits(energy)), None)
    return found, Preset(source="", solver={}, training={}) if found is None else made[found]


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
