"""Charts: from numbers to places in a picture, which the templates then draw.

All lengths are in the units of a chart's own picture, FRAME, which the page scales.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs


@attrs.frozen
class Frame:
    """The size of a picture, and where the sides of the axes within it are."""

    width: int = 480
    height: int = 300
    left: int = 74
    right: int = 456
    top: int = 14
    bottom: int = 250


FRAME = Frame()

# Points of a line at most: more cannot be told apart at this width.
_MOST = 150
# Beyond this ratio of the largest to the smallest value a scale is logarithmic.
_RATIO = 20


@attrs.frozen
class Series:
    """Points of one name.

    Args:
        name: as the legend has it.
        points: x and y of each.
        place: number of its colour; its place among the series of a chart if None.
    """

    name: str
    points: Sequence[tuple[float, float]]
    place: int | None = None


@attrs.frozen
class Tick:
    """A mark on an axis.

    Args:
        at: its place.
        label: what is written there.
    """

    at: float
    label: str


@attrs.frozen(kw_only=True)
class Line:
    """A series as it is drawn.

    Args:
        name: as the legend has it.
        place: number of its colour and of its dashes.
        path: of a line, as SVG has it.
        at: the place of each point.
        values: x and y of each point.
    """

    name: str
    place: int
    path: str
    at: list[tuple[float, float]]
    values: Sequence[tuple[float, float]]


@attrs.frozen(kw_only=True)
class Chart:
    """A chart as it is drawn.

    Args:
        title: what it shows.
        note: a sentence more, perhaps empty.
        x_label: what the x axis has, with its unit; likewise `y_label`.
        x_ticks: marks of the x axis; likewise `y_ticks`.
        lines: what is drawn.
        dots: whether points are drawn apart rather than joined.
        rows: the numbers: x, then the value of each line or None.
    """

    title: str
    note: str
    x_label: str
    y_label: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[Line]
    dots: bool
    rows: list[tuple[str, ...]]

    @property
    def places(self) -> list[dict[str, Any]]:
        """The lines for the script that says which values lie under the pointer."""
        return [
            {
                "name": line.name,
                "at": line.at,
                "said": [[number(x), number(y)] for x, y in line.values],
            }
            for line in self.lines
        ]


@attrs.frozen
class _Scale:
    """A map from values to places along an axis."""

    low: float
    high: float
    logarithmic: bool
    begin: float
    end: float

    @classmethod
    def of(cls, values: Sequence[float], begin: float, end: float, *, log: bool) -> _Scale:
        low, high = min(values), max(values)
        log = log and low > 0 and high > _RATIO * low
        if low == high:
            apart = abs(low) * 0.1 or 1.0
            low, high = low - apart, high + apart
        return cls(low, high, log, begin, end)

    def __call__(self, value: float) -> float:
        low, high, value = (self._on(each) for each in (self.low, self.high, value))
        return round(self.begin + (value - low) / (high - low) * (self.end - self.begin), 1)

    def _on(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value

    def ticks(self) -> list[Tick]:
        values = decades(self.low, self.high) if self.logarithmic else steps(self.low, self.high)
        return [Tick(self(value), number(value)) for value in values]


def steps(low: float, high: float) -> list[float]:
    """Return about five round numbers in a range: multiples of 1, 2 or 5 times a power of ten."""
    wanted = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(wanted))
    step = next(each * power for each in (1, 2, 5, 10) if each * power >= wanted * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{count * step:.12g}") for count in range(first, last + 1)]


def decades(low: float, high: float) -> list[float]:
    """Return powers of ten in a range, at most six, or 1, 2 and 5 times those where few are."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    powers = [10.0**power for power in range(first, last + 1)]
    inside = [each for each in powers if low <= each <= high]
    if len(inside) < 3:
        finer = (each * factor for each in powers for factor in (1, 2, 5))
        return [each for each in finer if low <= each <= high]
    return inside[:: math.ceil(len(inside) / 6)]


def number(value: float | None) -> str:
    """Write a number in four digits, or in full to its units up to a billion; a dash for None."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return "not finite"
    if value == round(value) or abs(value) >= 1000:
        if abs(value) < 1e9:
            return f"{round(value):,}"
    elif abs(value) >= 1e-3:
        return f"{value:.4g}"
    digits, _, power = f"{value:.3e}".partition("e")
    return f"{float(digits):g}e{int(power)}"


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return few points for many: the means of as many neighbours as it takes."""
    bucket = math.ceil(len(points) / _MOST)
    parts = (points[first : first + bucket] for first in range(0, len(points), bucket or 1))
    return [(part[-1][0], sum(y for _, y in part) / len(part)) for part in parts]


def chart(
    title: str,
    series: Iterable[Series],
    *,
    x_label: str,
    y_label: str,
    log: bool = True,
    log_x: bool = False,
    dots: bool = False,
    note: str = "",
) -> Chart | None:
    """Draw series into one chart, or return None where none has a point.

    Args:
        title: what it shows.
        series: each with finite numbers, lines in the order of x.
        x_label: what the x axis has.
        y_label: what the y axis has.
        log: use a logarithmic y axis where all values are positive and span more than a decade.
        log_x: likewise of the x axis.
        dots: draw points apart rather than joined.
        note: a sentence more.
    """
    shown = [
        Series(
            each.name,
            each.points if dots else thinned(each.points),
            place if each.place is None else each.place,
        )
        for place, each in enumerate(series)
        if each.points
    ]
    if not shown:
        return None
    points = [point for each in shown for point in each.points]
    x = _Scale.of([each for each, _ in points], FRAME.left, FRAME.right, log=log_x)
    y = _Scale.of([each for _, each in points], FRAME.bottom, FRAME.top, log=log)
    return Chart(
        title=title,
        note=note,
        x_label=x_label + (", log scale" if x.logarithmic else ""),
        y_label=y_label + (", log scale" if y.logarithmic else ""),
        x_ticks=x.ticks(),
        y_ticks=y.ticks(),
        lines=[_line(each, x, y) for each in shown],
        dots=dots,
        rows=_dots(shown) if dots else _rows(shown),
    )


def _line(series: Series, x: Callable[[float], float], y: Callable[[float], float]) -> Line:
    at = [(x(first), y(second)) for first, second in series.points]
    path = "M" + "L".join(f"{first:g} {second:g}" for first, second in at)
    return Line(name=series.name, place=series.place or 0, path=path, at=at, values=series.points)


def _rows(shown: Sequence[Series]) -> list[tuple[str, ...]]:
    columns = [dict(each.points) for each in shown]
    xs = sorted({x for column in columns for x in column})
    return [(number(x), *(number(column.get(x)) for column in columns)) for x in xs]


def _dots(shown: Sequence[Series]) -> list[tuple[str, ...]]:
    return [(each.name, number(x), number(y)) for each in shown for x, y in each.points]
