"""Errors: their kinds, their exit statuses and the names they suggest."""

import inspect

import pytest

from irem_core import IremError, errors
from irem_core.errors import near_matches

KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, IremError) and kind is not IremError
]
FAULTS = {
    "HubError",
    "NotConvergedError",
    "StorageError",
    "TrainingDivergedError",
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_is_also_a_built_in_one(kind):
    built_in = [base for base in kind.__mro__ if base.__module__ == "builtins"]
    assert any(issubclass(base, Exception) and base is not Exception for base in built_in)
    with pytest.raises(IremError, match="a sentence"):
        raise kind("a sentence")
    assert str(kind("a sentence")) == "a sentence"
    assert kind.exit_status == (1 if kind.__name__ in FAULTS else 2)


def test_there_is_an_exit_status_for_every_fault():
    assert {kind.__name__ for kind in KINDS} >= FAULTS


@pytest.mark.parametrize(
    ("name", "candidates", "sentence"),
    [
        ("gradeint", ["adam", "gradient"], "Did you mean 'gradient'?"),
        ("step", ["steps", "stop"], "Did you mean 'steps' or 'stop'?"),
        ("zzz", ["b", "a"], "There are: a, b."),
        ("zzz", [], ""),
        ("", ["a"], "There are: a."),
    ],
)
def test_near_matches(name, candidates, sentence):
    assert near_matches(name, candidates) == sentence
    assert near_matches(name, iter(candidates)) == sentence
