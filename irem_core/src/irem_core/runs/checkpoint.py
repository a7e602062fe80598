"""Checkpoints: safetensors files with JSON metadata and a digest; never pickle."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.modules.module import register_module_parameter_registration_hook

from irem_core.energies.landscape import Landscape
from irem_core.errors import CheckpointError, SettingError
from irem_core.files.storage import replacing
from irem_core.part import seeded
from irem_core.problems.space import Space
from irem_core.registry import ENERGIES, SOLVERS
from irem_core.runs.description import describe, rebuild
from irem_core.runs.provenance import versions
from irem_core.solvers.base import Solver
from irem_core.tasks.task import Task

FORMAT = 1
MODEL = "model.safetensors"


def save(
    solver: Solver,
    path: str | os.PathLike[str],
    *,
    task: Task | None = None,
    training: Mapping[str, Any] | None = None,
) -> Path:
    """Write a solver's weights and settings, atomically.

    Args:
        solver: what to save.
        path: a folder, which then holds `model.safetensors`, or a file of that ending.
        task: the task that it was trained on, recorded by its settings.
        training: settings of training and the iteration reached, recorded as they are.

    Returns:
        The file written.

    Raises:
        StorageError: writing failed, for example because the disk is full.
    """
    file = _model_file(Path(path))
    metadata = {
        "solver": describe(solver),
        "task": None if task is None else describe(task),
        "spaces": {
            name: None if space is None else describe(space)
            for name, space in (("question", solver.question), ("answer", solver.answer))
        },
        "training": dict(training or {}),
        "versions": versions(),
    }
    write(file, dict(solver.state_dict()), metadata)
    return file


def load(
    path: str | os.PathLike[str],
    *,
    energy: Landscape | None = None,
    solver: Solver | None = None,
    device: torch.device | str = "cpu",
) -> Solver:
    """Read a solver that `save` or `fit` wrote.

    Args:
        path: a run's folder or a model file.
        energy: the energy, where its class is not registered as a plug-in; its weights are
            replaced.
        solver: likewise the whole solver.
        device: where the weights will live.

    Returns:
        The solver, in evaluation mode.

    Raises:
        CheckpointError: the file is missing, truncated, foreign or altered, or its weights do not
            fit.
        UnknownNameError: it needs a plug-in that is not installed.
    """
    file = _model_file(Path(path))
    tensors, metadata = read(file, device=device)
    given: dict[str, Any] = {ENERGIES: energy, SOLVERS: solver}
    replacements = {group: part for group, part in given.items() if part is not None}
    _check_size(metadata.get("solver"), tensors, file, replacements)
    with seeded(0):  # weights that are drawn only to be replaced
        built: Solver = rebuilt(metadata.get("solver"), Solver, file, replacements)
    # That of the weights, beside which units may be in double precision.
    names = [name for name, _ in built.named_parameters() if name in tensors]
    found = [tensors[name] for name in (*names, *tensors)]
    floating = (tensor.dtype for tensor in found if tensor.is_floating_point())
    built.to(dtype=next(floating, None))
    fit_weights(built, tensors, file)
    spaces = metadata.get("spaces")
    for name in ("question", "answer"):
        space = spaces.get(name) if isinstance(spaces, dict) else None
        if space is not None and getattr(built, name, None) is None:
            setattr(built, name, rebuilt(space, Space, file))
    return built.to(device).eval()


def load_run(
    path: str | os.PathLike[str], *, device: torch.device | str = "cpu"
) -> tuple[Solver, Task, dict[str, Any]]:
    """Load a run's solver, the task that it was trained on, and what its model file says.

    Raises:
        CheckpointError: there is no run, or it does not say on which task it was trained.
        UnknownNameError: a plug-in that it needs is not installed.
    """
    solver = load(path, device=device)
    metadata = read_metadata(path)
    if metadata.get("task") is None:
        raise CheckpointError(
            f"{path} does not say on which task it was trained; save it with task=... to use it "
            "on the command line."
        )
    return solver, rebuilt(metadata["task"], Task, _model_file(Path(path))), metadata


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what a model file says of itself, without its weights.

    Raises:
        CheckpointError: the file is missing, truncated or foreign.
    """
    file = _model_file(Path(path))
    with _opened(file) as opened:
        return _metadata(opened, file)


def fit_weights(module: torch.nn.Module, tensors: Mapping[str, Tensor], file: Path) -> None:
    """Load weights into a module, which must have the same names and shapes.

    Raises:
        CheckpointError: a name or a shape differs; the error lists which.
    """
    _check_shapes(module, tensors, file)
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:  # of a type that cannot be converted
        raise CheckpointError(
            f"The weights in {file} do not fit {type(module).__name__}: {error}."
        ) from error


