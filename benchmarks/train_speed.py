"""Speed and memory of training with the paper's energies and settings, against plain Algorithm 1.

On vectors (`add`) that is `plain.py`, on graphs (`shortest-path`) `plain_graphs.py`. Rounds of
`fit`'s own updates, of the plain iterations and of a large matrix product alternate in one process,
so that whatever slows the machine down slows all three. On vectors the share of that product's rate
which `fit` reaches, counting only the multiply-adds that the method needs, says what is left to
gain.
"""

from __future__ import annotations

import time
import warnings
from typing import Any, Protocol

import attrs
import torch

import measuring
from irem_core import IREM, Callback, Progress, fit, load_task, provenance
from measuring import MEBIBYTE, Spread
from plain import REPLAY_CAPACITY, Additions, Inverses, PlainIREM
from plain_graphs import PlainGraphIREM

SIZE, ROWS, BATCH, STEPS = 400, 20, 128, 5
PROBLEMS = 2 * BATCH  # fresh and replayed
MATRIX = 2048


class Plain(Protocol):
    """A plain transcription of Algorithm 1."""

    def train_iteration(self) -> float: ...


def plain(task: str, device: str = "cpu") -> Plain:
    """Make the plain transcription for a task, of the paper's settings."""
    if task == "add":
        problems = Additions(SIZE, seed=0)
        return PlainIREM(problems, 2 * SIZE, SIZE, BATCH, BATCH, STEPS, device=device)
    if task == "matrix-inverse":
        matrices = Inverses(ROWS, seed=0)
        return PlainIREM(matrices, ROWS**2, ROWS**2, BATCH, BATCH, STEPS, device=device)
    return PlainGraphIREM(task, device=device)


@attrs.frozen
class Side:
    """What is trained.

    Args:
        task: its name, in the library and for the plain transcription.
        warm_up: iterations after which nothing grows: on vectors both replay buffers are full.
        updates: iterations of a round.
        compiled: options of torch's compiler, where ours descends by compiled programs.
        autocast: whether ours multiplies in bfloat16.
    """

    task: str
    warm_up: int
    updates: int
    compiled: dict[str, str] | None = None
    autocast: bool = False


