"""An energy of questions made of parts: one small network a kind of factor, wherever it occurs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, cast

import attrs
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from irem_core import checks
from irem_core.energies.base import EnergyFn
from irem_core.energies.incidence import Incidence, both_ways, incidences
from irem_core.energies.precision import wide
from irem_core.energies.scaled import scaled, scaled_residuals
from irem_core.errors import SettingError
from irem_core.part import Preset
from irem_core.problems.factored import EntrySpace, FactorSpace
from irem_core.problems.iterate import Iterate, project
from irem_core.problems.layout import Layout
from irem_core.problems.problem import Problem
from irem_core.problems.space import Space

if TYPE_CHECKING:
    from torch_geometric.data import Batch

# Keeps sums over factors of a few to a few dozen entries near the size of the entries' features.
_SHARE = 1 / 3
# Solving begins so near to 0: it tells alike entries apart, and speaks for none of them.
_NEAR = 0.05
_READ = ("entries", "factors", "both")

Incidences = dict[str, list[Incidence | None]]


@attrs.frozen(eq=False)
class _Parts:
    """What is known of factor graphs before y.

    Args:
        layout: whose rows the entries are.
        features: of the question, for each entry.
        level: what the energy of each entry is measured from.
        graph: which factors join them.
    """

    layout: Layout
    features: Float[Tensor, "rows width"]
    level: Float[Tensor, " rows"]
    graph: Batch


class FactorEnergy(EnergyFn):
    """E(x, y) = sum_i scale / 2 mean_c r_ic^2 - b(x_i), with residuals r of entries or factors.

    Each entry i has features h_i, which begin as a linear map of y_i and x_i. In a round each
    factor f of a kind k makes a message of its entries, an entry adds up those of its factors, and

        m_f = MLP_k[sum_i in f SiLU(A h_i) / 3, x_f],    h_i <- h_i + MLP[h_i, sum_f with i m_f].

    Where entries have roles, a factor has such a sum and such a message for each. Residuals of
    entries are linear in their features, those of factors are m_f with networks of their own. So
    all that is learned is about kinds: how many entries and factors a problem has, and which belong
    together, is data. Without rounds, factors see their own entries alone, and the energy of a
    problem is the sum of those of its parts.

    The level b, linear in x_i, moves no minimum: it is learned apart, so that the energy of right
    answers is near 0 in every problem, and energies of different ones can be compared. There is
    none where factors alone are read.

    Args:
        question: space of x, factor graphs.
        answer: space of y, values of entries.
        width: features of an entry.
        rounds: of messages.
        read: whose residuals make the energy, "entries", "factors" or "both"; if None, the first,
            or the second where there are no rounds.

    Raises:
        SettingError: the spaces are of another kind, or a setting is out of range.
    """

    size_free = True

    def __init__(
        self,
        question: Space,
        answer: Space,
        *,
        width: int = 24,
        rounds: int = 2,
        read: str | None = None,
    ) -> None:
        """Make the layers with torch's default initialisation."""
        super().__init__()
        checks.check(checks.count, "FactorEnergy", width=width)
        checks.check(checks.count_or_zero, "FactorEnergy", rounds=rounds)
        read = read or ("entries" if rounds else "factors")
        checks.check(checks.one_of(*_READ), "FactorEnergy", read=read)
        if not (isinstance(question, FactorSpace) and isinstance(answer, EntrySpace)):
            raise SettingError(
                f"FactorEnergy got question={question!r} and answer={answer!r}; expected a "
                "FactorSpace and an EntrySpace."
            )
        self.question: FactorSpace = question
        self.answer = answer
        self.question_map = nn.Linear(question.features, width)
        self.answer_map = nn.Linear(answer.size, width, bias=False)
        self.rounds = nn.ModuleList(_Round(question, width) for _ in range(rounds))
        self.read_entries = None if read == "factors" else nn.Linear(width, width)
        self.read_factors = None if read == "entries" else _Factors(question, width, shared=True)
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.level = nn.Parameter(torch.zeros(question.features + 1))
        if not rounds and read == "factors":
            self.preset = _apart(answer)  # type: ignore[method-assign, assignment]

    @classmethod
    def preset(cls, question: Space, answer: Space) -> Preset:
        """Return this library's settings for problems of hundreds of entries, two thirds replayed.

        Solving goes on with the steps of training, and halts at a late plateau: what a last few
        entries are follows from all others. Where the energy finds no new low it halts too, since a
        problem that goes round in circles is better begun again.

        An energy without rounds, whose factors alone are read, has settings of its own.
        """
        return scaled(
            answer,
            solver={
                "replay": 1_000,
                "replayed": 2.0,
                "solving": None,
                "objective": "weighted(objectives=(descent(), grounded()))",
                "halting": "any_of(energy_plateau(tolerance=1e-5, patience=5), "
                "stagnation(patience=25))",
            },
            training={
                "iterations": 12_000,
                "batch_size": 8,
                "learning_rate": 4e-3,
                "average": 0.99,
            },
        )

    def first_start(self, problem: Problem, generator: torch.Generator) -> Iterate:
        """Begin solving near 0, where nothing speaks for one entry yet but what is known of it.

        Restarts come from all over U(-1, 1), so that each may end elsewhere.
        """
        return project(problem.answer, self.start(problem, generator) * _NEAR)

    def encode(self, problem: Problem) -> _Parts:
        """Return the features of the question's entries, and which factors join them.

        Raises:
            ShapeError: x is no batch of factor graphs of the kinds and widths in `question`, or has
                entries or factors that are linked to nothing, or twice.
        """
        self.question.check_graphs("FactorEnergy", problem.x, self.question_map.weight)
        entries = problem.x["entry"].x
        level = self._level(entries)
        return _Parts(problem.layout, self.question_map(entries), level, both_ways(problem.x))

    def energy(
        self, context: _Parts, y: Float[Tensor, "rows channels"]
    ) -> Float[Tensor, " problems"]:
        """Return the energies `(B,)` of values of entries."""
        found = [layout.sum(self._squares(each)) for layout, each in self._misfits(context, y)]
        if self.read_entries is not None:
            found.append(-context.layout.sum(context.level))
        return torch.stack(found).sum(0)

    def level_of(self, problem: Problem) -> Float[Tensor, " problems"] | None:
        """Return what is subtracted from the energies; None where factors alone are read."""
        if self.read_entries is None:
            return None
        return problem.layout.sum(self._level(problem.x["entry"].x))

    def _level(self, entries: Float[Tensor, "rows features"]) -> Float[Tensor, " rows"]:
        return functional.linear(entries, self.level[1:][None], self.level[:1])[:, 0]

    def contributions(
        self, context: _Parts, y: Float[Tensor, "rows channels"]
    ) -> Float[Tensor, " rows"]:
        """Return what each entry adds to the energy, without what factors do."""
        if self.read_entries is None:
            return torch.zeros_like(y[:, 0])
        return self._squares(self._misfits(context, y)[0][1]) - context.level

    def residuals(self, context: _Parts, y: Float[Tensor, "rows channels"]) -> Tensor:
        """Return the residuals, scaled: `(rows, width)` of entries alone, else all `(B, ...)`."""
        found = [
            (layout, scaled_residuals(each, self.log_scale))
            for layout, each in self._misfits(context, y)
        ]
        if self.read_factors is None:
            return found[0][1]
        return torch.cat([_side_by_side(layout, each) for layout, each in found], 1)

    def _squares(self, misfit: Float[Tensor, "parts width"]) -> Float[Tensor, " parts"]:
        return self.log_scale.exp() / 2 * misfit.square().mean(-1)

    def _misfits(self, context: _Parts, y: Tensor) -> list[tuple[Layout, Tensor]]:
        """Return the residuals of entries, then of each kind of factor, with whose they are."""
        graph = context.graph
        links = incidences(graph, self.question.links())
        features = context.features + self.answer_map(y)
        for each in self.rounds:
            features = features + each(features, graph, links)
        found = []
        if self.read_entries is not None:
            found.append((context.layout, wide(self.read_entries(features))))
        if self.read_factors is not None:
            for kind, misfit in self.read_factors(features, graph, links).items():
                found.append((Layout(context.layout.count, graph[kind].batch), wide(misfit)))
        return found


