"""What READMEs and docs say: their code runs, commands exist, and numbers are recorded."""

from __future__ import annotations

import json
import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from irem_core.cli import app
from irem_core.registry import (
    DESCENTS,
    ENERGIES,
    HALTING,
    SOLVERS,
    find,
    find_any,
    load_task,
    parse,
)

ROOT = Path(__file__).parent.parent
READMES = [
    "README.md",
    "irem_core/README.md",
    "irem_tasks/README.md",
    "irem_baselines/README.md",
    "examples/custom_task/README.md",
    "docs/backpropagation.md",
    "docs/cluster.md",
    "docs/pairs.md",
    "docs/reproduce.md",
    "docs/sharing.md",
    "docs/composition.md",
    "docs/descents.md",
    "docs/diverging.md",
    "docs/energies.md",
    "docs/export.md",
    "docs/halting.md",
    "docs/index.md",
    "docs/replay.md",
    "docs/reproduce.md",
    "docs/resume.md",
    "docs/scratchpad.md",
    "docs/solvers.md",
    "docs/speed.md",
    "docs/tasks.md",
    "docs/theory.md",
]
# What this one names is found only where it is installed; test_examples.py runs its commands.
NOT_INSTALLED = "examples/custom_task/README.md"
GROUPS = {"descent": DESCENTS, "halting": HALTING, "energy": ENERGIES, "solver": SOLVERS}
RENDER = ROOT / "benchmarks" / "render_results.py"


def blocks(readme: str, language: str) -> list[str]:
    text = (ROOT / readme).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def commands(program: str) -> list[Any]:
    """Find the words after a program's name in sh blocks; comments are dropped."""
    found = []
    for readme in READMES:
        for line in "".join(blocks(readme, "sh")).splitlines():
            words = shlex.split(line, comments=True)
            if program in words:
                rest = words[words.index(program) + 1 :]
                found.append(pytest.param(readme, rest, id=f"{readme}: {' '.join(rest)}"))
    return found


@pytest.mark.parametrize("readme", [each for each in READMES if each != NOT_INSTALLED])
def test_python_blocks_run(
    readme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    found = blocks(readme, "python")
    namespace: dict[str, Any] = {"__name__": "readme"}
    for block in found:
        exec(compile(block, readme, "exec"), namespace)
    assert found
    assert "nan" not in capsys.readouterr().out


@pytest.mark.parametrize(("readme", "words"), commands("irem") + commands("irem_core"))
def test_irem_commands_parse(readme: str, words: list[str]) -> None:
    group: Any = typer.main.get_command(app)
    context = group.make_context("irem", list(words))
    command = group.get_command(context, words[0])
    assert command is not None, words[0]
    given = command.make_context(words[0], words[1:], parent=context).params
    if readme == NOT_INSTALLED:
        return
    for option in GROUPS.keys() & {name for name, value in given.items() if value}:
        find(GROUPS[option], parse(GROUPS[option], given[option])[0])
    if given.get("task"):
        load_task(given["task"])
    if "name" in given:
        assert find_any(given["name"])
    if given.get("difficulty"):
        # A run is called by its task here; irem solve takes one difficulty, irem evaluate several.
        texts = [given["difficulty"]] if words[0] == "solve" else given["difficulty"]
        task = load_task(Path(given["run"]).name)
        assert [task.difficulty(each).name for each in texts] == texts


def test_every_command_is_shown() -> None:
    shown = {parameter.values[1][0] for parameter in commands("irem")}
    assert shown >= {"train", "evaluate", "solve", "compose", "list", "describe"}


@pytest.mark.parametrize(("readme", "words"), commands("make"))
def test_make_targets_exist(readme: str, words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{words[0]}:", makefile, re.MULTILINE)


def test_paths_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)\)", text)
    targets += re.findall(r"`((?:examples|benchmarks)/[^`]*)`", text)
    missing = [each for each in targets if not (ROOT / each).exists()]
    assert targets
    assert not missing


def render(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr("sys.argv", [str(RENDER), *map(str, arguments)])
    monkeypatch.syspath_prepend(str(RENDER.parent))
    runpy.run_path(str(RENDER), run_name="__main__")


def test_results_are_those_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    render(monkeypatch, "--check")


def test_results_are_rendered_from_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme, results = tmp_path / "README.md", tmp_path / "results"
    readme.write_text(
        "Before.\n\n<!-- results:table3 -->\nold\n<!-- /results:table3 -->\n\nAfter.\n"
    )
    (results / "paper").mkdir(parents=True)
    for size, error in ((100, 0.25), (300, 0.75)):
        scores = {"mse": error, "mse_by_step": {"5": error}}
        record = {
            "task": "add",
            "solver": "irem",
            "energy": "mlp",
            "seed": 0,
            "iterations": 10_000,
            "threads": 1,
            "hardware": {"processor": "A processor", "cores": 2},
            "evaluation": {"same": scores},
        }
        method = "irem" if size == 100 else f"irem-step-{size}"
        (results / "paper" / f"add-{method}-0.json").write_text(json.dumps(record))

    arguments = ("--readme", readme, "--results", results)
    with pytest.raises(SystemExit, match="differs"):
        render(monkeypatch, *arguments, "--check")
    render(monkeypatch, *arguments)
    text = readme.read_text()
    assert text.startswith("Before.\n\n<!-- results:table3 -->\n| step size | same |")
    assert text.endswith("\n<!-- /results:table3 -->\n\nAfter.\n")
    wanted = [
        "| 100 | 0.25 | 0.0003 | - | 0.0021 |",
        "| 300 | 0.75 | 0.0004 | - | 0.0023 |",
        "| 1000 | - | 0.0004 | - | 0.0025 |",
    ]
    assert [line for line in wanted if line not in text.splitlines()] == []
    assert "old" not in text
    render(monkeypatch, *arguments, "--check")
