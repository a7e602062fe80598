"""All that a training changes as it goes, and its checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import torch
from torch import Tensor

from irem_core.distributed import Ranks, derive
from irem_core.errors import SettingError, TrainingDivergedError
from irem_core.runs import checkpoint
from irem_core.runs.description import describe
from irem_core.runs.run_folder import RunFolder, check_same_settings
from irem_core.training.average import WeightAverage
from irem_core.training.best import BestWeights
from irem_core.training.progress import Progress, Training
from irem_core.training.restoring import check_numbers, moments_of, restoring


class State:
    """All that a training changes as it goes, and its checkpoints.

    Args:
        progress: the training as callbacks see it.
        parameters: what is trained.
        average: their averages, where such are made.
        best: the best of them, where they are judged.
        ranks: this process among those that train together.
        device: where the training runs.
    """

    def __init__(
        self,
        progress: Progress,
        parameters: Sequence[Tensor],
        average: WeightAverage | None,
        best: BestWeights | None,
        ranks: Ranks,
        device: torch.device,
    ) -> None:
        """Begin a training: moments of Adam are none, random states come from the seed."""
        training = progress.training
        self.progress = progress
        self.ranks = ranks
        self.device = device
        self.parameters = list(parameters)
        self.average = average
        self.best = best
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

    def check_finite(self, kept: str = "") -> None:
        """Raise an error where a loss was not finite.

        Args:
            kept: what of the training is still there.
        """
        found = [each for each in self.ranks.gather(int(self.diverged_at)) if each]
        if found:
            raise TrainingDivergedError(
                f"The training loss turned NaN or infinite at iteration {min(found)}, so "
                f"training stopped.{kept} Try a smaller learning rate or step size."
            )

    def save(self, folder: RunFolder) -> None:
        """Write a checkpoint to resume from, and the model as it is now."""
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
        for name, kept in (("average", self.average), ("best", self.best)):
            values = [] if kept is None else kept.values
            carried |= {f"{name}.{index}": each for index, each in enumerate(values)}
        random = {
            "random.problems": self.generator.get_state(),
            "random.cpu": torch.get_rng_state(),
        }
        if self.device.type == "cuda":
            random["random.cuda"] = torch.cuda.get_rng_state(self.device)
        metadata = {
            "iteration": self.progress.iteration,
            "iterations": self.progress.training.iterations,
            "seconds": self.progress.seconds,
            "total": float(self.total),
            "logged_at": self.logged_at,
            "settings": self._settings(),
        }
        if self.best is not None:
            # A text, since JSON has no infinity.
            metadata["best"] = [self.best.iteration, self.best.error.hex()]
        folder.save(weights | moments | carried | random, metadata)
        if self.ranks.leads:
            self.save_model(folder)

    def save_model(self, folder: RunFolder) -> None:
        """Write the model as it is now."""
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

    def restore(self, folder: RunFolder) -> None:
        """Take over the newest checkpoint, where there is one."""
        saved = folder.newest()
        if saved is not None:
            with restoring(folder.path):
                self._restore(folder, *saved)

    def _restore(
        self, folder: RunFolder, tensors: dict[str, Tensor], metadata: dict[str, Any]
    ) -> None:
        progress = self.progress
        before = metadata["settings"]
        before["training"] = Training.completed(before["training"])
        check_numbers(metadata)
        if self.best is not None:
            iteration, error = metadata["best"]
            self.best.iteration, self.best.error = int(iteration), float.fromhex(error)
            self.best.since = before["training"]["since"]
        training = progress.training.after(
            {**before["training"], "iterations": metadata["iterations"]},
            metadata["iteration"],
            over=self.best is not None and self.best.over(metadata["iteration"]),
        )
        if training.since != before["training"]["since"]:
            before["training"]["since"] = training.since
            if "iterations" in before["training"]:
                before["training"]["iterations"] = training.iterations
        progress.training = training
        check_same_settings(before, self._settings(), folder.path)
        if metadata["iteration"] > progress.training.iterations:
            raise SettingError(
                f"The run in {folder.path} has done {metadata['iteration']} iterations already; "
                f"give iterations of at least that rather than {progress.training.iterations}."
            )
        groups: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            group, _, rest = name.partition(".")
            groups.setdefault(group, {})[rest] = tensor
        checkpoint.fit_weights(progress.solver, groups.get("model", {}), folder.path)
        moments = moments_of(groups.get("optimizer", {}), self.parameters)
        empty = self.optimizer.state_dict()
        self.optimizer.load_state_dict({**empty, "state": moments})
        progress.solver.restore_training_state(
            {name: tensor.to(self.device) for name, tensor in groups.get("solver", {}).items()}
        )
        for name, kept in (("average", self.average), ("best", self.best)):
            for place, value in enumerate([] if kept is None else kept.values):
                value.copy_(groups[name][str(place)])
        if self.best is not None:
            self.best.since = training.since
        self.generator.set_state(groups["random"]["problems"])
        torch.set_rng_state(groups["random"]["cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(groups["random"]["cuda"], self.device)
        progress.iteration = metadata["iteration"]
        progress.seconds = metadata["seconds"]
        self.total.fill_(metadata["total"])
        self.logged_at = metadata["logged_at"]