def _check_shapes(module: torch.nn.Module, tensors: Mapping[str, Tensor], file: Path) -> None:
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    held = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if wanted != held:
        differing = sorted(
            name for name in wanted.keys() | held.keys() if wanted.get(name) != held.get(name)
        )
        listed = "; ".join(
            f"{name} is {held.get(name, 'missing')}, expected {wanted.get(name, 'nothing')}"
            for name in differing[:5]
        )
        raise CheckpointError(
            f"The weights in {file} do not fit {type(module).__name__}: {listed}. Build the solver "
            "with the settings it was saved with."
        )


def write(file: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write tensors and metadata to a file that is complete or does not exist.

    Raises:
        StorageError: writing failed; what was there before stays.
    """
    # Copied, since safetensors refuses tensors that share memory, as tied weights do.
    plain = {
        name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()
    }
    header = json.dumps({"format": FORMAT, **metadata}, sort_keys=True)
    digest = digest_of(plain, header)
    with replacing(file) as temporary:
        save_file(plain, temporary, metadata={"irem": header, "digest": digest})


def read(
    file: Path, *, device: torch.device | str = "cpu"
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file that `write` wrote, checking its digest.

    Raises:
        CheckpointError: the file is missing, truncated, foreign or altered.
    """
    with _opened(file) as opened:
        metadata = _metadata(opened, file)
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        raw = opened.metadata()
    if raw.get("digest") != digest_of(tensors, raw["irem"]):
        raise CheckpointError(
            f"{file} was altered or damaged after it was written: its digest does not match its "
            "content. Copy it again from where it came from."
        )
    # Copied, since these are the file itself, mapped, and Windows replaces no file that is in use.
    return {name: tensor.to(device, copy=True) for name, tensor in tensors.items()}, metadata


def rebuilt(
    described: Any, kind: type, file: Path, replacements: dict[str, Any] | None = None
) -> Any:
    """Build a part that a file describes; see `description.rebuild`.

    Args:
        described: what the file says of it.
        kind: what it must be.
        file: named in errors.
        replacements: objects to use for parts of a group.

    Raises:
        CheckpointError: it is described wrongly, or is of another kind.
    """
    try:
        built = rebuild(described, replacements=replacements)
    except RecursionError as error:
        raise CheckpointError(f"{file} describes parts within parts without end.") from error
    if not isinstance(built, kind):
        raise CheckpointError(
            f"{file} describes a {type(built).__name__} where a {kind.__name__} belongs."
        )
    return built


def _check_size(
    described: Any, tensors: Mapping[str, Tensor], file: Path, replacements: dict[str, Any]
) -> None:
    """Build a solver without memory for its weights, to see whether it has those of the file.

    A file of some bytes could otherwise ask for any amount of memory, or of layers.
    """
    # Layers may be made in one and split, or be shared, so that some are seen more than once.
    left = [4 * len(tensors) + 100, 4 * sum(each.numel() for each in tensors.values()) + 10_000]

    def count(module: torch.nn.Module, name: str, parameter: Tensor | None) -> None:
        if parameter is not None:
            left[0] -= 1
            left[1] -= parameter.numel()
        if min(left) < 0:
            raise CheckpointError(
                f"{file} describes a solver of more weights than it holds; it was altered."
            )

    with register_module_parameter_registration_hook(count), seeded(0), torch.device("meta"):
        try:
            built = rebuilt(described, Solver, file, replacements)
        except (SettingError, NotImplementedError) as error:
            cause = error.__cause__ or error
            if isinstance(cause, RuntimeError) and "meta tensor" in str(cause):
                return  # a part looks at values, of which there are none here
            raise
    _check_shapes(built, tensors, file)


def _model_file(path: Path) -> Path:
    return path if path.suffix == ".safetensors" else path / MODEL


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[Any]:
    if not file.is_file():
        raise CheckpointError(
            f"There is no file {file}; give the folder of a run, as `irem train` prints it, or a "
            "model file."
        )
    try:
        with safe_open(file, framework="pt") as opened:
            yield opened
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{file} is truncated or no safetensors file ({' '.join(str(error).split())})."
        ) from error


def _metadata(opened: Any, file: Path) -> dict[str, Any]:
    raw = opened.metadata() or {}
    try:
        metadata = json.loads(raw["irem"])
        written = metadata["format"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{file} was not written by irem: it lacks the metadata of a checkpoint."
        ) from error
    if written != FORMAT:
        raise CheckpointError(
            f"{file} has format {written!r} and this version of irem-core reads format {FORMAT}; "
            "install the version that wrote it."
        )
    return cast(dict[str, Any], metadata)


def digest_of(tensors: Mapping[str, Tensor], header: str) -> str:
    """Return a SHA-256 of tensors, by name, and of what is said of them."""
    digest = hashlib.sha256(header.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return digest.hexdigest()
