"""The factor energy: its formula, and that it depends on what is joined and on nothing else."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from torch_geometric.data import Batch, HeteroData

from irem_core import (
    IREM,
    EnergyPlateau,
    EntrySpace,
    FactorEnergy,
    FactorSpace,
    FixedSteps,
    GradientDescent,
    Grounded,
    LevenbergMarquardt,
    MatrixSpace,
    Problem,
    SettingError,
    ShapeError,
    differentiate,
    minimize,
)
from irem_core.energies.landscape import encoded
from irem_core.problems.iterate import Iterate

SPACE = FactorSpace(2, kinds={"pair": 1, "clause": 0}, roles={"clause": ("left", "right")})
ROLES = {"pair": ("member",), "clause": ("left", "right")}


def energy(**settings):
    torch.manual_seed(0)
    return FactorEnergy(SPACE, EntrySpace(), **{"width": 4, **settings}).double()


def graph(entries, factors, seed=0):
    """Make a factor graph from lists (kind, {role: entries}), with random features."""
    generator = torch.Generator().manual_seed(seed)
    made = HeteroData()
    made["entry"].x = torch.rand(entries, 2, generator=generator, dtype=torch.float64)
    for kind, roles in ROLES.items():
        own = [each for name, each in factors if name == kind]
        made[kind].num_nodes = len(own)
        if kind == "pair":
            made[kind].x = torch.rand(len(own), 1, generator=generator, dtype=torch.float64)
        for role in roles:
            links = [(f, e) for f, each in enumerate(own) for e in each.get(role, ())]
            index = torch.tensor(links, dtype=torch.int64).reshape(-1, 2).T
            made[kind, role, "entry"].edge_index = index
    return made


CHAIN = graph(
    4,
    [
        ("pair", {"member": (0, 1)}),
        ("clause", {"left": (1, 2), "right": (3,)}),
        ("pair", {"member": (3, 2)}),
        ("clause", {"right": (0,)}),
    ],
)
STAR = graph(6, [("clause", {"left": (0,), "right": (1, 2, 3, 4, 5)})], seed=1)


def problem_of(*made):
    return Problem(Batch.from_data_list(list(made)), EntrySpace())


def draw(rows, seed=2):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 1, generator=generator, dtype=torch.float64)


def by_the_formula(made, one, y):
    """Return the energy of one factor graph, written out factor by factor."""
    weights = dict(made.named_parameters())

    def linear(name, value):
        return functional.linear(value, weights[f"{name}.weight"], weights.get(f"{name}.bias"))

    def mlp(name, value):
        return linear(f"{name}.2", functional.silu(linear(f"{name}.0", value)))

    def factors(name, features):
        for place, (kind, roles) in enumerate(ROLES.items()):
            for factor in range(one[kind].num_nodes):
                members = []
                for role in roles:
                    which, entries = one[kind, role, "entry"].edge_index
                    members.append(entries[which == factor].tolist())
                sums = [
                    sum(
                        (functional.silu(linear(f"{name}.send", features[i])) / 3 for i in each),
                        torch.zeros(4, dtype=torch.float64),
                    )
                    for each in members
                ]
                own = [one[kind].x[factor]] if kind == "pair" else []
                yield members, mlp(f"{name}.nets.{place}", torch.cat([*sums, *own]))

    features = linear("question_map", one["entry"].x) + linear("answer_map", y)
    for number in range(len(made.rounds)):
        message = torch.zeros_like(features)
        for members, sent in factors(f"rounds.{number}.factors", features):
            for entries, part in zip(members, sent.chunk(len(members)), strict=True):
                for entry in entries:
                    message[entry] = message[entry] + part
        update = mlp(f"rounds.{number}.update", torch.cat([features, message], 1))
        features = features + update
    squares = torch.zeros((), dtype=torch.float64)
    if made.read_entries is not None:
        squares = squares + linear("read_entries", features).square().mean(-1).sum()
    if made.read_factors is not None:
        for _, residual in factors("read_factors", features):
            squares = squares + residual.square().mean()
    return made.log_scale.exp() / 2 * squares


@pytest.mark.parametrize(
    "settings", [{}, {"rounds": 1, "read": "both"}, {"rounds": 0}, {"rounds": 0, "read": "entries"}]
)
def test_the_energy_is_the_formula_in_batches_of_any_structures(settings):
    made, y = energy(**settings), draw(14)
    with torch.no_grad():
        made.log_scale.fill_(0.3)
    found = made(problem_of(CHAIN, STAR, CHAIN), y)
    parts = zip((CHAIN, STAR, CHAIN), y.split([4, 6, 4]), strict=True)
    expected = torch.stack([by_the_formula(made, one, part) for one, part in parts])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("read", ["entries", "factors", "both"])
def test_the_squares_of_the_residuals_are_the_energy(read):
    made, y, problem = energy(read=read), draw(10), problem_of(CHAIN, STAR)
    context = encoded(made, problem)
    residuals = made.residuals(context, y)
    squares = residuals.square().sum(1)
    if read == "entries":
        squares = problem.layout.sum(squares)
    torch.testing.assert_close(squares, made.energy(context, y))


@pytest.mark.parametrize("read", ["entries", "both"])
def test_the_level_shifts_energies_by_what_the_question_holds_and_moves_no_answer(read):
    problem, plain = problem_of(CHAIN, STAR), energy(read=read)
    levelled = copy.deepcopy(plain)
    levelled.level.data = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    features, owner = problem.x["entry"].x, problem.x["entry"].batch
    each = 0.3 - features[:, 0] + 2 * features[:, 1]
    expected = torch.zeros(2, dtype=torch.float64).index_add(0, owner, each)
    at = Iterate(draw(10), problem.layout)
    before, after = (differentiate(one, encoded(one, problem), at) for one in (plain, levelled))
    torch.testing.assert_close(before.energy - after.energy, expected)
    assert torch.equal(before.slope.y, after.slope.y)
    options = {"max_steps": 6, "start": draw(10), "halting": FixedSteps(steps=6)}
    answers = [
        minimize(one, problem, descent=LevenbergMarquardt(), **options).y
        for one in (plain, levelled)
    ]
    torch.testing.assert_close(*answers)


def test_grounding_fits_the_level_to_right_answers_and_touches_nothing_else():
    problem, right, made = problem_of(CHAIN, STAR), draw(10), energy()
    grounded = IREM(made, steps=0, objective=Grounded())
    loss = grounded.loss(problem, right, torch.Generator())
    entries = torch.tensor([4.0, 6.0], dtype=torch.float64)
    torch.testing.assert_close(loss, (made(problem, right).detach() / entries).square().mean())
    loss.backward()
    learning = [name for name, each in made.named_parameters() if each.grad is not None]
    assert [name for name in learning if made.get_parameter(name).grad.any()] == ["level"]
    step = torch.optim.LBFGS([made.level], max_iter=50, line_search_fn="strong_wolfe")

    def again():
        step.zero_grad()
        found = grounded.loss(problem, right, torch.Generator())
        found.backward()
        return found

    step.step(again)
    assert made(problem, right).abs().max() < 1e-4  # two problems, three numbers to fit them by


def test_without_rounds_the_energies_of_parts_add_up():
    parts = [
        [("pair", {"member": (0, 1)}), ("clause", {"left": (2, 3)})],
        [("clause", {"left": (1,), "right": (3,)}), ("clause", {"right": (0, 2)})],
    ]
    whole, *apart = (graph(4, factors) for factors in ([*parts[0], *parts[1]], *parts))
    made, y = energy(rounds=0), draw(4)
    energies = [made(problem_of(one), y) for one in (whole, *apart)]
    torch.testing.assert_close(energies[0], energies[1] + energies[2])


@given(seed=st.integers(0, 2**31), rounds=st.integers(0, 2))
@settings(max_examples=15, deadline=None)
def test_the_order_of_entries_factors_and_links_does_not_matter(seed, rounds):
    generator = torch.Generator().manual_seed(seed)
    entries = torch.randperm(4, generator=generator)
    moved = CHAIN.clone()
    moved["entry"].x = torch.empty_like(CHAIN["entry"].x)
    moved["entry"].x[entries] = CHAIN["entry"].x
    for kind, roles in ROLES.items():
        order = torch.randperm(2, generator=generator)
        if kind == "pair":
            moved[kind].x = torch.empty_like(CHAIN[kind].x)
            moved[kind].x[order] = CHAIN[kind].x
        for role in roles:
            factor, entry = CHAIN[kind, role, "entry"].edge_index
            links = torch.stack([order[factor], entries[entry]])
            shuffled = torch.randperm(links.shape[1], generator=generator)
            moved[kind, role, "entry"].edge_index = links[:, shuffled]
    made, y = energy(rounds=rounds, read="both"), draw(4)
    there = torch.empty_like(y)
    there[entries] = y
    first, second = (
        differentiate(made, encoded(made, problem), Iterate(each, problem.layout))
        for problem, each in ((problem_of(CHAIN), y), (problem_of(moved), there))
    )
    torch.testing.assert_close(second.energy, first.energy)
    torch.testing.assert_close(second.slope.y[entries], first.slope.y)


def test_first_and_second_derivatives_are_right():
    made, problem = energy(read="both", rounds=1), problem_of(CHAIN, STAR)
    context = encoded(made, problem)
    y = draw(10).requires_grad_()
    assert torch.autograd.gradcheck(lambda y: made.energy(context, y), y)
    assert torch.autograd.gradgradcheck(lambda y: made.energy(context, y), y)
    weight = made.rounds[0].factors.send.weight

    def slope(at):
        weights = {**dict(made.named_parameters()), "rounds.0.factors.send.weight": at}
        call = torch.func.functional_call(Valued(made, context), rename(weights), (y,))
        return torch.autograd.grad(call.sum(), y, create_graph=True)[0]

    assert torch.autograd.gradcheck(slope, weight.detach().clone().requires_grad_())


class Valued(torch.nn.Module):
    """Calls `energy` where torch calls `forward`."""

    def __init__(self, made, context):
        super().__init__()
        self.made, self.context = made, context

    def forward(self, y):
        return self.made.energy(self.context, y)


def rename(weights):
    return {f"made.{name}": each for name, each in weights.items()}


def test_problems_are_solved_in_a_batch_as_alone_though_some_halt_before_others():
    made, starts = energy(), draw(14)
    options = {
        "descent": GradientDescent(step_size=5.0),
        "halting": EnergyPlateau(tolerance=0.1, patience=1),
        "max_steps": 60,
    }
    together = minimize(made, problem_of(CHAIN, STAR, CHAIN), start=starts, **options)
    assert together.steps.unique().numel() > 1
    for number, (one, start) in enumerate(
        zip((CHAIN, STAR, CHAIN), starts.split([4, 6, 4]), strict=True)
    ):
        alone = minimize(made, problem_of(one), start=start, **options)
        assert torch.equal(alone.steps[0], together.steps[number])
        rows = together.layout.owner == number
        torch.testing.assert_close(alone.y, together.y[rows])


def test_compiled_it_does_without_a_program_and_gives_the_same():
    # Contexts that hold batches of graphs have none (see `Programs.evaluate`).
    made, problem = energy(read="both"), problem_of(CHAIN, STAR, CHAIN)
    compiled = copy.deepcopy(made)
    compiled.compile(backend="aot_eager")
    options = {"start": draw(14), "descent": GradientDescent(step_size=0.5), "max_steps": 3}
    found, expected = (minimize(each, problem, **options) for each in (compiled, made))
    assert torch.equal(found.y, expected.y)
    assert torch.equal(found.energy, expected.energy)
    assert len(compiled.programs) == 0


def test_a_kind_without_factors_in_the_batch_makes_no_difference():
    bare = CHAIN.clone()
    for key in [("clause", "left", "entry"), ("clause", "right", "entry")]:
        del bare[key]
    del bare["clause"]
    none = CHAIN.clone()
    none["clause"].num_nodes = 0
    for role in ROLES["clause"]:
        none["clause", role, "entry"].edge_index = torch.zeros(2, 0, dtype=torch.int64)
    made, y = energy(read="both"), draw(4)
    torch.testing.assert_close(made(problem_of(bare), y), made(problem_of(none), y))


def test_kinds_that_it_was_not_built_for_are_refused():
    other = CHAIN.clone()
    other["triple"].num_nodes = 1
    other["triple", "member", "entry"].edge_index = torch.tensor([[0, 0], [0, 1]])
    with pytest.raises(
        ShapeError, match=r"FactorEnergy got factors of the kind 'triple'.*learned in"
    ):
        minimize(
            energy(),
            problem_of(other),
            descent=GradientDescent(step_size=0.1),
            halting=FixedSteps(steps=1),
        )


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"width": 0}, "width"), ({"rounds": -1}, "rounds"), ({"read": "all"}, "read")],
)
def test_settings_out_of_range_are_refused(settings, said):
    with pytest.raises(SettingError, match=said):
        energy(**settings)


def test_other_spaces_are_refused():
    with pytest.raises(SettingError, match="expected a FactorSpace and an EntrySpace"):
        FactorEnergy(MatrixSpace(2, 2), EntrySpace())


@pytest.mark.parametrize(
    ("kinds", "roles"),
    [({}, {}), ({"entry": 0}, {}), ({"a b": 0}, {}), ({"a": 0}, {"b": ("c",)}), ({"a": -1}, {})],
)
def test_spaces_without_kinds_or_with_names_that_are_no_words_are_refused(kinds, roles):
    with pytest.raises(SettingError, match="FactorSpace got"):
        FactorSpace(1, kinds=kinds, roles=roles)


def test_solving_begins_near_zero_and_restarts_anywhere():
    made, problem = energy(), problem_of(CHAIN, STAR)
    generator = torch.Generator().manual_seed(0)
    solver = IREM(made, descent=GradientDescent(step_size=0.1))
    begun = solver.solve(problem, max_steps=0, generator=generator.manual_seed(0))
    assert 0 < begun.y.abs().max() <= 0.05
    streamed = next(iter(solver.solve_many([problem], max_steps=0)))
    assert 0 < streamed.y.abs().max() <= 0.05
    assert torch.equal((made * 2.0).first_start(problem, generator.manual_seed(0)).y, begun.y)
    anywhere = solver.draw_start(problem, generator.manual_seed(0))
    torch.testing.assert_close(anywhere.y * 0.05, begun.y)
    within = Problem(problem.x, EntrySpace(low=0.5))
    assert minimize(made, within, descent=solver.descent, max_steps=0).y.min() == 0.5
