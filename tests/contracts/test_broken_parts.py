"""The checks of descents, halting and backpropagation rules and spaces find what is broken."""

from typing import ClassVar

import attrs
import pytest
import torch

from irem_core import (
    Adam,
    Denoising,
    EdgeSpace,
    EnergyPlateau,
    FixedSteps,
    FullUnroll,
    GradientDescent,
    GradientFree,
    GradientNorm,
    Iterate,
    LastStep,
    MLPEnergy,
    Momentum,
    NoiseSchedule,
    Outcome,
    Settled,
    VectorSpace,
    load_task,
    settings_of,
)
from irem_core.testing import (
    check_backprop,
    check_descent,
    check_halting,
    check_objective,
    check_part,
    check_schedule,
    check_space,
    halting,
)
from irem_core.testing.halting import _SLOW
from variants import variant


def good(kind, **settings):
    """Return a function that derives a part of a kind, with members replaced."""
    return lambda **members: variant(kind, **members)(**settings)


# Settings


@attrs.define
class Loose:
    size: int = 3


@attrs.frozen(init=False)
class Renamed:
    size: int

    def __init__(self, length=3):
        self.__attrs_init__(length)


@attrs.frozen(init=False)
class Tolerant:
    size: int

    def __init__(self, size=3, **ignored):
        self.__attrs_init__(size)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (object(), "reports no settings"),
        (Loose(), "lets its setting size be changed"),
        (attrs.make_class("Unequal", ["size"], frozen=True, eq=False)(3), "rebuilt from its"),
        (Renamed(), "cannot be rebuilt"),
        (Tolerant(), "takes no_such_setting=1"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_broken_settings_are_found(part, words):
    with pytest.raises(AssertionError, match=words):
        check_part(part)


# Descents


def mixing(self, evaluation, state, energy):
    scale = self.step_size * evaluation.energy.mean()
    return evaluation.iterate - float(scale) * evaluation.slope, state


def uphill(self, evaluation, state, energy):
    return evaluation.iterate + 0.1 * evaluation.slope, state


def in_place(self, evaluation, state, energy):
    evaluation.iterate.y.sub_(self.step_size * evaluation.slope.y)
    return evaluation.iterate, state


def in_place_state(self, evaluation, state, energy):
    state.y.copy_(evaluation.slope.y)
    return evaluation.iterate - self.step_size * evaluation.slope, state


def detached(self, evaluation, state, energy):
    return (evaluation.iterate - self.step_size * evaluation.slope).detach(), state


def shaken(self, evaluation, state, energy):
    noise = evaluation.iterate.map(torch.rand_like)
    return evaluation.iterate - self.step_size * (evaluation.slope + 0 * noise), state


MEMORY = {}


def remembering(self, evaluation, state, energy):
    steps = MEMORY[len(evaluation.energy)] = MEMORY.get(len(evaluation.energy), 0) + 1
    return evaluation.iterate - (self.step_size / steps) * evaluation.slope, state


gradient = good(GradientDescent, step_size=0.6)
momentum = good(Momentum, step_size=0.5, momentum=0.2)
BROKEN_DESCENTS = {
    "mixes problems": (gradient(step=mixing), "decide for each problem apart"),
    "goes uphill": (gradient(step=uphill), "finds no lower energy within 6 steps"),
    "stands still": (
        gradient(step=lambda self, evaluation, state, energy: (evaluation.iterate, state)),
        "finds no lower energy",
    ),
    "writes into its iterate": (gradient(step=in_place), "return new tensors"),
    "writes into its state": (momentum(step=in_place_state), "return new tensors"),
    "cannot be trained through": (gradient(step=detached), "without detaching it"),
    "draws at random": (gradient(step=shaken), "global random state of torch"),
    "keeps memory to itself": (gradient(step=remembering), "in a batch|other problems"),
    "state of all problems": (
        gradient(init=lambda self, evaluation: torch.zeros(9)),
        "must be",
    ),
    "too bold for the terrain": (GradientDescent(step_size=50.0), "finds no lower energy"),
}


@pytest.mark.parametrize("name", BROKEN_DESCENTS)
def test_a_broken_descent_is_found(name):
    descent, words = BROKEN_DESCENTS[name]
    with pytest.raises(AssertionError, match=words):
        check_descent(descent)


def test_a_descent_may_be_made_for_some_kinds_of_problems():
    def dense_alone(self, evaluation, state, energy):
        if evaluation.iterate.layout.owner is not None:
            raise NotImplementedError("ragged")
        return GradientDescent.step(self, evaluation, state, energy)

    descent = gradient(step=dense_alone)
    check_descent(descent, on=("dense", "bounded", "scratchpad"))
    with pytest.raises(NotImplementedError):
        check_descent(descent, on=("ragged",))


def test_a_descent_without_gradients_need_not_be_trained_through():
    class Probing(GradientDescent):
        """Tries a step along each entry, one after the other."""

        needs_gradient: ClassVar = False

        def step(self, evaluation, state, energy):
            assert evaluation.gradient is None
            with torch.no_grad():
                at, best = evaluation.iterate, evaluation.energy
                for entry in range(at.y.shape[1]):
                    for sign in (-1, 1):
                        moved = torch.zeros_like(at.y)
                        moved[:, entry] = sign * self.step_size
                        trial = energy.within(Iterate(at.y + moved, at.layout, at.z))
                        value = energy(trial)
                        lower = at.layout.spread(value < best, at.y)
                        at = Iterate(torch.where(lower, trial.y, at.y), at.layout, at.z)
                        best = torch.minimum(value, best)
            return at, state

    check_descent(Probing(step_size=0.2))


# Halting rules


def mixed_outcome(self, before, after, state):
    outcome, state = FixedSteps.update(self, before, after, state)
    return torch.where(outcome > 0, outcome, int(len(outcome) > 2)), state


def counting_in_place(self, before, after, state):
    state += 1
    return FixedSteps.update(self, before, after, state - 1)


def changed(change):
    def update(self, before, after, state):
        outcome, state = FixedSteps.update(self, before, after, state)
        return change(outcome), state

    return update


steps = good(FixedSteps, steps=3)


def by_the_batch(of):
    """Halt all problems by one number that is made of the changes of all their energies."""

    def update(self, before, after, state):
        change = of((after.energy - before.energy).abs())
        quiet = (change < 1e-5).expand(len(state))
        return quiet.to(torch.int64) * int(Outcome.CONVERGED), state

    return update


BROKEN_HALTINGS = {
    "by the largest change": (steps(update=by_the_batch(torch.amax)), "beside others"),
    "by the smallest change": (steps(update=by_the_batch(torch.amin)), "beside others"),
    "by the mean change": (steps(update=by_the_batch(torch.mean)), "beside others"),
    "one outcome": (steps(update=changed(lambda outcome: outcome[0])), r"of shape \(3,\)"),
    "no tensor": (steps(update=changed(lambda outcome: outcome.tolist())), r"of shape \(3,\)"),
    "truth values": (steps(update=changed(lambda outcome: outcome > 0)), "torch.int64"),
    "unknown outcome": (
        steps(update=changed(lambda outcome: outcome + Outcome.ANSWERED)),
        "expected numbers of Outcome.RUNNING",
    ),
    "mixes problems": (steps(update=mixed_outcome), "decide for each problem apart"),
    "writes into its state": (steps(update=counting_in_place), "return new tensors"),
    "state of all problems": (
        steps(init=lambda self, evaluation: torch.zeros(7, dtype=torch.int64)),
        "must be 3",
    ),
    "never halts": (steps(update=changed(lambda outcome: 0 * outcome)), "goes on after 1000 steps"),
}


@pytest.mark.parametrize("name", BROKEN_HALTINGS)
def test_a_broken_halting_rule_is_found(name):
    rule, words = BROKEN_HALTINGS[name]
    with pytest.raises(AssertionError, match=words):
        check_halting(rule)


class Hasty(EnergyPlateau):
    promises_arrival = True


class TakesStillnessForArrival(Settled):
    def update(self, before, after, state):
        still = (after.iterate - before.iterate).amax() == 0
        return still.to(torch.int64) * int(Outcome.CONVERGED), state


class Flat(GradientNorm):
    promises_arrival = True


class Overflowing(Settled):
    """Takes a gradient whose squares are no numbers for one that is 0."""

    def judge(self, before, after, state, space):
        outcome, state = super().judge(before, after, state, space)
        lost = ~after.slope.dot(after.slope).isfinite()
        return torch.where(lost, int(Outcome.CONVERGED), outcome), state


@pytest.mark.parametrize("what", _SLOW)
def test_a_rule_is_asked_about_descents_that_only_look_settled(what, monkeypatch):
    rule = {"a heavy ball": Flat(tolerance=0.3), "an energy of the size of 1e19": Overflowing()}
    rule["an energy of the size of 1e-20"] = Flat()
    monkeypatch.setattr(halting, "_SLOW", {what: _SLOW[what]})

    with pytest.raises(AssertionError, match=rf"calls {what} .* then move by"):
        check_halting(rule.get(what, Hasty()))


@pytest.mark.parametrize("size", ["1e\\+00", "1e\\+19", "1e-20"])
def test_a_rule_is_asked_about_descents_that_find_no_step(size, monkeypatch):
    monkeypatch.setattr(halting, "_SLOW", {})
    monkeypatch.setattr(halting, "_STUCK", (float(size.replace("\\", "")),))

    with pytest.raises(AssertionError, match=f"found no step, .* gradient of {size}"):
        check_halting(TakesStillnessForArrival())


def test_a_rule_that_promises_less_is_not_asked():
    check_halting(EnergyPlateau())


def test_a_patient_halting_rule_is_given_its_time():
    check_halting(EnergyPlateau(patience=1200), within=1200)
    with pytest.raises(AssertionError, match="goes on after 1000 steps"):
        check_halting(EnergyPlateau(patience=1200))


# Backpropagation rules


def unrolled(change, kind=LastStep):
    """Change the iterates that a rule yields."""

    def unroll(self, rollout):
        return change(list(kind.unroll(self, rollout)), rollout.energy, rollout.start)

    return unroll


def shorter(self, rollout):
    return LastStep.unroll(self, attrs.evolve(rollout, steps=rollout.steps - 1))


def learning(iterates, energy, start):
    for iterate in iterates:
        iterate.y.sum().backward(retain_graph=True)
    return iterates


def overwriting(iterates, energy, start):
    start.y.zero_()
    return iterates


def drawing(iterates, energy, start):
    torch.rand(1)
    return iterates


def losing(change, kind=GradientFree):
    """Change the loss and the last iterate that a rule returns."""

    def loss(self, rollout, error, generator):
        found, last = kind.loss(self, rollout, error, generator)
        return change(found, last, rollout.energy)

    return loss


def moving(found, last, energy):
    with torch.no_grad():
        energy.weight.mul_(1.001)
    return found, last


def unseeded_loss(self, rollout, error, generator):
    return GradientFree.loss(self, rollout, error, UNSEEDED)


UNSEEDED = torch.Generator().manual_seed(1)
rule, free = good(LastStep), good(GradientFree)
BROKEN_BACKPROPS = {
    "one step too few": (rule(unroll=shorter), "ends elsewhere|iterates of 3 steps"),
    "yields nothing": (rule(unroll=unrolled(lambda found, *rest: [])), "yields 0 iterates"),
    "last one alone": (rule(unroll=unrolled(lambda found, *rest: found[-1:])), "yields 1 iterates"),
    "detached": (
        rule(unroll=unrolled(lambda found, *rest: [each.detach() for each in found])),
        "does not reach the weights",
    ),
    "descends elsewhere": (
        rule(unroll=unrolled(lambda found, *rest: [0.9 * each for each in found])),
        "ends elsewhere",
    ),
    "learns by itself": (good(FullUnroll)(unroll=unrolled(learning, FullUnroll)), "leaves a grad"),
    "writes into the start": (rule(unroll=unrolled(overwriting)), "changes the problem"),
    "draws from the global state": (rule(unroll=unrolled(drawing)), "global random state of torch"),
    "attached in parts": (
        rule(
            unroll=unrolled(
                lambda found, *rest: [each.detach() for each in found[:-1]] + found[-1:]
            )
        ),
        "though others are attached",
    ),
    "another loss": (free(loss=losing(lambda loss, last, _: (2 * loss, last))), "has another loss"),
    "another last iterate": (
        free(loss=losing(lambda loss, last, _: (loss, 0.9 * last))),
        "returns another iterate",
    ),
    "no gradient": (
        free(loss=losing(lambda loss, last, _: (loss.detach(), last))),
        "does not reach the weights",
    ),
    "moves the weights": (free(loss=losing(moving)), "the weights that it was given"),
    "seed of its own": (free(loss=unseeded_loss), "generator of the same seed"),
}


@pytest.mark.parametrize("name", BROKEN_BACKPROPS)
def test_a_broken_backpropagation_rule_is_found(name):
    backprop, words = BROKEN_BACKPROPS[name]
    with pytest.raises(AssertionError, match=words):
        check_backprop(backprop)


# Objectives


def lost(change):
    def loss(self, lesson, generator):
        return change(Denoising.loss(self, lesson, generator), lesson, generator)

    return loss


def moving_target(found, lesson, generator):
    lesson.target.mul_(2)
    return found


def in_secret(found, lesson, generator):
    lesson.arrived()
    return found


asked = good(Denoising)
BROKEN_OBJECTIVES = {
    "a loss a problem": (asked(loss=lost(lambda found, *_: found[None])), "expected one number"),
    "not finite": (asked(loss=lost(lambda found, *_: found / 0)), "the loss inf"),
    "detached": (asked(loss=lost(lambda found, *_: found.detach())), "depends on no weight"),
    "draws from the global state": (
        asked(loss=lost(lambda found, *_: found + torch.rand(()))),
        "global random state of torch",
    ),
    "writes into the answers": (asked(loss=lost(moving_target)), "changes the problems"),
    "descends in secret": (asked(loss=lost(in_secret)), "says descends=False"),
    "teaches nothing": (asked(loss=lost(lambda found, *_: 0 * found)), "reaches none of its weigh"),
}


@pytest.mark.parametrize("name", BROKEN_OBJECTIVES)
def test_a_broken_objective_is_found(name):
    objective, words = BROKEN_OBJECTIVES[name]
    task = load_task("add(size=3)")
    with pytest.raises(AssertionError, match=words):
        check_objective(objective, MLPEnergy.for_task(task, width=8, depth=2), task)


# Schedules of noise


def levels(*noise):
    return attrs.frozen(type("Levels", (NoiseSchedule,), {"noise": property(lambda _: noise)}))()


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (levels(), "no level"),
        (levels(0.0, 0.5), "expected some above 0"),
        (levels(0.5, 1.0), "below 1"),
        (levels(0.5, 0.2), "ascending"),
    ],
)
def test_a_broken_schedule_is_found(schedule, words):
    with pytest.raises(AssertionError, match=words):
        check_schedule(schedule)


