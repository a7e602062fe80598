"""Changes of good files that bytes choose: of trees of JSON, and of tensors."""

from __future__ import annotations

import contextlib
import copy
import functools
from typing import Any

import torch


class Choices:
    """Bytes as a row of choices; those after the last are all 0."""

    def __init__(self, data: bytes) -> None:
        self.left = data

    def below(self, count: int) -> int:
        taken, self.left = self.left[:2], self.left[2:]
        return int.from_bytes(taken, "little") % max(count, 1)

    def of(self, values: Any) -> Any:
        return values[self.below(len(values))]


VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 17, 2**31, 10**6, 10**12, -(10**19), 10**400),
    *(0.0, 0.5, -1.5, 1e-300, 1e308, float("nan"), float("inf")),
    *("", "mlp", "irem", "add", "gradient", "vector", "irem.energies", "irem.tasks", "../../x"),
    *("os:system", "irem.commands", "train", "x" * 5000, "\ud800", "nodes=3"),
    *([], {}, [[]], [1, 2], {"part": {}}, {"part": None}, {"unknown": "x"}, ["a", {"b": []}]),
)


def paths(tree: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List where values stand in a tree of JSON."""
    found = [before] if before else []
    if isinstance(tree, list):
        tree = dict(enumerate(tree))
    for key, value in tree.items() if isinstance(tree, dict) else ():
        found += paths(value, (*before, key))
    return found


def edit(tree: Any, choices: Choices) -> None:
    """Change one value of a tree: another value, a part of the tree, another name, or nothing."""
    places = paths(tree)
    if not places:
        return
    *way, key = choices.of(places)
    owner = functools.reduce(lambda each, step: each[step], way, tree)
    action = choices.below(5)
    if action == 0:
        del owner[key]
    elif action == 1:
        source = choices.of(places)
        value = tree
        with contextlib.suppress(LookupError, TypeError):
            value = functools.reduce(lambda each, step: each[step], source, tree)
        owner[key] = copy.deepcopy(value)
    elif action == 2 and isinstance(owner, dict):
        owner[str(choices.of(VALUES))[:50]] = owner.pop(key)
    else:
        owner[key] = copy.deepcopy(choices.of(VALUES))


def edited(tree: Any, choices: Choices) -> Any:
    """Return a tree with a few changes."""
    tree = copy.deepcopy(tree)
    for _ in range(1 + choices.below(4)):
        edit(tree, choices)
    return tree


def edit_tensors(tensors: dict[str, torch.Tensor], choices: Choices) -> dict[str, torch.Tensor]:
    """Change a tensor, as often as is chosen, or none."""
    tensors = dict(tensors)
    for _ in range(choices.below(3)):
        name = choices.of(sorted(tensors))
        tensor = tensors[name]
        new = choices.of(
            [
                lambda t: None,
                lambda t: t[:-1] if t.ndim else t,
                lambda t: t[None],
                lambda t: t.flatten(),
                lambda t: t.to(torch.float64),
                lambda t: t.to(torch.bfloat16),
                lambda t: t.to(torch.int64),
                lambda t: t.to(torch.bool),
                lambda t: torch.zeros_like(t),
                lambda t: t + 1 if t.dtype != torch.bool else ~t,
                lambda t: torch.full_like(t, -1) if t.dtype != torch.bool else t,
                lambda t: (torch.arange(t.numel()) * 89 % 251).reshape(t.shape).to(t.dtype),
            ]
        )(tensor)
        if new is None:
            del tensors[name]
        else:
            tensors[name] = new.contiguous()
        if not tensors:
            break
    return tensors
