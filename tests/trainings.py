"""Small trainings, energies that no package registers, and Python in a process of its own."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

from irem_core import (
    IREM,
    Callback,
    EnergyFn,
    GradientDescent,
    MLPEnergy,
    Progress,
    ScratchpadEnergy,
    Solver,
    Space,
    Task,
    fit,
)
from irem_tasks import Add

TESTS = Path(__file__).parent
TASK = Add(size=4)


class DropoutEnergy(EnergyFn):
    """An energy that draws from the global random state, and that no package registers."""

    def __init__(self, question: Space, answer: Space, *, width: int = 16, rate: float = 0.2):
        super().__init__()
        self.answer = answer
        self.rate = rate
        self.hidden = nn.Linear(question.size + answer.size, width)
        self.head = nn.Linear(width, 1)

    def energy(self, context: Tensor, y: Tensor) -> Tensor:
        hidden = functional.silu(self.hidden(torch.cat([context, y], 1)))
        dropped = functional.dropout(hidden, self.rate, self.training)
        return self.head(dropped).squeeze(-1)


class ScratchEnergy(ScratchpadEnergy):
    """A scratchpad energy that no package registers; its first two layers share their weights."""

    def __init__(self, question: Space, answer: Space):
        super().__init__()
        self.answer = answer
        self.scratchpad = 3
        self.first = nn.Linear(question.size + answer.size + self.scratchpad, 16)
        self.second = nn.Linear(16, 16)
        self.third = self.second
        self.head = nn.Linear(16, 1)

    def energy(self, context: Tensor, y: Tensor, z: Tensor) -> Tensor:
        hidden = functional.silu(self.first(torch.cat([context, y, z], 1)))
        hidden = functional.silu(self.third(functional.silu(self.second(hidden))))
        return self.head(hidden).squeeze(-1)


def small_solver(energy: Any = MLPEnergy, *, seed: int = 0, **settings: Any) -> IREM:
    """Return a solver that does a training iteration in about a millisecond."""
    sizes = {"width": 16, "depth": 2} if energy is MLPEnergy else {}
    arguments = {"steps": 2, "replay": 32, "descent": GradientDescent(step_size=1.0)} | settings
    return IREM(energy.for_task(TASK, seed=seed, **sizes), **arguments)


def train(
    out: Path | None = None, *, solver: Solver | None = None, iterations: int = 40, **options: Any
) -> Progress:
    """Train a small solver; equal arguments must give equal bits."""
    return train_on(TASK, solver or small_solver(), out=out, iterations=iterations, **options)


def train_on(task: Task, solver: Solver, **options: Any) -> Progress:
    """Train for a moment, 20 iterations unless told otherwise."""
    defaults = {"iterations": 20, "batch_size": 8, "learning_rate": 1e-3, "log_every": 10}
    return fit(solver, task, **(defaults | options))


def bits(solver: nn.Module) -> dict[str, bytes]:
    """Return the weights of a solver as bytes."""
    return {name: tensor.numpy().tobytes() for name, tensor in solver.state_dict().items()}


class At(Callback):
    """Call a function once an update was done."""

    def __init__(self, iteration: int, function: Any):
        self.iteration = iteration
        self.function = function

    def stepped(self, progress: Progress) -> None:
        if progress.iteration == self.iteration:
            self.function()


def run_python(*arguments: Any, timeout: int = 300, **environment: str) -> str:
    """Run Python in another process, with this folder importable; return what it printed."""
    paths = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    settings = {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | settings | environment,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@contextlib.contextmanager
def group_of_one():
    """Be a group of one process meanwhile.

    A data-parallel wrapper must go before its group does: a group that ends with its wrapper waits
    for threads of gloo while it keeps the interpreter's lock, which they may want.
    """
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        yield
    finally:
        distributed.destroy_process_group()
