"""What tasks keep to."""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs
import torch
from torch import Tensor

from irem_core.energies.landscape import Landscape
from irem_core.errors import UnknownNameError
from irem_core.part import settings_of
from irem_core.problems import trees
from irem_core.problems.problem import Problem
from irem_core.solvers.recipes import solver_for
from irem_core.tasks.task import Task
from irem_core.testing.energies import check_energy
from irem_core.testing.support import (
    contents,
    contract,
    copied,
    indices,
    no_global_randomness,
    require_error,
    same,
    seeded_generator,
)


@contract
def check_task(
    task: Task,
    *,
    count: int = 8,
    tolerance: float = 1e-4,
    floors: bool = True,
    device: torch.device | str = "cpu",
) -> None:
    """Check that a task draws what it says, by its generator alone, with the right answers.

    Every named difficulty is drawn from; the oracle, where there is one, must agree with the
    answers drawn; a written energy must pass `check_energy` and be lowest at the answers. Give a
    task of small size: floors draw thousands of problems a difficulty.

    Args:
        task: the task.
        count: how many problems to draw at a time, at least 2.
        tolerance: the largest difference between the oracle's answers and those drawn, as a share
            of the largest entry of a difficulty's answers.
        floors: whether to measure floors too, which is slow on large problems.
        device: where to draw; the tensors must live there.

    Raises:
        AssertionError: it breaks its contract.
    """
    title = type(task).__name__
    _check_names(task, title)
    rebuilt = type(task)(**settings_of(task))
    with no_global_randomness(title):
        for name in task.difficulties:
            where = f"{title}, difficulty {name!r}"
            drawn = _check_draws(task, rebuilt, name, count, device, where)
            _check_knowledge(task, *drawn, tolerance, where)
            _check_batches(task, name, count, where)
            if floors:
                _check_floor(task, name, where)
        _check_parameters(task, title)
        _check_written(task, title)


def _check_names(task: Task, title: str) -> None:
    missing = {"train", "same"} - set(task.difficulties)
    assert not missing, f"{title} has no difficulty {' and no '.join(sorted(missing))}"
    for name, parameters in task.difficulties.items():
        unknown = set(parameters) - set(task.parameters)
        assert not unknown, (
            f"{title} sets {sorted(unknown)} in its difficulty {name!r}, which are no keyword-only "
            f"parameters of its draw; those are {sorted(task.parameters)}"
        )
    published = {figure.difficulty for figure in task.published} - set(task.difficulties)
    assert not published, f"{title} has figures published for the unknown {sorted(published)}"
    assert task.max_steps >= 1, f"{title} takes {task.max_steps} steps; expected at least 1"
    endings = [each for each in task.formats if not each.startswith(".")]
    assert not endings, f"{title} has formats {endings}; write endings with their dot, as in '.cnf'"
    for unknown_name in ("no such difficulty", "no_such_parameter=1"):
        taken = f"{title} must refuse the difficulty {unknown_name!r} with an UnknownNameError"
        require_error(taken, UnknownNameError, task.difficulty, unknown_name)


def _sample(
    task: Task, count: int, difficulty: str, seed: int, device: torch.device | str = "cpu"
) -> tuple[Problem, Tensor]:
    generator = seeded_generator(seed, device)
    try:
        return task.sample(count, difficulty, generator=generator, device=device)
    except Exception as error:
        raise AssertionError(
            f"{type(task).__name__} cannot draw {count} problems of difficulty {difficulty!r}: "
            f"{type(error).__name__}: {error}"
        ) from error


