"""What the contract checks share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from irem_core.errors import IremError
from irem_core.part import Preset
from irem_core.problems import graphs, trees
from irem_core.problems.layout import Layout
from irem_core.problems.problem import Problem
from irem_core.registry import built_parts

Part = TypeVar("Part")
Settings = ParamSpec("Settings")


def contract(
    check: Callable[Concatenate[Part, Settings], None],
) -> Callable[Concatenate[Part, Settings], None]:
    """Let a check report the library's own errors, which the part gave rise to, as it does its own.

    Raises:
        AssertionError: whenever the part breaks its contract.
    """

    @wraps(check)
    def checked(part: Part, /, *args: Settings.args, **kwargs: Settings.kwargs) -> None:
        try:
            check(part, *args, **kwargs)
        except IremError as error:
            raise AssertionError(f"{type(part).__name__}: {error}") from error

    return checked


def require_error(
    broken: str, kind: type[Exception], function: Callable[..., Any], *args: Any, **kwargs: Any
) -> Exception:
    """Return the error that a call must end with.

    Args:
        broken: what to say where there is no error, or one of another kind.
        kind: of which kind it must be.
        function: what to call.
        args: its positional arguments.
        kwargs: its keyword arguments.

    Raises:
        AssertionError: the call returned, or raised something else.
    """
    try:
        function(*args, **kwargs)
    except kind as error:
        return error
    except Exception as error:
        raise AssertionError(f"{broken}; it raised {type(error).__name__}: {error}") from error
    raise AssertionError(f"{broken}; it raised nothing")


def seeded_generator(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator of a seed on a device."""
    return torch.Generator(device).manual_seed(seed)


def contents(tree: Any) -> list[Tensor]:
    """List every tensor of a tree: also those of torch-geometric batches and of layouts."""
    found: list[Tensor] = []

    def visit(leaf: Any) -> Any:
        if isinstance(leaf, Layout):
            found.extend([] if leaf.owner is None else [leaf.owner])
        elif graphs.is_batch(leaf):
            values = (value for store in leaf.stores for value in store.values())
            found.extend(value for value in values if isinstance(value, Tensor))
        elif isinstance(leaf, Tensor):
            found.append(leaf)
        return leaf

    trees.map_leaves(visit, tree)
    return found


def copied(tree: Any) -> list[Tensor]:
    """Copy what `contents` lists, to compare with later on."""
    return [tensor.detach().clone() for tensor in contents(tree)]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    """Say whether two lists hold equal tensors."""
    return len(first) == len(second) and all(map(torch.equal, first, second))


def double(tree: trees.Tree) -> trees.Tree:
    """Convert the fractions of a tree to float64, those of torch-geometric batches included."""

    def convert(tensor: Tensor) -> Tensor:
        return tensor.double() if tensor.is_floating_point() else tensor

    def visit(leaf: Any) -> Any:
        if graphs.is_batch(leaf):
            return leaf.clone().apply(convert)
        return convert(leaf) if isinstance(leaf, Tensor) else leaf

    return trees.map_leaves(visit, tree)


def cut(problem: Problem, *chosen: int) -> Problem:
    """Return some problems of a batch, named in ascending order."""
    return trees.select(problem, problem.layout, indices(problem.layout, *chosen))


def indices(layout: Layout, *chosen: int) -> Tensor:
    """Return the indices of problems as a tensor, on the device that the layout is on."""
    return torch.tensor(chosen, device=None if layout.owner is None else layout.owner.device)


@contextmanager
def no_global_randomness(title: str) -> Iterator[None]:
    """Make sure that a block leaves the global random states of torch and numpy as they were.

    That of Python's own `random` is not watched, since beartype draws from it wherever it checks a
    list; what depends on it is found by drawing twice.

    Raises:
        AssertionError: it drew from one of them.
    """
    before = _random_states()
    yield
    after = _random_states()
    touched = [name for name in before if before[name] != after[name]]
    assert not touched, (
        f"{title} draws from the global random state of {' and '.join(touched)}; draw from the "
        "generator that is passed, so that a seed gives the same results everywhere."
    )


def _random_states() -> dict[str, bytes]:
    _, keys, position, *_ = np.random.get_state()
    states = {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": np.asarray(keys).tobytes() + str(position).encode(),
    }
    if torch.cuda.is_initialized():
        on_gpu = (state.numpy().tobytes() for state in torch.cuda.get_rng_state_all())
        states["torch.cuda"] = b"".join(on_gpu)
    return states


def check_loss(loss: Any, learning: nn.Module, title: str) -> None:
    """Check that a loss is one finite number, whose finite gradient reaches a weight.

    Args:
        loss: what was returned; its gradient is taken.
        learning: whose weights it should reach.
        title: of the part that it is of.

    Raises:
        AssertionError: it is not so.
    """
    assert isinstance(loss, Tensor) and loss.shape == (), (
        f"{title} has a loss of shape {tuple(getattr(loss, 'shape', ()))}; expected one number"
    )
    assert bool(loss.isfinite()), f"{title} has the loss {loss.item()} before any training"
    assert loss.requires_grad, f"{title} has a loss that depends on no weight"
    loss.backward()
    slopes = [weight.grad for weight in learning.parameters() if weight.grad is not None]
    assert any(bool((slope != 0).any()) for slope in slopes), (
        f"{title} has a loss whose gradient reaches none of its weights"
    )
    assert all(bool(slope.isfinite().all()) for slope in slopes), (
        f"{title} has a loss whose gradient is not finite"
    )
    learning.zero_grad()


def check_preset(preset: Any, what: str) -> None:
    """Check that something is a preset, with a source, whose parts can be built."""
    assert isinstance(preset, Preset), f"{what} is a {type(preset).__name__}, not a Preset"
    assert preset.source, f"{what} does not say where its settings come from"
    try:
        built_parts(preset.solver)
    except IremError as error:
        raise AssertionError(f"{what} names a part that cannot be built: {error}") from error
