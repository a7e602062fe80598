"""Training: `fit`, its callbacks, and resuming to the bit."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from torch import Tensor, nn

from irem_core import checks
from irem_core.distributed import Ranks, apart, averaging, derive
from irem_core.errors import SettingError
from irem_core.runs.run_folder import RunFolder
from irem_core.solvers.base import Solver, check_fits
from irem_core.tasks.drawn import check_drawn
from irem_core.tasks.task import Task
from irem_core.training.average import WeightAverage
from irem_core.training.best import BestWeights
from irem_core.training.interruption import interruptible
from irem_core.training.progress import Callback, Progress, Training
from irem_core.training.state import State

# Seconds after which a training is saved, however few updates it did.
_OFTEN = 60.0
# Problems by which weights are judged on the way, and by which solvers are calibrated, at most.
_JUDGING, _CALIBRATING = 500, 2000


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
    patience: float | None = None,
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
            with. Where the schedule depends on their number it must be finished, and a new one
            begins from there.
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
        patience: where a task has problems that training does not draw (`Task.unseen`), the weights
            that did best on them are kept, and training ends once so many times as many updates
            bring no better ones (see `BestWeights`); None to train to the last iteration.
        seed: of problems, starts and replay.
        out: the run's folder.
        resume: go on from the folder's checkpoint, or start afresh where it has none.
        device: where to train.
        callbacks: what to tell about it.
        log_every: updates between reports.
        checkpoint_every: updates between checkpoints; of a single process there is one a minute
            besides.

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
        patience=patience,
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
            loop.begin(loop.folder, resume=resume)
        for callback in callbacks:
            closing.callback(callback.close)
        loop.run(callbacks, log_every, checkpoint_every)
    return loop.progress


class _Loop:
    """A running training."""

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
        weights = [each for each in solver.parameters() if each.requires_grad]
        decay = training.average
        average = None if decay is None else WeightAverage(weights, decay)
        self.progress = Progress(
            solver,
            task,
            training,
            leads=ranks.leads,
            out=None if out is None else Path(out),
            folder=self.folder,
            average=average,
        )
        judging = training.patience is not None and not solver.closed_form
        self.unseen = task.unseen(_JUDGING, device) if judging else None
        best = None
        if self.unseen is not None and training.patience is not None:
            best = BestWeights(weights, training.patience)
        self.state = State(self.progress, weights, average, best, ranks, device)

    def begin(self, folder: RunFolder, *, resume: bool) -> None:
        """Claim the folder and restore its newest checkpoint, where there is one."""
        folder.claim(resume=resume)
        self.state.restore(folder)
        self.progress.records = folder.cut_metrics(self.progress.iteration)

    def run(self, callbacks: Sequence[Callback], log_every: int, checkpoint_every: int) -> None:
        """Train until the last iteration."""
        progress = self.progress
        model: nn.Module = progress.solver
        if self.ranks.count > 1 and not progress.solver.closed_form:
            model = averaging(model)
        progress.solver.train()
        for callback in callbacks:
            callback.started(progress)
        before, since = progress.seconds, time.perf_counter()
        saved = since
        with interruptible(self.folder is not None and self.ranks.count == 1) as interrupted:
            while not self._done():
                self._update(model)
                self._judge()
                now = time.perf_counter()
                progress.seconds = before + now - since
                for callback in callbacks:
                    callback.stepped(progress)
                done = self._done()
                if progress.iteration % log_every == 0 or done:
                    self._log(callbacks)
                # Several processes save together, and their clocks differ.
                due = self.ranks.count == 1 and now - saved > _OFTEN
                due = due or progress.iteration % checkpoint_every == 0
                if due or done or interrupted.is_set():
                    self._save()
                    saved = time.perf_counter()
                if interrupted.is_set():
                    raise KeyboardInterrupt
        self._settle()
        for callback in callbacks:
            callback.finished(progress)

    def _done(self) -> bool:
        iteration, best = self.progress.iteration, self.state.best
        over = best is not None and best.over(iteration)
        return over or iteration >= self.progress.training.iterations

    def _update(self, model: nn.Module) -> None:
        progress, state = self.progress, self.state
        if progress.solver.closed_form:
            self._fit_once()
        state.optimizer.zero_grad(set_to_none=True)
        value = self._accumulate(model)
        if not progress.solver.closed_form:
            self._descend()
        progress.iteration += 1
        if state.average is not None:
            state.average.update(progress.iteration)
        state.total += value
        # Kept on the device, so that no iteration waits for it; read when something is reported.
        fresh = (state.diverged_at == 0) & ~value.isfinite()
        state.diverged_at = torch.where(fresh, progress.iteration, state.diverged_at)

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
                training.batch_size, "train", generator=self.state.generator, device=self.device
            )
            with apart(model, left > 0):
                loss = model(problem, target, self.state.generator) / training.accumulate
                if not progress.solver.closed_form:
                    # Without names autograd would also compute the gradient in the candidates.
                    loss.backward(inputs=self.state.parameters)
            losses.append(loss.detach())
        return torch.stack(losses).sum()

    def _descend(self) -> None:
        state, training = self.state, self.progress.training
        if training.clip_norm is not None:
            nn.utils.clip_grad_norm_(state.parameters, training.clip_norm)
        for group in state.optimizer.param_groups:
            group["lr"] = training.rate(self.progress.iteration)
        state.optimizer.step()

    def _judge(self) -> None:
        """Keep the weights where they are the best so far."""
        progress, best = self.progress, self.state.best
        if best is None or not best.due(progress.iteration):
            return
        with progress.averaged():
            error = self._error()
            best.judge(progress.iteration, error)
        progress.log(unseen=error)

    def _error(self) -> float:
        """Return the error on problems that training does not draw; alike on every process."""
        assert self.unseen is not None
        solver, state = self.progress.solver, torch.get_rng_state()
        solver.eval()
        error = solver.error(*self.unseen, self._generator("judgement"))
        solver.train()
        torch.set_rng_state(state)
        return float(self.ranks.gather(error)[0])

    def _generator(self, purpose: str) -> torch.Generator:
        seed = derive(self.progress.training.seed, purpose)
        return torch.Generator(self.device).manual_seed(seed)

    def _settle(self) -> None:
        """End up with the weights to keep, and let the solver learn from what it did not see."""
        progress, state = self.progress, self.state
        progress.settle()
        if state.best is not None:
            # Weights that are the only ones need no judgement.
            if state.best.iteration:
                state.best.judge(progress.iteration, self._error())
                state.best.settle()
            progress.kept = state.best.iteration or progress.iteration
        progress.solver.eval()
        unseen = progress.task.unseen(_CALIBRATING, self.device)
        if unseen is not None:
            progress.solver.calibrate(*unseen, self._generator("calibration"))
        if self.folder is not None and self.ranks.leads:
            state.save_model(self.folder)

    def _log(self, callbacks: Sequence[Callback]) -> None:
        progress, state = self.progress, self.state
        state.check_finite(self._left())
        progress.loss = float(state.total) / (progress.iteration - state.logged_at)
        state.total.zero_()
        state.logged_at = progress.iteration
        progress.log(loss=progress.loss, seconds=round(progress.seconds, 3))
        for callback in callbacks:
            callback.logged(progress)

    def _save(self) -> None:
        if self.folder is not None:
            self.state.check_finite(self._left())
            self.state.save(self.folder)

    def _left(self) -> str:
        return "" if self.folder is None else " The last good checkpoint stays."
