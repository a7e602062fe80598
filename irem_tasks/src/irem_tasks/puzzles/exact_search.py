"""An exact search on many boards at once: forced cells are filled, then one cell is tried."""

from __future__ import annotations

import attrs
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from irem_tasks.puzzles.boards import Cells, Groups

Candidates = Float[Tensor, "states values cells"]
Incidence = Float[Tensor, "groups cells"] | Float[Tensor, "states groups cells"]


@attrs.frozen(kw_only=True, eq=False)
class Found:
    """What a search found.

    Args:
        solutions: `(F, cells)` all boards together.
        owner: `(F,)` whose each solution is.
        count: `(B,)` solutions of each board, `at_most` of them or a few more.
        branches: `(B,)` cells that were tried, since nothing was forced.
        complete: `(B,)` whether the search ended before its branches were spent.
    """

    solutions: Int[Tensor, "found cells"]
    owner: Int[Tensor, " found"]
    count: Int[Tensor, " boards"]
    branches: Int[Tensor, " boards"]
    complete: Bool[Tensor, " boards"]

    @property
    def unique(self) -> Bool[Tensor, " boards"]:
        """Say which boards have exactly one solution, as far as is known."""
        return (self.count == 1) & self.complete


def search(
    givens: Cells,
    groups: Groups,
    *,
    at_most: int = 2,
    branches: int = 100_000,
    chunk: int = 256,
) -> Found:
    """Find solutions of boards by an exact search.

    Cells with one candidate, and values with one cell left in a group, are forced; where nothing
    is, a cell of fewest candidates is tried with each. Where a board has fewer than `at_most`
    solutions all of its tree is searched, so that its branches measure how hard it is.

    Args:
        givens: `(B, cells)` from 1 to size, 0 where a cell is blank.
        groups: see `Kind.groups`.
        at_most: a board with so many solutions is searched no further.
        branches: likewise one with more branches.
        chunk: how many states are worked on at a time.
    """
    left = candidates_of(givens, groups.shape[-1])
    return search_candidates(left, groups, at_most=at_most, branches=branches, chunk=chunk)


def search_candidates(
    candidates: Candidates,
    groups: Groups,
    *,
    at_most: int = 2,
    branches: int = 100_000,
    chunk: int = 256,
) -> Found:
    """Find solutions whose every value is one of its cell's candidates (see `search`).

    Args:
        candidates: `(B, size, cells)` 1 for what a cell may be, else 0.
        groups: see `Kind.groups`.
        at_most: a board with so many solutions is searched no further.
        branches: likewise one with more branches.
        chunk: how many states are worked on at a time.
    """
    boards, device = len(candidates), candidates.device
    incidence = incidence_of(groups, candidates.shape[2])
    states, owner = candidates.byte(), torch.arange(boards, device=device)
    count, tried = owner.new_zeros(2, boards)
    solutions, owners = [owner.new_zeros(0, candidates.shape[2])], [owner[:0]]
    complete = torch.ones(boards, dtype=torch.bool, device=device)
    while len(owner):
        now = _newest(owner, chunk)
        left, mine = states[now].float(), owner[now]
        kept = torch.ones_like(owner, dtype=torch.bool).index_fill_(0, now, False)
        states, owner = states[kept], owner[kept]
        left, alive = propagate(left, of_states(incidence, mine))
        ends = solved(left) & alive
        solutions.append(values_of(left[ends]))
        owners.append(mine[ends])
        count += mine[ends].bincount(minlength=boards)
        left, mine = left[alive & ~ends], mine[alive & ~ends]
        tried += mine.bincount(minlength=boards)
        children, parent = _branched(left)
        states, owner = torch.cat([states, children.byte()]), torch.cat([owner, mine[parent]])
        spent = (tried > branches) & (count < at_most)
        complete[owner[spent[owner]]] = False
        going = ((count < at_most) & ~spent)[owner]
        if not bool(going.all()):
            states, owner = states[going], owner[going]
    return Found(
        solutions=torch.cat(solutions),
        owner=torch.cat(owners),
        count=count,
        branches=tried,
        complete=complete,
    )


