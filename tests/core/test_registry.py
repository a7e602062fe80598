"""The registry: what is installed is found, and texts are read but never run."""

import contextlib
from importlib.metadata import version

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from irem_baselines import Feedforward
from irem_core import (
    AllOf,
    AnyOf,
    CheckpointError,
    EnergyPlateau,
    FixedSteps,
    GradientDescent,
    GradientNorm,
    IremError,
    MatrixSpace,
    MLPEnergy,
    SettingError,
    UnknownNameError,
    UnknownSettingError,
    VectorSpace,
    build,
    load_task,
    settings_of,
)
from irem_core import registry as reg
from irem_core.errors import OFFICIAL
from irem_core.runs import description
from irem_tasks import Add, Negate
from trainings import TASK, DropoutEnergy, run_python, small_solver

BUILT_IN = {
    reg.TASKS: {"add", "negate"},
    reg.SOLVERS: {"ired", "irem", "feedforward"},
    reg.ENERGIES: {"mlp", "scratchpad-mlp"},
    reg.DESCENTS: {
        "gradient",
        "momentum",
        "nesterov",
        "adam",
        "barzilai-borwein",
        "backtracking",
    },
    reg.HALTING: {"fixed-steps", "energy-plateau", "gradient-norm", "any-of", "all-of"},
    reg.OBJECTIVES: {
        *("calibrated", "contrastive", "denoising", "descent", "grounded", "regression"),
        "weighted",
    },
    reg.SCHEDULES: {"cosine", "levels"},
    reg.BACKPROPS: {"last-step", "full-unroll", "gradient-free", "implicit"},
    reg.SPACES: {"vector", "matrix", "edge"},
}
GROUPS = sorted(BUILT_IN)


@pytest.mark.parametrize("group", GROUPS)
def test_parts_of_the_three_packages_are_found_and_load(group):
    found = {plugin.name: plugin for plugin in reg.plugins(group)}
    assert found.keys() >= BUILT_IN[group]
    assert list(found) == sorted(found)
    for name in BUILT_IN[group]:
        plugin = reg.find(group, name)
        assert plugin == found[name]
        package = plugin.distribution.replace("-", "_")
        assert plugin.load().__module__.partition(".")[0] == package
        assert plugin.version == version(plugin.distribution)
        assert plugin in reg.find_any(name)


def test_listing_and_building_by_name_import_only_what_is_used():
    printed = run_python(
        "-c",
        "import sys\n"
        "from irem_core import registry\n"
        "print(sum(len(registry.plugins(group)) for group in registry.KINDS))\n"
        "print([name for name in sys.modules if name.startswith(('torch', 'irem_tasks'))])\n"
        "registry.build(registry.HALTING, 'fixed-steps')\n"
        "print('irem_tasks' in sys.modules, 'irem_core.training.fit' in sys.modules)\n",
    ).splitlines()
    assert int(printed[0]) >= sum(map(len, BUILT_IN.values()))
    assert printed[1:] == ["[]", "False False"]


@pytest.mark.parametrize(
    ("group", "text", "expected"),
    [
        (reg.DESCENTS, "gradient", GradientDescent()),
        (reg.DESCENTS, " gradient(step_size=30) ", GradientDescent(step_size=30)),
        (reg.DESCENTS, "gradient(\n  step_size=3e-1,\n)", GradientDescent(step_size=0.3)),
        (reg.HALTING, "fixed_steps", FixedSteps()),
        (reg.HALTING, "fixed-steps", FixedSteps()),
        (reg.HALTING, "fixed_steps(steps=7)", FixedSteps(steps=7)),
        (
            reg.HALTING,
            "any_of(energy_plateau(patience=5), gradient_norm(tolerance=1e-4))",
            AnyOf(EnergyPlateau(patience=5), GradientNorm(tolerance=1e-4)),
        ),
        (
            reg.HALTING,
            "all_of(fixed_steps, any_of(gradient_norm))",
            AllOf(FixedSteps(), AnyOf(GradientNorm())),
        ),
        (reg.SPACES, "vector(3, low=-1.5)", VectorSpace(3, low=-1.5)),
        (reg.SPACES, "matrix(height=2, width=3)", MatrixSpace(2, 3)),
    ],
)
def test_texts_and_the_parts_that_they_describe(group, text, expected):
    assert build(group, text) == expected


