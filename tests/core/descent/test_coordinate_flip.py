"""The descent that flips entries, against exhaustive search and a plain reading of its rule."""

import itertools
import math

import networkx as nx
import pytest
import torch

from irem_core import (
    CoordinateFlip,
    EdgeSpace,
    EnergyError,
    EnergyFn,
    EnergyPlateau,
    FixedSteps,
    GradientNorm,
    Outcome,
    Problem,
    SettingError,
    ShapeError,
    VectorSpace,
    build,
    minimize,
)
from irem_core.testing.zoo import ScratchpadQuadratic

BITS = VectorSpace(8, low=0.0, high=1.0)
SPINS = VectorSpace(7, low=-1.0, high=1.0)


class Form(EnergyFn):
    """E = y' Q y, where x holds each problem's Q."""

    def energy(self, context, y):
        return torch.einsum("bi,bij,bj->b", y, context, y)


class Flat(EnergyFn):
    """E = 0 wherever entries are finite."""

    def energy(self, context, y):
        return 0 * y.sum(1)


def forms(count=12, size=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, size, size, generator=generator, dtype=torch.float64)


def corners(space):
    return torch.tensor(
        list(itertools.product((space.low, space.high), repeat=space.length)), dtype=torch.float64
    )


def starts(count, space, seed=1):
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randint(2, (count, space.length), generator=generator)
    return torch.where(chosen == 1, space.high, space.low).double()


def solve(x, space, descent=CoordinateFlip(), steps=60, start=None, **options):  # noqa: B008
    options = {"halting": FixedSteps(steps=max(steps, 1)), "record": "y"} | options
    start = starts(len(x), space) if start is None else start
    return minimize(
        options.pop("energy", Form()),
        Problem(x, space),
        start=start,
        descent=descent,
        max_steps=steps,
        **options,
    )


def path(solution, problem):
    return solution.trace.of(problem).y


@pytest.mark.parametrize("tenure", [2, 3, 4])
def test_the_lowest_of_all_corners_is_found(tenure):
    x = forms()
    solution = solve(x, BITS, CoordinateFlip(tenure=tenure), steps=150)
    everything = torch.einsum("ci,bij,cj->bc", corners(BITS), x, corners(BITS))

    torch.testing.assert_close(solution.energy, everything.amin(1), rtol=0, atol=1e-9)
    assert ((solution.y == 0) | (solution.y == 1)).all()
    # From most starts the way leads through local minima.
    stuck = solve(x, BITS, CoordinateFlip(tenure=0), steps=150)
    assert (stuck.energy > solution.energy + 1e-9).any()


def test_the_largest_cuts_of_graphs_are_found():
    graphs = [nx.gnp_random_graph(7, 0.6, seed=seed) for seed in range(10)]
    x = torch.stack([torch.tensor(nx.to_numpy_array(graph)) for graph in graphs]) / 4
    solution = solve(x, SPINS)

    for graph, y in zip(graphs, solution.y, strict=True):
        cut = nx.cut_size(graph, {node for node in graph if y[node] > 0})
        largest = max(
            nx.cut_size(graph, set(side))
            for length in range(8)
            for side in itertools.combinations(range(7), length)
        )
        assert cut == largest


def reference(q, y, steps, tenure):
    """Follow the rule by hand, on one problem: yield each corner."""

    def energy(corner):
        return sum(q[i][j] * corner[i] * corner[j] for i in range(8) for j in range(8))

    last = {place: -math.inf for place in range(len(y))}
    lowest = math.inf
    yield y
    for step in range(steps):
        lowest = min(lowest, energy(y))
        trials = {place: [*y[:place], 1 - y[place], *y[place + 1 :]] for place in range(len(y))}
        energies = {place: energy(trial) for place, trial in trials.items()}
        if tenure:
            allowed = [
                place
                for place in trials
                if step - last[place] > min(tenure, len(y) - 1) or energies[place] < lowest
            ]
        else:
            allowed = [place for place in trials if energies[place] < energy(y)]
        if allowed:
            place = min(allowed, key=lambda each: (energies[each], last[each], each))
            y, last[place] = trials[place], step
        yield y


