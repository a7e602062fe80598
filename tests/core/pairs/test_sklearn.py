"""The regressor for scikit-learn, by its own checks and against what is known of its pairs."""

from __future__ import annotations

import functools
import pickle
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import irem_core
from irem_core import DistanceEnergy, PluginError, SettingError, UnknownNameError, VectorSpace
from trainings import run_python

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from irem_core import registry
from irem_core import sklearn as module
from irem_core.sklearn import IREMRegressor

# As small as their data, of which there are 10 to 200 rows.
SMALL = {
    "energy": "distance(width=64, depth=1)",
    "iterations": 8,
    "learning_rate": 0.05,
    "max_steps": 5,
}
PLUGINS = functools.cache(registry.plugins)
ROUNDS = "descends in single precision, which rounds by 1e-6, by the size of a batch"
FAILING = {
    "check_methods_subset_invariance": ROUNDS,
    "check_methods_sample_order_invariance": ROUNDS,
}


def pairs(count: int = 80, seed: int = 0) -> tuple[NDArray[Any], NDArray[Any]]:
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(count, 3))
    return x, 100 + 20 * x[:, 0] - 5 * x[:, 1]


@pytest.fixture(autouse=True)
def parts_are_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the entry points for the first fit alone, which takes longer than so small a fit."""
    monkeypatch.setattr(registry, "plugins", PLUGINS)


def small(**settings: Any) -> IREMRegressor:
    return IREMRegressor(**{**SMALL, "random_state": 0, **settings})


# The array API is left out by scikit-learn itself unless a variable asks for it.
@pytest.mark.filterwarnings("ignore:Skipping check:sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [IREMRegressor(**SMALL)], expected_failed_checks=lambda _: FAILING, xfail_strict=False
)
def test_the_checks_of_scikit_learn(estimator: IREMRegressor, check: Any) -> None:
    check(estimator)


def test_predictions_are_minima_of_the_energy_that_is_returned() -> None:
    x, y = pairs(200)
    regressor = small(iterations=40, learning_rate=0.02, max_steps=None).fit(x[:100], y[:100])
    found, energy = regressor.predict(x[100:], return_energy=True)
    assert regressor.score(x[100:], y[100:]) == r2_score(y[100:], found) > 0.8
    np.testing.assert_array_equal(found, regressor.predict(x[100:]))
    # Asked in standard units, as training found them.
    solver = regressor.solver_
    asked = solver.question_units.standard(torch.tensor(x[100:]))
    answer = solver.answer_units.standard(torch.tensor(found[:, None]))
    known = solver.solver.energy(asked, answer).detach()
    np.testing.assert_allclose(energy, known, rtol=1e-2, atol=1e-6)
    for moved in (answer - 0.1, answer + 0.1):
        assert (solver.solver.energy(asked, moved) > known).float().mean() > 0.95


def test_a_row_is_answered_alike_wherever_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = pairs(60)
    regressor = small().fit(x, y)
    whole = regressor.predict(x)
    np.testing.assert_allclose(regressor.predict(x[7:8]), whole[7:8], rtol=1e-5)
    monkeypatch.setattr(module, "_ROWS", 13)
    np.testing.assert_allclose(regressor.predict(x), whole, rtol=1e-5)


def test_restarts_only_lower_energies() -> None:
    x, y = pairs()
    # Hardly trained, so with minima that hang on where descent begins.
    regressor = small(energy="mlp(width=32, depth=2)", iterations=2, max_steps=3).fit(x, y)
    _, once = regressor.set_params(restarts=0).predict(x, return_energy=True)
    _, again = regressor.set_params(restarts=4).predict(x, return_energy=True)
    assert (again <= once).all()
    assert (again < once).any()


def test_what_held_out_pairs_show_to_pay_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = pairs()
    regressor = small(energy="mlp(width=32, depth=2)", iterations=2, max_steps=3).fit(x, y)
    once, again = (regressor.set_params(restarts=each).predict(x) for each in (0, 4))
    for shown, expected in ((0, once), (4, again)):
        monkeypatch.setattr(module, "restarts_of", lambda _, shown=shown: shown)
        np.testing.assert_array_equal(regressor.set_params(restarts=None).predict(x), expected)


def test_an_energy_that_is_given_stays_as_it_was() -> None:
    x, y = pairs()
    energy = DistanceEnergy(VectorSpace(3), VectorSpace(1), width=8, depth=1)
    before = {name: tensor.clone() for name, tensor in energy.state_dict().items()}
    small(energy=energy).fit(x, y)
    assert all(torch.equal(tensor, before[name]) for name, tensor in energy.state_dict().items())


@pytest.mark.parametrize(
    ("setting", "error"),
    [
        ({"iterations": 0}, SettingError),
        ({"batch_size": -1}, SettingError),
        ({"learning_rate": 0.0}, SettingError),
        ({"held_out": 1.0}, SettingError),
        ({"restarts": -1}, SettingError),
        ({"max_steps": -1}, SettingError),
        ({"energy": "no_such"}, UnknownNameError),
        ({"preset": "no_such"}, UnknownNameError),
    ],
)
def test_settings_are_checked_in_fitting(setting: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        small(**setting).fit(*pairs(10))


def test_a_search_over_a_pipeline_finds_what_was_trained_longer() -> None:
    x, y = pairs(60)
    pipeline = make_pipeline(StandardScaler(), small())
    search = GridSearchCV(pipeline, {"iremregressor__iterations": [1, 15]}, cv=2).fit(x, y)
    assert search.best_params_ == {"iremregressor__iterations": 15}
    assert search.score(x, y) > 0.5
    y, energy = search.best_estimator_.predict(x, return_energy=True)
    assert y.shape == energy.shape == (60,)


@pytest.mark.slow
def test_another_process_predicts_the_same(tmp_path: Path) -> None:
    x, y = pairs()
    regressor = small().fit(x, y)
    pickled = pickle.dumps(regressor)
    assert len(pickled) < 2**18  # weights, without what training replayed
    (tmp_path / "regressor.pickle").write_bytes(pickled)
    np.save(tmp_path / "x.npy", x)
    code = (
        "import pickle, sys; from pathlib import Path; import numpy as np\n"
        "here = Path(sys.argv[1])\n"
        "regressor = pickle.loads((here / 'regressor.pickle').read_bytes())\n"
        "np.save(here / 'y.npy', regressor.predict(np.load(here / 'x.npy')))"
    )
    run_python("-c", code, str(tmp_path))
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), regressor.predict(x), rtol=1e-5)


def test_without_scikit_learn_a_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "irem_core.sklearn")
    monkeypatch.setattr(irem_core, "sklearn", module)  # what importing sets is put back
    for name in [name for name in sys.modules if name.partition(".")[0] == "sklearn"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(PluginError, match=r'pip install "irem-core\[sklearn\]"'):
        import_module("irem_core.sklearn")