def test_tasks_by_text():
    assert load_task("add").answer == VectorSpace(400)
    assert isinstance(load_task("negate(size=3)"), Negate)
    task = load_task("add", size=4)
    assert (type(task), settings_of(task)) == (Add, {"size": 4})


@pytest.mark.parametrize(
    ("group", "text", "error", "said"),
    [
        (reg.DESCENTS, "gradeint", UnknownNameError, "no descent 'gradeint'.*mean 'gradient'"),
        (reg.DESCENTS, "barzilai_borwien", UnknownNameError, "mean 'barzilai-borwein'"),
        (reg.HALTING, "zzz", UnknownNameError, "no halting rule 'zzz'.*all-of, any-of, energy"),
        (reg.TASKS, "Add", UnknownNameError, "no task 'Add'.*mean 'add'"),
        (reg.HALTING, "any_of(gradient)", UnknownNameError, "no halting rule 'gradient'"),
        (reg.HALTING, "any_of(fixed_step(3))", UnknownNameError, "mean 'fixed-steps'"),
        (reg.DESCENTS, "gradient(stepsize=3)", UnknownSettingError, "'stepsize'.*'step_size'"),
        (reg.DESCENTS, "gradient(3)", UnknownSettingError, "positional.*takes step_size"),
        (reg.SPACES, "vector", UnknownSettingError, "missing.*'length'"),
        (reg.SPACES, "matrix(3)", UnknownSettingError, "missing.*'width'"),
        (reg.DESCENTS, "gradient(step_size=0)", SettingError, "step_size=0.*above 0"),
        (reg.DESCENTS, "gradient(step_size='3')", SettingError, "step_size='3'"),
        (reg.DESCENTS, "gradient(step_size=1e999)", SettingError, "step_size=inf"),
        (reg.HALTING, "fixed_steps(steps=1.5)", SettingError, "steps=1.5.*whole number"),
        (reg.HALTING, "fixed_steps(steps=True)", SettingError, "steps=True"),
        (reg.HALTING, "any_of()", SettingError, "at least one halting rule"),
        (reg.HALTING, "any_of(3)", SettingError, "at least one halting rule"),
        (reg.SPACES, "vector(2, low=1, high=0)", SettingError, "low below high"),
        (reg.TASKS, "add(size=-2)", SettingError, "-"),
        (reg.TASKS, "add(size=None)", SettingError, "=None"),
    ],
)
def test_mistakes_are_named_and_mended(group, text, error, said):
    with pytest.raises(error, match=said):
        build(group, text)


def test_errors_are_of_the_kind_that_python_users_catch():
    for group, text, kinds in [
        (reg.DESCENTS, "nope", LookupError),
        (reg.DESCENTS, "gradient(speed=1)", TypeError),
        (reg.DESCENTS, "gradient(step_size=-1)", ValueError),
    ]:
        with pytest.raises(kinds) as raised:
            build(group, text)
        assert isinstance(raised.value, IremError)


def test_official_names_come_with_the_command_that_installs_them(monkeypatch):
    monkeypatch.setattr(reg, "entry_points", lambda group: [])
    with pytest.raises(UnknownNameError, match="pip install irem-tasks"):
        load_task("add")
    with pytest.raises(UnknownNameError, match="pip install irem-baselines"):
        build(reg.SOLVERS, "feedforward")
    with pytest.raises(UnknownNameError, match="pip install irem-tasks"):
        reg.find_any("add")
    with pytest.raises(UnknownNameError, match=r"No task is installed.*pip install irem-tasks"):
        load_task("mine")
    with pytest.raises(UnknownNameError, match="no descent 'mine'"):
        build(reg.DESCENTS, "mine")


