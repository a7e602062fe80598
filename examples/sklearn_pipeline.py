"""Search over settings in a pipeline of scikit-learn, and see which answers to trust."""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.datasets import make_friedman1
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer

from irem_core.sklearn import IREMRegressor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=1000, help="of questions and answers")
    parser.add_argument("--iterations", type=int, help="at most; the library's own if unset")
    parser.add_argument("--seed", type=int, default=0, help="of pairs, split and weights")
    options = parser.parse_args()

    # Five columns of ten matter: y = 10 sin(pi x0 x1) + 20 (x2 - 1/2)^2 + 10 x3 + 5 x4 + noise.
    x, y = make_friedman1(options.pairs, noise=0.5, random_state=options.seed)
    split = train_test_split(x, y, test_size=0.25, random_state=options.seed)
    x_train, x_test, y_train, y_test = split

    regressor = IREMRegressor(iterations=options.iterations, random_state=options.seed)
    scaling = QuantileTransformer(n_quantiles=50, output_distribution="normal")
    widths = ["ensemble(width=64)", "ensemble(width=160)"]
    search = GridSearchCV(
        make_pipeline(scaling, regressor), {"iremregressor__energy": widths}, cv=2
    )
    search.fit(x_train, y_train)
    linear = RidgeCV().fit(x_train, y_train)
    print(f"the best of {len(widths)}: {search.best_params_['iremregressor__energy']}")
    print(f"R2 {search.score(x_test, y_test):.3f}, linear {linear.score(x_test, y_test):.3f}")

    predicted, energy = search.best_estimator_.predict(x_test, return_energy=True)
    order = np.argsort(energy)
    for name, rows in zip(("lower", "higher"), np.array_split(order, 2), strict=True):
        error = np.square(predicted[rows] - y_test[rows]).mean()
        print(f"the half of {name} energy: mean squared error {error:.3f}")


if __name__ == "__main__":
    main()
