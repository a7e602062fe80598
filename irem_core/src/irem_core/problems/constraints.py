"""Discrete problems of one's own, written constraint by constraint."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Self

import attrs
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from irem_core.errors import SettingError, ShapeError
from irem_core.problems import choices, factor_graphs
from irem_core.problems.choices import ALL_DIFFERENT, BOUNDS, VARIABLE
from irem_core.problems.factor_graphs import ENTRY, ROLE
from irem_core.problems.factored import EntrySpace
from irem_core.problems.models import read
from irem_core.problems.problem import Problem
from irem_core.problems.variables import Entry as Entry
from irem_core.problems.variables import Variable as Variable

Holds = Callable[[Sequence[bool]], bool]


@attrs.frozen
class Constraint:
    """Entries that belong together.

    Args:
        kind: of the factor that it is.
        entries: which.
        roles: of each.
        holds: says of the truth of its entries whether it holds; None where that is not known.
        text: what it says, for `broken`.
    """

    kind: str
    entries: tuple[Entry, ...]
    roles: tuple[str, ...]
    holds: Holds | None
    text: str


def _listed(what: str, given: Iterable[Any]) -> tuple[Any, ...]:
    if isinstance(given, Iterable):
        return tuple(given)
    raise SettingError(f"{what} were given as {given}; expected a list of them.")


def _within(true: Sequence[bool], *, low: float, high: float) -> bool:
    return low <= sum(true) <= high


def _bounded(kind: str) -> Holds:
    low, high = BOUNDS[kind]
    return partial(_within, low=low, high=high)


class Constraints:
    """A discrete problem: variables with values, and what must hold of them.

    Solvers take it as a question wherever they take a `Problem`; it makes a factor graph of an
    entry for each value of each variable (see `choices`), and each constraint is a factor. An
    energy knows the kinds of factors that it was trained with. Nothing here searches.
    """

    def __init__(self) -> None:
        """Begin without variables."""
        self.variables: list[Variable] = []
        self.constraints: list[Constraint] = []
        self.givens: dict[int, Hashable] = {}
        self._rows = 0
        self._sources: list[Any] = []

    @classmethod
    def of(cls, model: Any) -> Self:
        """Make a problem of a model written for CPMpy.

        Args:
            model: a `cpmpy.Model` of integers and Booleans without objective. Of one or two
                variables it may hold any constraint; of more `AllDifferent`, clauses (or,
                implications to one), and sums of Booleans that are exactly, at most or at least
                one.

        Raises:
            SettingError: CPMpy, the extra irem-core[cp], is not installed, or the model holds
                anything else, or a variable is left without a value.
        """
        made = cls()
        made._sources = read(model, made)
        return made

    def __repr__(self) -> str:
        """Say how much there is of everything."""
        own = sum(each.kind != VARIABLE for each in self.constraints)
        return (
            f"Constraints({len(self.variables)} variables, {own} constraints, "
            f"{len(self.givens)} givens)"
        )

    def variable(
        self, values: Iterable[Hashable] = (False, True), *, name: str | None = None
    ) -> Variable:
        """Add a variable, which has exactly one of some values.

        Args:
            values: at least one, all different.
            name: what to call it; its number if None.

        Raises:
            SettingError: there is no value, or one twice, or they are not hashable.
        """
        held = _listed("A variable's values", values)
        try:
            distinct = set(held)
        except TypeError:
            distinct = set()
        if not held or len(distinct) < len(held):
            raise SettingError(
                f"A variable was given the values {held!r}; expected at least one, and none "
                "twice; numbers and strings will do."
            )
        number = len(self.variables)
        made = Variable(number, self._rows, held, f"variable {number}" if name is None else name)
        self.variables.append(made)
        self._rows += len(held)
        entries = tuple(made[value] for value in held)
        text = f"{made} should be one of {', '.join(map(str, held))}"
        self.constraints.append(
            Constraint(VARIABLE, entries, (ROLE,) * len(held), _bounded(VARIABLE), text)
        )
        return made

    def _own(self, variable: Variable) -> bool:
        return variable in self.variables[variable.number : variable.number + 1]

    def given(self, variable: Variable, value: Hashable) -> None:
        """Say which value a variable has.

        Raises:
            SettingError: it has no such value, or another one was given, or it is a variable of
                another problem.
        """
        if not self._own(variable):
            raise SettingError(
                f"{variable} was given the value {value!r}; expected a variable of this problem."
            )
        # The value as the variable has it: 1 and True are equal, and so are tensors and numbers.
        own = variable[value].value
        before = self.givens.setdefault(variable.number, own)
        if before != own:
            raise SettingError(
                f"The variable {variable} was given the values {before!r} and {value!r}; expected "
                "one."
            )

    def all_different(self, variables: Iterable[Variable]) -> None:
        """Let no two variables have the same value.

        Where there are as many variables as values each value occurs once, which is a kind of its
        own, "all_different"; else each is at most one of the entries of "at_most_one".

        Raises:
            SettingError: there are fewer values than variables, or a variable twice or of another
                problem.
        """
        given = _listed("Variables that are all different", variables)
        own = all(isinstance(each, Variable) and self._own(each) for each in given)
        if not own or len(set(given)) < len(given):
            raise SettingError(
                f"Variables that are all different were given as {', '.join(map(str, given))}; "
                "expected what variable(values) of this problem returns, none of them twice."
            )
        values = tuple(dict.fromkeys(value for each in given for value in each.values))
        if len(values) < len(given):
            raise SettingError(
                f"{len(given)} variables cannot all be different, since they have the "
                f"{len(values)} values {', '.join(map(repr, values))} only."
            )
        kind = ALL_DIFFERENT if len(values) == len(given) else "at_most_one"
        once = "once" if kind == ALL_DIFFERENT else "at most once"
        names = ", ".join(each.name for each in given)
        for value in values:
            entries = [each[value] for each in given if each.has(value)]
            self.factor(kind, entries, text=f"{value} should occur {once} among {names}")

    def exactly_one(self, entries: Iterable[Entry]) -> None:
        """Let exactly one of some entries be true."""
        self.factor("exactly_one", entries)

    def at_most_one(self, entries: Iterable[Entry]) -> None:
        """Let no two of some entries be true."""
        self.factor("at_most_one", entries)

    def clause(self, entries: Iterable[Entry]) -> None:
        """Let some of the entries be true; `x[False]` is the negation of a Boolean variable."""
        self.factor("clause", entries)

    def factor(
        self,
        kind: str,
        entries: Iterable[Entry],
        *,
        roles: Sequence[str] | None = None,
        holds: Holds | None = None,
        text: str | None = None,
    ) -> None:
        """Let entries belong together in a factor of a kind, perhaps one of your own.

        Args:
            kind: what an energy was trained with under that name.
            entries: which, at least one.
            roles: of each of them, where they are not alike.
            holds: says of the truth of the entries whether the constraint holds, so that answers
                can be checked; known for the kinds of `choices.BOUNDS`.
            text: what it says; made of its entries if None.

        Raises:
            SettingError: there are no entries, one is there twice, or one is not of this problem,
                or there is not a role for each; a name is no word; or a kind of `choices.BOUNDS` is
                given roles or another meaning.
        """
        given = _listed(f"The entries of a factor of the kind {kind!r}", entries)
        if kind in BOUNDS and (roles is not None or holds is not None):
            raise SettingError(
                f"A factor of the kind {kind!r} was given roles or holds; what that kind means is "
                "known, so give one of your own another name."
            )
        roles = (ROLE,) * len(given) if roles is None else tuple(roles)
        if not all(map(str.isidentifier, (kind, *roles))) or kind == ENTRY:
            raise SettingError(
                f"A factor got the kind {kind!r} and roles={roles}; expected names that are words, "
                f"and a kind other than {ENTRY!r}."
            )
        foreign = not all(isinstance(each, Entry) and self._own(each.variable) for each in given)
        if not given or len(set(given)) < len(given) or foreign or len(roles) != len(given):
            raise SettingError(
                f"A factor of the kind {kind!r} got the entries "
                f"{', '.join(map(str, given)) or '-'} and roles={roles}; expected at least one "
                "entry of this problem, such as x[True] of a variable x, none of them twice, and a "
                "role for each or none at all."
            )
        if holds is None and kind in BOUNDS:
            holds = _bounded(kind)
        text = text or f"{kind} of {', '.join(map(str, given))}"
        self.constraints.append(Constraint(kind, given, roles, holds, text))

    def values(self, y: Float[Tensor, "rows 1"]) -> list[Hashable]:
        """Return the value of each variable: the given one, else that of its largest entry."""
        if y.shape != (self._rows, 1):
            raise ShapeError(
                f"The answer has shape {tuple(y.shape)}; expected ({self._rows}, 1), a row for "
                "each value of each variable."
            )
        parts = y[:, 0].split([len(each.values) for each in self.variables])
        return [
            self.givens.get(each.number, each.values[int(part.argmax())])
            for each, part in zip(self.variables, parts, strict=True)
        ]

    def assign(self, y: Float[Tensor, "rows 1"]) -> bool:
        """Let the variables of the CPMpy model have the values of an answer, right or not.

        Returns:
            Whether they are a solution, as `model.solve` does.

        Raises:
            SettingError: this problem is not `of` a model.
        """
        if not self._sources:
            raise SettingError(
                "This problem was not made of a CPMpy model, whose variables could have values; "
                "call values(y) instead."
            )
        values = self.values(y)
        for source, value in zip(self._sources, values, strict=False):
            source._value = value
        return not self.broken(values)

    def broken(self, values: Sequence[Hashable]) -> list[str]:
        """List what does not hold of values, in words; what cannot be checked counts as broken.

        Args:
            values: of all variables, in their order.
        """
        if len(values) != len(self.variables):
            raise ShapeError(
                f"{len(values)} values were given; expected {len(self.variables)}, one for each "
                "variable."
            )
        found = [
            f"{self.variables[number]} should be {value}, as given"
            for number, value in self.givens.items()
            if values[number] != value
        ]
        for each in self.constraints:
            true = [values[entry.variable.number] == entry.value for entry in each.entries]
            if each.holds is None:
                found.append(f"{each.text}, which cannot be checked without holds=")
            elif not each.holds(true):
                found.append(each.text)
        return found

    def problem(
        self, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
    ) -> Problem:
        """Return the factor graph, a batch of one problem.

        Args:
            device: where it will live. Solvers that are handed constraints ask for their own.
            dtype: of its numbers; torch's default if None.

        Raises:
            SettingError: there is no variable, or the givens contradict each other.
        """
        if not self.variables:
            raise SettingError("The problem has no variable; add one with variable(values).")
        self._check_givens()
        features = torch.zeros(1, self._rows, choices.FEATURES, dtype=dtype)
        for number, value in self.givens.items():
            variable = self.variables[number]
            features[0, variable[value].place, 0] = 1
            features[0, variable.first : variable.first + len(variable.values), 1] = 1
        x = factor_graphs.build(features, self._members()).to(device)
        own = any(each.kind not in BOUNDS for each in self.constraints)
        return Problem(x, EntrySpace(), verify=self._verify if own else choices.verify)

    def _members(self) -> Mapping[str, Mapping[str, Tensor]]:
        """List by kind and role the entries of each factor, filled up with -1."""
        by_kind: dict[str, list[Constraint]] = {}
        for each in self.constraints:
            by_kind.setdefault(each.kind, []).append(each)
        return {
            kind: {
                role: torch.nn.utils.rnn.pad_sequence(
                    [_places(each, role) for each in held], batch_first=True, padding_value=-1
                )
                for role in dict.fromkeys(role for each in held for role in each.roles)
            }
            for kind, held in by_kind.items()
        }

    def _verify(self, problem: Problem, y: Tensor) -> Bool[Tensor, " problems"]:
        """Check answers to this very problem, one by one."""
        answers = y.split([self._rows] * problem.layout.count)
        return torch.tensor(
            [not self.broken(self.values(each)) for each in answers], device=y.device
        )

    def _check_givens(self) -> None:
        for each in self.constraints:
            low, high = BOUNDS.get(each.kind, (0, len(each.entries)))
            known = [entry for entry in each.entries if entry.variable.number in self.givens]
            true = sum(self.givens[entry.variable.number] == entry.value for entry in known)
            open_ = len(each.entries) - len(known)
            if true > high or true + open_ < low:
                raise SettingError(
                    f"The givens contradict each other: {each.text}, which cannot hold with them."
                )


def _places(constraint: Constraint, role: str) -> Tensor:
    pairs: Any = zip(constraint.entries, constraint.roles, strict=True)
    return torch.tensor([entry.place for entry, own in pairs if own == role], dtype=torch.int64)
