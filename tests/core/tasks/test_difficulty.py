"""Difficulties: names, free parameters, and ranges that are drawn from."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from irem_core import Between, Difficulty, SettingError, UnknownNameError
from irem_core.tasks.difficulty import parse

NAMED = {"train": {}, "same": {"nodes": 10}}
DEFAULTS = {"nodes": Between(2, 10), "sigma": Between(0.0, 55.0), "pairs": 64, "density": 0.05}


def read(text):
    return parse(text, NAMED, DEFAULTS, "Ours")


def draw(values, count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return values.draw(count, generator, torch.device("cpu"))


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("nodes=3..5", {"nodes": Between(3, 5)}),
        ("nodes=12", {"nodes": 12}),
        ("nodes=-2..0", {"nodes": Between(-2, 0)}),
        (" nodes = 3..5 , pairs = 7 ", {"nodes": Between(3, 5), "pairs": 7}),
        ("sigma=0..55", {"sigma": Between(0.0, 55.0)}),
        ("sigma=25", {"sigma": 25.0}),
        ("sigma=1e-1..2.5", {"sigma": Between(0.1, 2.5)}),
        ("density=0.5", {"density": 0.5}),
        ("same", {"nodes": 10}),
        ("train", {}),
    ],
)
def test_parameters_are_read_as_their_defaults_are(text, parameters):
    found = read(text)

    assert found == Difficulty(text, parameters)
    for name, value in found.parameters.items():
        default = DEFAULTS[name]
        kind = type(default.low if isinstance(default, Between) else default)
        ends = (value.low, value.high) if isinstance(value, Between) else (value,)
        assert [type(end) for end in ends] == [kind] * len(ends)


BAD = [
    (
        "nodes=5..3",
        SettingError,
        r"The range 5\.\.3 is empty; expected its end not below its start",
    ),
    ("nodes=a..b", SettingError, "nodes got 'a'; expected a whole number"),
    ("nodes=3..b", SettingError, "nodes got 'b'; expected a whole number"),
    ("nodes=3..", SettingError, "nodes got ''; expected a whole number"),
    ("nodes=..5", SettingError, "nodes got ''; expected a whole number"),
    ("nodes=..", SettingError, "nodes got ''; expected a whole number"),
    ("nodes=2..4..6", SettingError, r"nodes got '4\.\.6'; expected a whole number"),
    ("nodes=2.5..4", SettingError, r"nodes got '2\.5'; expected a whole number"),
    ("nodes=1e3", SettingError, "nodes got '1e3'; expected a whole number"),
    ("nodes=" + 400 * "9", SettingError, "nodes got '9+'; expected a whole number"),
    ("sigma=0..inf", SettingError, "sigma got 'inf'; expected a finite number"),
    ("sigma=nan", SettingError, "sigma got 'nan'; expected a finite number"),
    ("sigma=9..2", SettingError, r"The range 9\.0\.\.2\.0 is empty"),
    ("pairs=3..5", SettingError, r"pairs got '3\.\.5'; expected a whole number"),
    ("density=0..1", SettingError, r"density got '0\.\.1'; expected a finite number"),
    ("node=3..5", UnknownNameError, "names the parameter 'node' of Ours. Did you mean 'nodes'"),
    ("nodes=3,nodes=4", UnknownNameError, "gives twice the parameter 'nodes'"),
    ("nodes", UnknownNameError, r"no difficulty 'nodes'.*written as nodes=2\.\.10, sigma=0\.0\.\."),
    ("sam", UnknownNameError, "Did you mean 'same'"),
    ("", UnknownNameError, "Ours has no difficulty ''"),
]


@pytest.mark.parametrize(("text", "error", "message"), BAD)
def test_a_bad_difficulty_is_explained(text, error, message):
    with pytest.raises(error, match=message):
        read(text)


@pytest.mark.parametrize(("low", "high"), [(2, 10), (-1, 1), (7, 7)])
def test_whole_numbers_are_uniform_between_bounds_that_are_included(low, high):
    drawn = draw(Between(low, high), 90_000)

    assert drawn.dtype == torch.int64
    counts = torch.bincount(drawn - low)
    assert len(counts) == high - low + 1
    # Of 10,000 or more of each expected, the standard deviation is below 1%.
    expected = 90_000 / len(counts)
    assert ((counts - expected).abs() < 0.05 * expected).all()


def test_numbers_are_uniform_between_bounds():
    drawn = (draw(Between(5.0, 55.0), 90_000) - 5) / 50

    assert drawn.is_floating_point()
    assert 0 <= drawn.min() < 0.001
    assert 0.999 < drawn.max() <= 1
    # Standard errors: 0.001 of each moment at most.
    for power in (1, 2, 3):
        assert abs(drawn.pow(power).mean() - 1 / (power + 1)) < 0.005
    assert draw(Between(3.0, 3.0), 5).tolist() == [3.0] * 5


@settings(max_examples=50, deadline=None)
@given(low=st.integers(-50, 50), width=st.integers(0, 100))
def test_a_range_is_written_as_it_is_read(low, width):
    for ends in ((low, low + width), (float(low), low + width / 7)):
        given = Between(*ends)
        name = "nodes" if isinstance(given.low, int) else "sigma"
        assert read(f"{name}={given}").parameters == {name: given}
        assert Between.of(given) is given
        assert Between.of(low) == Between(low, low)


def test_draws_come_from_the_generator_alone():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    for values in (Between(0, 1000), Between(0.0, 1.0)):
        first, again, other = (draw(values, 20, seed) for seed in (0, 0, 1))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)
