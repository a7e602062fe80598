"""The contract checks as others use them; tests/contracts shows what each of them finds."""

from irem_core import testing
from trainings import run_python


def test_importing_the_checks_needs_no_test_runner_and_no_torch_geometric():
    run_python(
        "-c",
        "import sys, irem_core.testing; "
        "assert not {'pytest', '_pytest', 'torch_geometric'} & set(sys.modules)",
    )


def test_there_is_a_check_for_every_kind_of_part_and_each_says_what_it_checks():
    kinds = ["backprop", "descent", "energy", "halting", "objective", "part", "solver", "space"]
    kinds = sorted([*kinds, "schedule", "task"])
    assert testing.__all__ == [f"check_{kind}" for kind in kinds]
    for name in testing.__all__:
        assert getattr(testing, name).__doc__.startswith("Check that a")
