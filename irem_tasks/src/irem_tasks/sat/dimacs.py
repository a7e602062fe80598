"""DIMACS files: formulas (.cnf), and answers in the format of the SAT competitions (.sol)."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NoReturn

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from irem_core import InputFileError, StorageError
from irem_tasks.sat.clauses import unsatisfied

_LINE = 78
# Entries of the padded tensor, and variables: beyond this a file cannot have been meant for us.
_MOST = 100_000_000
# So many of either are free; beyond, a file must hold literals in proportion, so that a short one
# does not ask for much memory.
_FREE, _TIMES = 1_000_000, 50


def read_cnf(file: Path) -> tuple[Int[Tensor, "clauses width"], int]:
    """Read a formula: its literals, short clauses filled up with 0, and its number of variables.

    Comments may stand anywhere, clauses may share lines or span several, and a line with `%` ends
    the formula, as in SATLIB's files.

    Raises:
        InputFileError: the file cannot be read, or is no DIMACS file; the error names the line.
    """
    try:
        text = file.read_text(encoding="utf-8-sig", errors="replace")
    except FileNotFoundError as error:
        raise InputFileError(f"There is no file {file}.") from error
    except OSError as error:
        raise InputFileError(f"{file} cannot be read ({error.strerror}).") from error
    return _Reader(file).read(text)


def write_cnf(
    file: Path,
    literals: Int[Tensor, "clauses width"],
    variables: int,
    comments: Iterable[str] = (),
) -> None:
    """Write a formula, a clause a line; zeros that fill up clauses, or are none, are left out.

    Args:
        file: where to.
        literals: the clauses.
        variables: how many variables the header announces.
        comments: lines of text to go first.

    Raises:
        StorageError: writing failed.
    """
    clauses = [[each for each in clause if each] for clause in literals.tolist()]
    clauses = [clause for clause in clauses if clause]
    lines = [f"c {comment}" for comment in comments]
    lines.append(f"p cnf {variables} {len(clauses)}")
    lines += [" ".join(map(str, [*clause, 0])) for clause in clauses]
    write_lines(file, lines)


def answer_lines(
    literals: Int[Tensor, "clauses width"], true: Bool[Tensor, " variables"]
) -> list[str]:
    """Return the `c`, `s` and `v` lines of an assignment, which is checked against the formula.

    An assignment that does not satisfy the formula says nothing of whether another one does, so
    that is UNKNOWN and no assignment is shown.

    Args:
        literals: the clauses.
        true: `(variables,)` the assignment.
    """
    broken = int(unsatisfied(literals[None], true[None].float()).sum())
    clauses = int(literals.any(1).sum())
    if broken:
        return [
            f"c the best assignment found leaves {broken} of {clauses} clauses unsatisfied",
            "s UNKNOWN",
        ]
    model = [place if value else -place for place, value in enumerate(true.tolist(), 1)]
    lines = textwrap.wrap(
        " ".join(map(str, [*model, 0])),
        _LINE,
        initial_indent="v ",
        subsequent_indent="v ",
        break_on_hyphens=False,
        break_long_words=False,
    )
    return [f"c the assignment satisfies all {clauses} clauses", "s SATISFIABLE", *lines]


def write_lines(file: Path, lines: Iterable[str]) -> None:
    """Write lines of text.

    Raises:
        StorageError: writing failed.
    """
    try:
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{file} cannot be written ({error.strerror}).") from error


class _Reader:
    """Reads one formula line by line, so that every fault is found in its line."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.line = 0
        self.header: tuple[int, int, int] | None = None  # line, variables, clauses
        self.literals: list[int] = []
        self.lengths: list[int] = []
        self.begun = 0  # where in `literals` the clause being read begins

    def read(self, text: str) -> tuple[Int[Tensor, "clauses width"], int]:
        for words in self._lines(text):
            if words[0] == "p":
                self._read_header(words)
            else:
                self._read_literals(words)
        if self.header is None:
            self._fail('there is no header "p cnf VARIABLES CLAUSES" before the end')
        if len(self.literals) > self.begun:
            self._fail("the last clause does not end in 0")
        self.line, variables, clauses = self.header
        if variables > self._most():
            self._fail(
                f"the header announces {variables:,} variables, too many for "
                f"{len(self.literals):,} literals; number the variables without gaps"
            )
        if clauses != len(self.lengths):
            self._fail(
                f"the header announces {clauses} clauses and the file holds {len(self.lengths)}; a "
                "clause ends at a 0, not with its line"
            )
        return self._tensor(), variables

    def _lines(self, text: str) -> Iterator[list[str]]:
        """Yield the words of the lines that are neither empty nor comments, up to the end mark."""
        for number, line in enumerate(text.split("\n"), 1):
            words = line.split()
            if words and words[0].startswith("%"):
                return
            if words and not words[0].startswith("c"):
                self.line = number
                yield words

    def _read_header(self, words: list[str]) -> None:
        if self.header is not None:
            self._fail(f"there is a second header; the first is in line {self.header[0]}")
        if len(words) != 4 or words[1] != "cnf" or not all(map(_whole, words[2:])):
            self._fail(
                f'the header is "{" ".join(words)[:60]}"; expected "p cnf VARIABLES CLAUSES" with '
                "two whole numbers"
            )
        variables, clauses = int(words[2]), int(words[3])
        if not variables:
            self._fail("the header announces no variables, so there is nothing to assign")
        if max(variables, clauses) > _MOST:
            self._fail(f"the header announces more than {_MOST:,} variables or clauses")
        self.header = self.line, variables, clauses

    def _read_literals(self, words: list[str]) -> None:
        if self.header is None:
            self._fail(
                f'"{words[0][:20]}" stands before the header; expected "p cnf VARIABLES CLAUSES"'
            )
        variables = self.header[1]
        for word in words:
            if not _whole(word.removeprefix("-")):
                self._fail(f'"{word[:20]}" is no whole number; expected literals, and 0 after each')
            literal = int(word)
            if not -variables <= literal <= variables:
                self._fail(f"the literal {literal} names no variable from 1 to {variables}")
            if literal:
                self.literals.append(literal)
                continue
            if self.begun == len(self.literals):
                self._fail(
                    "there is an empty clause, which no assignment satisfies, so the formula "
                    "cannot be satisfied"
                )
            self.lengths.append(len(self.literals) - self.begun)
            self.begun = len(self.literals)

    def _most(self) -> int:
        return min(_MOST, max(_FREE, _TIMES * len(self.literals)))

    def _tensor(self) -> Int[Tensor, "clauses width"]:
        lengths = torch.tensor(self.lengths, dtype=torch.int64)
        width = max(self.lengths, default=1)
        if len(lengths) * width > self._most():
            self._fail(
                f"{len(lengths)} clauses of up to {width} literals are too many to lay side by "
                "side; split the longest clauses by auxiliary variables"
            )
        literals = torch.zeros(len(lengths), width, dtype=torch.int64)
        literals[torch.arange(width) < lengths[:, None]] = torch.tensor(self.literals).to(literals)
        return literals

    def _fail(self, fault: str) -> NoReturn:
        raise InputFileError(f"{self.file}, line {max(self.line, 1)}: {fault}.")


def _whole(word: str) -> bool:
    # Python reads numbers of other scripts, of any length, and with underscores.
    return len(word) <= 20 and word.isascii() and word.isdigit()