@pytest.mark.parametrize("tenure", [0, 1, 4, 20])
@pytest.mark.parametrize("kind", ["distinct", "tied"])
def test_every_step_is_the_best_flip_allowed(tenure, kind):
    x = forms(6) if kind == "distinct" else (2 * forms(6)).round()
    solution = solve(x, BITS, CoordinateFlip(tenure=tenure), steps=25)

    for index, start in enumerate(starts(6, BITS).tolist()):
        expected = list(reference(x[index].tolist(), start, 25, tenure))
        assert path(solution, index).tolist() == expected


def test_without_a_tenure_an_answer_stays_at_its_first_local_minimum():
    x = forms(30)
    solution = solve(
        x, BITS, CoordinateFlip(tenure=0), steps=100, halting=EnergyPlateau(), record=()
    )
    flips = torch.eye(8, dtype=torch.float64)
    neighbours = (solution.y[:, None] - flips).abs()
    around = torch.einsum("bni,bij,bnj->bn", neighbours, x, neighbours)

    assert solution.check() is solution
    assert (around >= solution.energy[:, None]).all()
    assert torch.equal(solution.last, solution.y)


def test_flips_of_equal_energy_take_turns():
    x = torch.zeros(1, 1)
    space = VectorSpace(4, low=0.0, high=1.0)
    solution = solve(x, space, CoordinateFlip(tenure=1), 9, torch.zeros(1, 4), energy=Flat())
    flipped = path(solution, 0).diff(dim=0).abs().argmax(1)

    assert flipped.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0]


def test_the_first_step_rounds_answers_that_are_no_corners():
    space = VectorSpace(3, low=-1.0, high=2.0)
    start = torch.tensor([[0.4, 0.5, 1.9], [-1.0, 2.0, 2.0]], dtype=torch.float64)
    x = torch.diag(torch.tensor([1.0, 10.0, 100.0])).double().expand(2, 3, 3)
    solution = solve(x, space, steps=2, start=start)

    # The second problem is at a corner, so its first step is a flip already.
    assert path(solution, 0).tolist() == [[0.4, 0.5, 1.9], [-1, 2, 2], [-1, 2, -1]]
    assert path(solution, 1).tolist() == [[-1, 2, 2], [-1, 2, -1], [-1, -1, -1]]


def test_bounds_that_floats_cannot_hold_are_corners_too():
    space = VectorSpace(2, low=0.1, high=0.7)
    x = -torch.eye(2)[None]
    solution = solve(x, space, start=torch.tensor([[0.1, 0.1]]), steps=2)

    assert torch.equal(solution.y, torch.full((1, 2), 0.7))


def test_a_batch_gives_the_answers_of_its_problems_alone():
    x, start = forms(9), starts(9, BITS)
    start[4] = 0.4
    options = {"halting": EnergyPlateau(patience=2), "record": ()}
    for tenure in (0, 2):
        descent = CoordinateFlip(tenure=tenure)
        whole = solve(x, BITS, descent, start=start, **options)
        for index in range(9):
            here = slice(index, index + 1)
            alone = solve(x[here], BITS, descent, start=start[here], **options)
            assert torch.equal(alone.last[0], whole.last[index])
            assert torch.equal(alone.y[0], whole.y[index])
            assert alone.steps.item() == whole.steps[index].item()
        # Without a tenure problems halt one by one, with it they are still on their way.
        assert (len(set(whole.steps.tolist())) > 1) == (tenure == 0)


