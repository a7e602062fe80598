"""Models written for CPMpy, read as variables with values and factors that join them.

A constraint of one variable takes values from it, and one of two is a table: each value of the
first excludes some of the second. So any expression of two variables can be read. Of more, only
what is a factor as it stands: all different, a clause, or a sum of Booleans.
"""

from __future__ import annotations

import textwrap
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from math import prod
from typing import Any, Protocol

from irem_core.errors import SettingError
from irem_core.problems.variables import Entry, Variable

_MOST = 100_000
"""The most values of a variable, or pairs of values of two."""
_TAKEN = (
    "of one or two variables it takes any constraint, of more alldifferent, clauses (or, ->), and "
    "sums of Booleans that are exactly one, at most one or at least one"
)


class Written(Protocol):
    """What a model is written into: `Constraints`, as far as it is needed here."""

    variables: list[Variable]

    def variable(self, values: Iterable[Hashable], *, name: str | None = None) -> Variable:
        """Add a variable."""

    def given(self, variable: Variable, value: Hashable) -> None:
        """Say which value a variable has."""

    def all_different(self, variables: Iterable[Variable]) -> None:
        """Say that no two variables have one value."""

    def factor(self, kind: str, entries: Iterable[Entry], *, text: str | None = None) -> None:
        """Say that entries belong together."""


def read(model: Any, puzzle: Written) -> list[Any]:
    """Write what a model asks into a problem that has no variables yet.

    Args:
        model: a `cpmpy.Model`; it is left as it is.
        puzzle: where to.

    Returns:
        The variables of the model, in the order of those of the problem.

    Raises:
        SettingError: CPMpy is not installed; or this is no model, has an objective or a constraint
            that cannot be read, or leaves a variable without values.
    """
    try:
        import cpmpy
    except ModuleNotFoundError as error:
        raise SettingError(
            'Models are read with CPMpy, which is not installed: pip install "irem-core[cp]".'
        ) from error
    from cpmpy.transformations.get_variables import get_variables
    from cpmpy.transformations.negation import push_down_negation
    from cpmpy.transformations.normalize import simplify_boolean, toplevel_list

    if not isinstance(model, cpmpy.Model):
        raise SettingError(
            f"Constraints.of got an object of type {type(model).__name__}; expected a cpmpy.Model."
        )
    if model.has_objective():
        raise SettingError(
            "Constraints.of got a model that minimizes or maximizes; expected constraints alone, "
            "since an answer either holds or not."
        )
    sources: list[Any] = get_variables(model.constraints)
    constraints = simplify_boolean(push_down_negation(toplevel_list(model.constraints)))
    with _kept(sources):
        left = _narrowed(sources, constraints)
        for source, values in left.items():
            # What is given keeps its other values, as where it is written so.
            given = len(values) == 1
            made = puzzle.variable(_all_values(source) if given else values, name=source.name)
            if given:
                puzzle.given(made, values[0])
        reader = _Reader(puzzle, sources)
        for each in constraints:
            if len(get_variables(each)) > 1:
                reader.add(each)
    return sources


@contextmanager
def _kept(sources: Sequence[Any]) -> Iterator[None]:
    """Give the variables of a model back the values that they had."""
    before = [each._value for each in sources]
    try:
        yield
    finally:
        for each, value in zip(sources, before, strict=True):
            each._value = value


def _all_values(source: Any) -> tuple[Hashable, ...]:
    low, high = source.get_bounds()
    _check_size(high - low + 1, f"the variable {source} has", "values")
    return (False, True) if source.is_bool() else tuple(range(low, high + 1))


def _check_size(count: int, having: str, what: str) -> None:
    if count > _MOST:
        raise SettingError(
            f"In the model {having} {count} {what}; expected at most {_MOST}, as each is kept."
        )


def _narrowed(
    sources: Sequence[Any], constraints: Iterable[Any]
) -> dict[Any, tuple[Hashable, ...]]:
    """Return the values that constraints of one variable leave it."""
    from cpmpy.expressions.utils import argval
    from cpmpy.transformations.get_variables import get_variables

    left = {source: _all_values(source) for source in sources}
    for each in constraints:
        scope = get_variables(each)
        if len(scope) == 1:
            left[scope[0]] = tuple(
                value[0] for value, holds in _results(each, scope, [left[scope[0]]]) if holds
            )
            if not left[scope[0]]:
                raise SettingError(
                    f"The model contradicts itself: its constraints of {scope[0]} alone, "
                    f"{_cut(each)} among them, leave it no value."
                )
        elif not scope and not argval(each):
            raise SettingError(f"The model holds {_cut(each)}, which is never true.")
    return left


def _results(
    expression: Any, sources: Sequence[Any], values: Sequence[Sequence[Hashable]]
) -> Iterator[tuple[tuple[Hashable, ...], Any]]:
    """Yield all combinations of values of variables, and what an expression is there."""
    from cpmpy.expressions.utils import argval

    for chosen in product(*values):
        for source, value in zip(sources, chosen, strict=True):
            source._value = value
        yield chosen, argval(expression)


