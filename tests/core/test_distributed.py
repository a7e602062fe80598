"""Training in several processes, as torchrun starts them."""

import pytest
import torch
from safetensors.torch import load_file

from irem_core import CheckpointError
from irem_core.distributed import Ranks, derive
from irem_core.runs.run_folder import RunFolder
from trainings import TASK, TESTS, run_python, small_solver, train

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
WEIGHTS = ("model.", "optimizer.")


@pytest.mark.slow
def test_processes_killed_at_any_moment_resume_to_the_bit(tmp_path):
    """Killed at and after each of the first writes of either, and at random."""
    lines = run_python(TESTS / "interrupted.py", tmp_path, 2, "MLPEnergy").splitlines()
    good = "same weights, same log, no leftovers"
    names = ["undisturbed", "killed at fsync", "killed at replace", "killed at random"]
    # Some versions of torch print whom processes talk to, here and there.
    assert [line for line in lines if line.endswith(good)] == [f"{name}, {good}" for name in names]


WORKER = """
import hashlib, sys
from pathlib import Path
import trainings
from safetensors.torch import save_file
from torch import distributed
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel
from irem_core import Callback
from irem_core.distributed import Ranks

class FirstUpdate(Callback):
    def stepped(self, progress):
        if progress.iteration == 1:
            x = progress.solver.buffer._stores[0]
            self.seen = hashlib.sha256(x.numpy().tobytes()).hexdigest()
            save_file(progress.solver.state_dict(), out / f"{rank}.safetensors")

def wrap(self, *arguments, **settings):
    made(self, *arguments, **settings)
    self.register_comm_hook(None, counted)

def counted(_, bucket):
    averaged.append(1)
    return allreduce_hook(distributed.group.WORLD, bucket)

made, DistributedDataParallel.__init__ = DistributedDataParallel.__init__, wrap
out, watcher, averaged = Path(sys.argv[1]), FirstUpdate(), []
rank = Ranks.from_environment().rank
# Weights of a caller's own, which processes may have drawn differently.
progress = trainings.train(
    out / "run", solver=trainings.small_solver(seed=rank), iterations=12, seed=5, accumulate=3,
    callbacks=[watcher], checkpoint_every=5,
)
weights = hashlib.sha256(repr(trainings.bits(progress.solver)).encode()).hexdigest()
(out / f"{rank}.txt").write_text(f"{weights} {watcher.seen} {progress.leads} {len(averaged)}")
# Threads of the group of processes that outlived it would abort Python at its end, now and then.
threads = [each.read_text().strip() for each in Path("/proc/self/task").glob("*/comm")]
assert not [each for each in threads if "gloo" in each], threads
"""


