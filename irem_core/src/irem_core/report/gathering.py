"""What a report says of a run: read from its folder, or measured where nothing is kept."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import torch

from irem_core import checks
from irem_core.descent.base import Descent
from irem_core.errors import SettingError
from irem_core.evaluation.curve import Curve, compute_curve
from irem_core.evaluation.evaluation import evaluate, takes
from irem_core.evaluation.scores import Scores
from irem_core.problems.factored import FactorSpace
from irem_core.report.stepping import Followed, follow
from irem_core.runs.checkpoint import load_run
from irem_core.runs.run_folder import EVALUATION, flat, read_metrics
from irem_core.solvers.base import Solver, budget
from irem_core.solving.halting import HaltingCriterion
from irem_core.tasks.elsewhere import with_data
from irem_core.tasks.floors import Floor
from irem_core.tasks.task import Task

Points = list[tuple[float, float]]

# Of the curve: few, since all of them are solved from every start.
_STARTS, _CURVE_PROBLEMS = 8, 50


@attrs.frozen(kw_only=True)
class Measuring:
    """What is solved for a report.

    Args:
        problems: of each difficulty, at least 1; None for 200, and then an evaluation that a run
            keeps is taken over rather than done again.
        difficulties: which; None for those that the task names, but for that of training.
        max_steps: the most steps of any problem; the solver's own if None.
        descent: how to step; the solver's own if None.
        halting: when a problem has arrived; the rule of the solver if None.
        seed: of problems and starts.
        device: where to solve.
        data: a folder for tasks that read their problems from one.
    """

    problems: int | None = attrs.field(
        default=None, validator=attrs.validators.optional(checks.count)
    )
    difficulties: Sequence[str] | None = None
    max_steps: int | None = attrs.field(
        default=None, validator=attrs.validators.optional(checks.count_or_zero)
    )
    descent: Descent | None = None
    halting: HaltingCriterion | None = None
    seed: int = attrs.field(default=1, validator=checks.count_or_zero)
    device: torch.device | str = "cpu"
    data: Path | None = None

    @property
    def as_kept(self) -> bool:
        """Whether what is asked for is what `irem train` keeps at the end of a training."""
        return attrs.evolve(self, difficulties=None, device="cpu") == Measuring()


@attrs.frozen(kw_only=True, eq=False)
class Difficulty:
    """How a run does on one difficulty.

    Args:
        name: which.
        kept: whether errors are those that the run keeps, rather than measured for the report.
        problems: on how many they were measured.
        mse: mean squared error of lowest-energy answers, of problems that halt by themselves.
        relative: that over the error of the best constant answer to the same problems; None where
            that one is right, or the run keeps no such figure.
        mse_by_step: the error after each step; halted problems count with their last iterates.
        floor: what an answer without reasoning scores.
        measured: scores of problems solved for the report.
        curve: what more steps and starts buy; None where answers can neither be checked nor are of
            factors, or where no energy chooses among starts.
        solve: one problem, step by step.
    """

    name: str
    kept: bool
    problems: int
    mse: float
    relative: float | None
    mse_by_step: Points
    floor: Floor
    measured: Scores
    curve: Curve | None
    solve: Followed


@attrs.frozen(kw_only=True, eq=False)
class Run:
    """A run as a report sees it.

    Args:
        name: by which the report calls it, unlike that of any other of its runs.
        path: where it is.
        task: the name of its task, and likewise of its parts.
        parameters: how many weights it has.
        iterations: updates done; None where the run does not say, and likewise below.
        losses: mean training losses by iteration.
        evaluations: errors on the way by iteration, for each difficulty.
        difficulties: what was measured.
        settings: of all parts and of training, by their names.
        versions: of what it was trained with.
    """

    name: str
    path: Path
    task: str
    solver: str
    energy: str | None
    parameters: int
    iterations: int | None
    seconds: float | None
    losses: Points
    evaluations: dict[str, Points]
    difficulties: list[Difficulty]
    settings: dict[str, Any]
    versions: dict[str, str]


def gather(
    paths: Sequence[Path],
    measuring: Measuring,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> list[Run]:
    """Read and measure runs.

    Args:
        paths: folders of runs, or model files.
        measuring: what to solve.
        progress: told how many runs are done, and how many there are.

    Raises:
        SettingError: there is none.
        CheckpointError: a run cannot be read.
        UnknownNameError: a difficulty or a plug-in of a run is not known.
    """
    if not paths:
        raise SettingError("A report was asked for without a run; give the folder of one or more.")
    runs: list[Run] = []
    for path, name in zip(paths, distinct(paths), strict=True):
        if progress is not None:
            progress(len(runs), len(paths))
        runs.append(_run(path, name, measuring))
    return runs


def distinct(paths: Sequence[Path]) -> list[str]:
    """Name paths by as few of their last parts as tell them apart, or by number in the end."""
    parts = [path.absolute().parts for path in paths]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-length:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{name} ({number})" for number, name in enumerate(names, 1)]


def _run(path: Path, name: str, measuring: Measuring) -> Run:
    solver, task, metadata = load_run(path, device=measuring.device)
    if measuring.data is not None:
        task = with_data(task, measuring.data)
    described, training = _mapping(metadata, "solver"), _mapping(metadata, "training")
    records = read_metrics(path)
    kept = kept_scores(path, training.get("iteration")) if measuring.as_kept else {}
    wanted = measuring.difficulties or [
        each for each in task.difficulties if each != "train" and takes(solver, task, each)
    ]
    energy = _mapping(_mapping(described, "settings"), "energy").get("part")
    return Run(
        name=name,
        path=path,
        task=_called(metadata.get("task")) or type(task).__name__,
        solver=_called(described) or type(solver).__name__,
        energy=_called(energy),
        parameters=sum(each.numel() for each in solver.parameters()),
        iterations=_number(training.get("iteration"), int),
        seconds=_number(training.get("seconds"), float),
        losses=_points((each["iteration"], each.get("loss")) for each in records),
        evaluations=_evaluations(records),
        difficulties=[_difficulty(solver, task, each, measuring, kept) for each in wanted],
        settings={
            "task": _called(metadata.get("task")),
            **{f"task.{key}": each for key, each in _settings(metadata.get("task")).items()},
            "solver": _called(described),
            **_settings(described),
            **{f"training.{key}": each for key, each in flat(training).items()},
        },
        versions={key: str(each) for key, each in _mapping(metadata, "versions").items()},
    )


def kept_scores(path: Path, iteration: Any) -> dict[str, Mapping[str, Any]]:
    """Read the evaluation that a run keeps, by difficulty, where it is of the model as it is now.

    What is missing, damaged, of another iteration or of the published protocol, as runs of before
    kept it, is left out and measured anew.
    """
    try:
        record = json.loads((path / EVALUATION).read_text(encoding="utf-8"))
        if record["iterations"] != iteration:
            return {}
        scores = dict(record["evaluation"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return {name: each for name, each in scores.items() if _whole(each)}


def _whole(scores: Any) -> bool:
    if not isinstance(scores, Mapping):
        return False
    numbers = (scores.get("problems"), scores.get("mse"))
    by_step = scores.get("mse_by_step")
    return (
        scores.get("protocol") == "solve"
        and all(_number(each, float) is not None for each in numbers)
        and isinstance(by_step, Mapping)
        and all(step.isdecimal() and len(step) < 9 for step in by_step)
    )


def _difficulty(
    solver: Solver,
    task: Task,
    name: str,
    measuring: Measuring,
    kept: Mapping[str, Mapping[str, Any]],
) -> Difficulty:
    problems, seed = measuring.problems or 200, measuring.seed
    options: dict[str, Any] = {"max_steps": measuring.max_steps, "descent": measuring.descent}
    options |= {"halting": measuring.halting, "seed": seed}
    measured = evaluate(solver, task, difficulty=name, problems=problems, **options)
    scores = kept.get(name) or measured.to_dict()
    curve = None
    if measured.energies is not None and (
        "solved" in measured.measures or isinstance(task.question, FactorSpace)
    ):
        # Every problem takes all steps once: a long budget would make the report take long.
        most = min(budget(solver, task), task.max_steps)
        few = options if measuring.max_steps is not None else options | {"max_steps": most}
        few = few | {"problems": min(problems, _CURVE_PROBLEMS), "starts": _STARTS}
        curve = compute_curve(solver, task, difficulty=name, **few)
    return Difficulty(
        name=name,
        kept=name in kept,
        problems=int(scores["problems"]),
        mse=float(scores["mse"]),
        relative=_number(scores.get("relative"), float),
        mse_by_step=_points((int(step), each) for step, each in scores["mse_by_step"].items()),
        floor=task.floor(name),
        measured=measured,
        curve=curve,
        solve=follow(solver, task, name, **options),
    )


def _evaluations(records: Sequence[Mapping[str, Any]]) -> dict[str, Points]:
    by_name: dict[str, list[tuple[int, Any]]] = {}
    for record in records:
        for name, error in _mapping(record, "evaluation").items():
            by_name.setdefault(str(name), []).append((record["iteration"], error))
    return {name: _points(pairs) for name, pairs in by_name.items()}


def _points(pairs: Any) -> Points:
    """Keep the pairs of finite numbers, by the first."""
    numbers = ((_number(x, float), _number(y, float)) for x, y in pairs)
    return sorted((x, y) for x, y in numbers if x is not None and y is not None)


def _number(value: Any, kind: type[Any]) -> Any:
    """Return a finite number as the kind given, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return kind(value) if abs(value) < 1e300 and math.isfinite(value) else None


def _mapping(tree: Any, name: str) -> Mapping[str, Any]:
    found = tree.get(name) if isinstance(tree, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _called(described: Any) -> str | None:
    """Return the name that a description gives a part: that of a plug-in, or that of its class."""
    if not isinstance(described, Mapping):
        return None
    title = described.get("name") or str(described.get("class", "")).rpartition(":")[2]
    return str(title) or None


def _settings(described: Any) -> dict[str, Any]:
    """Return the settings of a part and of its parts, those by their names."""
    found: dict[str, Any] = {}
    for name, value in _mapping(described, "settings").items():
        part = _mapping(value, "part")
        if part:
            found[name] = _called(part)
            found |= {f"{name}.{key}": each for key, each in _settings(part).items()}
        else:
            found[name] = value
    return found