def _newest(owner: Int[Tensor, " states"], most: int) -> Int[Tensor, " chosen"]:
    """Choose states to go on with: of each board as many as of others, those added last."""
    order = owner.flip(0).argsort(stable=True)
    sizes = owner.bincount()
    first = (sizes.cumsum(0) - sizes)[owner.flip(0)[order]]
    rank = torch.arange(len(owner), device=owner.device) - first
    return len(owner) - 1 - order[rank.argsort(stable=True)[:most]]


def incidence_of(groups: Groups, cells: int) -> Incidence:
    """Return which cells each group has, as a matrix of 0 and 1: of all boards, or of each."""
    matrix = torch.zeros(*groups.shape[:-1], cells, device=groups.device)
    return matrix.scatter_(-1, groups, 1.0)


def candidates_of(givens: Cells, size: int) -> Candidates:
    """Return what each cell may be: its given alone, or any value."""
    every = torch.arange(1, size + 1, device=givens.device)[:, None]
    known = givens[:, None]
    return ((known == every) | (known == 0)).float()


def propagate(left: Candidates, incidence: Incidence) -> tuple[Candidates, Bool[Tensor, " states"]]:
    """Fill forced cells until none is left.

    Args:
        left: 1 for the candidates of each cell that are left, 0 for others.
        incidence: of groups and cells, for all states or for each.

    Returns:
        The candidates that are then left, and which states have no contradiction so far.
    """
    left = left.clone()
    alive = torch.ones(len(left), dtype=torch.bool, device=left.device)
    going = torch.arange(len(left), device=left.device)
    while len(going):
        before = left[going]
        after, dead = _forced(before, of_states(incidence, going))
        left[going] = after
        alive[going[dead]] = False
        going = going[~dead & (after != before).flatten(1).any(1)]
    return left, alive


def of_states(
    incidence: Incidence, states: Int[Tensor, " chosen"]
) -> Float[Tensor, "groups cells"] | Float[Tensor, "chosen groups cells"]:
    """Return the incidence for chosen states, which may share one."""
    return incidence if incidence.ndim == 2 else incidence[states]


def _forced(left: Candidates, incidence: Incidence) -> tuple[Candidates, Bool[Tensor, " states"]]:
    """Take placed values from the groups of their cells, and place values with one cell left."""
    placed = left * (left.sum(1, keepdim=True) == 1)
    taken = placed @ incidence.mT
    left = left * ((taken @ incidence == 0) | (placed > 0))
    room = left @ incidence.mT
    must = left * ((room == 1).float() @ incidence > 0)
    many = must.sum(1, keepdim=True)
    after = torch.where(many == 1, must, left)
    dead = ((taken > 1) | (room == 0)).flatten(1).any(1) | (many[:, 0] > 1).any(1)
    return after, dead | (after.sum(1) == 0).any(1)


def solved(left: Candidates) -> Bool[Tensor, " states"]:
    """Say which states have one candidate in each cell."""
    return (left.sum(1) == 1).all(1)


def values_of(left: Candidates) -> Cells:
    """Return the candidate of each cell of solved states."""
    return left.argmax(1) + 1


def placed_at(
    left: Candidates, cell: Int[Tensor, " states"], value: Int[Tensor, " states"]
) -> Candidates:
    """Return states whose one cell has one candidate, counted from 0, alone."""
    left, row = left.clone(), torch.arange(len(left), device=left.device)
    left[row, :, cell] = 0.0
    left[row, value, cell] = 1.0
    return left


def _branched(
    left: Candidates,
) -> tuple[Float[Tensor, "children values cells"], Int[Tensor, " children"]]:
    """Try a cell of fewest candidates with each of them; say which state each child is of."""
    many = left.sum(1)
    cell = torch.where(many > 1, many, torch.inf).argmin(1)
    state = torch.arange(len(left), device=left.device)
    parent, value = left[state, :, cell].nonzero().unbind(1)
    return placed_at(left[parent], cell[parent], value), parent
