"""What READMEs and docs say: their code runs, commands exist, and numbers are recorded."""

from __future__ import annotations

import functools
import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import typer

import pages
from commands import Irem
from irem_core import Floor, evaluate
from irem_core.cli import app
from irem_core.registry import (
    DESCENTS,
    ENERGIES,
    HALTING,
    SOLVERS,
    find,
    find_any,
    parse,
)
from irem_core.tasks.task import load_task

ROOT = Path(__file__).parent.parent
READMES = [
    "README.md",
    "irem_core/README.md",
    "irem_tasks/README.md",
    "irem_baselines/README.md",
    "examples/custom_task/README.md",
    "CONTRIBUTING.md",
    "docs/backpropagation.md",
    "docs/landscapes.md",
    "docs/cluster.md",
    "docs/composition.md",
    "docs/constrained.md",
    "docs/descents.md",
    "docs/differentiation.md",
    "docs/diverging.md",
    "docs/energies.md",
    "docs/export.md",
    "docs/halting.md",
    "docs/index.md",
    "docs/logging.md",
    "docs/pairs.md",
    "docs/parts.md",
    "docs/reliability.md",
    "docs/replay.md",
    "docs/report.md",
    "docs/reproduce.md",
    "docs/results.md",
    "docs/resume.md",
    "docs/rooms.md",
    "docs/scratchpad.md",
    "docs/sharing.md",
    "docs/solvers.md",
    "docs/speed.md",
    "docs/tasks.md",
    "docs/theory.md",
    "docs/tutorial.md",
    "docs/when.md",
    "docs/zoo.md",
]
# What this one names is found only where it is installed; test_examples.py runs its commands.
NOT_INSTALLED = "examples/custom_task/README.md"
GROUPS = {"descent": DESCENTS, "halting": HALTING, "energy": ENERGIES, "solver": SOLVERS}
RENDER = ROOT / "benchmarks" / "render_results.py"


def commands(program: str) -> list[Any]:
    """Find the words after a program's name in sh blocks; comments are dropped."""
    found = []
    for readme in READMES:
        for block in pages.blocks(readme):
            for words in pages.command_lines(block) if block.language == "sh" else []:
                if program in words:
                    rest = words[words.index(program) + 1 :]
                    found.append(pytest.param(readme, rest, id=f"{readme}: {' '.join(rest)}"))
    return found


@pytest.fixture
def little_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Work in an empty folder, and little where a command has no option that says how much."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    # Floors are measured by test_docs.py.
    monkeypatch.setattr("irem_core.Task.floor", lambda *_: Floor(constant=1.0, entrywise=0.5))
    monkeypatch.setattr("irem_core.cli.record.evaluate", functools.partial(evaluate, max_steps=3))


@pytest.mark.usefixtures("little_work")
@pytest.mark.parametrize("readme", [each for each in READMES if each not in pages.LONG])
def test_pages_run_and_print_what_they_say(
    readme: str, irem: Irem, capsys: pytest.CaptureFixture[str]
) -> None:
    run_page(readme, {"python"} if readme == NOT_INSTALLED else {"python", "sh"}, irem, capsys)


@pytest.mark.usefixtures("little_work")
@pytest.mark.parametrize("readme", pages.LONG)
def test_python_of_long_pages_runs(
    readme: str, irem: Irem, capsys: pytest.CaptureFixture[str]
) -> None:
    run_page(readme, {"python"}, irem, capsys)


@pytest.mark.slow
@pytest.mark.usefixtures("little_work")
@pytest.mark.parametrize("readme", pages.LONG)
def test_commands_of_long_pages_run(
    readme: str, irem: Irem, capsys: pytest.CaptureFixture[str]
) -> None:
    run_page(readme, {"sh"}, irem, capsys)


