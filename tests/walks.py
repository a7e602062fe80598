"""Descents and halting rules with settings that suit curvatures of about 1."""

from irem_core import (
    LBFGS,
    Adam,
    AllOf,
    Anderson,
    AnyOf,
    Backtracking,
    BarzilaiBorwein,
    EnergyPlateau,
    FixedSteps,
    GradientDescent,
    GradientNorm,
    Momentum,
    Nesterov,
    NewtonCG,
)

DESCENTS = {
    "gradient": GradientDescent(step_size=0.6),
    "momentum": Momentum(step_size=0.5, momentum=0.2),
    "nesterov": Nesterov(step_size=0.5, momentum=0.2),
    "adam": Adam(step_size=0.2, decay=0.5, square_decay=0.99),
    "barzilai-borwein": BarzilaiBorwein(),
    "backtracking": Backtracking(decrease=0.4),
    "lbfgs": LBFGS(),
    "newton-cg": NewtonCG(),
    "anderson": Anderson(),
}
HALTINGS = {
    "fixed-steps": FixedSteps(steps=20),
    "energy-plateau": EnergyPlateau(tolerance=1e-5, patience=3),
    "gradient-norm": GradientNorm(tolerance=1e-2),
    "any-of": AnyOf(GradientNorm(tolerance=1e-2), FixedSteps(steps=150)),
    "all-of": AllOf(GradientNorm(tolerance=1e-2), FixedSteps(steps=12)),
}
