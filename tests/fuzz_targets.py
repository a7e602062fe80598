"""What fuzzing feeds: readers of files and texts, each as a function of some bytes.

Bytes are a file's content, or choose how a good file is altered where a digest or a checksum would
keep altered bytes from coming far. A reader passes if it returns or raises an error of the library;
`checked` also looks at what it did. Used by fuzz.py with coverage guidance, and by test_fuzz.py
with hypothesis.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import json
import os
import resource
import shutil
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch_geometric  # noqa: F401  before anything is watched, since it does much when imported
from safetensors.numpy import save as numpy_bytes
from safetensors.torch import save_file
from torch.nn.modules.module import register_module_parameter_registration_hook

from fuzz_edits import Choices, edit_tensors, edited
from irem_core import (
    IREM,
    IremError,
    IremWarning,
    MLPEnergy,
    SettingError,
    Solver,
    load,
    load_task,
    registry,
    save,
)
from irem_core.bulk.answer_journal import Journal, total
from irem_core.bulk.solve_file import holds_rows
from irem_core.cli.files import read_questions
from irem_core.distributed import Ranks
from irem_core.files.row_files import ENDINGS, RowReader
from irem_core.runs import checkpoint as checkpoints
from irem_core.runs import description
from irem_core.runs.checkpoint import rebuilt
from irem_core.runs.run_folder import read_metrics
from irem_core.tasks.task import Task
from irem_core.training.callbacks import best_evaluation
from irem_core.training.fit import _Loop
from irem_tasks.sat.dimacs import read_cnf
from trainings import TASK, train

_MEMORY = Path("/dev/shm")
# In memory where the system has such a place, since files are written all the time.
FOLDER = Path(tempfile.mkdtemp(prefix="irem-fuzz-", dir=_MEMORY if _MEMORY.is_dir() else None))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
CPU = torch.device("cpu")
# More than any of the inputs here may take. A reader that believes a wrong size takes gigabytes.
MOST_MEMORY = 512 * 2**20


class Broken(Exception):
    """A reader did what no input may make it do."""


def signed(file: Path, tensors: dict[str, torch.Tensor], metadata: Any) -> None:
    """Write a checkpoint with a digest that fits, as whoever alters one can."""
    header = json.dumps(metadata).encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    digest = checkpoints.digest_of(tensors, header)
    save_file(tensors, file, metadata={"irem": header, "digest": digest})


def smallest() -> IREM:
    return IREM(MLPEnergy.for_task(TASK, width=2, depth=1), steps=2, replay=4)


@functools.cache
def good_model() -> tuple[dict[str, torch.Tensor], dict[str, Any], bytes]:
    file = save(smallest(), FOLDER / "good", task=TASK)
    return *checkpoints.read(file), file.read_bytes()


def checkpoint_bytes(data: bytes) -> None:
    file = FOLDER / "model.safetensors"
    file.write_bytes(data)
    load(file)


def checkpoint(data: bytes) -> None:
    choices = Choices(data)
    tensors, metadata, _ = good_model()
    file = FOLDER / "model.safetensors"
    signed(file, edit_tensors(tensors, choices), edited(metadata, choices))
    load(file)
    read = checkpoints.read_metadata(file)
    if read.get("task") is not None:
        rebuilt(read["task"], Task, file)


@functools.cache
def good_training() -> tuple[_Loop, dict[str, torch.Tensor], dict[str, Any]]:
    folder = FOLDER / "run"
    progress = train(folder, solver=smallest(), iterations=4)
    loop = _Loop(progress.solver, progress.task, progress.training, Ranks(), CPU, folder)
    return loop, *checkpoints.read(folder / "training.safetensors")


def training_checkpoint(data: bytes) -> None:
    choices, (loop, tensors, metadata) = Choices(data), good_training()
    file = FOLDER / "run" / "training.safetensors"
    signed(file, edit_tensors(tensors, choices), edited(metadata, choices))
    state = torch.get_rng_state()
    try:
        loop.state.restore(loop.folder)
    finally:
        torch.set_rng_state(state)


GROUPS = sorted(set(registry.KINDS) - {registry.COMMANDS})


@contextlib.contextmanager
def small_networks() -> Iterator[None]:
    """Refuse large networks, which a text may well ask for."""
    left = [2000]

    def count(module: Any, name: str, parameter: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise SettingError("a large network")

    with register_module_parameter_registration_hook(count), torch.device("meta"):
        yield


def strategy(data: bytes) -> None:
    choices = Choices(data[:2])
    text = data[2:].decode("utf-8", "surrogateescape")
    group = choices.of(GROUPS)
    with small_networks():
        registry.build(group, text, target=registry.Target(TASK))


TASKS = tuple(load_task(name) for name in ("add", "shortest-path", "matrix-inverse", "sat", "sort"))


def difficulty(data: bytes) -> None:
    Choices(data[:2]).of(TASKS).difficulty(data[2:].decode("utf-8", "surrogateescape"))


def cnf(data: bytes) -> None:
    file = FOLDER / "x.cnf"
    file.write_bytes(data)
    read_cnf(file)


@functools.cache
def takers() -> list[tuple[Task, Solver]]:
    """Return tasks that read arrays in different ways, with what solves them."""
    paths = load_task("shortest-path")
    elementwise = registry.build(registry.ENERGIES, "elementwise", target=registry.Target(paths))
    return [(TASK, smallest()), (paths, IREM(elementwise))]


def arrays(ending: str, data: bytes) -> None:
    file = FOLDER / f"x{ending}"
    file.write_bytes(data)
    if ending in ENDINGS and len(data) % 3 == 2:
        reader = RowReader.open(file)
        holds_rows(TASK, reader)
        reader.rows(0, 3)
    else:
        read_questions(file, *takers()[len(data) % 2], CPU)


def npz(data: bytes) -> None:
    """Read an archive: the bytes themselves, or one around them with checksums that fit."""
    kind, content = data[:1], data[1:]
    if kind and kind[0] % 4:
        held = io.BytesIO()
        packing = (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2)[kind[0] % 4 - 1]
        with zipfile.ZipFile(held, "w", packing) as archive:
            for number, part in enumerate(content.split(b"|||")[:4]):
                archive.writestr(("x.npy", "y.npy", "z", "../x.npy")[number], part)
        content = held.getvalue()
    arrays(".npz", content)


def metrics(data: bytes) -> None:
    (FOLDER / "metrics.jsonl").write_bytes(data)
    best_evaluation(read_metrics(FOLDER), "same")


def journal(data: bytes) -> None:
    target = FOLDER / "answers" / "y.npy"
    target.parent.mkdir(exist_ok=True)
    form, settings = {"y": np.zeros((1, 4), np.float32)}, {"seed": 0}
    made = Journal(target, Ranks())
    if not made.part.exists():
        made.claim(settings, form, 12, resume=False)
    made.lead.write_bytes(data)
    made.claim(settings, form, 12, resume=True)
    made.open()
    total(made.read().values())


def _npy(array: Any) -> bytes:
    held = io.BytesIO()
    np.save(held, array)
    return held.getvalue()


def _tables() -> list[np.ndarray]:
    return [
        np.zeros((2, 8), np.float32),
        np.arange(9, dtype=">i4").reshape(3, 3),
        np.ones((2, 3, 3)),
    ]


_CALLS = (
    *(
        "gradient(step_size=30)",
        "any_of(energy_plateau(patience=5), gradient_norm(tolerance=1e-4))",
    ),
    *("add(size=4)", "irem(steps=2, backprop=full_unroll())", "mlp(width=8, depth=2)", "momentum"),
    *(
        "matrix(2, 3)",
        "vector(4, low=0.0)",
        "weighted(energies=[mlp, elementwise], weights=[1, 2])",
    ),
)
_LINES = (
    '{"iteration": 50, "loss": 0.5, "seconds": 1.0}',
    '{"iteration": 50, "evaluation": {"same": 0.25, "harder": 1.5}}',
)
_SOLVED = json.dumps({"block": 0, "found": {"problems": 4, "outcomes": {"CONVERGED": 4}, "steps": 9,
                                            "squared_error": 0.5}})  # fmt: skip
_BEGUN = json.dumps({"settings": {"seed": 0}, "arrays": {"y": ["float32", [12, 4]]}})
_CNF = (
    "c a comment\np cnf 3 2\n1 -2 3 0\n-1 2 0\n",
    "p cnf 4 3\n1 2\n3 0 4 -1 0\n2 0\n%\n0\n",
)

READERS: dict[str, tuple[Callable[[bytes], None], Callable[[], list[bytes]]]] = {
    "checkpoint-bytes": (checkpoint_bytes, lambda: [good_model()[2]]),
    "checkpoint": (checkpoint, lambda: [bytes(20), bytes(range(40))]),
    "training": (training_checkpoint, lambda: [bytes(20), bytes(range(40))]),
    "strategy": (
        strategy,
        lambda: [bytes([n, 0]) + text.encode() for text in _CALLS for n in range(len(GROUPS))],
    ),
    "difficulty": (
        difficulty,
        lambda: [
            bytes([n, 0]) + text
            for n in range(len(TASKS))
            for text in (b"same", b"nodes=2..10", b"scale=2.5,size=3", b"ratio=4.0", b"values=64")
        ],
    ),
    "cnf": (cnf, lambda: [text.encode() for text in _CNF]),
    "npy": (functools.partial(arrays, ".npy"), lambda: [_npy(each) for each in _tables()]),
    "npz": (npz, lambda: [bytes([n]) + b"|||".join(map(_npy, _tables())) for n in (1, 2)]),
    "csv": (
        functools.partial(arrays, ".csv"),
        lambda: [b"1,2.5,-3e4\n4,5,6\n7,8,9\n", b"0," * 7 + b"1"],
    ),
    "safetensors": (
        functools.partial(arrays, ".safetensors"),
        lambda: [numpy_bytes({"x": each}) for each in _tables()[::2]],
    ),
    "metrics": (metrics, lambda: ["\n".join(_LINES).encode(), (_LINES[0] + "\n").encode()]),
    "journal": (journal, lambda: [f"{_BEGUN}\n{_SOLVED}\n".encode(), f"{_BEGUN}\n".encode()]),
}
"""Each reader, and good inputs to begin with."""

# What no reader has a reason to do.
_FORBIDDEN = (
    *("pickle.find_class", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn"),
    *("subprocess.Popen", "socket.connect", "ctypes.dlopen", "shutil.rmtree"),
)
_seen: list[str] = []
_watching = False


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    # By this library torch counts GPUs, each time that it is asked for them.
    if not _watching or (event, arguments) == ("ctypes.dlopen", ("libnvidia-ml.so.1",)):
        return
    if event in _FORBIDDEN:
        _seen.append(f"{event}{arguments}"[:200])
    elif event == "open" and arguments[2] & _WRITES:
        file = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes) else ""
        if not file.startswith((str(FOLDER), os.devnull)):
            _seen.append(f"wrote to {file}"[:200])


_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@functools.cache
def _installed() -> None:
    sys.addaudithook(_watch)
    # Listing what is installed takes most of the time otherwise.
    registry.plugins = description.plugins = functools.cache(registry.plugins)


def peak_memory() -> int:
    """Return the most memory that this process ever took, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def checked(name: str, data: bytes) -> None:
    """Feed a reader, and look at what it did and took.

    Raises:
        Broken: it ran a program, wrote elsewhere, or asked for memory beyond measure.
        Exception: what it raised, if that is no error of the library.
    """
    before = peak_memory()
    watched(name, data)
    if peak_memory() - before > MOST_MEMORY:
        raise Broken(f"took {peak_memory() - before:,} bytes")


def watched(name: str, data: bytes) -> None:
    """Feed a reader, and look at what it did.

    Raises:
        Broken: it ran a program, wrote elsewhere, or asked for more memory than there is.
        Exception: what it raised, if that is no error of the library.
    """
    global _watching
    _installed()
    _seen.clear()
    _watching = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", IremWarning)
            READERS[name][0](data)
    except IremError as error:
        cause = error.__cause__
        if isinstance(cause, MemoryError) or "allocate memory" in str(cause):
            raise Broken(f"asked for more memory than there is: {cause}") from error
        if "\n" in str(error):
            raise Broken(f"an error of several lines: {error}") from error
    finally:
        _watching = False
    if _seen:
        raise Broken(f"did {_seen}")
