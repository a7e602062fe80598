"""Sets of questions and answers such as engineers have, made with numpy and scipy.

Each set is a function that makes one answer of one question, and a way to draw questions, wider or
larger ones where `harder`. `SETS` lists them: smooth maps, answers that must be consistent, and
discrete ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.linalg import solve_banded
from scipy.optimize import isotonic_regression, linear_sum_assignment, lsq_linear, nnls, root

Vector = NDArray[np.float64]
Rng = np.random.Generator


@attrs.frozen
class PairSet:
    """A kind of question.

    Args:
        draw: `(rng, harder)` to a question, a vector.
        answer: a question to its answer, a vector.
        kind: "smooth", "consistent" or "discrete".
    """

    draw: Callable[[Rng, bool], Vector]
    answer: Callable[[Vector], Vector]
    kind: str

    def pairs(self, count: int, *, seed: int, harder: bool = False) -> tuple[Vector, Vector]:
        """Return questions `(count, d)` and answers `(count, n)`."""
        rng = np.random.default_rng([seed, harder])
        x = np.array([self.draw(rng, harder) for _ in range(count)])
        return x, np.array([self.answer(each) for each in x])


def uniform(low: Any, high: Any, wider: float = 1.25) -> Callable[[Rng, bool], Vector]:
    """Draw from a box; harder questions from one that is `wider` times as wide."""
    low, high = np.asarray(low, float), np.asarray(high, float)
    middle, half = (low + high) / 2, (high - low) / 2

    def draw(rng: Rng, harder: bool) -> Vector:
        reach = half * (wider if harder else 1.0)
        return np.asarray(rng.uniform(middle - reach, middle + reach))

    return draw


def kepler(x: Vector) -> Vector:
    """Kepler's equation: the eccentric anomaly, as cosine and sine, of mean anomaly and e."""
    mean, e = x
    at = mean + e * np.sin(mean)
    for _ in range(50):
        at -= (at - e * np.sin(at) - mean) / (1 - e * np.cos(at))
    return np.array([np.cos(at), np.sin(at)])


def arm(x: Vector) -> Vector:
    """Angles of a planar arm of two links, elbow up, that reach a point at radius r and angle."""
    radius, angle = x
    radius = min(radius, 1.75)
    bend = np.arccos((radius**2 - 1.0 - 0.8**2) / (2 * 0.8))
    shoulder = angle - np.arctan2(0.8 * np.sin(bend), 1.0 + 0.8 * np.cos(bend))
    return np.array([shoulder, bend])


def reaction_diffusion(x: Vector) -> Vector:
    """The steady state of u'' = k u^3 - source on 16 points, with sources of five bumps."""
    places = np.linspace(0, 1, 18)[1:-1]
    source = sum(
        a * np.exp(-(((places - c) / 0.15) ** 2))
        for a, c in zip(x, np.linspace(0, 1, 5), strict=True)
    )
    step = places[1] - places[0]
    u = np.zeros(16)
    for _ in range(60):
        misfit = 20 * u**3 - 10 * source
        misfit += (2 * u - np.r_[u[1:], 0] - np.r_[0, u[:-1]]) / step**2
        bands = np.tile([[-1.0], [2.0], [-1.0]], 16) / step**2
        bands[1] += 60 * u**2
        u -= solve_banded((1, 1), bands, misfit)
    return u


def equilibrium(x: Vector) -> Vector:
    """What is left of A, B and AB where A + B <-> AB, then AB + B <-> ABB, are in balance."""
    a, b, first, second = np.exp(x)

    def balance(logs: Vector) -> Vector:
        free_a, free_b = np.exp(logs)
        ab = first * free_a * free_b
        abb = second * ab * free_b
        return np.array([np.log((free_a + ab + abb) / a), np.log((free_b + ab + 2 * abb) / b)])

    free_a, free_b = np.exp(root(balance, np.log([a / 2, b / 2]), tol=1e-12).x)
    return np.array([free_a / a, free_b / b, first * free_a * free_b / a])


def predators(x: Vector) -> Vector:
    """Predators and prey after a time 4, from where they began and three rates."""

    def flow(_: float, at: Vector) -> list[float]:
        prey, hunters = at
        return [prey * (x[2] - hunters), hunters * (x[3] * prey - x[4])]

    return np.asarray(solve_ivp(flow, (0, 4), x[:2], rtol=1e-8, atol=1e-10).y[:, -1])


def spectrum(x: Vector) -> Vector:
    """The eigenvalues, in order, of a symmetric 4 x 4 matrix given by its upper half."""
    matrix = np.zeros((4, 4))
    matrix[np.triu_indices(4)] = x
    return np.asarray(np.linalg.eigvalsh(matrix, UPLO="U"))


_MIXING = np.random.default_rng(20).normal(size=(12, 6)) / np.sqrt(12)


def _program(quadratic: Vector, linear: Vector, low: float, high: float) -> Vector:
    """Minimise y' H y / 2 - c' y within bounds, as least squares."""
    lower = np.linalg.cholesky(quadratic)
    found = lsq_linear(lower.T, np.linalg.solve(lower, linear), bounds=(low, high), tol=1e-12)
    return np.asarray(found.x)


def box_program(x: Vector) -> Vector:
    """Minimise y' (Q + diag d) y / 2 - c' y for y in (0, 1), of c and d."""
    return _program(_MIXING.T @ _MIXING + np.diag(x[6:]), x[:6], 0, 1)


