"""A file of answers that grows block by block, with a journal of what is there."""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from glob import escape
from pathlib import Path
from typing import Any, TypeVar

import attrs
from torch import Tensor

from irem_core import checks
from irem_core.distributed import Ranks
from irem_core.errors import IremError, RunExistsError, SettingError, StorageError
from irem_core.files.arrays import Array
from irem_core.files.lock import locked
from irem_core.files.row_files import RowWriter
from irem_core.files.storage import move, read_json_lines
from irem_core.runs.run_folder import differences
from irem_core.solving.outcome import Outcome
from irem_core.solving.solution import Solution

# Read from journals, too, which may be damaged.
_whole = attrs.validators.instance_of(int)


@attrs.frozen
class SolvedFile:
    """What became of a file of problems.

    Args:
        problems: how many there are.
        outcomes: how many ended how, by the names of `Outcome`.
        steps: taken by all of them together.
        squared_error: summed over problems, each the mean over its entries; None where the task
            knows no exact answers. Problems without an answer add nothing.
        verified: how many answers were checked and hold; None where they cannot be checked.
        unanswered: how many have no answer, as their questions are not finite.
        trusted: how many answers may be trusted; None where that was not asked for.
    """

    problems: int = attrs.field(validator=_whole)
    outcomes: Mapping[str, int] = attrs.field(
        validator=attrs.validators.deep_mapping(attrs.validators.instance_of(str), _whole)
    )
    steps: int = attrs.field(validator=_whole)
    squared_error: float | None = attrs.field(
        validator=attrs.validators.optional(attrs.validators.instance_of((int, float)))
    )
    verified: int | None = attrs.field(default=None, validator=attrs.validators.optional(_whole))
    unanswered: int = attrs.field(default=0, validator=_whole)
    trusted: int | None = attrs.field(default=None, validator=attrs.validators.optional(_whole))

    @property
    def mse(self) -> float | None:
        """The mean squared error of the answers; None where that is not known."""
        answers = self.problems - self.unanswered
        return None if self.squared_error is None or not answers else self.squared_error / answers

    @classmethod
    def of(cls, solution: Solution, target: Tensor | None) -> SolvedFile:
        """Sum up the solution of some problems."""
        names = Counter(Outcome(each).name for each in solution.outcome.tolist())
        squared = None
        if target is not None:
            error = (solution.y - target).double().square()
            squared = float(solution.layout.mean(error).nansum())
        holds, trusted = (
            None if each is None else int(each.sum())
            for each in (solution.verified, solution.trusted)
        )
        missing = int((solution.layout.mean(solution.y.isnan().double()) > 0).sum())
        steps = int(solution.steps.sum())
        return cls(solution.layout.count, names, steps, squared, holds, missing, trusted)

    def plus(self, other: SolvedFile) -> SolvedFile:
        """Sum up two sets of problems."""
        return SolvedFile(
            self.problems + other.problems,
            Counter(self.outcomes) + Counter(other.outcomes),
            self.steps + other.steps,
            _sum(self.squared_error, other.squared_error),
            _sum(self.verified, other.verified),
            self.unanswered + other.unanswered,
            _sum(self.trusted, other.trusted),
        )


Known = TypeVar("Known", int, float)


def _sum(first: Known | None, second: Known | None) -> Known | None:
    """Add numbers, as far as both are known."""
    return None if first is None or second is None else first + second


def total(found: Iterable[SolvedFile]) -> SolvedFile:
    """Sum up any number of sets of problems."""
    return functools.reduce(SolvedFile.plus, found, SolvedFile(0, {}, 0, 0.0, 0, trusted=0))


