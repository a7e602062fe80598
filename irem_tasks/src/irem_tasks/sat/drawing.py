"""Random formulas, and of those that can be satisfied an assignment that does so."""

from __future__ import annotations

from typing import Annotated

import attrs
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import Bounds, LinearConstraint, milp
from torch import Tensor

from irem_core import Between, SettingError
from irem_tasks._declared import Range
from irem_tasks.sat.clauses import places

WIDTH = 3
EXPECTED = "a whole number of at least 3, since a clause has three different ones"
# All assignments of formulas of so many variables fit in memory by the thousand formulas.
_LISTED = 20
# Batches drawn in vain, one after the other, before a ratio is refused.
_TRIES = 100

Variables = Annotated[
    int | Between[int], Range(EXPECTED, lambda value: isinstance(value, int) and value >= WIDTH)
]
Ratio = Annotated[float | Between[float], Range("above 0", lambda value: 0 < value < float("inf"))]


@attrs.frozen(eq=False)
class Formulas:
    """Formulas that can be satisfied.

    Args:
        literals: the clauses; those of formulas that have fewer are 0.
        sizes: how many variables each formula has.
        true: an assignment that satisfies each; what stands beyond its variables says nothing.
    """

    literals: Int[Tensor, "problems clauses width"]
    sizes: Int[Tensor, " problems"]
    true: Bool[Tensor, "problems variables"]


def random_clauses(
    shape: tuple[int, int], variables: int | Int[Tensor, " problems"], generator: torch.Generator
) -> Int[Tensor, "problems clauses width"]:
    """Draw clauses of three different variables, all choices and signs equally likely.

    Args:
        shape: how many formulas, of how many clauses.
        variables: how many there are, at least 3; in all formulas, or in each.
        generator: lives where the clauses will.
    """
    device = generator.device
    chosen = torch.zeros((*shape, 0), dtype=torch.int64, device=device)
    for taken in range(WIDTH):
        # One of the variables that are left, counted past those already taken, smallest first.
        place = _below(variables, taken, shape, generator)
        for earlier in chosen.sort(-1).values.unbind(-1):
            place = place + (place >= earlier)
        chosen = torch.cat([chosen, place[..., None]], -1)
    sign = 2 * torch.randint(2, chosen.shape, generator=generator, device=device) - 1
    return sign * (chosen + 1)


def _below(
    variables: int | Tensor, taken: int, shape: tuple[int, int], generator: torch.Generator
) -> Int[Tensor, "problems clauses"]:
    if isinstance(variables, int):
        return torch.randint(variables - taken, shape, generator=generator, device=generator.device)
    left = (variables - taken)[:, None]
    uniform = torch.rand(shape, generator=generator, device=generator.device, dtype=torch.float64)
    return (uniform * left).long().clamp(max=left - 1)


def satisfiable_formulas(
    count: int,
    variables: int | Between[int],
    ratio: float | Between[float],
    generator: torch.Generator,
) -> Formulas:
    """Draw uniform formulas until there are enough that can be satisfied; no other is left out.

    Of up to 20 variables the assignment is any of those that satisfy, all equally likely; of more
    it is the one that an integer program finds.

    Args:
        count: how many.
        variables: of a formula, or from how many to how many.
        ratio: clauses a variable, or from how many to how many.
        generator: the only source of randomness; formulas will live where it does.

    Raises:
        SettingError: at this ratio hardly any formula can be satisfied.
    """
    device = generator.device
    sizes = Between.of(variables).draw(count, generator, device)
    ratios = Between.of(ratio).draw(count, generator, device)
    lengths = (ratios * sizes).round().long().clamp(min=1)
    shape = (count, int(lengths.max()))
    literals = torch.zeros(*shape, WIDTH, dtype=torch.int64, device=device)
    true = torch.zeros(count, int(sizes.max()), dtype=torch.bool, device=device)
    listed = int(sizes.max()) <= _LISTED
    left, in_vain = torch.arange(count, device=device), 0
    while len(left):
        drawn = random_clauses((len(left), shape[1]), sizes[left], generator)
        inside = torch.arange(shape[1], device=device) < lengths[left, None]
        drawn = torch.where(inside[..., None], drawn, 0)
        if listed:
            holds, found = _listed(drawn, sizes[left], generator)
        else:
            holds, found = _decided(drawn, int(sizes.max()), generator)
        literals[left[holds]] = drawn[holds]
        true[left[holds], : found.shape[1]] = found[holds]
        in_vain = 0 if bool(holds.any()) else in_vain + 1
        if in_vain == _TRIES:
            raise SettingError(
                f"{in_vain} draws in a row held no formula that can be satisfied, of ratio={ratio} "
                f"and variables={variables}; choose a smaller ratio: few are above 4.27."
            )
        left = left[~holds]
    return Formulas(literals, sizes, true)


