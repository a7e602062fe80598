"""Parts of the page of a report: charts and tables under a heading."""

from __future__ import annotations

import attrs

from irem_core.report.drawing import Chart


@attrs.frozen(kw_only=True)
class Table:
    """A table of texts.

    Args:
        title: what it shows.
        columns: its headings; the first column heads the rows.
        rows: one text a column.
        marked: numbers of the rows to point out.
    """

    title: str
    columns: list[str]
    rows: list[list[str]]
    marked: frozenset[int] = frozenset()


@attrs.frozen(kw_only=True)
class Section:
    """A part of the page about a run.

    Args:
        name: for styles and scripts.
        title: its heading.
        said: what it shows, or why it is left out.
        charts: its charts; likewise `tables`.
    """

    name: str
    title: str
    said: str
    charts: list[Chart] = attrs.field(factory=list)
    tables: list[Table] = attrs.field(factory=list)