class Journal:
    """The file of answers while it grows, and which of its blocks are there.

    Each process writes a journal of its own, a line for each block. Before them the first process
    writes the settings and the form of the answers.
    """

    def __init__(self, target: Path, ranks: Ranks) -> None:
        checks.check_path(target)
        self.target = target
        self.ranks = ranks
        self.part = target.with_name(f"{target.name}.part")
        self.lead = target.with_name(f"{target.name}.part.jsonl")
        self.own = self.lead if ranks.leads else self.lead.with_suffix(f".{ranks.rank}.jsonl")
        self.writer: RowWriter | None = None

    def alone(self) -> AbstractContextManager[None]:
        """Keep others from writing the same answers; see `lock.locked`."""
        file = self.target.with_name(f".{self.target.name}.lock")
        return self.ranks.led(locked(file, guards=self.target))

    @contextlib.contextmanager
    def storing(self) -> Iterator[None]:
        """Turn a failure to write into an error that says what is kept."""
        try:
            yield
        except OSError as error:
            if isinstance(error, IremError):
                raise
            raise StorageError(
                f"{self.target} could not be written ({error.strerror}); the answers so far are "
                f"kept in {self.part}. Free some space and add --resume (resume=True)."
            ) from error

    def claim(
        self,
        settings: Mapping[str, Any],
        form: Mapping[str, Array],
        rows: int,
        *,
        resume: bool,
    ) -> None:
        """Begin the file of answers, or make sure that what is there can be gone on with.

        Raises:
            RunExistsError: there is something, and `resume` is false.
            SettingError: it was begun with other settings, or is damaged.
        """
        lines = self._lines()
        writer = RowWriter.like(self.part, self.target.suffix.lower(), form, rows)
        if self.part.exists() and lines and "settings" in lines[0]:
            if not resume:
                held = total(self.read().values()).problems
                raise RunExistsError(
                    f"{self.part} holds {held} answers of an interrupted call; add --resume "
                    "(resume=True) to go on with it, or remove the file."
                )
            changed = differences(lines[0]["settings"], settings)
            if changed:
                raise SettingError(
                    f"{self.part} cannot be gone on with: {'; '.join(changed[:5])}. Give what it "
                    "began with, or remove the file to begin anew."
                )
            if not writer.made(lines[0].get("arrays")):
                raise SettingError(
                    f"{self.part} or {self.lead} was altered or damaged, so it cannot be gone on "
                    "with; remove both to begin anew."
                )
        else:
            self._begin(settings, writer)

    def _begin(self, settings: Mapping[str, Any], writer: RowWriter) -> None:
        self.target.parent.mkdir(parents=True, exist_ok=True)
        for leftover in self._files():
            leftover.unlink()
        writer.create()
        _append(self.lead, {"settings": settings, "arrays": writer.arrays})

    def open(self) -> None:
        """Take over the form of the answers, once the first process has claimed the file."""
        arrays = next(each["arrays"] for each in self._lines() if "arrays" in each)
        self.writer = RowWriter(self.part, self.target.suffix.lower(), arrays)

    def read(self) -> dict[int, SolvedFile]:
        """Return what became of the blocks that are done, by their numbers."""
        done = {}
        for line in self._lines():
            # A block whose line is damaged is solved again.
            with contextlib.suppress(KeyError, TypeError):
                done[line["block"]] = SolvedFile(**line["found"])
        return done

    def add(self, number: int, start: int, found: SolvedFile, parts: Mapping[str, Array]) -> None:
        """Write the answers of a block, then that they are there."""
        assert self.writer is not None
        self.writer.write(start, parts)
        _append(self.own, {"block": number, "found": attrs.asdict(found)})

    def finish(self) -> None:
        """Give the file of answers its name."""
        move(self.part, self.target)
        for file in self._files():
            file.unlink()

    def _files(self) -> list[Path]:
        """List the journals that are there, the first process's first."""
        others = self.target.parent.glob(f"{escape(self.part.name)}.*.jsonl")
        return [file for file in (self.lead, *sorted(others)) if file.exists()]

    def _lines(self) -> list[dict[str, Any]]:
        """Read the journals of all processes, passing over lines that a kill left half written."""
        return [line for file in self._files() for line in read_json_lines(file)[0]]


def _append(file: Path, record: Mapping[str, Any]) -> None:
    """Add a line to a journal, on a line of its own also where a kill cut the last one off."""
    with file.open("a+b") as handle:
        if handle.tell():
            handle.seek(-1, os.SEEK_END)
            if handle.read(1) != b"\n":
                handle.write(b"\n")
        handle.write(json.dumps(record).encode() + b"\n")
        handle.flush()
        os.fsync(handle.fileno())
