"""Quadratics, functions with kinks, with many minima and with bounds."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from irem_core.testing.zoo.known import FunctionEnergy, KnownProblem

_SURVEY = "Jamil and Yang, IJMMNO 4 (2013)"
_HS = "Hock and Schittkowski, Test Examples for Nonlinear Programming Codes (1981)"
_BOYD = "Boyd and Vandenberghe, Convex Optimization (2004)"


def _centre(y: Tensor) -> Tensor:
    """Return n numbers from 1 down to -1, where functions of our own have their minimum."""
    return torch.linspace(1, -1, y.shape[1], dtype=y.dtype, device=y.device)


def _quadratic(condition: float) -> Callable[[Tensor], Tensor]:
    def function(y: Tensor) -> Tensor:
        exponents = torch.linspace(0, 1, y.shape[1], dtype=y.dtype, device=y.device)
        return (condition**exponents * (y - _centre(y)).square()).sum(1) / 2

    return function


def _matyas(y: Tensor) -> Tensor:
    a, b = y.unbind(1)
    return 0.26 * (a**2 + b**2) - 0.48 * a * b


def _log_sum_exp(y: Tensor) -> Tensor:
    off = y - _centre(y)
    return torch.cat([off, -off], 1).logsumexp(1)


def _huber(y: Tensor) -> Tensor:
    off = y - _centre(y)
    return torch.nn.functional.huber_loss(off, off * 0, reduction="none", delta=0.1).sum(1)


def _norm(y: Tensor) -> Tensor:
    return (y - _centre(y)).square().sum(1).sqrt()


def _absolute(y: Tensor) -> Tensor:
    weights = torch.arange(1, y.shape[1] + 1, dtype=y.dtype, device=y.device)
    return (weights * (y - _centre(y)).abs()).sum(1)


def _rastrigin(y: Tensor) -> Tensor:
    return (y**2 - 10 * (2 * math.pi * y).cos() + 10).sum(1)


def _ackley(y: Tensor) -> Tensor:
    far = -20 * (-0.2 * y.square().mean(1).sqrt()).exp()
    return far - (2 * math.pi * y).cos().mean(1).exp() + 20 + math.e


def _bounded_quadratic(y: Tensor) -> Tensor:
    """Return f = d.H d / 2 + g.d, where d leads from the minimiser and g holds the multipliers."""
    off = y - y.new_tensor(_BOUNDED)
    curved = (torch.arange(1, 6, dtype=y.dtype, device=y.device) * off**2).sum(1) + off.sum(1) ** 2
    return curved / 2 + (y.new_tensor([1.0, -1.0, 0.0, 0.0, 0.5]) * off).sum(1)


def _corner(y: Tensor) -> Tensor:
    return 2 - y.prod(1)


def _logarithms(y: Tensor) -> Tensor:
    return ((y - 2).log() ** 2 + (10 - y).log() ** 2).sum(1) - y.prod(1) ** 0.2


_BOUNDED = (0.0, 1.0, 0.3, 0.7, 0.0)
_CENTRE_OF_5 = (1.0, 0.5, 0.0, -0.5, -1.0)

FUNCTIONS = (
    *(
        KnownProblem(
            name=f"quadratic-{condition:.0f}",
            energy=FunctionEnergy(_quadratic(condition)),
            start=(0.0, 2.0, 1.0, 1.0, 2.0),
            minimum=0.0,
            minimisers=(_CENTRE_OF_5,),
            source=f"{_BOYD}, 9.3.2, with condition {condition:,.0f}",
        )
        for condition in (1, 30, 1_000, 1_000_000)
    ),
    KnownProblem(
        name="matyas",
        energy=FunctionEnergy(_matyas),
        start=(5.0, -3.0),
        minimum=0.0,
        minimisers=((0.0, 0.0),),
        source=f"{_SURVEY}, 71",
    ),
    KnownProblem(
        name="log-sum-exp",
        energy=FunctionEnergy(_log_sum_exp),
        start=(0.0, 2.0, 1.0, 1.0, 2.0),
        minimum=math.log(10),
        minimisers=(_CENTRE_OF_5,),
        source=f"{_BOYD}, 9.3.2, of +(y - c) and -(y - c)",
    ),
    KnownProblem(
        name="huber",
        energy=FunctionEnergy(_huber),
        start=(0.0, 2.0, 1.0, 1.0, 2.0),
        minimum=0.0,
        minimisers=(_CENTRE_OF_5,),
        source="Huber, Annals of Mathematical Statistics 35 (1964), with delta .1",
    ),
    KnownProblem(
        name="norm",
        energy=FunctionEnergy(_norm),
        start=(0.0, 2.0, 1.0, 1.0, 2.0),
        minimum=0.0,
        minimisers=(_CENTRE_OF_5,),
        source=f"{_BOYD}, A.1",
        smooth=False,
    ),
    KnownProblem(
        name="absolute",
        energy=FunctionEnergy(_absolute),
        start=(0.0, 2.0, 1.0, 1.0, 2.0),
        minimum=0.0,
        minimisers=(_CENTRE_OF_5,),
        source=f"{_BOYD}, A.1, with weights 1 to 5",
        smooth=False,
    ),
    KnownProblem(
        name="rastrigin",
        energy=FunctionEnergy(_rastrigin),
        start=(1.4, -0.7),
        minimum=0.0,
        minimisers=((0.0, 0.0),),
        source="Rastrigin (1974)",
        local=True,
    ),
    KnownProblem(
        name="ackley",
        energy=FunctionEnergy(_ackley),
        start=(1.4, -0.7),
        minimum=0.0,
        minimisers=((0.0, 0.0),),
        source=f"Ackley (1987); {_SURVEY}, 1",
        smooth=False,
        local=True,
    ),
    KnownProblem(
        name="bounded-quadratic",
        energy=FunctionEnergy(_bounded_quadratic),
        start=(0.5,) * 5,
        minimum=0.0,
        minimisers=(_BOUNDED,),
        source="made from its minimiser and multipliers, as in Nocedal and Wright (2006), 16.4",
        low=0.0,
        high=1.0,
    ),
    KnownProblem(
        name="corner",
        energy=FunctionEnergy(_corner),
        start=(1.0, 1.0, 2 / 3, 0.5, 0.4),
        minimum=1.0,
        minimisers=((1.0,) * 5,),
        source=f"{_HS}, 45, in units of the bounds",
        low=0.0,
        high=1.0,
    ),
    KnownProblem(
        name="logarithms",
        energy=FunctionEnergy(_logarithms),
        start=(9.0,) * 10,
        minimum=-45.77846970744626,
        minimisers=((9.350265833069383,) * 10,),
        source=f"{_HS}, 110",
        low=2.001,
        high=9.999,
    ),
)