def draw_box_program(rng: Rng, harder: bool) -> Vector:
    """Draw c and d; harder ones have c twice as large."""
    c = rng.normal(size=6) * (2 if harder else 1)
    return np.concatenate([c, rng.uniform(0.1, 1, 6)])


def matrix_program(x: Vector) -> Vector:
    """Minimise y' (M'M + I / 4) y / 2 - c' y for y in (-1, 1), of M, 4 x 4, and c."""
    mixing = x[:16].reshape(4, 4)
    return _program(mixing.T @ mixing + np.eye(4) / 4, x[16:], -1, 1)


def draw_matrix_program(rng: Rng, harder: bool) -> Vector:
    """Draw M and c; harder ones are half as large again."""
    return np.asarray(
        rng.normal(size=20) * (0.75 if harder else 0.5) * np.r_[np.ones(16), 2 * np.ones(4)]
    )


def non_negative(x: Vector) -> Vector:
    """Non-negative least squares of one matrix, 12 x 6, and right-hand sides."""
    return np.asarray(nnls(_MIXING, x)[0])


def simplex(x: Vector) -> Vector:
    """The point of the probability simplex that is nearest to x."""
    falling = np.sort(x)[::-1]
    excess = (np.cumsum(falling) - 1) / np.arange(1, len(x) + 1)
    return np.asarray(np.maximum(x - excess[np.nonzero(falling > excess)[0][-1]], 0))


def isotonic(x: Vector) -> Vector:
    """The nearest vector that rises."""
    return np.asarray(isotonic_regression(x).x)


def normal(size: int, scale: float = 1.0, wider: float = 1.5) -> Callable[[Rng, bool], Vector]:
    """Draw normal numbers; harder ones spread `wider` times as far."""
    return lambda rng, harder: rng.normal(size=size) * scale * (wider if harder else 1.0)


def assignment(x: Vector) -> Vector:
    """The cheapest permutation for 5 x 5 costs, as ones and zeros."""
    chosen = np.zeros((5, 5))
    chosen[linear_sum_assignment(x.reshape(5, 5))] = 1
    return chosen.ravel()


def draw_costs(rng: Rng, harder: bool) -> Vector:
    """Draw costs uniform on (0, 1); harder ones lie nearer together."""
    return np.asarray(rng.uniform(0.25, 0.75, 25) if harder else rng.uniform(0, 1, 25))


def _boards() -> NDArray[np.int64]:
    lines = list(itertools.permutations(range(4)))
    found = []
    for rows in itertools.product(lines, repeat=4):
        board = np.array(rows)
        units = [*board.T, *board.reshape(2, 2, 2, 2).swapaxes(1, 2).reshape(4, 4)]
        if all(len(set(unit)) == 4 for unit in units):
            found.append(board.ravel())
    return np.array(found)


@attrs.define
class Sudoku:
    """4 x 4 boards with exactly one answer: 6 to 8 givens, harder 4 or 5; cells as one-hot."""

    boards: NDArray[np.int64] | None = None

    def known(self) -> NDArray[np.int64]:
        """All 288 boards."""
        if self.boards is None:
            self.boards = _boards()
        return self.boards

    def draw(self, rng: Rng, harder: bool) -> Vector:
        """Draw a board, and which of its cells are given."""
        boards = self.known()
        while True:
            board = boards[rng.integers(len(boards))]
            given = rng.permutation(16)[: rng.integers(4, 6) if harder else rng.integers(6, 9)]
            if (boards[:, given] == board[given]).all(1).sum() == 1:
                x = np.zeros((16, 4))
                x[given, board[given]] = 1
                return x.ravel()

    def answer(self, x: Vector) -> Vector:
        """Look the only board up that has what is given."""
        given, value = x.reshape(16, 4).nonzero()
        boards = self.known()
        board = boards[(boards[:, given] == value).all(1)][0]
        return np.asarray(np.eye(4)[board].ravel())


_SUDOKU = Sudoku()
SETS = {
    "kepler": PairSet(uniform([0, 0], [np.pi, 0.9], 1.1), kepler, "smooth"),
    "arm": PairSet(uniform([0.4, -1.5], [1.6, 1.5], 1.15), arm, "smooth"),
    "reaction-diffusion": PairSet(uniform([-1] * 5, [1] * 5, 1.5), reaction_diffusion, "smooth"),
    "equilibrium": PairSet(uniform([-1, -1, -1, -1], [2, 2, 3, 3], 1.25), equilibrium, "smooth"),
    "predators": PairSet(uniform([0.5] * 5, [1.5] * 5, 1.2), predators, "smooth"),
    "spectrum": PairSet(normal(10), spectrum, "smooth"),
    "box-program": PairSet(draw_box_program, box_program, "consistent"),
    "matrix-program": PairSet(draw_matrix_program, matrix_program, "consistent"),
    "non-negative": PairSet(normal(12), non_negative, "consistent"),
    "simplex": PairSet(normal(8, 0.5), simplex, "consistent"),
    "isotonic": PairSet(normal(10), isotonic, "consistent"),
    "sudoku": PairSet(_SUDOKU.draw, _SUDOKU.answer, "discrete"),
    "assignment": PairSet(draw_costs, assignment, "discrete"),
}
