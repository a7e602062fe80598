"""What the tests of the command line share."""

from __future__ import annotations

from collections.abc import Callable

import attrs

SMALL = ("add(size=4)", "--energy", "mlp(width=16)", "--problems", "40", "--threads", "1")


@attrs.frozen
class Result:
    status: int
    out: str
    err: str

    def mistake(self) -> str:
        """Return the one line that a user's mistake ends with."""
        assert self.status == 2, self
        assert "Traceback" not in self.out + self.err
        assert self.err.startswith("irem: ")
        assert self.err.count("\n") == 1
        return self.err


Irem = Callable[..., Result]
