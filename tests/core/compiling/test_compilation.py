"""Compiled energies: every number is compared with what autograd gives, in float64."""

from __future__ import annotations

import copy
import shutil

import pytest
import torch
from packaging.version import Version
from torch._subclasses import FakeTensor

from irem_core import (
    IREM,
    CompileError,
    ConvEnergy,
    EdgeSpace,
    ElementwiseEnergy,
    EnergyError,
    EnergyFn,
    FixedSteps,
    FullUnroll,
    GINEEnergy,
    ImageSpace,
    Landscape,
    LastStep,
    MatrixSpace,
    MLPEnergy,
    PairwiseEnergy,
    PeriodicEnergy,
    Problem,
    RankingEnergy,
    RationalEnergy,
    ScratchpadMLPEnergy,
    SettingError,
    SpectralEnergy,
    VectorSpace,
    differentiate,
    fit,
    graphs,
    load_task,
    minimize,
)
from irem_core.compiling.compilation import _Place
from irem_core.pairs.standardized import Standardized
from irem_core.part import seeded
from irem_core.problems import trees
from irem_core.testing.zoo import BATCHES, EdgeQuadratic, Quadratic
from walks import DESCENTS, HALTINGS

# Writes down what is evaluated and runs that for any number of problems, without compiling C++.
QUICK = {"backend": "aot_eager"}
VECTORS, MATRICES = VectorSpace(5), MatrixSpace(4, 4)
IMAGES = ImageSpace(1, 6, 6)
LEARNED = {
    "conv": lambda: ConvEnergy(IMAGES, IMAGES, width=4, inner=3, depth=2),
    "elementwise": lambda: ElementwiseEnergy(VECTORS, VECTORS),
    "gine": lambda: GINEEnergy(EdgeSpace(2), EdgeSpace(1), width=8, layers=2),
    "mlp": lambda: MLPEnergy(VectorSpace(7), VECTORS, width=8),
    "pairwise": lambda: PairwiseEnergy(MATRICES, MATRICES, width=6),
    "periodic": lambda: PeriodicEnergy(VECTORS, VectorSpace(1)),
    "rational": lambda: RationalEnergy(MATRICES, MATRICES, degree=4),
    "ranking": lambda: RankingEnergy(VECTORS, VECTORS),
    "scratchpad-mlp": lambda: ScratchpadMLPEnergy(VECTORS, VECTORS, scratchpad=3),
    "spectral": lambda: SpectralEnergy(MATRICES, MATRICES),
    "sum": lambda: MLPEnergy(VECTORS, VECTORS, width=8) + 0.5 * Quadratic(),
}


def all_slowly(*quick):
    """Name all energies, since torch writes down most for seconds each, as slow but for these."""
    return [pytest.param(name, marks=() if name in quick else pytest.mark.slow) for name in LEARNED]


def learned(name):
    with seeded(0):
        energy = LEARNED[name]().double()
    # Biases that are drawn as zero would hide what a program leaves out.
    generator = torch.Generator().manual_seed(1)
    for weight in energy.parameters():
        weight.data += 0.1 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
    return energy


def drawn(energy, count, seed=0, largest=5):
    """Draw questions and starts: graphs of 2 nodes and more, or numbers of the question's shape."""
    generator = torch.Generator().manual_seed(seed)
    question = getattr(energy, "question", VECTORS)
    if isinstance(question, EdgeSpace):
        nodes = torch.randint(2, largest, (count,), generator=generator)
        # The largest graph decides on the shape of the program.
        nodes[0] = largest
        rows = int(nodes.square().sum())
        values = torch.rand(rows, question.size, generator=generator, dtype=torch.float64)
        x = graphs.complete(nodes, values)
    else:
        x = torch.rand(count, *question.shape, generator=generator, dtype=torch.float64)
    problem = energy.problem(x) if energy.answer else Problem(x, VECTORS)
    return problem, energy.start(problem, generator)