def test_every_official_name_is_provided_by_the_package_that_is_said_to():
    groups = {kind: group for group, kind in reg.KINDS.items()}
    for (kind, distribution), names in OFFICIAL.items():
        everything = reg.plugins(groups[kind])
        assert set(names) == {each.name for each in everything if each.distribution == distribution}
    # A name of another group is no hint.
    with pytest.raises(UnknownNameError, match=r"no objective 'denoise'\. Did you mean"):
        build(reg.OBJECTIVES, "denoise")


HOSTILE = [
    "__import__('os').system('true')",
    "gradient(step_size=__import__('os').getpid())",
    "gradient(step_size=os.sep)",
    "gradient.step_size(1)",
    "gradient(step_size=(lambda: 1)())",
    "gradient(step_size=lambda: 1)",
    "gradient(step_size=[x for x in (1,)])",
    "any_of(*[fixed_steps])",
    "gradient(**{'step_size': 1})",
    "gradient(step_size=f'{1}')",
    "gradient(step_size=1 + 1)",
    "gradient(step_size=(y := 1))",
    "gradient(step_size=1 if 1 else 2)",
    "gradient(step_size=1)(2)",
    "gradient(step_size=await_)",
    "gradient()()",
    "gradient(step_size=1, step_size=2)",
    "gradient; gradient",
    "gradient(",
    "gradient)",
    "(gradient)",
    "[gradient()]",
    "lambda: gradient",
    "1",
    "'gradient'",
    "gradient\x00",
    "gradient(step_size=1)\x00",
    "\ud800(",
    "",
    " ",
    "gradient(step_size=" + "9" * 400 + ")",
    "gradient(step_size=" + "9" * 9000 + ")",
    "gradient(" + " " * 20_000 + ")",
    "any_of(" * 5000,
    "any_of(" * 150 + "fixed_steps" + ")" * 151,
    "gradient(step_size=" + "-" * 5000 + "1)",
    "gradient(step_size=" + "[" * 150 + "]" * 150 + ")",
    "gradient(step_size=" + "1+" * 4000 + "1)",
    "gradient" * 10_000,
    "gradient(group=1)",
    "gradient(plugin=1)",
    "gradient(self=1)",
    "gradient(cls=1, args=2, target=3)",
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:30]))
def test_texts_are_read_and_never_run(text):
    for group in (reg.DESCENTS, reg.HALTING):
        with pytest.raises(IremError) as raised:
            build(group, text)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("depth", [1, 20, 100, 190])
def test_deep_nesting_is_built_or_refused(depth):
    text = "any_of(" * depth + "fixed_steps" + ")" * depth
    try:
        part = build(reg.HALTING, text)
    except SettingError:
        assert depth > 20
        return
    for _ in range(depth):
        (part,) = part.criteria
    assert part == FixedSteps()


SCALAR = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.binary(max_size=4)
)
LITERAL = SCALAR | st.tuples(SCALAR) | st.lists(st.lists(SCALAR, max_size=2), max_size=2)
SETTINGS = ["step_size", "steps", "tolerance", "patience", "criteria", "size", "length", "low", "x"]
NAMES = sorted(name.replace("-", "_") for names in BUILT_IN.values() for name in names)


@st.composite
def constructors(draw, depth=2):
    """Write a text that looks like a part's, with names that exist."""
    inner = constructors(depth=depth - 1) if depth else st.nothing()
    value = LITERAL.map(repr) | st.sampled_from(NAMES) | inner
    args = draw(st.lists(value, max_size=2))
    names = draw(st.lists(st.sampled_from(SETTINGS), max_size=2))
    args += [f"{name}={draw(value)}" for name in names]
    return f"{draw(st.sampled_from(NAMES))}({', '.join(args)})"


