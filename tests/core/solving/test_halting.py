"""Halting rules against sequences of energies written by hand."""

from itertools import pairwise

import pytest
import torch

from irem_core import (
    AllOf,
    AnyOf,
    EnergyPlateau,
    Evaluation,
    FixedSteps,
    GradientNorm,
    Iterate,
    Layout,
    Outcome,
    Probe,
    SettingError,
    Stagnation,
    VectorSpace,
    all_of,
    any_of,
)

RUNNING, CONVERGED, SPENT = Outcome.RUNNING, Outcome.CONVERGED, Outcome.BUDGET_SPENT


def evaluations(energies, slopes=None):
    """Return one evaluation per step of problems whose energies are given step by step."""
    made = []
    for step, energy in enumerate(energies):
        layout = Layout(len(energy))
        slope = torch.ones(len(energy), 2) if slopes is None else torch.tensor(slopes[step])
        at = Iterate(torch.zeros(len(energy), 2), layout)
        made.append(Evaluation(at, torch.tensor(energy), Iterate(slope, layout)))
    return made


def verdicts(rule, energies, slopes=None):
    steps = evaluations(energies, slopes)
    state, found = rule.init(steps[0]), []
    for before, after in pairwise(steps):
        outcome, state = rule.update(before, after, state)
        found.append(outcome.tolist())
    return found


def test_fixed_steps_spend_the_budget():
    assert verdicts(FixedSteps(steps=3), [[1.0, 2.0]] * 4) == [[RUNNING] * 2] * 2 + [[SPENT] * 2]


def test_plateau_compares_with_the_largest_change_of_the_same_problem():
    # Changes 8, 1, 0.5 | 0.1, 0.02, 0.01: small against 8, but not against each other.
    energies = [[10.0, 1.0], [2.0, 0.9], [1.0, 0.88], [0.5, 0.87]]

    assert verdicts(EnergyPlateau(tolerance=0.125, patience=1), energies) == [
        [RUNNING, RUNNING],
        [CONVERGED, RUNNING],
        [CONVERGED, CONVERGED],
    ]


def test_plateau_wants_its_patience_in_a_row():
    # Changes 4 | 0 | 0 | 1 | 0 | 0 | 0; a rise counts as a change like a fall.
    energies = [[e] for e in (5.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0)]

    found = verdicts(EnergyPlateau(tolerance=0.1, patience=3), energies)
    assert found == [[RUNNING]] * 6 + [[CONVERGED]]


def test_plateau_remembers_a_largest_change_that_comes_late():
    # Changes 1 | 1 | 10 | 1: only the last is small against the largest seen so far.
    energies = [[e] for e in (20.0, 19.0, 18.0, 8.0, 7.0)]

    found = verdicts(EnergyPlateau(tolerance=0.1, patience=1), energies)
    assert found == [[RUNNING]] * 3 + [[CONVERGED]]


def test_stagnation_waits_for_a_new_low_that_counts_beside_the_fall_so_far():
    # The second problem falls ever on, the first swings above its low of 2, and the third falls by
    # less than a tenth of what it fell before.
    energies = [
        [10.0, 9.0, 10.0],
        [2.0, 8.0, 0.0],
        [3.0, 7.0, -0.5],
        [2.0, 6.0, -0.9],
        [1.0, 5.0, -2.0],
        [1.5, 4.0, -2.1],
        [1.5, 3.0, -2.1],
        [1.5, 2.0, -2.1],
    ]
    stalled, rule = Outcome.STALLED, Stagnation(tolerance=0.1, patience=3)
    found = verdicts(rule, energies)

    assert found == [
        *[[RUNNING] * 3] * 6,
        [stalled, RUNNING, stalled],
    ]
    lifted = [[each + 1000.0 for each in row] for row in energies]
    assert verdicts(rule, lifted) == found


def test_plateau_takes_a_change_of_exactly_the_tolerance():
    energies = [[8.0], [4.0], [3.0]]

    assert verdicts(EnergyPlateau(tolerance=0.25, patience=1), energies)[-1] == [CONVERGED]
    assert verdicts(EnergyPlateau(tolerance=0.24, patience=1), energies)[-1] == [RUNNING]


def test_plateau_holds_from_the_start_where_nothing_changes():
    assert verdicts(EnergyPlateau(patience=2), [[1.0]] * 3) == [[RUNNING], [CONVERGED]]