def assert_same(found, wanted, tolerance=1e-10):
    pairs = [(found.energy, wanted.energy), (found.gradient.y, wanted.gradient.y)]
    assert (found.gradient.z is None) == (wanted.gradient.z is None)
    if wanted.gradient.z is not None:
        pairs.append((found.gradient.z, wanted.gradient.z))
    for one, other in pairs:
        assert not one.requires_grad
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", all_slowly("mlp", "scratchpad-mlp"))
def test_one_program_gives_what_autograd_gives_for_any_number_of_problems(name):
    energy = learned(name)
    compiled = copy.deepcopy(energy)
    compiled.compile(**QUICK)
    for seed, count in enumerate((5, 2, 9)):
        problem, start = drawn(energy, count, seed)
        context = trees.detach(energy.encode(problem))
        assert_same(differentiate(compiled, context, start), differentiate(energy, context, start))
    assert len(compiled.programs) == 1


def test_other_shapes_and_numbers_in_a_context_have_programs_of_their_own():
    energy = learned("gine")
    compiled = copy.deepcopy(energy)
    compiled.compile(**QUICK)
    for number, largest in enumerate((5, 3, 5), 1):
        problem, start = drawn(energy, 4, largest=largest)
        context = trees.detach(energy.encode(problem))
        assert_same(differentiate(compiled, context, start), differentiate(energy, context, start))
        assert len(compiled.programs) == min(number, 2)


def pulled(energy, problem, start):
    """Return the gradients, in weights and start, of a loss on energies and on a step down."""
    start = start.map(lambda leaf: leaf.detach().requires_grad_())
    found = differentiate(energy, energy.encode(problem), start, create_graph=True)
    step = start - 0.3 * found.gradient
    ends = [found.energy.square().sum(), *(each.sin().sum() for each in trees.tensors(step))]
    leaves = [*energy.parameters(), *trees.tensors(start)]
    return torch.autograd.grad(sum(ends), leaves, allow_unused=True)


def assert_pulled_same(compiled, energy, problem, start):
    found, wanted = (pulled(each, problem, start) for each in (compiled, energy))
    for one, other in zip(found, wanted, strict=True):
        assert (one is None) == (other is None)
        if other is not None:
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", all_slowly("scratchpad-mlp"))
def test_a_loss_on_a_step_has_the_gradient_that_autograd_gives(name):
    energy = learned(name)
    compiled = copy.deepcopy(energy)
    compiled.compile(**QUICK)
    for seed, count in enumerate((5, 2, 9)):
        assert_pulled_same(compiled, energy, *drawn(energy, count, seed))
    # One that evaluates, and one for the gradient.
    assert len(compiled.programs) == 2


def test_gradients_without_a_program_are_autograds(monkeypatch):
    monkeypatch.setattr("irem_core.compiling.compilation._MOST", 1)
    energy = learned("mlp")
    compiled = copy.deepcopy(energy)
    compiled.compile(**QUICK)
    assert_pulled_same(compiled, energy, *drawn(energy, 4))
    assert len(compiled.programs) == 1


def test_gradients_that_cannot_be_compiled_are_autograds(monkeypatch):
    monkeypatch.setattr("irem_core.compiling.compilation._Place.pull_back", refusing_to_trace)
    energy = learned("mlp")
    compiled = copy.deepcopy(energy)
    compiled.compile(**QUICK)
    for _ in range(2):
        assert_pulled_same(compiled, energy, *drawn(energy, 4))
    assert len(compiled.programs) == 1


_PULL_BACK = _Place.pull_back


def refusing_to_trace(place, wanted, *given):
    if isinstance(given[0], FakeTensor):
        raise RuntimeError("no such derivative")
    return _PULL_BACK(place, wanted, *given)


