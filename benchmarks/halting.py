"""What halting rules say on the zoo of test problems, and whether it is true.

Every registered descent walks on every problem, from several starts and with several step sizes.
The rules are asked of the same steps. An answer that is called converged and then moves by more
than ten times the tolerance of `Settled` in the steps after is a false one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import attrs
import torch

import measuring
from irem_core import Descent, EnergyPlateau, IremError, Outcome, Settled
from irem_core.registry import DESCENTS, plugins
from irem_core.testing.zoo import ZOO, KnownProblem, Watched, steepness, watch

RULES = {"settled": Settled(), "energy-plateau": EnergyPlateau()}
ADAM = (0.3, 0.05)
SHARES = (1.0, 0.1)


def descents(known: KnownProblem) -> Iterator[tuple[str, Descent]]:
    """Yield every registered descent that follows gradients, with steps that suit a problem."""
    steep = steepness(known)
    for plugin in plugins(DESCENTS):
        name, kind = plugin.name, plugin.load()
        if not kind.needs_gradient:
            continue
        sized = "step_size" in {field.name for field in attrs.fields(kind)}
        sizes = ADAM if name == "adam" else [share / steep for share in SHARES]
        for size in sizes if sized else [None]:
            yield name, kind() if size is None else kind(step_size=size)
        if name == "barzilai-borwein":
            yield name, kind(memory=1)


def tally(watched: list[Watched]) -> dict[str, Any]:
    """Count what a rule said, how much of it is false, and what it cost."""
    said = Counter(Outcome(each).name for one in watched for each in one.outcome.tolist())
    return {
        "outcomes": dict(sorted(said.items())),
        "false": sum(int(one.false().sum()) for one in watched),
        "evaluations": sum(int(one.evaluations.sum()) for one in watched),
    }


def measure(options: Any) -> dict[str, Any]:
    """Watch all rules on all descents of all problems, in single and in double precision."""
    found: dict[str, dict[str, list[Watched]]] = {}
    for title, known in ZOO.items():
        for name, descent in descents(known):
            for dtype in (torch.float32, torch.float64):
                try:
                    watched = watch(
                        known,
                        descent,
                        list(RULES.values()),
                        count=options.starts,
                        steps=options.steps,
                        onward=options.onward,
                        dtype=dtype,
                    )
                except IremError as error:
                    print(f"{name} on {title}: {error}")
                    continue
                for rule, one in zip(RULES, watched, strict=True):
                    found.setdefault(name, {}).setdefault(rule, []).append(one)
                tell(title, descent, watched[0])
        print(f"{title} done", flush=True)
    return {
        name: {rule: tally(each) for rule, each in rules.items()} for name, rules in found.items()
    }


def tell(title: str, descent: Descent, watched: Watched) -> None:
    """Print which answers were falsely called converged by the first rule."""
    for row in watched.false().nonzero().squeeze(1).tolist():
        print(
            f"false: {descent} on {title} in {watched.answer.dtype}, start {row}, after "
            f"{int(watched.steps[row])} steps: moved {float(watched.moved[row]):.1e}"
        )


def main() -> None:
    """Measure and print."""
    parser = measuring.parser(__doc__ or "", rounds=1)
    parser.add_argument("--starts", type=int, default=8, help="of each problem and descent")
    parser.add_argument("--steps", type=int, default=300, help="for which rules are asked")
    parser.add_argument("--onward", type=int, default=200, help="steps after an answer")
    options = measuring.parse(parser)
    machine = measuring.machine()
    found = measure(options)
    for name, rules in found.items():
        for rule, each in rules.items():
            print(f"{name:20}{rule:16}{each}")
    settings = {name: getattr(options, name) for name in ("starts", "steps", "onward")}
    measuring.write(
        options.json, {"machine": machine, "problems": len(ZOO), **settings, "descents": found}
    )


if __name__ == "__main__":
    main()
