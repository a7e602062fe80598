"""Descents, halting and backpropagation rules and spaces of our packages keep their contract."""

import pytest
import torch

from irem_core import Layout, build
from irem_core.registry import BACKPROPS, DESCENTS, HALTING, SCHEDULES, SPACES
from irem_core.testing import (
    check_backprop,
    check_descent,
    check_halting,
    check_schedule,
    check_space,
)
from official import cases, missing

DESCENT_CASES = {
    "gradient": ["gradient(step_size=0.6)"],
    "momentum": ["momentum(step_size=0.5, momentum=0.2)"],
    "nesterov": ["nesterov(step_size=0.5, momentum=0.2)"],
    "adam": ["adam(step_size=0.2, decay=0.5, square_decay=0.99)"],
    "coordinate-flip": ["coordinate_flip()", "coordinate_flip(tenure=0)"],
    "monotone": ["monotone(step_size=0.4)", "monotone(step_size=0.3, shrink=1)"],
    "barzilai-borwein": ["barzilai_borwein()"],
    "backtracking": ["backtracking(decrease=0.4)"],
    "levenberg-marquardt": ["levenberg_marquardt()", "levenberg_marquardt(dense=0)"],
    "newton-cg": ["newton_cg()"],
    "anderson": ["anderson()"],
    "lbfgs": ["lbfgs()", "lbfgs(history=2)"],
}
# Descents that are made for some kinds of answers alone.
MADE_FOR = {"coordinate-flip": {"on": ("bounded",)}}
HALTING_CASES = {
    "fixed-steps": ["fixed_steps(steps=3)", "fixed_steps()"],
    "energy-plateau": ["energy_plateau()", "energy_plateau(tolerance=0.9, patience=1)"],
    "gradient-norm": ["gradient_norm()"],
    "settled": ["settled()", "settled(relative=1e-2, patience=1)"],
    "verified": ["verified()", "verified(required=False)"],
    "stagnation": ["stagnation()", "stagnation(tolerance=0.0, patience=1)"],
    "any-of": ["any_of(gradient_norm(), fixed_steps(steps=150))"],
    "all-of": ["all_of(energy_plateau(), fixed_steps(steps=4))"],
}
BACKPROP_CASES = {
    "last-step": ["last_step()"],
    "full-unroll": ["full_unroll()", "full_unroll(recompute=True)"],
    "implicit": ["implicit()", "implicit(tolerance=1e-4, damping=0.1)"],
    "gradient-free": ["gradient_free()", "gradient_free(pairs=1, sigma=0.1)"],
}
SPACE_CASES = {
    "vector": ["vector(5)", "vector(5, low=0.0)", "vector(3, low=-0.5, high=0.25)"],
    "matrix": ["matrix(2, 4)", "matrix(2, 2, high=0.5)"],
    "edge": ["edge()", "edge(2, low=0.0)", "edge(complete=True)"],
    "entries": ["entries()", "entries(2, low=0.0)"],
    "factor-graph": ["factor_graph(2, kinds={'pair': 1})"],
    "simplex": ["simplex(4)", "simplex(3, total=2.5)"],
    "ball": ["ball(3)", "ball(2, radius=0.5, center=0.25)"],
    "affine": ["affine([[1, 1, 1], [1, -1, 0]], [1, 0.5])"],
    "product": ["product(simplex(3), ball(2), matrix(2, 2, low=0.0))"],
    "image": ["image(3, 4, 5)", "image(1, 2, 2, low=0.0, high=1.0)"],
}
SCHEDULE_CASES = {
    "cosine": ["cosine()", "cosine(levels=1)", "cosine(levels=300, offset=0.1)"],
    "levels": ["levels(noise=0.5)", "levels(noise=(0.1, 0.2, 0.9))"],
}
STRUCTURED = {"simplex", "ball", "affine", "product"}
TABLES = {
    DESCENTS: DESCENT_CASES,
    HALTING: HALTING_CASES,
    BACKPROPS: BACKPROP_CASES,
    SPACES: SPACE_CASES,
    SCHEDULES: SCHEDULE_CASES,
}


@pytest.mark.parametrize("group", TABLES)
def test_no_part_is_left_out(group):
    assert missing(group, TABLES[group]) == []


@pytest.mark.parametrize(("name", "text"), cases(DESCENT_CASES))
def test_descents(name, text):
    check_descent(build(DESCENTS, text), **MADE_FOR.get(name, {}))


@pytest.mark.parametrize(("name", "text"), cases(HALTING_CASES))
def test_halting_rules(name, text):
    check_halting(build(HALTING, text))


@pytest.mark.parametrize(("name", "text"), cases(BACKPROP_CASES))
def test_backprops(name, text):
    check_backprop(build(BACKPROPS, text))


@pytest.mark.parametrize(("name", "text"), cases(SCHEDULE_CASES))
def test_schedules(name, text):
    check_schedule(build(SCHEDULES, text))


@pytest.mark.parametrize(("name", "text"), cases(SPACE_CASES))
def test_spaces(name, text):
    space = build(SPACES, text)
    check_space(space)
    if name in STRUCTURED:
        return
    # The others bound each entry by itself.
    generator = torch.Generator().manual_seed(0)
    layout = Layout.of_owner(torch.arange(20)) if space.ragged else Layout(20)
    y = 10 * space.start(layout, generator)
    bounded = space.low is not None or space.high is not None
    assert torch.equal(space.project(y), y.clamp(space.low, space.high) if bounded else y)
