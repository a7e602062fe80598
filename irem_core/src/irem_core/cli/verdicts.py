"""How commands show what energies say of errors, and which answers may be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from irem_core import checks
from irem_core.errors import SettingError

if TYPE_CHECKING:
    from irem_core.solvers.base import Solver

# Behind a sentence or a title, where errors have no unit.
_RELATIVE = ", over the variance of each y"


def check_trust(trust: float | None, command: str, *, curve: int | None = None) -> None:
    """Check the error that answers are to be trusted not to exceed, where one was given.

    Raises:
        SettingError: it is not above 0, or a curve is to be shown instead.
    """
    if trust is None:
        return
    checks.check(checks.positive, command, trust=trust)
    if curve is not None:
        raise SettingError(
            f"{command} got --trust and --curve, which shows no scores; give one of them."
        )


def trusted_told(
    solver: Solver, count: int, trusted: int, error: float, *, checked: bool = False
) -> str:
    """Say how many answers may be trusted, and why.

    Args:
        solver: what found them.
        count: how many answers there are.
        trusted: how many may be.
        error: what they are trusted not to exceed.
        checked: whether they were checked instead.
    """
    why = "they were checked and hold"
    if not checked:
        unit = "" if solver.error_spread is None else _RELATIVE
        why = f"their expected mean squared error is at most {error:g}{unit}"
    return f"{trusted} of {count} answer{'s' if count > 1 else ''} may be trusted: {why}."


def show_verdicts(scores: Mapping[str, Mapping[str, Any]]) -> None:
    """Print how well energies rank errors, whether they mean them, and what may be trusted."""
    from irem_core.cli import show

    ranked = {name: each["worst_tenth_auroc"] for name, each in scores.items()}
    # With pairs it is a column of the scores.
    if any(each is not None for each in ranked.values()) and not any(
        "r2" in each for each in scores.values()
    ):
        told = "; ".join(f"{name}: {show.cell(each)}" for name, each in ranked.items())
        typer.echo(f"AUROC of the worst tenth of answers by their energy: {told}.")
    for name, each in scores.items():
        if "reliability" in each:
            found = each["reliability"]
            show.table(
                f"{name}: expected and real errors, by energy"
                f"{_RELATIVE if found['relative'] else ''}",
                ["problems", "expected", "real", "real over expected"],
                [
                    [bin_["problems"], bin_["expected"], bin_["real"], bin_["ratio"]]
                    for bin_ in found["bins"]
                ],
            )
        if "trust" in each:
            found = each["trust"]
            these, others = (show.cell(found[of]) for of in ("error_trusted", "error_others"))
            typer.echo(
                f"{name}: {100 * found['share']:.3g} % of the answers may be trusted at an error "
                f"of {found['error']:g}; mean squared error of these: {these}; of the others: "
                f"{others}."
            )