def test_gradient_norm_looks_at_the_step_just_taken():
    slopes = [[[0.0, 0.0], [9.0, 9.0]], [[3.0, 4.0], [0.3, 0.4]], [[0.3, 0.4], [3.0, 4.0]]]

    assert verdicts(GradientNorm(tolerance=0.5), [[1.0, 1.0]] * 3, slopes) == [
        [RUNNING, CONVERGED],
        [CONVERGED, RUNNING],
    ]


def test_gradient_norm_counts_the_scratchpad_and_all_rows():
    layout = Layout.of_owner(torch.tensor([0, 1, 1]))
    slope = Iterate(torch.tensor([[3.0], [1.0], [2.0]]), layout, torch.tensor([[4.0], [2.0]]))
    evaluation = Evaluation(slope, torch.zeros(2), slope)

    def outcome(tolerance):
        return GradientNorm(tolerance=tolerance).update(evaluation, evaluation, None)[0].tolist()

    assert outcome(2.9) == [RUNNING, RUNNING]
    assert outcome(3.1) == [RUNNING, CONVERGED]
    assert outcome(5.1) == [CONVERGED, CONVERGED]


def test_gradient_norm_leaves_out_what_the_bounds_hold():
    layout, space = Layout(4), VectorSpace(2, low=0.0, high=1e6)
    # Held below, held above, not held, and free where rounding would lose the gradient.
    at = torch.tensor([[0.0, 0.5], [1e6, 0.5], [0.0, 0.5], [5e5, 0.5]])
    slope = torch.tensor([[3.0, 1e-3], [-3.0, 1e-3], [-3.0, 1e-3], [1e-3, 1e-3]])
    evaluation = Evaluation(Iterate(at, layout), torch.zeros(4), Iterate(slope, layout))
    probe = Probe(lambda trial: torch.zeros(4), space)

    outcome, _ = GradientNorm(tolerance=2e-3).judge(evaluation, evaluation, None, probe)
    assert outcome.tolist() == [CONVERGED, CONVERGED, RUNNING, CONVERGED]
    outcome, _ = GradientNorm(tolerance=1e-3).judge(evaluation, evaluation, None, probe)
    assert outcome.tolist() == [CONVERGED, CONVERGED, RUNNING, RUNNING]


PLATEAU = EnergyPlateau(tolerance=0.1, patience=1)
# The first problem is quiet at steps 2 and 4, the second never.
QUIET = [[9.0, 9.0], [5.0, 5.0], [5.0, 3.0], [3.0, 1.0], [3.0, 0.0]]


def test_any_of_stops_with_the_first():
    found = verdicts(AnyOf(PLATEAU, FixedSteps(steps=3)), QUIET)

    assert found[0] == [RUNNING, RUNNING]
    assert found[1] == [CONVERGED, RUNNING]
    assert found[2] == [SPENT, SPENT]


def test_all_of_waits_for_every_rule_at_one_step():
    found = verdicts(AllOf(PLATEAU, FixedSteps(steps=3)), QUIET)

    assert found == [[RUNNING, RUNNING]] * 3 + [[CONVERGED, RUNNING]]


def test_a_tie_counts_as_converged():
    energies = [[5.0], [1.0], [1.0]]

    for rules in ((PLATEAU, FixedSteps(steps=2)), (FixedSteps(steps=2), PLATEAU)):
        assert verdicts(AnyOf(*rules), energies) == [[RUNNING], [CONVERGED]]
        assert verdicts(AllOf(*rules), energies) == [[RUNNING], [CONVERGED]]


def test_combinations_nest():
    rule = any_of(FixedSteps(steps=9), all_of(PLATEAU, FixedSteps(steps=2)))

    assert verdicts(rule, QUIET)[1] == [CONVERGED, RUNNING]


def test_combinations_are_equal_by_their_rules():
    assert AnyOf(PLATEAU, FixedSteps()) == AnyOf(criteria=[PLATEAU, FixedSteps()])
    assert AnyOf(PLATEAU) != AnyOf(FixedSteps())
    assert AnyOf(PLATEAU) != AllOf(PLATEAU)


@pytest.mark.parametrize("kind", [AnyOf, AllOf])
@pytest.mark.parametrize("rules", [(), (3,), (PLATEAU, None), (FixedSteps,)])
def test_combinations_take_halting_rules_alone(kind, rules):
    with pytest.raises(SettingError, match="expected at least one halting rule"):
        kind(*rules)
