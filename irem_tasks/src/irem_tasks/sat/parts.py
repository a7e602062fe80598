"""Formulas as factor graphs, and back: what learns an energy of clauses asks for these.

They are problems as `irem_core.choices` has them, and as `Constraints` makes them of Boolean
variables: each variable has two entries, that it is false and that it is true, which a factor of
the kind "variable" joins, and each clause is a factor of the kind "clause" of the entries of its
literals. So signs need no roles, and what is learned of either kind serves other problems of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from irem_core import FactorSpace, choices, factor_graphs, graphs

if TYPE_CHECKING:
    from torch_geometric.data import Batch

CLAUSE = "clause"
QUESTION = FactorSpace(choices.FEATURES, kinds={choices.VARIABLE: 0, CLAUSE: 0})
"""The space of formulas as factor graphs."""
# Entries of a variable: false, then true.
_VALUES = 2


def graphs_of(
    literals: Int[Tensor, "problems clauses width"], sizes: Int[Tensor, " problems"]
) -> Batch:
    """Make factor graphs of formulas.

    Args:
        literals: the clauses, filled up with 0; a literal that occurs twice in one counts once.
        sizes: how many variables each formula has.
    """
    ordered = literals.sort(-1).values
    again = torch.zeros_like(ordered, dtype=torch.bool)
    again[..., 1:] = ordered[..., 1:] == ordered[..., :-1]
    entry = _VALUES * (ordered.abs() - 1) + (ordered > 0)
    number = torch.arange(int(sizes.max()), device=sizes.device)
    both = _VALUES * number[:, None] + torch.arange(_VALUES, device=sizes.device)
    entries = _VALUES * sizes
    features = torch.zeros(int(entries.sum()), choices.FEATURES, device=sizes.device)
    return factor_graphs.build(
        graphs.Column(features, entries),
        {
            choices.VARIABLE: torch.where((number < sizes[:, None])[..., None], both, -1),
            CLAUSE: torch.where((ordered == 0) | again, -1, entry),
        },
    )


def clauses_of(x: Batch) -> Int[Tensor, "problems clauses width"]:
    """Return the literals of factor graphs, filled up with 0: the inverse of `graphs_of`."""
    factor, entry = x[CLAUSE, factor_graphs.ROLE, factor_graphs.ENTRY].edge_index
    order = factor.argsort(stable=True)
    factor, entry = factor[order], entry[order]
    problem, counts = x[CLAUSE].batch, x[CLAUSE].ptr.diff()
    members = torch.bincount(factor, minlength=len(problem))
    local = entry - x[factor_graphs.ENTRY].ptr[problem[factor]]
    literal = (local // _VALUES + 1) * (2 * (local % _VALUES) - 1)
    width, most = (int(each.max()) if len(each) else 0 for each in (members, counts))
    literals: Tensor = literal.new_zeros(len(counts), most, max(width, 1))
    clause = factor - x[CLAUSE].ptr[problem[factor]]
    literals[problem[factor], clause, graphs.within(members)] = literal
    return literals


def sizes_of(x: Batch) -> Int[Tensor, " problems"]:
    """Return how many variables each formula has."""
    sizes: Tensor = x[choices.VARIABLE].ptr.diff()
    return sizes


def assignments_of(x: Batch, y: Float[Tensor, "rows 1"]) -> Float[Tensor, "problems variables"]:
    """Return 1 for variables that answers say are true; 0 where a formula has no more of them."""
    true: Tensor = choices.decoded(x, y)[1::_VALUES]
    return _filled(x, true.to(y))


def leanings_of(x: Batch, y: Float[Tensor, "rows 1"]) -> Float[Tensor, "problems variables"]:
    """Return by how much answers say of each variable that it is true rather than false."""
    false, true = y.view(-1, _VALUES).unbind(1)
    return _filled(x, true - false)


def _filled(x: Batch, values: Shaped[Tensor, " all"]) -> Shaped[Tensor, "problems variables"]:
    """Put a value for each variable side by side, with 0 where a formula has no more of them."""
    sizes = sizes_of(x)
    found = values.new_zeros(len(sizes), int(sizes.max()))
    found[torch.arange(found.shape[1], device=values.device) < sizes[:, None]] = values
    return found


def answers_of(
    true: Bool[Tensor, "problems variables"], sizes: Int[Tensor, " problems"]
) -> Float[Tensor, "rows 1"]:
    """Return the answers of assignments: the inverse of `assignments_of`."""
    inside = torch.arange(true.shape[1], device=true.device) < sizes[:, None]
    kept = true[inside]
    return torch.stack([~kept, kept], 1).to(torch.get_default_dtype()).view(-1, 1)
