"""Pages of the documentation as programs: their blocks in order, each command with small numbers.

A block of text that follows a block of code is what that prints, up to numbers.
"""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch

from irem_core.registry import TASKS, plugins
from irem_core.runs.checkpoint import MODEL, read_metadata
from irem_core.runs.description import rebuild
from irem_core.tasks.task import load_task

ROOT = Path(__file__).parent.parent

NOT_RUN = {
    r"(\.venv|/tmp/\w+)/bin/": "runs tools of an environment that is set up before",
    r"make": "sets up an environment of its own, and some targets take minutes",
    r"(python3? -m venv|\.) ": "sets up an environment",
    r"(\w+ )?pip install": "installs packages; test_packages.py builds and installs ours",
    r"python (benchmarks|examples|tests)": "measures, trains or draws for minutes",
    r"irem (push|pull)": "needs a hub; tests/core/cli/test_sharing.py has a local one",
    r"irem export runs/add": "takes five seconds; docs/export.md exports a smaller run",
    r"torchrun": "starts several processes; tests/core/test_distributed.py has two train and solve",
    r"irem reproduce (?!table1 --no-train)": "trains; tests/baselines reproduce a little",
    r"irem \w+ (runs/)?(denoise|mine|\"denoise)": "takes photographs; tests/core/cli has small",
}
"""What no test runs, by what a command begins with, and why."""

SMALLER = {
    "train": {"--iterations": 2, "--batch-size": 2, "--problems": 20},
    "evaluate": {"--problems": 2, "--max-steps": 5},
    "solve": {"--count": 2, "--max-steps": 80},
    "compose": {"--problems": 2, "--max-steps": 5},
    "report": {"--problems": 5, "--max-steps": 5},
}
"""Options that are set, or lowered, so that a command takes about a second."""

LONG = ("docs/export.md", "docs/speed.md", "docs/tasks.md")
"""Pages whose commands take more than some seconds even so, and are run by `make test-all`."""

BOARD = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79\n"
GRAPH = "p edge 3 2\ne 1 2\ne 2 3\n"
FORMULA = "p cnf 3 2\n1 -2 3 0\n-1 2 -3 0\n"


@attrs.frozen
class Block:
    language: str
    text: str
    prints: str | None


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page in their order, each with what the page says that it prints."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = list(re.finditer(r"^```(\S*)\n(.*?)^```\n", text, re.DOTALL | re.MULTILINE))
    listed = []
    for block, after in itertools.zip_longest(found, found[1:]):
        shown = after and after[1] == "text" and not text[block.end() : after.start()].strip()
        listed.append(Block(block[1], block[2], after[2] if shown else None))
    return listed


def command_lines(block: Block) -> list[list[str]]:
    """Return the words of each command of a sh block; comments are dropped."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


def not_run(words: list[str]) -> bool:
    """Say whether a command is among those that no test runs."""
    return any(re.match(start, " ".join(words)) for start in NOT_RUN)


def smaller(words: list[str]) -> list[str]:
    """Return the words after `irem` with smaller numbers."""
    written = list(words)
    for option, most in SMALLER.get(words[0], {}).items():
        if option == "--max-steps" and "--protocol" in words:
            continue  # the published protocol takes its own number of steps
        if option not in written:
            written += [option, str(most)]
        else:
            place = written.index(option) + 1
            written[place] = str(min(int(written[place]), most))
    return written


COST = "def cost(x, y):\n    return (y - x[:, :1]).square().sum(1)\n"


def provide(words: list[str], irem: Callable[..., Any]) -> None:
    """Make what a command takes for granted: pairs, a run that is called by its task, questions."""
    if "--pairs" in words and not Path(words[words.index("--pairs") + 1]).exists():
        draw = np.random.default_rng(0)
        x, y = draw.normal(size=(40, 3)), draw.normal(size=(40, 2))
        file = words[words.index("--pairs") + 1]
        if not Path(file).suffix:
            write_graphs(Path(file), draw)
            for name in ("new_networks", "other_networks"):
                write_graphs(Path(name), draw)
        elif file.endswith(".csv"):
            questions, answers = "size,rooms_above,rooms_below", "price,rent"
            write_table(file, np.c_[x, y], f"{questions},{answers}")
            write_table("new.csv", x[:3], questions)
        else:
            np.savez(file, **({"x": x} if "--entries" in words else {"x": x, "y": y}))
    if "--cost" in words:
        module = words[words.index("--cost") + 1].partition(":")[0]
        Path(f"{module}.py").write_text(COST)
    if "--data" in words:
        folder = Path(words[words.index("--data") + 1])
        folder.mkdir(exist_ok=True)
        for part in ("train", "test"):
            (folder / f"{part}.txt").write_text(BOARD)
    if words[0] == "train":
        return
    for before, word in itertools.pairwise(words):
        run = Path(word)
        if run.parent.name == "runs" and not run.exists() and not before.startswith("--"):
            assert not irem(*smaller(["train", task_of(run), "--out", word])).status
    if "--input" in words:
        file = Path(words[words.index("--input") + 1])
        if not file.exists():
            run = Path(words[1])
            known = (run / MODEL).exists()
            task = rebuild(read_metadata(run)["task"]) if known else load_task(words[1])
            write_questions(file, task)


def write_graphs(folder: Path, draw: np.random.Generator) -> None:
    """Write paths of three to six nodes, with an answer for each node."""
    folder.mkdir()
    for number in range(12):
        nodes = 3 + number % 4
        ends = np.stack([np.arange(nodes - 1), np.arange(1, nodes)])
        x, y = draw.normal(size=(nodes, 1)), draw.normal(size=nodes)
        np.savez(folder / f"{number}.npz", edge_index=ends, x=x, y=y)


def write_table(file: str, rows: Any, names: str) -> None:
    np.savetxt(file, rows, delimiter=",", header=names, comments="")


def task_of(run: Path) -> str:
    """Return the task that a run is called by: "add" of runs/add and of runs/add-irem-0."""
    names = [plugin.name for plugin in plugins(TASKS) if run.name.startswith(plugin.name)]
    return max(names, key=len)


def write_questions(file: Path, task: Any) -> None:
    written = {".cnf": FORMULA, ".col": GRAPH, ".txt": BOARD}.get(file.suffix)
    if written is not None:
        file.write_text(written)
        return
    if task.question.ragged:
        x = np.ones((4, 4))
    else:
        generator = torch.Generator().manual_seed(0)
        x = task.sample(3, "same", generator=generator)[0].x.numpy()
    if file.suffix == ".csv":
        np.savetxt(file, x, delimiter=",")
    else:
        np.save(file, x)


def masked(printed: str) -> str:
    """Leave out of a text what depends on a training: numbers, how wide and long tables are."""
    printed = re.sub(r"(?<=How problems ended: ).*", "...", printed)
    text = re.sub(r"-?\d[\d,]*(\.\d*)?(e[+-]?\d+)?", "0", printed)
    lines = re.sub(r"[━─ ]+", " ", text).splitlines()
    return " ".join(" ".join(line for line, _ in itertools.groupby(lines)).split())
