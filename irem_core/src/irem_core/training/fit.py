"""Training: `fit`, its callbacks, and resuming to the bit."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from irem_core import checks
from irem_core.distributed import Ranks, apart, averaging, derive
from irem_core.errors import SettingError, TrainingDivergedError
from irem_core.runs import checkpoint
from irem_core.runs.description import describe
from irem_core.runs.run_folder import RunFolder, check_same_settings
from irem_core.solvers.base import Solver, check_fits
from irem_core.tasks.drawn import check_drawn
from irem_core.tasks.task import Task
from irem_core.training.average import WeightAverage
from irem_core.training.interruption import interruptible
from irem_core.training.progress import Callback, Progress, Training
from irem_core.training.restoring import check_numbers, moments_of, restoring


def fit(
    solver: Solver,
    task: Task,
    *,
    iterations: int = 10_000,
    batch_size: int = 128,
    accumulate: int = 1,
    learning_rate: float = 1e-4,
    schedule: str = "constant",
    clip_norm: float | None = None,
    average: float | None = None,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    device: torch.device | str = "cpu",
    callbacks: Sequence[Callback] = (),
    log_every: int = 50,
    checkpoint_every: int = 500,
) -> Progress:
    """Train a solver on a task with Adam (Algorithm 1).

    With `out`, the run is kept in a folder and can be resumed after being stopped or killed at any
    moment: it then ends with the same weights to the bit, on the same machine on CPU with the same
    threads and processes. Under torchrun every process draws problems of its own and gradients are
    averaged; a script that trains more than once joins the processes itself beforehand, with
    torch.distributed.init_process_group. The global random state is left as it was.

    A solver with `closed_form` set is fitted at once instead, which counts as one iteration: the
    settings of Adam have no effect on it.

    Args:
        solver: what to train; it is moved to `device`.
        task: what to train on.
        iterations: updates of the weights in all; a resumed run may be given more than it began
            with, unless the schedule depends on their number.
        batch_size: fresh problems in a batch, per process.
        accumulate: batches in each update, which averages their gradients: that of one batch of
            `accumulate * batch_size` problems in the memory of `batch_size`, except that a batch
            may replay problems of the one before, and that an error over answers of different sizes
            is first averaged within its batch.
        learning_rate: of Adam.
        schedule: "constant", or "cosine" to let the learning rate fall to 0 along half a cosine.
        clip_norm: the largest norm of a gradient, longer ones are scaled down; None for no limit.
        average: decay, such as 0.999, of the moving average of the weights that the solver ends
            with and that is judged and saved on the way; None to keep the last weights.
        seed: of problems, starts and replay.
        out: the run's folder.
        resume: go on from the folder's checkpoint, or start afresh where it has none.
        device: where to train.
        callbacks: what to tell about it.
        log_every: updates between reports.
        checkpoint_every: updates between checkpoints.

    Returns:
        The finished training, with its log.

    Raises:
        SettingError: a setting is out of range, or differs from the run's that is resumed.
        ShapeError: the solver was built for other shapes than the task's.
        RunExistsError: the folder holds a run and `resume` is false.
        InUseError: another process trains into the folder.
        CheckpointError: the checkpoint to resume from is damaged.
        TrainingDivergedError: the loss turned non-finite; the last good checkpoint stays.
        StorageError: writing failed; the checkpoint before stays.
        KeyboardInterrupt: Ctrl-C; the current update was finished and a checkpoint written.
    """
    checks.check(checks.count, "fit", log_every=log_every, checkpoint_every=checkpoint_every)
    if resume and out is None:
        raise SettingError("fit got resume=True without out=; name the folder of the run.")
    check_fits(solver, task)
    ranks = Ranks.from_environment()
    place = ranks.device(torch.device(device))
    # A task that cannot draw, for want of a file perhaps, says so before a folder is claimed.
    drawn = task.sample(1, generator=torch.Generator(place).manual_seed(0), device=place)
    check_drawn(task, *drawn)
    training = Training(
        iterations=1 if solver.closed_form else iterations,
        batch_size=batch_size,
        accumulate=accumulate,
        learning_rate=learning_rate,
        schedule=schedule,
        clip_norm=clip_norm,
        average=average,
        seed=seed,
        device=place.type,
        threads=torch.get_num_threads(),
        ranks=ranks.count,
        compiled=solver.compiled,
        autocast=solver.autocasts,
    )
    with ranks.joined(place), torch.random.fork_rng(), ExitStack() as closing:
        loop = _Loop(solver.to(place), task, training, ranks, place, out)
        if loop.folder is not None:
            closing.enter_context(loop.folder.alone())
        loop.begin(resume=resume)
        for callback in callbacks:
            closing.callback(callback.close)
        loop.run(callbacks, log_every, checkpoint_every)
    return loop.progress


class _Loop:
    """The state of a running training, and how to save and restore it."""

    def __init__(
        self,
        solver: Solver,
        task: Task,
        training: Training,
        ranks: Ranks,
        device: torch.device,
        out: str | os.PathLike[str] | None,
    ) -> None:
        self.ranks = ranks
        self.device = device
        self.folder = None if out is None else RunFolder(out, ranks)
        self.parameters = [each for each in solver.parameters() if each.requires_grad]
        decay = training.average
        self.average = None if decay is None else WeightAverage(self.parameters, decay)
        self.progress = Progress(
            solver,
            task,
            training,
            leads=ranks.leads,
            out=None if out is None else Path(out),
            folder=self.folder,
            average=self.average,
        )
        # One group, which may be empty, as of a solver in closed form.
        groups = [{"params": self.parameters}]
        self.optimizer = torch.optim.Adam(groups, lr=training.learning_rate, fused=True)
        self.generator = torch.Generator(device).manual_seed(
            derive(training.seed, "problems", ranks.rank)
        )
        # Layers such as dropout draw from the global state, which the caller gets back unchanged.
        torch.manual_seed(derive(training.seed, "layers", ranks.rank))
        self.total = torch.zeros((), device=device)
        self.logged_at = 0
        self.diverged_at = torch.zeros((), dtype=torch.int64, device=device)

    def begin(self, *, resume: bool) -> None:
        """Claim the folder and restore its newest checkpoint, where there is one."""
        if self.folder is None:
            return
        self.folder.claim(resume=resume)
        self.restore()
        self.progress.records = self.folder.cut_metrics(self.progress.iteration)

    def run(self, callbacks: Sequence[Callback], log_every: int, checkpoint_every: int) -> None:
        """Train until the last iteration."""
        progress, training = self.progress, self.progress.training
        model: nn.Module = progress.solver
        if self.ranks.count > 1 and not progress.solver.closed_form:
            model = averaging(model)
        progress.solver.train()
        for callback in callbacks:
            callback.started(progress)
        before, since = progress.seconds, time.perf_counter()
        with interruptible(self.folder is not None and self.ranks.count == 1) as interrupted:
            while progress.iteration < training.iterations:
                self._update(model)
                progress.seconds = before + time.perf_counter() - since
                for callback in callbacks:
                    callback.stepped(progress)
                done = progress.iteration == training.iterations
                if progress.iteration % log_every == 0 or done:
                    self._log(callbacks)
                if progress.iteration % checkpoint_every == 0 or done or interrupted.is_set():
                    self.save()
                if interrupted.is_set():
                    raise KeyboardInterrupt
        if self.average is not None:
            self.average.settle()
        progress.solver.eval()
        self._calibrate()
        if self.folder is not None and self.ranks.leads:
            self._save_model(self.folder)
        for callback in callbacks:
            callback.finished(progress)

    def _update(self, model: nn.Module) -> None:
        progress = self.progress
        if progress.solver.closed_form:
            self._fit_once()
        self.optimizer.zero_grad(set_to_none=True)
        value = self._accumulate(model)
        if not progress.solver.closed_form:
            self._descend()
        progress.iteration += 1
        if self.average is not None:
            self.average.update(progress.iteration)
        self.total += value
        # Kept on the device, so that no iteration waits for it; read when something is reported.
        fresh = (self.diverged_at == 0) & ~value.isfinite()
        self.diverged_at = torch.where(fresh, progress.iteration, self.diverged_at)

    def _fit_once(self) -> None:
        progress = self.progress
        # Every process fits to the same draws, so that all have the same weights.
        seed = derive(progress.training.seed, "closed form")
        generator = torch.Generator(self.device).manual_seed(seed)
        with torch.no_grad():
            progress.solver.fit_once(progress.task, generator)

    def _accumulate(self, model: nn.Module) -> Tensor:
        """Leave the mean gradient of an update's batches in the weights; return the mean loss."""
        progress, training = self.progress, self.progress.training
        losses = []
        for left in reversed(range(training.accumulate)):
            problem, target = progress.task.sample(
                training.batch_size, "train", generator=self.generator, device=self.device
            )
            with apart(model, left > 0):
                loss = model(problem, target, self.generator) / training.accumulate
                if not progress.solver.closed_form:
                    # Without names autograd would also compute the gradient in the candidates.
                    loss.backward(inputs=self.parameters)
            losses.append(loss.detach())
        return torch.stack(losses).sum()

    def _descend(self) -> None:
        progress, training = self.progress, self.progress.training
        if training.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, training.clip_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = training.rate(progress.iteration)
        self.optimizer.step()

    def _calibrate(self) -> None:
        """Let the solver learn from what training did not see; alike on every process."""
        unseen = self.progress.task.unseen(self.device)
        if unseen is not None:
            seed = derive(self.progress.training.seed, "calibration")
            generator = torch.Generator(self.device).manual_seed(seed)
            self.progress.solver.calibrate(*unseen, generator)

    def _log(self, callbacks: Sequence[Callback]) -> None:
        self._check_finite()
        progress = self.progress
        progress.loss = float(self.total) / (progress.iteration - self.logged_at)
        self.total.zero_()
        self.logged_at = progress.iteration
        progress.log(loss=progress.loss, seconds=round(progress.seconds, 3))
        for callback in callbacks:
            callback.logged(progress)

    def _check_finite(self) -> None:
        found = [each for each in self.ranks.gather(int(self.diverged_at)) if each]
        if found:
            kept = "" if self.folder is None else " The last good checkpoint stays."
            raise TrainingDivergedError(
                f"The training loss turned NaN or infinite at iteration {min(found)}, so "
                f"training stopped.{kept} Try a smaller learning rate or step size."
            )

    def save(self) -> None:
        """Write a checkpoint to resume from, and the model as it is now."""
        if self.folder is None:
            return
        self._check_finite()
        solver = self.progress.solver
        weights = {f"model.{name}": each for name, each in solver.state_dict().items()}
        if not all(bool(each.isfinite().all()) for each in weights.values()):
            raise TrainingDivergedError(
                f"The weights turned NaN or infinite at iteration {self.progress.iteration}, so "
                "training stopped. The last good checkpoint stays. Try a smaller learning rate or "
                "step size."
            )
        moments = {
            f"optimizer.{index}.{name}": each
            for index, state in self.optimizer.state_dict()["state"].items()
            for name, each in state.items()
        }
        carried = {f"solver.{name}": each for name, each in solver.training_state().items()}
        averages = {} if self.average is None else dict(enumerate(self.average.values))
        carried |= {f"average.{index}": each for index, each in averages.items()}
        random = {
            "random.problems": self.generator.get_state(),
            "random.cpu": torch.get_rng_state(),
        }
        if self.device.type == "cuda":
            random["random.cuda"] = torch.cuda.get_rng_state(self.device)
        metadata = {
            "iteration": self.progress.iteration,
            "seconds": self.progress.seconds,
            "total": float(self.total),
            "logged_at": self.logged_at,
            "settings": self._settings(),
        }
        self.folder.save(weights | moments | carried | random, metadata)
        if self.ranks.leads:
            self._save_model(self.folder)

    def _save_model(self, folder: RunFolder) -> None:
        progress = self.progress
        with progress.averaged():
            checkpoint.save(
                progress.solver,
                folder.path,
                task=progress.task,
                training={
                    **attrs.asdict(progress.training),
                    "iteration": progress.iteration,
                    "seconds": round(progress.seconds, 3),
                },
            )

    def _settings(self) -> dict[str, Any]:
        training = attrs.asdict(self.progress.training)
        if training["schedule"] == "constant":
            # Then nothing depends on how far it is to go, and a finished run may be taken further.
            del training["iterations"]
        return {
            "solver": describe(self.progress.solver),
            "task": describe(self.progress.task),
            "training": training,
        }

    def restore(self) -> None:
        """Take over the folder's newest checkpoint, where there is one."""
        assert self.folder is not None
        saved = self.folder.newest()
        if saved is not None:
            with restoring(self.folder.path):
                self._restore(*saved)

    def _restore(self, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
        assert self.folder is not None
        path, progress = self.folder.path, self.progress
        before = metadata["settings"]
        before["training"] = Training.completed(before["training"])
        check_same_settings(before, self._settings(), path)
        check_numbers(metadata)
        if metadata["iteration"] > progress.training.iterations:
            raise SettingError(
                f"The run in {path} has done {metadata['iteration']} iterations already; give "
                f"iterations of at least that rather than {progress.training.iterations}."
            )
        groups: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            group, _, rest = name.partition(".")
            groups.setdefault(group, {})[rest] = tensor
        checkpoint.fit_weights(progress.solver, groups.get("model", {}), path)
        moments = moments_of(groups.get("optimizer", {}), self.parameters)
        empty = self.optimizer.state_dict()
        self.optimizer.load_state_dict({**empty, "state": moments})
        progress.solver.restore_training_state(
            {name: tensor.to(self.device) for name, tensor in groups.get("solver", {}).items()}
        )
        if self.average is not None:
            for place, value in enumerate(self.average.values):
                value.copy_(groups["average"][str(place)])
        self.generator.set_state(groups["random"]["problems"])
        torch.set_rng_state(groups["random"]["cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(groups["random"]["cuda"], self.device)
        progress.iteration = metadata["iteration"]
        progress.seconds = metadata["seconds"]
        self.total.fill_(metadata["total"])
        self.logged_at = metadata["logged_at"]