def _check_draws(
    task: Task, rebuilt: Task, name: str, count: int, device: torch.device | str, where: str
) -> tuple[Problem, Tensor]:
    drawn, again = (_sample(each, count, name, 3, device) for each in (task, rebuilt))
    other, single = _sample(task, count, name, 4, device), _sample(task, 1, name, 3, device)
    for (problem, y), wanted in ((drawn, count), (single, 1)):
        _check_placed(problem, y, torch.device(device), where)
        _check_shapes(task, problem, y, wanted, where)
    assert same(contents(drawn), contents(again)), (
        f"{where}: a task rebuilt from its settings draws other problems from a generator of the "
        "same seed; draw from the generator alone"
    )
    assert not same(contents(drawn), contents(other)), (
        f"{where}: generators of two seeds draw the same problems"
    )
    layout = drawn[0].layout
    first, *others = (trees.select(drawn, layout, indices(layout, each)) for each in range(count))
    # One question may have several answers, of which others are drawn.
    assert not all(same(contents(first), contents(each)) for each in others), (
        f"{where}: all problems of a batch are equal; draw each for itself"
    )
    return drawn


def _check_shapes(task: Task, problem: Problem, y: Tensor, count: int, where: str) -> None:
    layout, answer = problem.layout, problem.answer
    assert layout.count == count, f"{where}: {layout.count} problems were drawn, not {count}"
    assert answer is not None, f"{where}: draw returned a Problem without its answer space"
    assert type(answer) is type(task.answer), (
        f"{where}: answers are in {answer}; expected some {type(task.answer).__name__}, as the "
        "task's own answer space is"
    )
    assert answer.ragged == (layout.owner is not None), (
        f"{where}: answers in {answer} need {'an' if answer.ragged else 'no'} owner in the Problem"
    )
    answer.check(f"{where}: y", y, layout.rows)
    assert torch.equal(answer.project(y), y), f"{where}: y is outside of the bounds of {answer}"
    _check_question(task, problem, where)
    for leaf in trees.tensors(problem.x):
        trees.leads_with_rows(leaf, layout)


def _check_question(task: Task, problem: Problem, where: str) -> None:
    question, x = task.question, problem.x
    if isinstance(x, Tensor):
        rows = problem.layout.rows if question.ragged else problem.layout.count
        if problem.answer == task.answer:
            question.check(f"{where}: x", x, rows)
        else:
            # A difficulty of another size: the question space has the size of training.
            assert x.ndim == 1 + len(question.shape) and x.shape[0] == rows, (
                f"{where}: x has shape {tuple(x.shape)}; expected {rows} rows with as many "
                f"dimensions as {question} has"
            )
    elif question.ragged and getattr(x, "edge_attr", None) is not None:
        question.check(f"{where}: x.edge_attr", x.edge_attr, x.num_edges)
    numbers = (leaf for leaf in contents(x) if leaf.is_floating_point())
    assert all(bool(leaf.isfinite().all()) for leaf in numbers), f"{where}: x holds NaN or infinity"


def _check_placed(problem: Problem, y: Tensor, device: torch.device, where: str) -> None:
    """Check types and devices; a device without an index, such as "cuda", stands for any index."""
    for tensor in contents((problem, y)):
        kind, index = tensor.device.type, tensor.device.index
        assert kind == device.type and device.index in (None, index), (
            f"{where}: a tensor of shape {tuple(tensor.shape)} was drawn on {tensor.device}, not "
            f"on {device}; make every tensor with device=device"
        )
        assert not tensor.requires_grad, f"{where}: a tensor was drawn that carries a graph"
        assert not tensor.is_floating_point() or tensor.dtype == torch.get_default_dtype(), (
            f"{where}: a tensor of {tensor.dtype} was drawn; expected {torch.get_default_dtype()}, "
            "torch's default, as weights are"
        )