def run_page(
    readme: str, languages: set[str], irem: Irem, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run the blocks of a page in their order, and compare what they print with what it shows."""
    namespace: dict[str, Any] = {"__name__": "readme"}
    for block in pages.blocks(readme):
        if block.language not in languages:
            continue
        if block.language == "python":
            exec(compile(block.text, readme, "exec"), namespace)
            printed = capsys.readouterr().out
            assert "nan" not in printed
        else:
            printed = run_commands(block, irem)
        if block.prints is not None:
            assert pages.masked(printed) == pages.masked(block.prints)


def run_commands(block: pages.Block, irem: Irem) -> str:
    """Run the commands of a block, but for those of `pages.NOT_RUN`; return what they print."""
    printed = ""
    for words in pages.command_lines(block):
        if pages.not_run(words):
            continue
        assert words[0] == "irem", f"run it, or say in pages.NOT_RUN why not: {words}"
        pages.provide(words[1:], irem)
        result = irem(*pages.smaller(words[1:]))
        assert result.status == 0, result.err
        printed += result.out
    return printed


@pytest.mark.parametrize("start", pages.NOT_RUN)
def test_commands_that_are_not_run_are_in_some_page(start: str) -> None:
    lines = [
        " ".join(words)
        for readme in READMES
        for block in pages.blocks(readme)
        if block.language == "sh"
        for words in pages.command_lines(block)
    ]
    assert any(re.match(start, line) for line in lines)


def test_every_page_is_listed() -> None:
    written = {str(page.relative_to(ROOT)) for page in (ROOT / "docs").glob("*.md")}
    assert not written - set(READMES)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 160


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
        task = load_task(Path(given["run"] if "run" in given else given["runs"][0]).name)
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
    page, results = tmp_path / "page.md", tmp_path / "results"
    page.write_text("Before.\n\n<!-- results:table3 -->\nold\n<!-- /results:table3 -->\n\nAfter.\n")
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

    arguments = ("--page", page, "--results", results)
    with pytest.raises(SystemExit, match="differs"):
        render(monkeypatch, *arguments, "--check")
    render(monkeypatch, *arguments)
    text = page.read_text()
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


def test_puzzles_have_their_seeds_and_curves_beside_what_was_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, results = tmp_path / "page.md", tmp_path / "results"
    page.write_text("<!-- results:puzzles -->\n<!-- /results:puzzles -->\n")
    (results / "puzzles").mkdir(parents=True)
    common = {"iterations": 3500, "threads": 1, "hardware": {"processor": "A processor"}}
    points = [
        {"starts": starts, "verification": share, "until_verified": 10.0 * starts}
        for starts, share in ((1, 0.25), (16, 0.5), (128, 0.75))
    ]
    scores = [
        {"solved": share, "evaluations_mean": 50.04, "solved_auroc": told}
        for share, told in ((0.98, None), (0.96, 0.9))
    ]
    records: dict[str, dict[str, Any]] = {
        f"same-{seed}": {"restarts": 0, "problems": 1000, "evaluation": each}
        for seed, each in enumerate(scores)
    }
    records["hardest-curve-0"] = {"problems": 100, "curve": {"by_starts": points}}
    records["speed-0"] = {"problems": 1000, "seconds": 8.0, "restarts": 8, "halting": "verified()"}
    records["speed-0"]["evaluation"] = {"solved": 0.999}
    swarm = {"solved": 0.99, "evaluations_mean": 1500.0, "solved_auroc": None}
    records["queens-8-particles-0"] = {"restarts": 0, "particles": 64, "evaluation": swarm}
    left = {"solved": 0.75, "conflicts": 0.5}
    records["coloring-30-0"] = {"restarts": 0, "evaluation": left, "classical": {"solved": 1.0}}
    for name in ("queens-8-particles-0", "coloring-30-0"):
        records[name]["problems"] = 100
    for name, record in records.items():
        row, _, seed = name.rpartition("-")
        record |= {"row": row, "seed": int(seed), **common}
        (results / "puzzles" / f"{name}.json").write_text(json.dumps(record))
    render(monkeypatch, "--page", page, "--results", results)
    lines = page.read_text().splitlines()
    same = (
        "1,000 | 1 | 97 (96 to 98) % | 50 (50 to 50) | 0.9 | 100 % (Recurrent Transformer; AKOrN) |"
    )
    assert f"| Sudoku, 31 to 42 givens | {same}" in lines
    assert "| boards that need most search | 100 | 1 | 25 % | 10 | - |  |" in lines
    assert "| the same | 100 | 128 | 75 % | 1,280 | - |  |" in lines
    published = "89 % (summed energies, 128 particles)"
    assert f"| the same | 100 | 64 particles | 99 % | 1,500 | - | {published} |" in lines
    assert "| of 30 nodes, never trained on | 100 | 1 | 75 % | 0.5 | 100 % |" in lines
    said = "125 boards of 31 to 42 givens a second, 1,000 of which 99.9 % are solved from at most 9"
    assert any(said in line for line in lines)


def test_speed_has_a_column_for_each_machine_and_is_judged_on_the_worst(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme, results = tmp_path / "README.md", tmp_path / "results"
    readme.write_text("<!-- results:speed -->\n<!-- /results:speed -->\n")
    records: dict[str, dict[str, Any]] = {
        "a/start": {"seconds": {"irem --help": {"median": 0.3}, "irem list": {"median": 0.4}}},
        "b/start": {"seconds": {"irem --help": {"median": 0.7}, "irem list": {"median": 0.9}}},
        "b/streaming": {"ways": {"waiting": {"times_streamed": {"median": 3.0}}}},
        # No target is about these, so this machine has no column.
        "c/fuzzing": {"readers": {}},
    }
    for name, record in records.items():
        file = results / "benchmarks" / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        machine = {"processor": f"Processor {name[0]}", "threads": 2}
        file.write_text(json.dumps({"machine": machine, **record}))
    render(monkeypatch, "--page", readme, "--results", results)
    lines = readme.read_text().splitlines()
    assert lines[1] == "|  | to reach | Processor a | Processor b | on the worst |"
    assert "| irem --help | at most 0.60 s | 0.30 s | 0.70 s | not reached |" in lines
    assert "| irem list | at most 1.00 s | 0.40 s | 0.90 s | reached |" in lines
    batching = "| continuous batching, against waiting for the slowest | at least 2.00 x"
    assert f"{batching} | - | 3.00 x | reached |" in lines
    assert lines[3].endswith("| at least 10.00 x | - | - | not measured |")