@settings(max_examples=150, deadline=None)
@given(group=st.sampled_from(GROUPS), text=constructors())
@example(group="irem.solvers", text="feedforward(None, None)")
def test_well_formed_texts_raise_nothing_but_errors_of_the_library(group, text):
    with contextlib.suppress(IremError):
        build(group, text)


@settings(max_examples=150, deadline=None)
@given(group=st.sampled_from(GROUPS), text=st.text() | st.text("gradient_(),=1-'\"[]{}*.:\\ "))
def test_arbitrary_texts_raise_nothing_but_errors_of_the_library(group, text):
    with contextlib.suppress(IremError):
        build(group, text)


PARTS = [
    *(build(reg.DESCENTS, name) for name in sorted(BUILT_IN[reg.DESCENTS])),
    FixedSteps(steps=3),
    EnergyPlateau(tolerance=0.1, patience=1),
    GradientNorm(tolerance=0.0),
    AnyOf(AllOf(GradientNorm(), FixedSteps()), EnergyPlateau()),
    AllOf(FixedSteps(steps=2)),
    *(build(reg.BACKPROPS, name) for name in sorted(BUILT_IN[reg.BACKPROPS])),
    *(build(reg.OBJECTIVES, name) for name in sorted(BUILT_IN[reg.OBJECTIVES] - {"weighted"})),
    build(reg.SCHEDULES, "cosine(levels=3)"),
    build(reg.SCHEDULES, "levels(noise=(0.1, 0.9))"),
    build(reg.OBJECTIVES, "weighted(objectives=(descent(), denoising()), weights=(1, 0.5))"),
    VectorSpace(3, low=-0.1),
    MatrixSpace(2, 3, high=7.25),
    build(reg.SPACES, "edge(channels=2)"),
]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
def test_parts_survive_description(part):
    described = description.describe(part)
    assert described["name"] in BUILT_IN[described["group"]]
    rebuilt = description.rebuild(described)
    assert rebuilt == part
    assert type(rebuilt) is type(part)


def test_energies_solvers_and_tasks_survive_description():
    for part in (MLPEnergy.for_task(TASK, width=3), Feedforward.for_task(TASK, width=2), Negate(5)):
        rebuilt = description.rebuild(description.describe(part))
        assert type(rebuilt) is type(part)
        assert settings_of(rebuilt) == settings_of(part)


def test_every_built_in_part_is_among_those_tested_above():
    described = [description.describe(part) for part in PARTS]
    named = {(each["group"], each["name"]) for each in described}
    for group in (
        reg.DESCENTS,
        reg.HALTING,
        reg.BACKPROPS,
        reg.OBJECTIVES,
        reg.SCHEDULES,
        reg.SPACES,
    ):
        assert {name for found, name in named if found == group} == BUILT_IN[group]


def test_unregistered_energy_is_described_by_its_class_and_replaced():
    described = description.describe(small_solver(DropoutEnergy))
    energy = described["settings"]["energy"]["part"]
    assert "name" not in energy
    assert energy["class"] == "trainings:DropoutEnergy"
    assert energy["settings"]["rate"] == 0.2
    with pytest.raises(CheckpointError, match=r"energy=DropoutEnergy\(\.\.\.\)"):
        description.rebuild(described)
    own = DropoutEnergy.for_task(TASK)
    assert description.rebuild(described, replacements={reg.ENERGIES: own}).energy is own


def test_only_parts_have_a_group():
    with pytest.raises(TypeError, match="Tensor is no part"):
        description.group_of(torch.zeros(1))


def test_a_constructor_may_be_written_with_the_hyphens_of_its_name():
    assert build(reg.HALTING, "energy-plateau(tolerance=1e-3)") == EnergyPlateau(tolerance=1e-3)