def test_every_trial_is_counted_and_the_gradient_is_never_asked_for():
    class Counting(Form):
        calls = 0

        def energy(self, context, y):
            assert not y.requires_grad
            self.calls += 1
            return super().energy(context, y).detach()

    energy = Counting()
    solution = solve(forms(1), BITS, steps=5, start=torch.full((1, 8), 0.5).double(), energy=energy)

    assert solution.evaluations.item() == energy.calls
    # The start, the step that rounds, and four steps that try all eight flips.
    assert energy.calls == 1 + 1 + 4 * (8 + 1)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_flips_to_energies_that_are_not_finite_are_never_made(bad):
    class Hole(EnergyFn):
        def energy(self, context, y):
            return torch.where(y[:, 0] == 1, bad, -y.sum(1))

    start = torch.zeros(1, 3)
    solution = solve(
        torch.zeros(1, 1), VectorSpace(3, low=0.0, high=1.0), steps=12, start=start, energy=Hole()
    )

    assert solution.y.tolist() == [[0, 1, 1]]
    assert solution.outcome.tolist() == [Outcome.BUDGET_SPENT]


def test_an_answer_of_one_entry_is_flipped_to_and_fro():
    space = VectorSpace(1, low=0.0, high=1.0)
    solution = solve(-torch.ones(1, 1, 1), space, steps=3, start=torch.zeros(1, 1))

    assert path(solution, 0).flatten().tolist() == [0, 1, 0, 1]
    assert solution.energy.item() == -1


def test_matrices_are_flipped_entry_by_entry():
    class Away(EnergyFn):
        def energy(self, context, y):
            return (y - context).square().sum((1, 2))

    x = torch.tensor([[[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]]])
    problem = Problem(x, build("irem.spaces", "matrix(2, 3, low=0.0, high=1.0)"))
    descent = build("irem.descents", "coordinate_flip(tenure=2)")
    solution = minimize(
        Away(), problem, start=1 - x, descent=descent, halting=FixedSteps(steps=6), max_steps=6
    )

    assert torch.equal(solution.y, x)


def test_works_in_inference_mode_and_leaves_its_start_alone():
    x, start = forms(4), starts(4, BITS)
    kept = start.clone()
    expected = solve(x, BITS, start=start)
    with torch.inference_mode():
        solution = solve(x.clone(), BITS, start=start.clone())

    assert torch.equal(solution.y, expected.y)
    assert torch.equal(start, kept)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (None, "an unknown space"),
        (VectorSpace(8), r"VectorSpace\(length=8\)"),
        (VectorSpace(8, low=0.0), "low=0.0"),
        (VectorSpace(8, high=1.0), "high=1.0"),
    ],
)
def test_answers_without_two_bounds_are_refused(space, message):
    with pytest.raises(SettingError, match=message):
        minimize(Form(), Problem(forms(2), space), start=starts(2, BITS), descent=CoordinateFlip())


def test_ragged_answers_are_refused():
    class Edges(EnergyFn):
        def energy(self, context, y):
            return y.new_zeros(2).index_add(0, torch.tensor([0, 1, 1]), y[:, 0])

    problem = Problem(torch.zeros(3, 1), EdgeSpace(low=0.0, high=1.0), torch.tensor([0, 1, 1]))
    with pytest.raises(ShapeError, match="ragged"):
        minimize(Edges(), problem, descent=CoordinateFlip())


def test_a_scratchpad_is_refused():
    x = torch.zeros(2, 3)
    with pytest.raises(SettingError, match="scratchpad"):
        minimize(
            ScratchpadQuadratic(),
            Problem(x, VectorSpace(3, low=0.0, high=1.0)),
            descent=CoordinateFlip(),
        )


def test_halting_rules_that_need_a_gradient_are_refused():
    with pytest.raises(EnergyError, match="needs none"):
        solve(forms(2), BITS, halting=GradientNorm())


@pytest.mark.parametrize("tenure", [-1, 1.5, "3", None, True, math.inf])
def test_a_bad_tenure_is_refused(tenure):
    with pytest.raises(SettingError, match="tenure"):
        CoordinateFlip(tenure=tenure)