VECTOR = Side("add", REPLAY_CAPACITY // PROBLEMS + 10, 30)
GRAPH = Side("shortest-path", 20, 10)


def compiled(side: Side, **options: str) -> Side:
    """Compile; programs are made, and some made again for larger batches, before measuring."""
    return attrs.evolve(side, compiled=options, warm_up=side.warm_up + 40)


SIDES = {
    "vector": VECTOR,
    "graph": GRAPH,
    "vector, compiled": compiled(VECTOR),
    "graph, compiled": compiled(GRAPH),
    "vector, bfloat16": attrs.evolve(VECTOR, autocast=True),
    "graph, bfloat16": attrs.evolve(GRAPH, autocast=True),
}
# On GPUs the compiler captures what it has made, and calls it without the host.
CAPTURED = {"vector, captured": compiled(VECTOR, mode="reduce-overhead")}
CAPTURED["vector, captured, bfloat16"] = attrs.evolve(CAPTURED["vector, captured"], autocast=True)


def multiply_adds(*, split: bool, width: int = 512, depth: int = 3) -> int:
    """Count the multiply-adds that one problem needs in one iteration, from the layers' sizes.

    A product with a layer's weights costs one multiply-add a weight, forwards as well as backwards,
    and so does the gradient in these weights. Element-wise work is left out.

    Args:
        split: whether the question's share of the first layer is computed once (ours) or at every
            step (plain).
        width: units of each hidden layer.
        depth: hidden layers.
    """
    question = 2 * SIZE * width
    first = SIZE * width + (0 if split else question)
    hidden = (depth - 1) * width**2
    network = first + hidden + width
    # Each step computes the energy and, backwards, its gradient in the candidate.
    descent = STEPS * 2 * network
    # The loss goes back through the last step's gradient, layer by layer, leaving behind gradients
    # in the weights; then likewise through its energy, where it may stop at the first layer.
    through_gradient = 2 * network
    through_energy = first + 2 * hidden
    # The question's share forwards, and the gradient in its weights.
    encoding = 2 * question if split else 0
    return descent + through_gradient + through_energy + encoding


def matrix_product_rate(device: str, seconds: float = 0.5) -> float:
    """Return the multiply-adds a second of a large float32 matrix product."""
    left, right = torch.rand(2, MATRIX, MATRIX, device=device)
    result = torch.mm(left, right)
    products, since = 0, now(device)
    while now(device) - since < seconds:
        torch.mm(left, right, out=result)
        products += 1
    return products * MATRIX**3 / (now(device) - since)


def now(device: str) -> float:
    """Return the time once a device has done what it was told to."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


@attrs.define
class Alternation(Callback):
    """Time the updates of `fit` and, between rounds of them, what they are compared with.

    Args:
        side: what is trained.
        plain: the plain implementation.
        device: where both compute.
        ours_rate: updates a second, a number per round; likewise below.
        plain_rate: iterations a second.
        product_rate: multiply-adds a second of the matrix product.
    """

    side: Side
    plain: Plain
    device: str
    ours_rate: list[float] = attrs.field(factory=list)
    plain_rate: list[float] = attrs.field(factory=list)
    product_rate: list[float] = attrs.field(factory=list)
    _since: float = 0.0

    def stepped(self, progress: Progress) -> None:
        updates = self.side.updates
        measured = progress.iteration - self.side.warm_up
        if measured < 0 or measured % updates:
            return
        if measured == 0:
            train_plain(self.plain, self.side.warm_up)
            matrix_product_rate(self.device)
        else:
            self.ours_rate.append(updates / (now(self.device) - self._since))
            self.plain_rate.append(updates / train_plain(self.plain, updates))
            self.product_rate.append(matrix_product_rate(self.device))
        self._since = now(self.device)

    def ratio(self) -> Spread:
        """How many times faster ours is."""
        pairs = zip(self.ours_rate, self.plain_rate, strict=True)
        return Spread.of([ours / plain for ours, plain in pairs])

    def share(self, *, ours: bool) -> Spread:
        """The share of the matrix product's rate that an implementation reaches on vectors."""
        cost = PROBLEMS * multiply_adds(split=ours)
        pairs = zip(self.ours_rate if ours else self.plain_rate, self.product_rate, strict=True)
        return Spread.of([rate * cost / product for rate, product in pairs])


def train_plain(plain: Plain, iterations: int) -> float:
    """Return the seconds that some iterations of the plain implementation take."""
    since = time.perf_counter()
    for _ in range(iterations):
        plain.train_iteration()
    return time.perf_counter() - since


def train_ours(side: Side, iterations: int, device: str, *callbacks: Callback) -> None:
    """Train as a user does, with the paper's energy and settings."""
    task = load_task(side.task)
    preset = IREM.presets["paper"](task.question, task.answer)
    solver = IREM.for_task(task, **preset.solver)
    if side.compiled is not None:
        solver.compile(**side.compiled)
    solver.autocast(side.autocast)
    settings = {**preset.training, "iterations": iterations, "device": device}
    fit(solver, task, callbacks=callbacks, **settings)


def measure_memory(side: Side, name: str, device: str) -> int:
    """Return the bytes that a training with a full replay buffer adds to those of the imports.

    On a GPU these are the bytes of its tensors there.
    """
    load_task(side.task)
    torch.optim.Adam([torch.zeros(1, requires_grad=True)]).step()
    before = provenance.peak_memory()
    if name == "ours":
        train_ours(side, side.warm_up, device)
    else:
        train_plain(plain(side.task, device), side.warm_up)
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return provenance.peak_memory() - before


def measure(side: Side, rounds: int, device: str) -> Alternation:
    """Measure the speeds, `rounds` times each."""
    alternation = Alternation(side, plain(side.task, device), device)
    train_ours(side, side.warm_up + rounds * side.updates, device, alternation)
    return alternation


def report(space: str, found: Alternation, memory: dict[str, int]) -> dict[str, Any]:
    """Print the figures and return them for JSON."""
    product = Spread.of(found.product_rate)
    ours, plain, ratio = Spread.of(found.ours_rate), Spread.of(found.plain_rate), found.ratio()
    print(
        f"{space} ({found.side.task}), medians of {len(found.ours_rate)} rounds (and their range):"
    )
    print(f"  ours             {ours:.2f} iterations/s")
    print(f"  plain            {plain:.2f} iterations/s")
    print(f"  ours : plain     {ratio:.2f}")
    print(f"  matrix product   {product.median * 2e-9:.0f} GFLOP/s in float32")
    figures: dict[str, Any] = {
        "task": found.side.task,
        "ours_iterations_per_second": attrs.asdict(ours),
        "plain_iterations_per_second": attrs.asdict(plain),
        "ratio": attrs.asdict(ratio),
        "matrix_product_flops": attrs.asdict(product) | {"unit": "multiply-adds per second"},
        "memory_bytes": memory,
    }
    if space.startswith("vector"):
        share = found.share(ours=True)
        counts = {"ours": multiply_adds(split=True), "plain": multiply_adds(split=False)}
        print(
            f"  ours, share      {share:.0%} of it, {counts['ours'] / 1e6:.1f} M multiply-adds each"
        )
        print(
            f"  plain, share     {found.share(ours=False):.0%} of it, "
            f"{counts['plain'] / 1e6:.1f} M multiply-adds each"
        )
        figures["share_of_matrix_product"] = attrs.asdict(share)
        figures["multiply_adds_per_problem"] = counts
    print(
        f"  memory beyond the imports at its peak: ours {memory['ours'] / MEBIBYTE:.0f} MiB, "
        f"plain {memory['plain'] / MEBIBYTE:.0f} MiB"
    )
    return figures


def main() -> None:
    """Measure and print."""
    parser = measuring.parser(__doc__ or "", rounds=10)
    sides = SIDES | CAPTURED
    parser.add_argument("--space", choices=sides, action="append", help="all of a device if unset")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to train")
    options = measuring.parse(parser)
    device = options.device
    # torch-geometric's loaders call parts of torch that torch itself has deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    spaces = options.space or list(SIDES if device == "cpu" else sides)
    if options.memory_of:
        print(measure_memory(sides[spaces[0]], options.memory_of, device))
        return
    machine = measuring.machine()
    figures = {}
    for space in spaces:
        own = ("--threads", str(options.threads), "--space", space, "--device", device)
        memory = {name: measuring.memory_of(name, *own) for name in ("ours", "plain")}
        figures[space] = report(space, measure(sides[space], options.rounds, device), memory)
    measuring.write(options.json, {"machine": machine, **figures})


if __name__ == "__main__":
    main()