class Noisy(EnergyFn):
    """Draws numbers."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def energy(self, context, y):
        kept = torch.nn.functional.dropout(y - context, 0.5, self.training)
        return self.weight * kept.square().sum(1)


def test_a_loss_on_what_is_drawn_is_on_one_draw():
    energy = Noisy()
    energy.compile(**QUICK)
    problem = Problem(torch.zeros(64, 50), VectorSpace(50))
    start = energy.start(problem, torch.Generator().manual_seed(0))
    found = differentiate(energy, problem.x, start, create_graph=True)
    (slope,) = torch.autograd.grad(found.energy.sum(), energy.weight)
    # The energy is its weight, 1, times what the derivative in the weight is.
    torch.testing.assert_close(slope, found.energy.sum())
    found = differentiate(energy, problem.x, start)
    assert not torch.equal(differentiate(energy, problem.x, start).energy, found.energy)


def test_programs_add_at_nodes_without_atomics(monkeypatch):
    written = []
    monkeypatch.setattr(torch, "compile", lambda traced, **_: written.append(traced) or traced)
    energy = learned("gine")
    energy.compile()
    problem, start = drawn(energy, 4)
    pulled(energy, problem, start)
    assert len(written) == 2
    for traced in written:
        targets = [str(node.target) for node in traced.graph.nodes]
        assert "aten.scatter_reduce.two" in targets
        assert "aten.index_add.default" not in targets


def test_weights_that_changed_are_the_ones_used():
    energy = learned("mlp")
    energy.compile(**QUICK)
    problem, start = drawn(energy, 3)
    before = differentiate(energy, energy.encode(problem), start)
    with torch.no_grad():
        for weight in energy.parameters():
            weight *= 1.5
    plain = copy.deepcopy(energy)
    plain.programs = None
    after = differentiate(energy, energy.encode(problem), start)
    assert_same(after, differentiate(plain, plain.encode(problem), start))
    assert not torch.allclose(after.energy, before.energy)
    assert len(energy.programs) == 1


def test_single_problems_and_single_rows_need_no_program():
    energy = learned("gine")
    energy.compile(**QUICK)
    for nodes in (torch.tensor([3]), torch.tensor([1, 1])):
        values = torch.rand(int(nodes.square().sum()), 2, dtype=torch.float64)
        problem = energy.problem(graphs.complete(nodes, values))
        start = energy.start(problem, torch.Generator().manual_seed(0))
        assert differentiate(energy, energy.encode(problem), start).gradient is not None
    assert len(energy.programs) == 0


def test_graphs_whose_edges_are_listed_are_evaluated_as_before():
    energy = learned("gine")
    energy.path = "edges"
    problem, start = drawn(energy, 3)
    wanted = differentiate(energy, energy.encode(problem), start)
    energy.compile(**QUICK)
    assert_same(differentiate(energy, energy.encode(problem), start), wanted)
    assert len(energy.programs) == 0


@pytest.mark.parametrize(
    ("animal", "descent"),
    [("bowl", "gradient"), ("ragged", "backtracking"), ("scratchpad", "gradient")],
)
def test_minimize_takes_the_same_steps_to_the_same_answers(animal, descent):
    settings = {"descent": DESCENTS[descent], "halting": HALTINGS["energy-plateau"]}
    arguments = BATCHES[animal].arguments()
    wanted = minimize(**arguments, **settings, max_steps=60)
    arguments["energy"] = copy.deepcopy(arguments["energy"])
    arguments["energy"].compile(**QUICK)
    found = minimize(**arguments, **settings, max_steps=60)
    assert len(arguments["energy"].programs)
    assert found.steps.tolist() == wanted.steps.tolist()
    torch.testing.assert_close(found.y, wanted.y, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "backprop",
    [
        LastStep(),
        pytest.param(FullUnroll(), marks=pytest.mark.slow),
        pytest.param(FullUnroll(recompute=True), marks=pytest.mark.slow),
    ],
)
def test_training_learns_the_same(backprop):
    task = load_task("add(size=6)")
    ended = []
    for compiled in (False, True):
        energy = MLPEnergy.for_task(task, width=16).double()
        solver = IREM(energy, replay=50, backprop=backprop, steps=3)
        if compiled:
            solver.compile(**QUICK)
        torch.set_default_dtype(torch.float64)
        try:
            fit(solver, task, iterations=4, batch_size=8, seed=0)
        finally:
            torch.set_default_dtype(torch.float32)
        ended.append(torch.cat([each.flatten() for each in solver.parameters()]))
    # Starts are constants, later iterates of a full unroll are not.
    assert len(solver.energy.programs) == (2 if backprop == LastStep() else 3)
    torch.testing.assert_close(ended[1], ended[0], rtol=1e-9, atol=1e-12)


def capturing(seen):
    """Make a stand-in for torch's compiler that gives what it captures the same places to write to.

    So do CUDA graphs: each call overwrites what the one before returned.
    """

    def compiled(traced, **options):
        seen.append(options)
        places = {}

        def call(*given):
            found = traced(*given)
            if options.get("mode") != "reduce-overhead":
                return found
            sizes = tuple(None if each is None else tuple(each.shape) for each in found)
            kept = places.setdefault(
                sizes, [None if each is None else torch.empty_like(each) for each in found]
            )
            for place, each in zip(kept, found, strict=True):
                if each is not None:
                    place.copy_(each)
            return tuple(kept)

        return call

    return compiled


@pytest.mark.parametrize("backprop", [LastStep(), FullUnroll()])
def test_captured_programs_train_the_same_though_they_write_to_one_place(monkeypatch, backprop):
    task, ended, seen = load_task("add(size=6)"), [], []
    monkeypatch.setattr(torch, "compile", capturing(seen))
    for captured in (False, True):
        solver = IREM(MLPEnergy.for_task(task, width=16), replay=50, backprop=backprop, steps=4)
        if captured:
            solver.compile(mode="reduce-overhead")
        fit(solver, task, iterations=5, batch_size=8, seed=0)
        ended.append(torch.cat([each.flatten() for each in solver.parameters()]))
    assert {options["mode"] for options in seen} == {"reduce-overhead"}
    torch.testing.assert_close(ended[1], ended[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "without"),
    [
        ({"mode": "reduce-overhead"}, {"mode": None}),
        ({"mode": "max-autotune"}, {"mode": "max-autotune-no-cudagraphs"}),
        ({"options": {"triton.cudagraphs": True}}, {"options": {"triton.cudagraphs": False}}),
        ({"mode": "default"}, {"mode": "default"}),
        ({}, {}),
    ],
    ids=str,
)
def test_nothing_is_captured_where_sizes_change(monkeypatch, options, without):
    seen = []
    monkeypatch.setattr(torch, "compile", capturing(seen))
    for name, training, wanted in (
        ("mlp", True, options),
        ("mlp", False, without),
        ("gine", True, without),
    ):
        energy = learned(name).train(training)
        energy.compile(**options)
        problem, start = drawn(energy, 4)
        differentiate(energy, energy.encode(problem), start)
        assert seen.pop() == wanted


def test_a_run_resumes_as_it_began(tmp_path):
    task = load_task("add(size=6)")
    settings = {"batch_size": 8, "seed": 0, "out": tmp_path / "run"}
    fit(IREM(MLPEnergy.for_task(task, width=16)), task, iterations=1, **settings)
    again = IREM(MLPEnergy.for_task(task, width=16))
    again.compile(**QUICK)
    with pytest.raises(SettingError, match="compiled"):
        fit(again, task, iterations=2, resume=True, **settings)


def test_shapes_beyond_the_most_are_evaluated_as_before(monkeypatch):
    monkeypatch.setattr("irem_core.compiling.compilation._MOST", 2)
    energy = Quadratic()
    energy.compile(**QUICK)
    for size in (1, 2, 3, 4):
        x = torch.rand(3, size)
        found = minimize(energy, x, descent=DESCENTS["gradient"], start=x + 1, max_steps=1)
        torch.testing.assert_close(found.last, x + 0.4)
    assert len(energy.programs) == 2


class ByRowOrProblem(EdgeQuadratic):
    """Takes its curvature for that of rows where there are as many, else spreads it to them."""

    def energy(self, context, y):
        owner, curvature = context["layout"].owner, context["curvature"]
        if curvature.shape[0] != y.shape[0]:
            curvature = curvature[owner]
        per_row = curvature * (y - context["x"]).square().sum(1)
        return per_row.new_zeros(context["curvature"].shape[0]).index_add(0, owner, per_row)


def test_rows_are_not_taken_for_problems():
    arguments = BATCHES["ragged"].arguments()
    energy = ByRowOrProblem()
    context = energy.encode(arguments["x"])
    wanted = differentiate(energy, context, arguments["start"])
    energy.compile(**QUICK)
    assert_same(differentiate(energy, context, arguments["start"]), wanted)
    assert len(energy.programs) == 1


class ReadsValues(EnergyFn):
    """Counts, on the host, what it must not."""

    def energy(self, context, y):
        return (y - context)[:, : int((context > 0).sum()) + 1].square().sum(1)


class KnowsTheNumber(EnergyFn):
    """Is another energy where there are 32 problems."""

    def energy(self, context, y):
        return (y - context).square().sum(1) * torch.arange(1, int(y.shape[0]) + 1)


class Deaf(EnergyFn):
    """Does not depend on y."""

    def energy(self, context, y):
        return context.sum(1)


class Loud(EnergyFn):
    """Raises."""

    def energy(self, context, y):
        raise RuntimeError("no such thing\nand more of it")


@pytest.mark.parametrize(
    ("energy", "kind", "words"),
    [
        (ReadsValues(), CompileError, "ReadsValues cannot be compiled here"),
        (KnowsTheNumber(), CompileError, "the number of problems"),
        (Deaf(), EnergyError, "Deaf does not depend on y"),
        (Loud(), CompileError, r"cannot be compiled here \(no such thing\)"),
    ],
)
def test_what_cannot_be_compiled_says_so(energy, kind, words):
    energy.compile(**QUICK)
    x = torch.rand(3, 4)
    with pytest.raises(kind, match=words):
        minimize(energy, x, descent=DESCENTS["gradient"], start=x)


def test_solvers_without_an_energy_have_nothing_to_compile():
    from irem_baselines.feedforward import Feedforward

    with pytest.raises(CompileError, match="descends no energy"):
        Feedforward.for_task(load_task("add(size=4)")).compile()


def test_copies_make_programs_of_their_own():
    energy = learned("mlp")
    energy.compile(**QUICK)
    problem, _ = drawn(energy, 3)
    minimize(energy, problem, descent=DESCENTS["gradient"], halting=FixedSteps(steps=1))
    assert len(energy.programs) == 1
    assert len(copy.deepcopy(energy).programs) == 0


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles for CPUs by g++")
@pytest.mark.skipif(
    Version(torch.__version__) < Version("2.13"),
    reason="some earlier versions refuse sizes that are always equal",
)
def test_torchs_own_compiler_gives_the_same_numbers():
    energy = learned("gine")
    compiled = copy.deepcopy(energy)
    compiled.compile()
    for count in (4, 7):
        problem, start = drawn(energy, count, seed=count)
        context = trees.detach(energy.encode(problem))
        assert_same(differentiate(compiled, context, start), differentiate(energy, context, start))
    assert len(compiled.programs) == 1


def test_solvers_of_pairs_compile_what_they_hold():
    x = torch.rand(40, 3, generator=torch.Generator().manual_seed(0))
    solver = IREM.for_task(load_task("add(size=4)"))
    held = Standardized(solver, question=VectorSpace(8), answer=VectorSpace(4))
    assert not held.compiled
    held.compile(**QUICK)
    assert held.compiled
    assert held.solve(torch.cat([x, x, x], 1)[:, :8], max_steps=2).y.shape == (40, 4)
    assert len(solver.energy.programs)


def test_an_energy_that_is_no_energy_of_an_author_says_that_it_cannot_be_compiled():
    class Bare(Landscape):
        def value(self, context, iterate):
            return iterate.y.square().sum(-1)

    with pytest.raises(CompileError, match="derive it from EnergyFn"):
        Bare().compile()
