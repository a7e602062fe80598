"""Sums of squares, most from Moré, Garbow and Hillstrom (1981), by their numbers there."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from irem_core.testing.zoo.known import KnownProblem, ResidualsEnergy

_MGH = "Moré, Garbow and Hillstrom, ACM TOMS 7 (1981)"


def _counting(last: int, like: Tensor) -> Tensor:
    return torch.arange(1, last + 1, dtype=like.dtype, device=like.device)


def _rosenbrock(y: Tensor) -> Tensor:
    return torch.stack([10 * (y[:, 1] - y[:, 0] ** 2), 1 - y[:, 0]], 1)


def _chained_rosenbrock(y: Tensor) -> Tensor:
    return torch.cat([10 * (y[:, 1:] - y[:, :-1] ** 2), 1 - y[:, :-1]], 1)


def _freudenstein_roth(y: Tensor) -> Tensor:
    a, b = y.unbind(1)
    first = -13 + a + ((5 - b) * b - 2) * b
    return torch.stack([first, -29 + a + ((b + 1) * b - 14) * b], 1)


def _brown_badly_scaled(y: Tensor) -> Tensor:
    a, b = y.unbind(1)
    return torch.stack([a - 1e6, b - 2e-6, a * b - 2], 1)


def _beale(y: Tensor) -> Tensor:
    targets = y.new_tensor([1.5, 2.25, 2.625])
    return targets - y[:, :1] * (1 - torch.stack([y[:, 1], y[:, 1] ** 2, y[:, 1] ** 3], 1))


def _jennrich_sampson(y: Tensor) -> Tensor:
    i = _counting(10, y)
    return 2 + 2 * i - ((i * y[:, :1]).exp() + (i * y[:, 1:]).exp())


def _helical_valley(y: Tensor) -> Tensor:
    a, b, c = y.unbind(1)
    # The source's angle, in turns, goes from -1/4 to 3/4 rather than from -1/2 to 1/2.
    turns = torch.atan2(b, a) / (2 * math.pi) + ((a < 0) & (b < 0))
    return torch.stack([10 * (c - 10 * turns), 10 * (torch.hypot(a, b) - 1), c], 1)


def _bard(y: Tensor) -> Tensor:
    seen = [0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.1, 4.39]
    u = _counting(15, y)
    v = 16 - u
    w = torch.minimum(u, v)
    return y.new_tensor(seen) - (y[:, :1] + u / (v * y[:, 1:2] + w * y[:, 2:]))


def _kowalik_osborne(y: Tensor) -> Tensor:
    seen = [0.1957, 0.1947, 0.1735, 0.16, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246]
    u = y.new_tensor([4, 2, 1, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])
    a, b, c, d = (each[:, None] for each in y.unbind(1))
    return y.new_tensor(seen) - a * (u**2 + u * b) / (u**2 + u * c + d)


def _meyer(y: Tensor) -> Tensor:
    seen = [34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744]
    seen += [8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872]
    t = 45 + 5 * _counting(16, y)
    a, b, c = (each[:, None] for each in y.unbind(1))
    return a * (b / (t + c)).exp() - y.new_tensor(seen)


def _powell_singular(y: Tensor) -> Tensor:
    a, b, c, d = y.unbind(1)
    last = math.sqrt(10) * (a - d) ** 2
    return torch.stack([a + 10 * b, math.sqrt(5) * (c - d), (b - 2 * c) ** 2, last], 1)


def _wood(y: Tensor) -> Tensor:
    a, b, c, d = y.unbind(1)
    first = [10 * (b - a**2), 1 - a, math.sqrt(90) * (d - c**2), 1 - c]
    return torch.stack([*first, math.sqrt(10) * (b + d - 2), (b - d) / math.sqrt(10)], 1)


def _variably_dimensioned(y: Tensor) -> Tensor:
    off = y - 1
    weighed = (_counting(y.shape[1], y) * off).sum(1, keepdim=True)
    return torch.cat([off, weighed, weighed**2], 1)


def _trigonometric(y: Tensor) -> Tensor:
    cosine = y.cos()
    spread = y.shape[1] - cosine.sum(1, keepdim=True)
    return spread + _counting(y.shape[1], y) * (1 - cosine) - y.sin()


def _booth(y: Tensor) -> Tensor:
    a, b = y.unbind(1)
    return torch.stack([a + 2 * b - 7, 2 * a + b - 5], 1)


def _himmelblau(y: Tensor) -> Tensor:
    a, b = y.unbind(1)
    return torch.stack([a**2 + b - 11, a + b**2 - 7], 1)


LEAST_SQUARES = (
    KnownProblem(
        name="rosenbrock",
        energy=ResidualsEnergy(_rosenbrock),
        start=(-1.2, 1.0),
        minimum=0.0,
        minimisers=((1.0, 1.0),),
        source=f"Rosenbrock (1960); {_MGH}, 1",
    ),
    KnownProblem(
        name="chained-rosenbrock",
        energy=ResidualsEnergy(_chained_rosenbrock),
        start=(-1.2, 1.0) * 5,
        minimum=0.0,
        minimisers=((1.0,) * 10,),
        source="Toint, Mathematics of Computation 32 (1978), with all weights 100",
        local=True,
    ),
    KnownProblem(
        name="freudenstein-roth",
        energy=ResidualsEnergy(_freudenstein_roth),
        start=(0.5, -2.0),
        minimum=0.0,
        minimisers=((5.0, 4.0),),
        source=f"{_MGH}, 2",
        local=True,
    ),
    KnownProblem(
        name="brown-badly-scaled",
        energy=ResidualsEnergy(_brown_badly_scaled),
        start=(1.0, 1.0),
        minimum=0.0,
        minimisers=((1e6, 2e-6),),
        source=f"{_MGH}, 4",
    ),
    KnownProblem(
        name="beale",
        energy=ResidualsEnergy(_beale),
        start=(1.0, 1.0),
        minimum=0.0,
        minimisers=((3.0, 0.5),),
        source=f"Beale (1958); {_MGH}, 5",
        local=True,
    ),
    KnownProblem(
        name="jennrich-sampson",
        energy=ResidualsEnergy(_jennrich_sampson),
        start=(0.3, 0.4),
        minimum=124.36218236,
        minimisers=((0.25782521, 0.25782521),),
        source=f"{_MGH}, 6",
        local=True,
    ),
    KnownProblem(
        name="helical-valley",
        energy=ResidualsEnergy(_helical_valley),
        start=(-1.0, 0.0, 0.0),
        minimum=0.0,
        minimisers=((1.0, 0.0, 0.0),),
        source=f"Fletcher and Powell (1963); {_MGH}, 7",
    ),
    KnownProblem(
        name="bard",
        energy=ResidualsEnergy(_bard),
        start=(1.0, 1.0, 1.0),
        minimum=8.2148773e-3,
        minimisers=((0.08241056, 1.13303609, 2.34369519),),
        source=f"{_MGH}, 8",
        local=True,
    ),
    KnownProblem(
        name="meyer",
        energy=ResidualsEnergy(_meyer),
        start=(0.02, 4000.0, 250.0),
        minimum=87.945855,
        minimisers=((5.60963647e-3, 6181.34635, 345.223635),),
        source=f"{_MGH}, 10",
    ),
    KnownProblem(
        name="powell-singular",
        energy=ResidualsEnergy(_powell_singular),
        start=(3.0, -1.0, 0.0, 1.0),
        minimum=0.0,
        minimisers=((0.0,) * 4,),
        source=f"Powell (1962); {_MGH}, 13",
    ),
    KnownProblem(
        name="wood",
        energy=ResidualsEnergy(_wood),
        start=(-3.0, -1.0, -3.0, -1.0),
        minimum=0.0,
        minimisers=((1.0,) * 4,),
        source=f"Colville (1968); {_MGH}, 14",
    ),
    KnownProblem(
        name="kowalik-osborne",
        energy=ResidualsEnergy(_kowalik_osborne),
        start=(0.25, 0.39, 0.415, 0.39),
        minimum=3.0750561e-4,
        minimisers=((0.19280693, 0.19128233, 0.12305651, 0.13606233),),
        source=f"{_MGH}, 15",
        local=True,
    ),
    KnownProblem(
        name="variably-dimensioned",
        energy=ResidualsEnergy(_variably_dimensioned),
        start=tuple(1 - j / 10 for j in range(1, 11)),
        minimum=0.0,
        minimisers=((1.0,) * 10,),
        source=f"{_MGH}, 25, with n = 10",
    ),
    KnownProblem(
        name="trigonometric",
        energy=ResidualsEnergy(_trigonometric),
        start=(0.1,) * 10,
        minimum=0.0,
        minimisers=((0.0,) * 10,),
        source=f"{_MGH}, 26, with n = 10",
        local=True,
    ),
    KnownProblem(
        name="booth",
        energy=ResidualsEnergy(_booth),
        start=(0.0, 0.0),
        minimum=0.0,
        minimisers=((1.0, 3.0),),
        source="Jamil and Yang, IJMMNO 4 (2013), 17",
    ),
    KnownProblem(
        name="himmelblau",
        energy=ResidualsEnergy(_himmelblau),
        start=(0.0, 0.0),
        minimum=0.0,
        minimisers=(
            (3.0, 2.0),
            (-2.805118086952745, 3.131312518250573),
            (-3.779310253377747, -3.283185991286170),
            (3.584428340330492, -1.848126526964404),
        ),
        source="Himmelblau (1972)",
    ),
)
