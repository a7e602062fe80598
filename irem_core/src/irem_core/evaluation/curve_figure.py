"""Compute curves as a figure: how good answers are against the energy evaluations they cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from irem_core.errors import SettingError
from irem_core.evaluation.curve import Curve
from irem_core.files.storage import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FIGURES = (".png", ".svg")
"""Endings of the files that a figure is written to."""
_COLOURS = ("#8a8a8a", "#0b6e8f", "#3f8f4f", "#d1792c", "#8c5aa8")
_MARKS = ("-", "o-", "s-", "^-", "d-")


def write_curves(curves: Sequence[Curve], file: Path) -> None:
    """Draw curves beside one another, and write them as .png or .svg.

    Args:
        curves: at least one.
        file: where to.

    Raises:
        SettingError: the file ends in neither, or matplotlib is not installed.
        StorageError: the file cannot be written.
    """
    check_figure(file)
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * len(curves), 4.0), layout="constrained")
    grid = figure.subplots(1, len(curves), squeeze=False)
    for axes, curve in zip(grid[0], curves, strict=True):
        _draw(axes, curve)
    # No date and no random names, so that the same curves give the same file.
    metadata = {"Date": None} if file.suffix == ".svg" else None
    with replacing(file) as temporary, rc_context({"svg.hashsalt": "curve"}):
        figure.savefig(temporary, dpi=110, metadata=metadata, format=file.suffix[1:])


def check_figure(file: Path) -> None:
    """Check that a figure can be written, before anything is computed for it.

    Raises:
        SettingError: the file ends in none of `FIGURES`, or matplotlib is not installed.
    """
    if file.suffix not in FIGURES:
        raise SettingError(f"{file} is no figure; expected an ending out of {', '.join(FIGURES)}.")
    try:
        import matplotlib.figure  # noqa: F401 (asked whether it is there)
    except ImportError as error:
        raise SettingError(
            f"{file} is drawn with matplotlib, which is not installed; pip install "
            "'irem-core[plot]'."
        ) from error


def _draw(axes: Axes, curve: Curve) -> None:
    for place, (name, points) in enumerate(curve.lines().items()):
        spent, good = zip(*points, strict=True)
        (line,) = axes.plot(spent, good, _MARKS[place], color=_COLOURS[place], label=name)
        line.set(linewidth=1.4, markersize=4)
    axes.set(title=f"{curve.difficulty}, {curve.problems:,} problems")
    axes.set(xscale="log", xlabel="energy evaluations a problem", ylabel=curve.measured)
    if curve.measure == "mse":
        axes.set_yscale("log")
    else:
        axes.set_ylim(-0.02, 1.02)
    axes.legend(fontsize="small")
