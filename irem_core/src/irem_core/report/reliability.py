"""The part of a report that says whether answers are as wrong as their energies say."""

from __future__ import annotations

from irem_core.report.drawing import Series, chart
from irem_core.report.gathering import Run
from irem_core.report.section import Section


def reliability(run: Run) -> Section | None:
    """Draw real errors against expected ones; None for a solver whose energies mean none."""
    found = [
        (each.name, each.measured.reliability)
        for each in run.difficulties
        if each.measured.reliability is not None
    ]
    series = [
        Series(name, [(each.expected, each.real) for each in known.bins()], place)
        for place, (name, known) in enumerate(found)
    ]
    ends = [value for each in series for point in each.points for value in point]
    if not ends:
        return None
    # As long as both axes, so that these get the same scale.
    diagonal = Series("as expected", [(min(ends), min(ends)), (max(ends), max(ends))], len(series))
    relative = any(known.relative for _, known in found)
    drawn = chart(
        "Expected and real errors",
        [*series, diagonal],
        x_label="expected squared error",
        y_label="real squared error",
        log_x=True,
        note="Means of bins of equally many answers, by rising energy."
        + (" Errors are relative to the variance of each entry of an answer." if relative else ""),
    )
    return Section(
        name="reliability",
        title="Which answers to trust",
        said="Energies of this run mean expected errors. Above the line of these answers are worse "
        "than they claim, and below it better.",
        charts=[] if drawn is None else [drawn],
    )