def test_torchrun_trains_one_model_on_the_problems_of_all_processes(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    run_python(*TORCHRUN, script, tmp_path)
    first, second = ((tmp_path / f"{rank}.txt").read_text().split() for rank in range(2))
    assert first[0] == second[0]
    assert first[1] != second[1]
    assert (first[2], second[2]) == ("True", "False")
    # Of the three batches of an update the last alone brings the processes together.
    assert first[3] == second[3] == "12"
    assert sorted(each.name for each in (tmp_path / "run").iterdir()) == [
        "metrics.jsonl",
        "model.safetensors",
        "training-1.safetensors",
        "training.safetensors",
    ]
    expected = mean_of_six_gradients(seed=5)
    for rank in range(2):
        trained = load_file(tmp_path / f"{rank}.safetensors")
        torch.testing.assert_close(trained, expected, rtol=1e-5, atol=1e-7)


def mean_of_six_gradients(seed: int) -> dict[str, torch.Tensor]:
    """Do one update of Adam by hand, on the mean of three batches of each of two processes."""
    solver = small_solver()
    optimizer = torch.optim.Adam(solver.parameters(), lr=1e-3, fused=True)
    for rank in range(2):
        generator = torch.Generator().manual_seed(derive(seed, "problems", rank))
        for _ in range(3):
            problem, target = TASK.sample(8, generator=generator)
            (solver.loss(problem, target, generator) / 6).backward()
        # Every process has a replay buffer of its own.
        solver.buffer = type(solver.buffer)(solver.buffer.capacity)
    optimizer.step()
    return dict(solver.state_dict())


COMMAND = """
import os, signal, sys, time
import torch
from irem_core import fit
from irem_core.cli import main

def last(*arguments):
    steps.append(1)
    if len(steps) == 8 and (ends, os.environ["RANK"]) == ("killed", "1"):
        os.kill(os.getpid(), signal.SIGKILL)
    if len(steps) == 8 and (ends, os.environ["RANK"]) == ("interrupted", "0"):
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(60)
    return step(*arguments)

ends, steps, step, torch.optim.Adam.step = sys.argv.pop(1), [], torch.optim.Adam.step, last
fit.__kwdefaults__["checkpoint_every"] = 5
main()
"""


@pytest.mark.slow
def test_torchrun_reports_a_process_that_ended_and_goes_on_to_the_bit(tmp_path):
    script = tmp_path / "command.py"
    script.write_text(COMMAND)

    def launch(run, *, ends):
        words = ["train", "add(size=8)", "--energy", "mlp(width=8)", "--batch-size", "2"]
        words += ["--iterations", "20", "--problems", "20", "--out", tmp_path / run, "--resume"]
        run_python(*TORCHRUN, script, ends, *words, timeout=100)

    launch("whole", ends="done")
    with pytest.raises(AssertionError, match="SIGINT"):
        launch("run", ends="interrupted")
    with pytest.raises(AssertionError, match=r"(?s)Root Cause.* rank +: 1 .* exitcode +: -9 "):
        launch("run", ends="killed")
    assert not (tmp_path / "run" / "evaluation.json").exists()
    launch("run", ends="done")
    expected, *others = (
        {name: each for name, each in load_file(file).items() if name.startswith(WEIGHTS)}
        for file in sorted(tmp_path.glob("*/training*"))
    )
    assert len(others) == 3
    for other in others:
        torch.testing.assert_close(other, expected, rtol=0, atol=0)


def test_a_run_goes_on_with_as_many_processes_as_it_began_with(tmp_path, monkeypatch):
    train(tmp_path, iterations=4)
    monkeypatch.setattr(Ranks, "gather", lambda self, value: [value, (set(), False)])
    folder = RunFolder(tmp_path, Ranks(rank=0, count=2))
    with pytest.raises(CheckpointError, match="as many processes as training began with"):
        folder.newest()


@pytest.mark.parametrize("environment", [{}, {"RANK": "1", "WORLD_SIZE": "3"}])
def test_ranks_are_read_from_the_environment(monkeypatch, environment):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    ranks = Ranks.from_environment()
    assert ranks == (Ranks(rank=1, count=3) if environment else Ranks(rank=0, count=1))
    assert ranks.leads == (not environment)


def test_alone_a_process_gathers_its_own_value():
    value = object()
    assert Ranks().gather(value) == [value]


def test_processes_of_a_machine_take_a_gpu_each(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    cuda = torch.device("cuda")
    assert Ranks(rank=3, count=4).device(cuda) == torch.device("cuda", 1)
    assert Ranks().device(cuda) == cuda
    assert Ranks(rank=3, count=4).device(torch.device("cpu")) == torch.device("cpu")


def test_streams_of_random_numbers_are_distinct():
    streams = [()]
    streams += [(name, rank) for name in ("problems", "layers") for rank in range(50)]
    seeds = {derive(seed, *stream) for seed in range(50) for stream in streams}
    assert len(seeds) == 50 * len(streams)
    assert all(0 <= seed < 2**63 for seed in seeds)
    # Of record: checkpoints and published results depend on these numbers.
    assert derive(0, "problems", 0) == 4995992803362448066
