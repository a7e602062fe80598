"""Figures from the literature, which results stand beside."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Published:
    """A figure from the literature: mean squared error over all entries unless `metric` says else.

    Args:
        method: whose it is, by the name of the solver here where there is one.
        difficulty: the difficulty that it is for.
        value: the figure.
        source: where it was published.
        metric: what is measured.
    """

    method: str
    difficulty: str
    value: float
    source: str
    metric: str = "mse"