class _Reader:
    """Writes constraints of two variables and more.

    Args:
        puzzle: where to.
        sources: the variables of the model, in the order of those of the problem.
    """

    def __init__(self, puzzle: Written, sources: Sequence[Any]) -> None:
        self.puzzle = puzzle
        self.variables = dict(zip(sources, puzzle.variables, strict=True))

    def add(self, constraint: Any) -> None:
        """Write a constraint.

        Raises:
            SettingError: it cannot be written.
        """
        if not (
            self._different(constraint)
            or self._sum(constraint)
            or self._clause(constraint)
            or self._table(constraint)
        ):
            names = [getattr(each, "name", None) for each in constraint.args]
            inner = [each for each in names if each not in (None, *map(str, self.variables))]
            name = " of ".join(map(repr, [constraint.name, *inner[:1]]))
            raise SettingError(
                f"Constraints.of cannot take {name}, as in {_cut(constraint)}; {_TAKEN}."
            )

    def _entries(self, expression: Any) -> dict[Any, list[Entry]] | None:
        """Return by what an expression of one variable may be the entries that make it so."""
        from cpmpy.transformations.get_variables import get_variables

        scope = get_variables(expression)
        if len(scope) != 1:
            return None
        own = self.variables[scope[0]]
        found: dict[Any, list[Entry]] = {}
        for (value,), result in _results(expression, scope, [own.values]):
            found.setdefault(result, []).append(own[value])
        return found

    def _different(self, constraint: Any) -> bool:
        if constraint.name != "alldifferent":
            return False
        if all(each in self.variables for each in constraint.args):
            self.puzzle.all_different(self.variables[each] for each in constraint.args)
            return True
        parts = self._apart(constraint.args)
        if parts is None:
            return False
        for result in dict.fromkeys(result for each in parts for result in each):
            # Of several entries of one variable one is true at most, so that they do not add up.
            alike = [entry for each in parts for entry in each.get(result, ())]
            self.puzzle.factor("at_most_one", alike, text=_cut(constraint))
        return True

    def _sum(self, constraint: Any) -> bool:
        from cpmpy.expressions.core import Comparison
        from cpmpy.expressions.utils import eval_comparison, is_num

        if not isinstance(constraint, Comparison):
            return False
        left, right = constraint.args
        if getattr(left, "name", None) != "sum":
            return False
        parts = self._apart(each for each in left.args if not is_num(each))
        if parts is None or not is_num(right) or any(set(each) - {0, 1} for each in parts):
            return False
        offset = sum(each for each in left.args if is_num(each))
        counts = range(len(parts) + 1)
        allowed = [k for k in counts if eval_comparison(constraint.name, k + offset, right)]
        kinds = {"exactly_one": [1], "at_most_one": [0, 1], "clause": list(counts[1:])}
        kind = next((kind for kind, each in kinds.items() if each == allowed), None)
        entries = [entry for each in parts for entry in each.get(1, ())]
        if kind is None or not entries:
            return False
        self.puzzle.factor(kind, entries, text=_cut(constraint))
        return True

    def _apart(self, expressions: Iterable[Any]) -> list[dict[Any, list[Entry]]] | None:
        """Return the entries of expressions of one variable each, no two of the same."""
        found = [self._entries(each) for each in expressions]
        parts = [each for each in found if each is not None]
        variables = {entry.variable for each in parts for held in each.values() for entry in held}
        return parts if len(parts) == len(found) == len(variables) else None

    def _clause(self, constraint: Any) -> bool:
        entries = self._literals(constraint)
        if entries is None:
            return False
        if not entries:
            raise SettingError(f"The model holds {_cut(constraint)}, which is never true.")
        self.puzzle.factor("clause", list(dict.fromkeys(entries)), text=_cut(constraint))
        return True

    def _literals(self, expression: Any) -> list[Entry] | None:
        """Return the entries of which one must be true, None if it is no clause."""
        from cpmpy.transformations.negation import recurse_negation

        one = self._entries(expression)
        if one is not None:
            return one.get(True, [])
        parts: Any = getattr(expression, "args", ())
        if expression.name == "->":
            parts = (recurse_negation(parts[0]), parts[1])
        elif expression.name != "or":
            return None
        found = [self._literals(each) for each in parts]
        return None if None in found else [entry for each in found for entry in each or ()]

    def _table(self, constraint: Any) -> bool:
        from cpmpy.transformations.get_variables import get_variables

        scope = get_variables(constraint)
        if len(scope) != 2:
            return False
        first, second = (self.variables[each] for each in scope)
        values = [first.values, second.values]
        _check_size(prod(map(len, values)), f"{_cut(constraint)} joins", "pairs of values")
        excluded: dict[Hashable, list[Entry]] = {}
        for pair, holds in _results(constraint, scope, values):
            if not holds:
                excluded.setdefault(pair[0], []).append(second[pair[1]])
        for one, others in excluded.items():
            # One of the others is true at most; if one is, the first does not have that value.
            self.puzzle.factor("at_most_one", [first[one], *others], text=_cut(constraint))
        return True


def _cut(expression: Any) -> str:
    return textwrap.shorten(str(expression), 100)
