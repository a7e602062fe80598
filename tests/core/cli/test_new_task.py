from __future__ import annotations

import ast
import json
import runpy
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from commands import Irem
from irem_core.cli.new_task import _IMPORTED
from irem_core.testing import check_task
from trainings import run_python

ROOT = Path(__file__).parents[3]
LONGEST = "a-name-of-forty-characters-and-not-more9"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Make a written package importable and known, as pip would."""
    before = set(sys.modules)

    def call(folder: Path) -> None:
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        name, version = project["name"], project["version"]
        info = folder / "src" / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = [
            f"{task} = {place}" for task, place in project["entry-points"]["irem.tasks"].items()
        ]
        (info / "entry_points.txt").write_text("\n".join(["[irem.tasks]", *lines, ""]))
        monkeypatch.syspath_prepend(folder / "src")

    yield call
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def test_a_written_package_is_found_keeps_the_contract_and_trains(
    irem: Irem, install: Callable[[Path], None], tmp_path: Path
) -> None:
    written = irem("new-task", "partial-sums")
    assert written.status == 0
    assert "irem train partial-sums" in written.out
    folder = tmp_path / "partial-sums"
    install(folder)

    from partial_sums import PartialSums  # type: ignore[import-not-found]

    check_task(PartialSums(size=3))
    tests = runpy.run_path(str(folder / "tests" / "test_partial_sums.py"))
    found = [tests[name] for name in tests if name.startswith("test_")]
    assert len(found) == 2
    for test in found:
        test()

    training = ["--energy", "mlp(width=16)", "--iterations", 5, "--problems", 20, "--json"]
    trained = irem("train", "partial_sums(size=4)", *training, "--out", "run")
    assert trained.status == 0, trained
    assert set(json.loads(trained.out)["evaluation"]) == {"same", "harder"}
    assert "irem-core" in (folder / "pyproject.toml").read_text()
    # Its name is now taken.
    assert (
        "of partial-sums; choose another"
        in irem("new-task", "partial-sums", "--out", "b").mistake()
    )


@pytest.mark.parametrize("name", ["partial-sums", "x", "sat-3", LONGEST])
def test_what_is_written(irem: Irem, tmp_path: Path, name: str) -> None:
    module = name.replace("-", "_")
    folder = tmp_path / "some where" / "deep"
    assert f"cd '{folder}'" in irem("new-task", name, "--out", folder).out
    files = sorted(str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file())
    assert files == [
        "README.md",
        "pyproject.toml",
        f"src/{module}/__init__.py",
        f"src/{module}/py.typed",
        f"tests/test_{module}.py",
    ]
    assert [each.name for each in folder.parent.iterdir()] == ["deep"]
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    title = "".join(word.capitalize() for word in name.split("-"))
    assert project["name"] == name
    assert project["entry-points"] == {"irem.tasks": {name: f"{module}:{title}"}}
    assert project["dependencies"] == ["irem-core>=0.1,<0.2"]
    assert project["optional-dependencies"] == {"test": ["pytest"]}
    readme = (folder / "README.md").read_text()
    for command in ('pip install -e ".[test]"\n', "pytest\n", f"irem train {name} "):
        assert command in readme
    # The workspace's rules, where the package's own source is what it takes for its own.
    rules = ["--config", ROOT / "pyproject.toml", "--config", 'src = ["src"]', "--no-cache"]
    for command in (["check"], ["format", "--check"]):
        run = [sys.executable, "-m", "ruff", *command, *rules, "."]
        checked = subprocess.run(run, cwd=folder, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.slow
def test_what_is_written_has_types(irem: Irem, tmp_path: Path) -> None:
    irem("new-task", "partial-sums")
    rules = ["--strict", "--enable-error-code", "ignore-without-code", "--cache-dir"]
    run = [sys.executable, "-m", "mypy", *rules, tmp_path / "cache", "src", "tests"]
    checked = subprocess.run(
        list(map(str, run)),
        cwd=tmp_path / "partial-sums",
        env={"MYPYPATH": "src"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("", "words joined by hyphens"),
        ("Sums", "words joined by hyphens"),
        ("partial_sums", "words joined by hyphens"),
        ("partial sums", "words joined by hyphens"),
        ("partial--sums", "words joined by hyphens"),
        ("sums-", "words joined by hyphens"),
        ("3-sat", "begin with a letter"),
        ("sümme", "words joined by hyphens"),
        ("../sums", "words joined by hyphens"),
        ("sums\n", "words joined by hyphens"),
        (LONGEST + "a", "at most 40 characters"),
        ("class", "a word of the Python language"),
        ("add", "an installed task, of irem-tasks"),
        ("typing", "'typing'"),
        ("torch", "'torch'"),
        ("irem-core", "'irem_core'"),
        ("pytest-xdist", "pytest-xdist 3.8.0"),
        ("vector-space", "a class VectorSpace"),
    ],
)
def test_names_that_cannot_be_used(
    irem: Irem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, hint: str
) -> None:
    installed = tmp_path / "installed" / "pytest_xdist-3.8.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: pytest-xdist\nVersion: 3.8.0\n"
    )
    monkeypatch.syspath_prepend(installed.parent)
    assert hint in irem("new-task", name).mistake()
    assert list(tmp_path.iterdir()) == [installed.parent]


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_is_there_already_is_left_alone(irem: Irem, tmp_path: Path, kind: str) -> None:
    place = tmp_path / "sums"
    if kind == "folder":
        place.mkdir()
    elif kind == "file":
        place.write_text("mine")
    else:
        place.symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.rglob("*"))
    line = irem("new-task", "sums").mistake()
    assert "sums exists already" in line
    assert "--out" in line
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("broken", ["write_text", "rename"])
def test_a_failure_leaves_nothing_behind(
    irem: Irem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    calls = []
    right = getattr(Path, broken)

    def failing(self: Path, *args: object, **kwargs: object) -> object:
        calls.append(self)
        if len(calls) == 3 or broken == "rename":
            raise OSError(28, "No space left on device")
        return right(self, *args, **kwargs)

    monkeypatch.setattr(Path, broken, failing)
    result = irem("new-task", "sums")
    assert calls
    assert result.status == 1
    assert result.err.startswith("irem: sums could not be written (No space left on device)")
    assert result.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_under_a_file_is_refused(irem: Irem, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    result = irem("new-task", "sums", "--out", "file/sums")
    assert (result.status, result.err.count("\n")) == (1, 1)
    assert "Not a directory" in result.err


def test_classes_that_the_files_import_are_known(irem: Irem, tmp_path: Path) -> None:
    irem("new-task", "sums")
    imported = {
        alias.name
        for file in (tmp_path / "sums").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module != "sums"
        for alias in node.names
    }
    # Only these are spelt as the class of a task may be: a capital for each word, and no others.
    assert {name for name in imported if name[0].isupper() and not name[1].isupper()} == _IMPORTED


def test_writing_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from irem_core.cli import app; "
        "app(['new-task', 'sums'], standalone_mode=False); "
        "assert not {'torch', 'numpy'} & set(sys.modules)"
    )
    run_python("-c", code)
    assert (tmp_path / "sums" / "pyproject.toml").exists()
    shutil.rmtree(tmp_path / "sums")
