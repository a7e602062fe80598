"""Variables of discrete problems, and the entries that say which values they have."""

from __future__ import annotations

from collections.abc import Hashable

import attrs

from irem_core.errors import SettingError


@attrs.frozen
class Entry:
    """That a variable has a value, which is true or false."""

    variable: Variable
    value: Hashable

    @property
    def place(self) -> int:
        """The row of the answer that says so."""
        return self.variable.first + self.variable.values.index(self.value)

    def __str__(self) -> str:
        """Write it as an equation."""
        return f"{self.variable} = {self.value}"


@attrs.frozen
class Variable:
    """A variable of a discrete problem; `cell[7]` is the entry that says that it has the value 7.

    Args:
        number: of it in its problem, from 0.
        first: the row of the answer that its first value has.
        values: all values it may have.
        name: what to call it in sentences.
    """

    number: int
    first: int
    values: tuple[Hashable, ...]
    name: str

    def __getitem__(self, value: Hashable) -> Entry:
        """Return the entry of a value.

        Raises:
            SettingError: the variable has no such value.
        """
        if value not in self.values:
            raise SettingError(
                f"The variable {self.name} was given the value {value!r}; it has the values "
                f"{', '.join(map(repr, self.values))}."
            )
        return Entry(self, value)

    def __str__(self) -> str:
        """Return its name."""
        return self.name