def solutions(
    literals: Int[Tensor, "problems clauses width"], sizes: Int[Tensor, " problems"]
) -> tuple[Int[Tensor, " found"], Int[Tensor, " found"]]:
    """List all assignments that satisfy formulas, variable by variable.

    Args:
        literals: the clauses, each of different variables, at most 62.
        sizes: how many variables each formula has.

    Returns:
        The formula of each assignment, in their order, and its true variables as bits.
    """
    bit = (literals != 0).long() << places(literals)
    mask = bit.sum(-1)
    # A clause fails where, of its variables, exactly those are true whose literals are negative.
    wrong = torch.where(literals < 0, bit, 0).sum(-1)
    last = literals.abs().amax(-1)
    owner = torch.arange(len(literals), device=literals.device)
    true = torch.zeros_like(owner)
    for number in range(int(sizes.max())):
        also = sizes[owner] > number
        owner = torch.cat([owner, owner[also]])
        true = torch.cat([true, true[also] | (1 << number)])
        closed = last == number + 1
        order = closed.long().argsort(1, descending=True)[:, : int(closed.sum(1).max())]
        tested = closed.gather(1, order)
        masks, wrongs = mask.gather(1, order), wrong.gather(1, order)
        fails = tested[owner] & ((true[:, None] & masks[owner]) == wrongs[owner])
        kept = ~fails.any(1)
        owner, true = owner[kept], true[kept]
    order = owner.argsort(stable=True)
    return owner[order], true[order]


def preferred(
    literals: Int[Tensor, "problems clauses width"],
    sizes: Int[Tensor, " problems"],
    leaning: Float[Tensor, "problems variables"],
) -> Bool[Tensor, "problems variables"]:
    """Return the assignments that satisfy formulas and whose true variables lean most to true.

    Args:
        literals: the clauses of formulas that can be satisfied (see `solutions`).
        sizes: how many variables each formula has.
        leaning: of each variable to being true; their sum is what counts.
    """
    owner, bits = solutions(literals, sizes)
    number = torch.arange(leaning.shape[1], device=leaning.device)
    true = (bits[:, None] >> number) % 2 > 0
    total = torch.where(true, leaning[owner], 0).sum(1)
    most = torch.full_like(leaning[:, 0], -torch.inf).scatter_reduce(0, owner, total, "amax")
    best = (total == most[owner]).nonzero()[:, 0]
    # Of equal ones any will do.
    return torch.zeros_like(leaning, dtype=torch.bool).index_put((owner[best],), true[best])


def _listed(
    literals: Tensor, sizes: Tensor, generator: torch.Generator
) -> tuple[Bool[Tensor, " problems"], Bool[Tensor, "problems variables"]]:
    """Say which formulas can be satisfied, and by one of the assignments that do."""
    owner, true = solutions(literals, sizes)
    counts = torch.bincount(owner, minlength=len(literals))
    uniform = torch.rand(
        len(counts), generator=generator, device=generator.device, dtype=torch.float64
    )
    place = counts.cumsum(0) - counts + (uniform * counts).long()
    chosen = torch.cat([true, true.new_zeros(1)])[place.clamp(max=len(true))]
    number = torch.arange(int(sizes.max()), device=literals.device)
    return counts > 0, (chosen[:, None] >> number) % 2 > 0


def _decided(
    literals: Tensor, variables: int, generator: torch.Generator
) -> tuple[Bool[Tensor, " problems"], Bool[Tensor, "problems variables"]]:
    """Say which formulas can be satisfied, and by which assignment, one after the other.

    Variables trade places with their negations at random, as programs prefer what is false.
    """
    shape = (len(literals), variables)
    flipped = torch.randint(2, shape, generator=generator, device=literals.device)
    sign = 1 - 2 * flipped.gather(1, places(literals).flatten(1)).view_as(literals)
    found = [decide(each, variables) for each in sign * literals]
    holds = torch.tensor([each is not None for each in found], device=literals.device)
    nothing = torch.zeros(variables, dtype=torch.bool)
    true = torch.stack([nothing if each is None else each for each in found])
    return holds, true.to(literals.device) ^ (flipped > 0)


def decide(
    literals: Int[Tensor, "clauses width"], variables: int
) -> Bool[Tensor, " variables"] | None:
    """Return an assignment that satisfies a formula, None if there is none, by branch and bound."""
    clauses = literals[literals.any(1)].cpu()
    if not len(clauses):
        return torch.zeros(variables, dtype=torch.bool)
    rows = torch.zeros(len(clauses), variables + 1).scatter_add(
        1, clauses.abs(), clauses.sign().float()
    )
    least = 1 - (clauses < 0).sum(1)
    found = milp(
        np.zeros(variables),
        integrality=np.ones(variables, dtype=np.int64),
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(rows[:, 1:].double().numpy(), least.double().numpy()),
    )
    return None if found.x is None else torch.from_numpy(found.x > 0.5)
