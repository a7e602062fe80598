"""Pairs of one's own as scikit-learn has them: a regressor for its pipelines and searches.

It needs the extra `irem-core[sklearn]`.
"""

from __future__ import annotations

import copy
from typing import Any, Self

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from irem_core import checks
from irem_core.errors import PluginError
from irem_core.pairs.files import LEAST
from irem_core.pairs.fitting import fit_pairs
from irem_core.problems.iterate import Iterate
from irem_core.problems.layout import Layout
from irem_core.solvers.base import Solver, restarts_of
from irem_core.solvers.irem import IREM
from irem_core.solving.solution import Solution

try:
    from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.validation import check_is_fitted, validate_data
except ModuleNotFoundError as error:
    raise PluginError(
        "IREMRegressor needs scikit-learn, which is not installed: pip install "
        '"irem-core[sklearn]".'
    ) from error

# Questions that are answered at a time.
_ROWS = 8192


class IREMRegressor(MultiOutputMixin, RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A regressor that learns an energy of answers and predicts by descending it.

    It is `fit_pairs` in scikit-learn's terms: rows of numbers are questions, numbers or rows of
    them are answers, and both are standardised within. Each prediction comes with an energy, by
    which predictions can be compared: those of a high one are likely to be wrong.

    Predictions start at one point, whatever the question, so what is predicted for a row depends on
    no other row.

    Args:
        energy: what is learned: a name, a constructor such as "distance(width=128)", or an energy,
            of which a copy is trained; what suits pairs if None.
        preset: the name of settings; the first that suits the energy if None.
        iterations: updates of the weights at most; those of the settings if None. Training ends
            earlier where the error on held-out pairs does not fall any more.
        batch_size: pairs that are drawn for an update; that of the settings if None.
        learning_rate: of Adam; that of the settings if None.
        restarts: how often each question is descended again in predicting, from elsewhere; the
            prediction is the answer of the lowest energy. If None, as often as held-out pairs
            showed to pay.
        max_steps: the most steps of a descent in predicting; the solver's own if None.
        held_out: share of the pairs that training never sees, between 0 and 1.
        random_state: of weights, draws and starts: a seed, a numpy `RandomState`, or None for
            numpy's own.
        device: where to train and predict.

    Attributes:
        solver_: the trained solver, which `export_solver` and all else of irem takes.
        n_iter_: the updates that it was trained for.
        n_features_in_: columns of X.
        feature_names_in_: their names, where X was a frame that names all of them by texts.

    Raises:
        SettingError: in fitting, a setting is out of range.
        UnknownNameError: in fitting, there is no such energy or preset.
    """

    def __init__(
        self,
        *,
        energy: Any = None,
        preset: str | None = None,
        iterations: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        restarts: int | None = None,
        max_steps: int | None = None,
        held_out: float = 0.1,
        random_state: int | np.random.RandomState | None = None,
        device: str = "cpu",
    ) -> None:
        """Take the settings over as they are; they are checked in fitting."""
        self.energy = energy
        self.preset = preset
        self.iterations = iterations
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.restarts = restarts
        self.max_steps = max_steps
        self.held_out = held_out
        self.random_state = random_state
        self.device = device

    def fit(self, X: Any, y: Any) -> Self:
        """Train on pairs.

        Args:
            X: `(n, d)` the questions, at least 10.
            y: `(n,)` or `(n, m)` their answers.

        Raises:
            ValueError: they are no such arrays of finite numbers, or all answers are the same.
        """
        X, y = validate_data(
            self,
            X,
            y,
            dtype=(np.float64, np.float32),
            multi_output=True,
            y_numeric=True,
            ensure_min_samples=LEAST,
        )
        chosen: dict[str, Any] = {
            "iterations": self.iterations,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
        }
        for name in ("restarts", "max_steps"):
            if getattr(self, name) is not None:
                given = {name: getattr(self, name)}
                checks.check(checks.count_or_zero, "IREMRegressor", **given)
        self._seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        progress = fit_pairs(
            X,
            y,
            energy=copy.deepcopy(self.energy),
            preset=self.preset,
            held_out=self.held_out,
            seed=self._seed,
            device=self.device,
            **{name: value for name, value in chosen.items() if value is not None},
        )
        self.solver_: Solver = progress.solver
        for part in self.solver_.modules():
            if isinstance(part, IREM):
                part.buffer = None  # of training alone, and of megabytes in every pickle
        self.n_iter_ = progress.iteration
        self._single = y.ndim == 1
        return self

    def predict(self, X: Any, return_energy: bool = False) -> Any:
        """Predict the answers to questions.

        Args:
            X: `(n, d)` the questions.
            return_energy: whether to return the energies of the answers too.

        Returns:
            `(n,)` or `(n, m)` answers, as those of training were; or these and `(n,)` energies.

        Raises:
            ValueError: X is no array of finite numbers, or has other columns than in training.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        found = [self._solved(X[first : first + _ROWS]) for first in range(0, len(X), _ROWS)]
        y = np.concatenate([_array(each.y) for each in found])
        y = y[:, 0] if self._single else y
        if not return_energy:
            return y
        return y, np.concatenate([_array(each.energy) for each in found])

    def _solved(self, X: NDArray[Any]) -> Solution:
        """Answer questions, each from the same starts."""
        generator = torch.Generator(self.device).manual_seed(self._seed)
        best: Solution | None = None
        restarts = restarts_of(self.solver_) if self.restarts is None else self.restarts
        for _ in range(1 + restarts):
            start = self.solver_.draw_start(X[:1], generator)
            if start is not None:
                start = _repeated(start, len(X))
            found = self.solver_.solve(X, start=start, max_steps=self.max_steps)
            best = found if best is None else best.or_better(found)
        assert best is not None
        return best


def _repeated(start: Iterate, count: int) -> Iterate:
    """Return the one start of an iterate as that of so many problems."""
    alone = attrs.evolve(start, layout=Layout(count))
    return alone.map(lambda leaf: leaf.expand(count, *leaf.shape[1:]))


def _array(values: Any) -> NDArray[np.float64]:
    # Searches and stacks of scikit-learn expect double precision.
    array: NDArray[np.float64] = values.numpy(force=True).astype(np.float64)
    return array
