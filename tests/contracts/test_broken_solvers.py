"""The check of solvers passes where the contract is kept, and finds what is broken."""

import attrs
import pytest
import torch

from irem_baselines import Feedforward
from irem_core import (
    IREM,
    GradientDescent,
    MLPEnergy,
    Outcome,
    Preset,
    Problem,
    settings_of,
    solver_for,
)
from irem_core.testing import check_solver
from variants import Doubled, WrittenGraphs, variant

TASK = Doubled()
LEARNED = MLPEnergy.for_task(TASK, width=8, depth=2)


def irem(**members):
    """Make an IREM with members replaced."""
    return variant(IREM, **members)(
        LEARNED, steps=2, replay=8, descent=GradientDescent(step_size=1.0)
    )


def one_shot(**members):
    """Make a feedforward network with members replaced."""
    return variant(Feedforward, **members).for_task(TASK, width=8, depth=1)


def test_solvers_that_keep_the_contract_pass_and_are_left_as_they_were():
    solver = irem()
    before = {name: tensor.clone() for name, tensor in solver.state_dict().items()}
    check_solver(solver, TASK)
    check_solver(one_shot(), TASK)
    check_solver(solver_for(WrittenGraphs()), WrittenGraphs(), trains=False)
    assert all(torch.equal(before[name], value) for name, value in solver.state_dict().items())
    assert not solver.training_state()
    assert all(weight.grad is None for weight in solver.parameters())


def losing(change):
    """Change the loss, which is given with the solver, the problems and the answers."""

    def loss(self, problem, target, generator):
        return change(self, IREM.loss(self, problem, target, generator), problem, target)

    return irem(loss=loss)


def overwriting(self, loss, problem, target):
    target.zero_()
    return loss


def solving(change):
    """Change the solution."""

    def solve(self, x, **options):
        return change(self, IREM.solve(self, x, **options), x)

    return irem(solve=solve)


def drifting(self, solution, x):
    with torch.no_grad():
        next(self.parameters()).add_(0.1)
    return solution


def backward(self, solution, x):
    with torch.inference_mode(False), torch.enable_grad():
        self.energy(torch.ones(2, 3), torch.ones(2, 3)).sum().backward()
    return solution


def centred(self, solution, x):
    return attrs.evolve(solution, y=solution.y - solution.y.mean(0))


def counted(self, solution, x):
    self.calls = getattr(self, "calls", 0) + 1
    return attrs.evolve(solution, y=solution.y + self.calls)


def backwards(self, x, *, observer=None, **options):
    seen = []
    solution = IREM.solve(self, x, observer=lambda *shown: seen.append(shown), **options)
    for shown in reversed(seen if observer else []):
        observer(*shown)
    return solution


def tireless(self, x, *, max_steps, **options):
    return IREM.solve(self, x, max_steps=max_steps + 1, **options)


def bare_alone(self, solution, x):
    return solution if isinstance(x, Problem) else attrs.evolve(solution, y=2 * solution.y)


def in_inference(self, solution, x):
    return (
        attrs.evolve(solution, y=solution.y + 1) if torch.is_inference_mode_enabled() else solution
    )


def replaced(**fields):
    return solving(
        lambda self, solution, x: attrs.evolve(
            solution, **{name: change(getattr(solution, name)) for name, change in fields.items()}
        )
    )


BROKEN_SOLVERS = {
    # By `forward`, whose type the tests would check in `loss` before the check does.
    "a loss a problem": (
        irem(forward=lambda self, *given: IREM.loss(self, *given).expand(6)),
        r"of shape \(6,\)",
    ),
    "no finite loss": (losing(lambda self, loss, *rest: loss / 0), "has the loss inf"),
    "loss without weights": (losing(lambda self, loss, *rest: loss.detach()), "on no weight"),
    "loss without slope": (losing(lambda self, loss, *rest: 0 * loss), "none of its weights"),
    "loss changes the answers": (losing(overwriting), "changes the problems or the answers"),
    "global randomness": (
        losing(lambda self, loss, *rest: loss * (1 + torch.rand(()))),
        "global random state of torch",
    ),
    "forgets its training state": (
        irem(restore_training_state=lambda self, state: setattr(self, "buffer", None)),
        "take over its own training state",
    ),
    "answers of another shape": (replaced(y=lambda y: y[:, 1:]), "answer y has shape"),
    "answers with a graph": (replaced(y=lambda y: y.clone().requires_grad_()), "carry a graph"),
    "one number of steps": (replaced(steps=lambda steps: steps.max()), r"returns steps of shape"),
    "fractional evaluations": (replaced(evaluations=lambda n: n / 2), "returns evaluations of"),
    "still running": (replaced(outcome=torch.zeros_like), "still running"),
    "energies of none": (replaced(energy=lambda energy: None), "where there is no energy"),
    "answered with an energy": (
        replaced(outcome=lambda outcome: torch.full_like(outcome, int(Outcome.ANSWERED))),
        "where there is no energy",
    ),
    "too many steps": (irem(solve=tireless), "takes 6 steps where max_steps=5"),
    "other answers each time": (solving(counted), "other answers the second time"),
    "other answers for a bare x": (solving(bare_alone), "other answers for a bare x"),
    "other answers in inference mode": (solving(in_inference), "other answers in inference mode"),
    "learns by solving": (solving(drifting), "other answers|its weights by solving"),
    "leaves gradients": (solving(backward), "leaves gradients"),
    "mixes problems": (solving(centred), "another answer in a batch than alone"),
    "shows steps backwards": (irem(solve=backwards), "out of order"),
    "preset without a source": (
        irem(presets={"mine": lambda question, answer: Preset(source="", solver={}, training={})}),
        "preset 'mine'",
    ),
}


@pytest.mark.parametrize("name", BROKEN_SOLVERS)
def test_a_broken_solver_is_found(name):
    solver, words = BROKEN_SOLVERS[name]
    with pytest.raises(AssertionError, match=words):
        check_solver(solver, TASK)


def test_a_solver_without_weights_does_not_train():
    solver = solver_for(WrittenGraphs())
    assert settings_of(solver)["energy"] is solver.energy
    with pytest.raises(AssertionError, match="reaches none of its weights"):
        check_solver(solver, WrittenGraphs())
