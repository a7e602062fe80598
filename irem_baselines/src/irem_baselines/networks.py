"""Which network a learned baseline is made of, and the settings of the paper's tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from irem_baselines.dense_network import DenseNetwork
from irem_baselines.edge_network import EdgeNetwork
from irem_baselines.network import Network
from irem_core import FactorSpace, Preset, SettingError, Space, checks

_SOURCE = "Du et al., ICML 2022, Appendices C and D"


def paper_preset(answer: Space, solver: Mapping[str, Any]) -> Preset:
    """Return the training of the paper's baselines (Appendix C) with a solver's settings."""
    training = {
        "iterations": 10_000,
        "batch_size": 64 if answer.ragged else 128,
        "learning_rate": 1e-4,
    }
    return Preset(source=_SOURCE, solver=solver, training=training)


def paper_width(answer: Space, *, dense: int = 512) -> int:
    """Return the width of a table's layers: 128 on edges (Tables 7-9), else `dense`."""
    return 128 if answer.ragged else dense


def width_of(owner: str, width: int | str, **named: Callable[[], int]) -> int:
    """Return a width as a number.

    Args:
        owner: the solver that is built, named in errors.
        width: a number, or one of the names.
        named: what each name stands for.

    Raises:
        SettingError: the width is neither a name nor a whole number of at least 1.
    """
    if isinstance(width, str):
        checks.check(checks.one_of(*named), owner, width=width)
        return named[width]()
    checks.check(checks.count, owner, width=width)
    return width


def make_network(
    owner: str,
    question: Space,
    answer: Space,
    *,
    width: int,
    depth: int,
    reads_answer: bool = False,
) -> Network:
    """Make the network for spaces: linear layers with ReLU, or GINE layers on edges.

    Args:
        owner: the solver that is built, named in errors.
        question: space of x.
        answer: space of y.
        width: of features.
        depth: number of layers.
        reads_answer: whether candidates are read beside questions.

    Raises:
        SettingError: the spaces do not go together, or a number is out of range.
    """
    checks.check(checks.part_of(Space), owner, question=question, answer=answer)
    checks.check(checks.count, owner, depth=depth)
    if isinstance(question, FactorSpace):
        raise SettingError(
            f"{owner} got question={question!r}; it has no layers for graphs and factor graphs of "
            "your own. Train irem, whose energy factor is made for them."
        )
    if question.ragged != answer.ragged:
        raise SettingError(
            f"{owner} got question={question!r} and answer={answer!r}; expected both to be values "
            "on edges, or neither."
        )
    if not answer.ragged:
        return DenseNetwork(question, answer, width=width, depth=depth, reads_answer=reads_answer)
    if reads_answer and width % 2:
        raise SettingError(
            f"{owner} got width={width}; expected an even number, half for x and half for y."
        )
    return EdgeNetwork(question, answer, width=width, depth=depth, reads_answer=reads_answer)
