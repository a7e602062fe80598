"""Means over the processes of one machine, by memory that they share.

On CPUs sockets take time of the processors that compute: to add up 5 MB of two processes costs a
sixth of an update. Here each process writes its numbers where all read them.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from irem_core.errors import ProcessLostError

if TYPE_CHECKING:
    from irem_core.distributed import Ranks

# Rows begin at multiples of so many bytes, where any type of number may stand.
_ALIGNED = 64

# A folder whose files are memory, where there is one.
_IN_MEMORY = Path("/dev/shm")


class Board:
    """A row of memory for each process, and one for the mean.

    Args:
        rank: number of this process.
        rows: `(processes + 1, bytes)` the memory, which all have mapped.
        others: of the first process all others, of those the first.
    """

    def __init__(self, rank: int, rows: Tensor, others: list[Connection]) -> None:
        """Begin; nothing has been written."""
        self._rank = rank
        self._rows = rows
        self._others = others

    @classmethod
    def open(cls, ranks: Ranks, size: int) -> Board | None:
        """Meet all other processes, which call this too.

        Args:
            ranks: this process among them.
            size: the most bytes that each will write.

        Returns:
            The board, or None on all processes where one is on another machine, or memory is short.
        """
        shape = (ranks.count + 1, -(-size // _ALIGNED) * _ALIGNED)
        with ExitStack() as closing:
            folder, door = None, None
            if ranks.leads:
                with suppress(OSError):
                    folder = Path(tempfile.mkdtemp(dir=_IN_MEMORY if _IN_MEMORY.is_dir() else None))
                    closing.callback(shutil.rmtree, folder, ignore_errors=True)
                    _allot(folder / "rows", shape)
                    # Who knocks waits in line, so nobody waits for one who cannot come.
                    door = closing.enter_context(
                        Listener(str(folder / "door"), "AF_UNIX", backlog=ranks.count)
                    )
            (folder, *_) = ranks.gather(None if door is None else folder)
            rows, others = None, []
            if folder is not None:
                with suppress(OSError, RuntimeError):
                    if not ranks.leads:
                        others = [Client(str(folder / "door"), "AF_UNIX")]
                    rows = _mapped(folder / "rows", shape)
            if not all(ranks.gather(rows is not None)) or rows is None:
                return None
            if door is not None:
                others = [door.accept() for _ in range(ranks.count - 1)]
            return cls(ranks.rank, rows, others)

    def average_(self, values: Tensor) -> Tensor:
        """Replace values by their mean over all processes, to the bit the same on each.

        Args:
            values: of one shape and type on all processes.

        Raises:
            ProcessLostError: another process has ended.
        """
        flat = values.view(-1)
        *given, mean = self._rows[:, : flat.numel() * flat.itemsize].view(flat.dtype)
        given[self._rank].copy_(flat)
        self._meet()
        # Each adds up a part of all, in the order of processes.
        parts = [row.tensor_split(len(given))[self._rank] for row in (*given, mean)]
        total = parts.pop().copy_(parts[0])
        for part in parts[1:]:
            total += part
        total /= len(given)
        self._meet()
        flat.copy_(mean)
        return values

    def _meet(self) -> None:
        """Wait until all processes have come here."""
        try:
            if self._rank:
                self._others[0].send_bytes(b"here")
                self._others[0].recv_bytes()
                return
            for other in self._others:
                other.recv_bytes()
            for other in self._others:
                other.send_bytes(b"all")
        except (EOFError, OSError) as error:
            raise ProcessLostError(
                "Another process of this training has ended, so this one stops too; start all of "
                "them again, with --resume to go on from the last checkpoint."
            ) from error


class SharedMemoryParallel(nn.Module):
    """Averages a model's gradients over processes at the end of each backward pass.

    It takes the place of DistributedDataParallel, whose tensors go through sockets. Gradients that
    a process lacks count as zero.

    Args:
        model: what is trained; its result is the loss.
        board: as wide as all weights.
    """

    def __init__(self, model: nn.Module, board: Board) -> None:
        """Wrap the model, whose weights are the same on all processes."""
        super().__init__()
        self.model = model
        self._board = board
        self._apart = False

    def forward(self, *arguments: Any) -> Tensor:
        """Return the model's loss."""
        loss: Tensor = self.model(*arguments)
        if not self._apart:
            loss.register_hook(self._when_done)
        return loss

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Leave gradients as they are meanwhile."""
        self._apart = True
        try:
            yield
        finally:
            self._apart = False

    def _when_done(self, slope: Tensor) -> None:
        # The pass has only begun; what is queued is called at its end.
        torch.autograd.Variable._execution_engine.queue_callback(self._average)

    def _average(self) -> None:
        weights = [each for each in self.model.parameters() if each.requires_grad]
        for kind in sorted({each.dtype for each in weights}, key=str):
            alike = [each for each in weights if each.dtype == kind]
            slopes = [
                each.new_zeros(()).expand_as(each) if each.grad is None else each.grad
                for each in alike
            ]
            mean = self._board.average_(torch.cat([each.flatten() for each in slopes]))
            for each, part in zip(alike, mean.split([each.numel() for each in alike]), strict=True):
                each.grad = part.view_as(each)


def _allot(file: Path, shape: tuple[int, int]) -> None:
    """Write zeros, since memory that a file was merely promised may turn out to be missing."""
    with file.open("wb") as handle:
        for _ in range(shape[0]):
            handle.write(bytes(shape[1]))


def _mapped(file: Path, shape: tuple[int, int]) -> Tensor:
    size = shape[0] * shape[1]
    return torch.from_file(str(file), shared=True, size=size, dtype=torch.uint8).view(shape)
