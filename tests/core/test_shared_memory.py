"""Means over processes by shared memory, in processes that torchrun starts."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from trainings import run_python

BOARD = """
import json, os, sys, tempfile
from pathlib import Path
import torch
from safetensors.torch import save_file
from torch import distributed
from irem_core import shared_memory
from irem_core.distributed import Ranks
from irem_core.errors import ProcessLostError
from irem_core.shared_memory import Board

out, mode, ranks = Path(sys.argv[1]), sys.argv[2], Ranks.from_environment()
tempfile.tempdir, shared_memory._IN_MEMORY = str(out / "memory"), out / "no such folder"
told = {}
with ranks.joined(torch.device("cpu")):
    if mode == "unreachable" and ranks.rank == 1:
        shared_memory._mapped = lambda *_: open(out / "nothing")
    if mode == "full" and ranks.leads:
        shared_memory._allot = lambda *_: open(out / "nothing")
    board = Board.open(ranks, 8 * 1000 + 1)
    ranks.gather(None)
    told |= {"opened": board is not None, "left": os.listdir(out / "memory")}
    if mode == "means":
        generator = torch.Generator().manual_seed(ranks.rank)
        given, means = {}, {}
        for kind in (torch.float32, torch.float64, torch.bfloat16):
            # Fewer numbers than processes, and numbers that these cannot share evenly.
            for shape in ((1,), (2, 3), (1000,)):
                name = f"{kind} {shape}"
                given[name] = torch.randn(shape, generator=generator, dtype=kind)
                means[name] = board.average_(given[name].clone())
        save_file(given, out / f"given{ranks.rank}.safetensors")
        save_file(means, out / f"means{ranks.rank}.safetensors")
    if mode == "lost":
        # The first leaves while the others wait for it.
        if ranks.leads:
            del board
        else:
            try:
                board.average_(torch.ones(3))
            except ProcessLostError as error:
                told["error"] = str(error)
(out / f"{ranks.rank}.json").write_text(json.dumps(told))
"""


def started(folder, mode, processes):
    (folder / "memory").mkdir()
    script = folder / "worker.py"
    script.write_text(BOARD)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", processes]
    run_python(*launcher, script, folder, mode)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(processes)]


def test_means_are_those_of_all_processes_and_the_same_on_each(tmp_path):
    told = started(tmp_path, "means", 3)
    # Files are gone once all have them mapped, so that nothing stays if a process is killed.
    assert told == [{"opened": True, "left": []}] * 3
    given, means = (
        [load_file(tmp_path / f"{name}{rank}.safetensors") for rank in range(3)]
        for name in ("given", "means")
    )
    assert len(means[0]) == 9
    for name, mean in means[0].items():
        assert torch.equal(mean, means[1][name])
        assert torch.equal(mean, means[2][name])
        exact = torch.stack([each[name].double() for each in given]).mean(0)
        rounding = 4 * torch.finfo(mean.dtype).eps
        torch.testing.assert_close(mean.double(), exact, rtol=rounding, atol=rounding)


@pytest.mark.parametrize("mode", ["unreachable", "full"])
def test_where_one_process_cannot_come_there_is_no_board_for_any(tmp_path, mode):
    assert started(tmp_path, mode, 2) == [{"opened": False, "left": []}] * 2


def test_a_process_that_is_gone_ends_the_wait_of_the_others(tmp_path):
    told = started(tmp_path, "lost", 2)
    assert told[1]["error"].startswith("Another process of this training has ended")


TRAINING = """
import sys
from pathlib import Path
import torch
from safetensors.torch import save_file
import trainings
from irem_core import Callback
from irem_core.distributed import Ranks
from irem_core.shared_memory import Board, SharedMemoryParallel

out, by_memory = Path(sys.argv[1]), sys.argv[2] == "memory"
rank = Ranks.from_environment().rank
used, average = [], Board.average_
if not by_memory:
    Board.open = classmethod(lambda *_: None)
Board.average_ = lambda board, values: used.append(1) or average(board, values)
# Weights of a caller's own, which processes may have drawn differently.
solver = trainings.small_solver(seed=rank)
progress = trainings.train(
    out / sys.argv[2], solver=solver, iterations=6, seed=5, accumulate=2, clip_norm=0.1
)
assert len(used) == (6 if by_memory else 0), used
save_file(progress.solver.state_dict(), out / f"{sys.argv[2]}{rank}.safetensors")
# Threads of the group of processes that outlived it would abort Python at its end, now and then.
threads = [each.read_text().strip() for each in Path("/proc/self/task").glob("*/comm")]
assert not [each for each in threads if "gloo" in each], threads
"""


def test_training_by_memory_is_training_by_sockets(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(TRAINING)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2]
    for way in ("memory", "sockets"):
        run_python(*launcher, script, tmp_path, way)
    ended = [
        load_file(tmp_path / f"{way}{rank}.safetensors")
        for way in ("memory", "sockets")
        for rank in range(2)
    ]
    for other in ended[1:]:
        torch.testing.assert_close(other, ended[0], rtol=1e-5, atol=1e-7)
