"""Variables of discrete problems, and the entries that say which values they have."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cached_property

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
        return self.variable.first + self.variable.order[self.value]

    def __str__(self) -> str:
        """Write it as an equation."""
        return f"{self.variable} = {self.value}"


@attrs.frozen(cache_hash=True)
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

    @cached_property
    def order(self) -> dict[Hashable, int]:
        """The place of each value among them."""
        return {value: place for place, value in enumerate(self.values)}

    def __getitem__(self, value: Hashable) -> Entry:
        """Return the entry of a value.

        Raises:
            SettingError: the variable has no such value.
        """
        if self.has(value):
            return Entry(self, self.values[self.order[value]])
        # Tensors equal the numbers that they hold, and have other hashes.
        for each in self.values:
            if each == value:
                return Entry(self, each)
        raise SettingError(
            f"The variable {self.name} cannot have the value {value!r}; it has one of "
            f"{', '.join(map(repr, self.values))}."
        )

    def has(self, value: Hashable) -> bool:
        """Say whether a value is one of its own."""
        try:
            return value in self.order
        except TypeError:  # it cannot be hashed
            return False

    def __str__(self) -> str:
        """Return its name."""
        return self.name