def _check_knowledge(task: Task, problem: Problem, y: Tensor, tolerance: float, where: str) -> None:
    """Check what the task knows of problems besides their answers: oracle, own input, measures."""
    kept = copied((problem, y))
    exact = _known(task.oracle, problem)
    if exact is not None:
        # An exact zero is compared in units of its own.
        scale = float(y.abs().amax()) or 1.0
        torch.testing.assert_close(
            exact,
            # Of several right answers the oracle need not know the one that was drawn.
            problem.wanted(exact, y),
            rtol=0,
            atol=tolerance * scale,
            msg=lambda text: f"{where}: the oracle's answers differ from those drawn. {text}",
        )
    classical = _known(task.classical, problem)
    if classical is not None:
        answer = problem.answer or task.answer
        answer.check(f"{where}: the textbook answer", classical, problem.layout.rows)
    inputs = task.own_input(problem)
    if inputs is not None:
        assert inputs.shape[:-1] == y.shape and bool(inputs.isfinite().all()), (
            f"{where}: own_input is of shape {tuple(inputs.shape)}; expected finite numbers of "
            f"shape {(*y.shape, 'inputs')}"
        )
    groups = task.group(problem, y)
    assert groups is None or (groups.shape == y.shape and groups.dtype == torch.int64), (
        f"{where}: group must give each entry of y a number, in a tensor of torch.int64"
    )
    for name, scores in task.measures(problem, y, y).items():
        assert scores.shape == (problem.layout.count,), (
            f"{where}: the measure {name!r} is of shape {tuple(scores.shape)}; expected one number "
            f"a problem, ({problem.layout.count},)"
        )
    assert same(kept, contents((problem, y))), (
        f"{where}: the task's methods change the problems or answers that they are given"
    )


def _known(method: Callable[[Problem], Tensor], problem: Problem) -> Tensor | None:
    """Call a method that a task need not have."""
    try:
        return method(problem)
    except NotImplementedError:
        return None


def _check_floor(task: Task, name: str, where: str) -> None:
    floor = task.floor(name)
    for kind, value in (("constant", floor.constant), ("entrywise", floor.entrywise)):
        assert value is None or 0 <= value < math.inf, f"{where}: the {kind} floor is {value}"
    if floor.entrywise is not None:
        assert floor.entrywise <= 1.05 * floor.constant + 1e-6, (
            f"{where}: the best function of an entry's own input scores {floor.entrywise}, worse "
            f"than the best constant, {floor.constant}; does own_input fit the answer's entries?"
        )


def _check_parameters(task: Task, title: str) -> None:
    """Write each difficulty parameter's default as a user would, and draw with it."""
    texts = {name: f"{name}={default}" for name, default in task.parameters.items()}
    for name, text in texts.items():
        read = task.difficulty(text).parameters
        assert read == {name: task.parameters[name]}, (
            f"{title} reads the difficulty {text!r} as {read}; give the parameter a default that "
            "is a whole number, a fraction or Between"
        )
        _check_shapes(task, *_sample(task, 2, text, 0), 2, f"{title}, difficulty {text!r}")
    if texts:
        joined = ",".join(texts.values())
        assert task.difficulty(joined).parameters == task.parameters, (
            f"{title} reads the difficulty {joined!r} as {task.difficulty(joined).parameters}"
        )


def _check_batches(task: Task, name: str, count: int, where: str) -> None:
    batches = list(task.batches(count, name, generator=seeded_generator(0)))
    total = 0
    for problem, y in batches:
        _check_shapes(task, problem, y, problem.layout.count, where)
        total += problem.layout.count
    assert 0 < total <= count, (
        f"{where}: batches yields {total} problems to evaluate where {count} are asked for"
    )


def _check_written(task: Task, title: str) -> None:
    energy, solver = task.energy(), solver_for(task)
    assert (energy is None) == (solver is None), (
        f"{title} must have both a written energy and a solver that needs no training, or neither"
    )
    if solver is None:
        return
    assert isinstance(energy, Landscape), f"{title} has a written energy that is no Landscape"
    check_energy(energy, task)
    problem, y = _sample(task, 8, "same", 0)
    start = energy.start(problem, seeded_generator(0))
    context = energy.encode(problem)
    with torch.no_grad():
        at_answers = energy.value(context, attrs.evolve(start, y=y))
        at_starts = energy.value(context, start)
    assert bool((at_answers <= at_starts).all()), (
        f"{title} has a written energy that is higher at some answers, {at_answers.tolist()}, than "
        f"at random candidates, {at_starts.tolist()}; it must be lowest where y solves x"
    )
    answer = problem.answer or task.answer
    solution = solver.solve(problem, max_steps=3)
    answer.check(f"The answer of the solver of {title}", solution.y, problem.layout.rows)
