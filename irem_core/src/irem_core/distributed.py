"""Training in several processes: what torchrun's environment says, and means over them."""

from __future__ import annotations

import hashlib
import importlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import attrs
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from irem_core.errors import IremError


@attrs.frozen
class Ranks:
    """This process among those that train together.

    Args:
        rank: number of this process, from 0.
        count: how many there are.
    """

    rank: int = 0
    count: int = 1

    @classmethod
    def from_environment(cls) -> Ranks:
        """Read what torchrun has set, or describe a process that trains alone."""
        return cls(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes the model and talks to the user."""
        return self.rank == 0

    def device(self, device: torch.device) -> torch.device:
        """Give each process of a machine its own GPU."""
        if device.type == "cuda" and device.index is None and self.count > 1:
            return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        return device

    @contextmanager
    def joined(self, device: torch.device) -> Iterator[None]:
        """Join the other processes for the duration, where there are any."""
        if self.count == 1 or distributed.is_initialized():
            yield
            return
        # Its functions take the group of all processes for a default, and hold on to it where there
        # is one by the time of import. Adam imports it; threads of the group would outlive Python.
        importlib.import_module("torch.distributed.nn")
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        try:
            yield
        finally:
            distributed.destroy_process_group()

    def gather(self, value: Any) -> list[Any]:
        """Return every process's value, in the order of ranks."""
        if self.count == 1:
            return [value]
        gathered: list[Any] = [None] * self.count
        distributed.all_gather_object(gathered, value)
        return gathered

    @contextmanager
    def led(self, manager: AbstractContextManager[Any]) -> Iterator[None]:
        """Have the first process enter a context manager for all.

        Args:
            manager: what to enter; on the other processes it is left alone.

        Raises:
            IremError: what the first one met on entering, raised on all of them.
        """
        with ExitStack() as entered:
            refused = None
            if self.leads:
                try:
                    entered.enter_context(manager)
                except IremError as error:
                    refused = error
            refused = self.gather(refused)[0]
            if refused is not None:
                raise refused
            yield


def averaging(model: nn.Module) -> nn.Module:
    """Wrap a model so that its gradients are averaged over processes when they are computed.

    All begin with the weights of the first.

    Args:
        model: what is trained; its result is the loss.
    """
    # The energy's last bias moves no gradient, so some parameters are always unused. Gradients that
    # are views of what is sent need not be copied there and back.
    return DistributedDataParallel(model, find_unused_parameters=True, gradient_as_bucket_view=True)


def apart(model: nn.Module, wanted: bool) -> AbstractContextManager[None]:
    """Let gradients stay this process's own for a while; the next ones are averaged with them.

    Args:
        model: what is trained; only what `averaging` has wrapped averages over processes.
        wanted: False changes nothing.
    """
    if wanted and isinstance(model, DistributedDataParallel):
        return model.no_sync()
    return nullcontext()


def derive(seed: int, *stream: object) -> int:
    """Derive the seed of one stream of random numbers, such as one rank's, from the user's seed."""
    digest = hashlib.sha256(repr((seed, *stream)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