def _apart(answer: Space) -> Preset:
    """Return settings for energies that are learned factor by factor, and add up.

    What an entry is by itself would be counted for each of its factors, so they learn how entries
    hang together alone, by contrast with entries of others. Their sum is rugged, and a velocity
    carries candidates over what is shallow.
    """
    return scaled(
        answer,
        solver={
            "objective": "contrastive(against='entries', share=0.99, blur=0.4)",
            "replay": 0,
            "solving": "momentum(step_size=0.02)",
            "halting": "any_of(verified(required=False), "
            "energy_plateau(tolerance=1e-5, patience=5))",
        },
        training={
            "iterations": 1_000,
            "batch_size": 256,
            "learning_rate": 5e-3,
            "average": 0.99,
        },
    )


def _side_by_side(
    layout: Layout, values: Float[Tensor, "parts width"]
) -> Float[Tensor, "problems all"]:
    from torch_geometric.utils import to_dense_batch

    dense, _ = to_dense_batch(values, layout.owner, batch_size=layout.count)
    return cast(Tensor, dense.flatten(1))


def _mlp(inputs: int, width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, 2 * width), nn.SiLU(), nn.Linear(2 * width, outputs))


class _Factors(nn.Module):
    """What factors make of their entries.

    Args:
        question: which kinds there are.
        width: features of an entry.
        shared: whether a factor makes one thing of all its entries, rather than one for each role.
    """

    def __init__(self, question: FactorSpace, width: int, *, shared: bool) -> None:
        super().__init__()
        self.send = nn.Linear(width, width)
        self.kinds = [kind for kind, _ in question.kinds]
        roles = [len(question.roles_of(kind)) for kind in self.kinds]
        self.nets = nn.ModuleList(
            _mlp(count * width + features, width, width if shared else count * width)
            for (_, features), count in zip(question.kinds, roles, strict=True)
        )

    def forward(
        self, features: Tensor, graph: Batch, links: Incidences
    ) -> dict[str, Float[Tensor, "factors outputs"]]:
        sent = _SHARE * functional.silu(self.send(features))
        made = {}
        for kind, net in zip(self.kinds, self.nets, strict=True):
            if kind in links:
                none = sent.new_zeros(graph[kind].batch.shape[0], sent.shape[1])
                sums = [none if each is None else each.over_entries(sent) for each in links[kind]]
                made[kind] = net(torch.cat([*sums, *_own(graph[kind])], 1))
        return made


def _own(store: Mapping[str, Tensor]) -> Iterable[Tensor]:
    return (store["x"],) if "x" in store else ()


class _Round(nn.Module):
    """What a round of messages adds to the features of entries."""

    def __init__(self, question: FactorSpace, width: int) -> None:
        super().__init__()
        self.factors = _Factors(question, width, shared=False)
        self.update = _mlp(2 * width, width, width)

    def forward(self, features: Tensor, graph: Batch, links: Incidences) -> Tensor:
        message = torch.zeros_like(features)
        for kind, made in self.factors(features, graph, links).items():
            parts = made.chunk(len(links[kind]), 1)
            for incidence, part in zip(links[kind], parts, strict=True):
                if incidence is not None:
                    message = message + incidence.over_factors(part)
        return cast(Tensor, self.update(torch.cat([features, message], 1)))
