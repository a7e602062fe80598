"""What the docs say of tasks: the table is what the tasks say, links lead somewhere."""

from __future__ import annotations

import re
import runpy
import shutil
import tomllib
from pathlib import Path

import pytest

from irem_core.registry import TASKS, plugins

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "tasks.md"
SCRIPT = ROOT / "benchmarks" / "render_tasks.py"
NAMES = [each.name for each in plugins(TASKS) if each.distribution == "irem-tasks"]
CHEAP = ("parity", "edge-copy", "negate")


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the script find its neighbours, as it does when it is run."""
    monkeypatch.syspath_prepend(SCRIPT.parent)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return Path(shutil.copy(PAGE, tmp_path))


def render(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr("sys.argv", [str(SCRIPT), *map(str, arguments)])
    runpy.run_path(str(SCRIPT), run_name="__main__")


def edit(page: Path, task: str, old: str, new: str) -> None:
    """Change the row of a task by hand."""
    text = page.read_text()
    (row,) = re.findall(rf"^\| `{task}` \|.*$", text, re.MULTILINE)
    assert old in row
    page.write_text(text.replace(row, row.replace(old, new)))


def test_the_table_says_of_every_task_what_it_says_of_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = PAGE.read_text().partition("<!-- tasks -->")[2].partition("<!-- /tasks -->")[0]
    assert re.findall(r"^\| `(.*?)` \|", table, re.MULTILINE) == NAMES
    render(monkeypatch, "--check", "--keep-floors")


def test_floors_of_cheap_tasks_are_those_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    render(monkeypatch, "--check", "--only", *CHEAP)


@pytest.mark.slow
def test_all_floors_are_those_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    render(monkeypatch, "--check")


@pytest.mark.parametrize(
    ("task", "old", "new", "options"),
    [
        ("parity", "0.25 /", "0.24 /", ()),
        ("edge-copy", " 0 / 0 ", " 0 / 0.1 ", ()),
        ("negate", "400 numbers", "300 numbers", ("--keep-floors",)),
        ("edge-copy", "nodes=15", "nodes=16", ("--keep-floors",)),
    ],
)
def test_a_row_edited_by_hand_is_found_and_mended(
    page: Path,
    monkeypatch: pytest.MonkeyPatch,
    task: str,
    old: str,
    new: str,
    options: tuple[str, ...],
) -> None:
    before = page.read_text()
    edit(page, task, old, new)
    with pytest.raises(SystemExit, match="differs"):
        render(monkeypatch, "--check", "--page", page, "--only", task, *options)
    render(monkeypatch, "--page", page, "--only", task, *options)
    assert page.read_text() == before


def test_a_missing_row_is_asked_for(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page.write_text(re.sub(r"^\| `negate` .*\n", "", page.read_text(), flags=re.MULTILINE))
    with pytest.raises(SystemExit, match="no row of negate"):
        render(monkeypatch, "--page", page, "--only", "parity")
    with pytest.raises(SystemExit, match="no task nothing"):
        render(monkeypatch, "--page", page, "--only", "nothing")


def test_rooms_are_listed_and_drawn_in_the_order_of_imports() -> None:
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    rooms = linter["contracts"][0]["layers"][::-1]
    assert len(rooms) > 20
    table = (ROOT / "docs" / "rooms.md").read_text().partition("<!-- rooms -->")[2]
    rows = re.findall(r"^\| `([\w/.]+)` \|.*\| `([\w/.]+)` \|$", table, re.MULTILINE)
    assert [re.sub(r"/$|\.py$", "", name) for name, _ in rows] == rooms
    source = ROOT / "irem_core" / "src" / "irem_core"
    assert all((source / path).exists() for row in rows for path in row)
    # The drawing has its floors from the roof down.
    drawn = (ROOT / "docs" / "images" / "rooms.svg").read_text()
    boxes = re.findall(r'class="room".* y="(\d+)".*>([\w.]+)</text>', drawn)
    house = [each for each in boxes if not each[1].startswith("irem_")]
    floors = sorted(house, key=lambda each: -int(each[0]))
    assert [name.removesuffix(".py") for _, name in floors] == rooms


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/rooms.md", "docs/energies.md"])
def test_files_that_pages_name_exist(page: str) -> None:
    packages = [ROOT / name / "src" for name in ("irem_core", "irem_tasks", "irem_baselines")]
    folders = [ROOT, packages[0] / "irem_core", *packages]
    named = re.findall(r"`([\w/]+/(?:\w+\.py)?)`", (ROOT / page).read_text(encoding="utf-8"))
    assert named
    assert [each for each in named if not any((f / each).exists() for f in folders)] == []