# Spaces


def starts(change):
    def start(self, layout, generator, **place):
        return change(VectorSpace.start(self, layout, generator, **place))

    return start


def unseeded(self, layout, generator, *, device="cpu", dtype=None):
    return torch.rand(layout.rows, *self.shape, dtype=dtype) * 2 - 1


def other_dtype(self, layout, generator, *, device="cpu", dtype=None):
    return VectorSpace.start(self, layout, generator, device=device)


vector = good(VectorSpace, length=4)
bounded = good(VectorSpace, length=4, low=0.0)
BROKEN_SPACES = {
    "another shape": (vector(start=starts(lambda y: y[:, 1:])), "draws starts of shape"),
    "another size": (vector(size=property(lambda self: 5)), "says size 5"),
    "global randomness": (vector(start=unseeded), "global random state of torch"),
    "always the same": (vector(start=starts(torch.zeros_like)), "equal starts from generators"),
    "another precision": (vector(start=other_dtype), "where float64 was asked for"),
    "starts out of bounds": (bounded(start=starts(lambda y: -y - 0.1)), "its bounds exclude"),
    "projects out of bounds": (bounded(project=lambda self, y: y), "its bounds exclude"),
    "moves what fits": (vector(project=lambda self, y: 0.5 * y), "within its bounds already"),
    "takes anything": (vector(check=lambda self, name, value, rows=None: None), "takes"),
    "refuses without the name": (
        vector(
            check=lambda self, name, value, rows=None: VectorSpace.check(self, "it", value, rows)
        ),
        "without its name",
    ),
    "refuses its own": (
        vector(check=lambda self, name, value, rows=None: EdgeSpace(9).check(name, value, rows)),
        "candidate has shape",
    ),
    "nameless": (vector(__str__=lambda self: "space"), "does not name"),
}


@pytest.mark.parametrize("name", BROKEN_SPACES)
def test_a_broken_space_is_found(name):
    space, words = BROKEN_SPACES[name]
    with pytest.raises(AssertionError, match=words):
        check_space(space)


@pytest.mark.parametrize(
    ("check", "part"),
    [
        (check_descent, Adam(step_size=0.2, decay=0.5, square_decay=0.99)),
        (check_halting, EnergyPlateau()),
        (check_backprop, LastStep()),
        (check_space, VectorSpace(4)),
    ],
)
def test_every_check_of_parts_looks_at_the_settings_too(check, part):
    check(part)
    loose = variant(type(part), __setattr__=object.__setattr__)(**settings_of(part))
    if settings_of(part):
        with pytest.raises(AssertionError, match="be changed"):
            check(loose)
