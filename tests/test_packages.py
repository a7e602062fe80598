"""The three packages as packages: what they import, say, export and install."""

import ast
import inspect
import json
import os
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from zipfile import ZipFile

import pytest
from hatchling.builders.wheel import WheelBuilder

import irem_core
from trainings import run_python

ROOT = Path(__file__).parents[1]
PACKAGES = ("irem_core", "irem_tasks", "irem_baselines")
SOURCES = {name: sorted((ROOT / name / "src" / name).rglob("*.py")) for name in PACKAGES}
FILES = [file for files in SOURCES.values() for file in files]
ABOUT_400 = 400


def shown(file):
    return str(file.relative_to(ROOT))


def imports(file):
    """List what a file imports, as (module, name or None)."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{shown(file)} imports relatively"
            yield from ((node.module, alias.name) for alias in node.names)


def test_no_file_imports_itself_by_way_of_others():
    """Imports for types and those within functions included; lint-imports has what rooms may."""
    modules = {module_of(file): file for file in FILES}
    assert len(modules) > 100
    found = {}
    for name, file in modules.items():
        named = {(f"{module}.{each}", module) for module, each in imports(file)}
        # What is imported from a package is a module of it, or a name that its own file has.
        hit = {inner if inner in modules else outer for inner, outer in named}
        found[name] = hit & modules.keys() - {name}
    assert sum(map(len, found.values())) > 500
    TopologicalSorter(found).prepare()


def module_of(file):
    (source,) = (each for each in file.parents if each.name == "src")
    return ".".join(file.relative_to(source).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("file", FILES, ids=shown)
def test_files_are_short_and_their_public_names_are_documented(file):
    text = file.read_text()
    assert len(text.splitlines()) <= ABOUT_400
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "the module has no docstring"
    undocumented = [
        node.name
        for scope in ast.walk(tree)
        if isinstance(scope, ast.Module)
        or (isinstance(scope, ast.ClassDef) and not scope.name.startswith("_"))
        for node in scope.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
        and "overload" not in {getattr(each, "id", None) for each in node.decorator_list}
    ]
    assert not undocumented


def test_every_public_name_resolves_and_is_documented():
    assert len(set(irem_core.__all__)) == len(irem_core.__all__)
    for name in irem_core.__all__:
        value = getattr(irem_core, name)
        assert value is not None
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, name
            # A class without a docstring of its own shows its base's.
            bases = value.__mro__[1:] if isinstance(value, type) else ()
            assert value.__doc__ not in [base.__doc__ for base in bases], name
    assert {*dir(irem_core), "__version__"} == set(irem_core.__all__)
    with pytest.raises(AttributeError, match="minimise"):
        _ = irem_core.minimise


@pytest.mark.parametrize("package", ["irem_tasks", "irem_baselines"])
def test_names_that_the_other_packages_export(package):
    module = import_module(package)
    assert module.__all__
    for name in module.__all__:
        assert getattr(module, name).__doc__


LAZY = """
import sys
from types import ModuleType

import irem_core
assert not {"torch", "numpy", "torch_geometric", "typer", "rich"} & set(sys.modules)

import irem_core.registry
assert irem_core.IremError is irem_core.errors.IremError
assert not {"torch", "numpy", "torch_geometric"} & set(sys.modules)

# The modules come first here, and the names of functions later.
import irem_core.evaluation.evaluation, irem_core.solvers.composition, irem_core.training.fit
import irem_core.runs.checkpoint, irem_core.solving.minimization
assert not {"torch_geometric", "matplotlib"} & set(sys.modules)
modules = {n for n in irem_core.__all__ if isinstance(getattr(irem_core, n), ModuleType)}
utilities = {"checks", "provenance", "storage", "testing"}
assert modules == utilities | {"choices", "factor_graphs", "graphs", "trees"}
from irem_core import compose, evaluate, fit, load, minimize
assert all(map(callable, (compose, evaluate, fit, load, minimize)))
"""


def test_importing_costs_nothing_and_submodules_hide_no_name():
    run_python("-c", LAZY)


def test_import_from_the_root_finds_the_installed_package():
    """The folders of the root bear the packages' names."""
    printed = subprocess.run(
        [sys.executable, "-c", "import irem_core; print(irem_core.__file__)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert Path(printed.strip()).name == "__init__.py"


@pytest.mark.parametrize("package", PACKAGES)
def test_declared_version_and_dependencies(package):
    project = tomllib.loads((ROOT / package / "pyproject.toml").read_text())["project"]
    assert version(project["name"]) == project["version"]
    module = import_module(package)
    assert getattr(module, "__version__", project["version"]) == project["version"]
    names = {re.split(r"[<>=\[ ]", each)[0] for each in project["dependencies"]}
    used = {module.partition(".")[0] for file in SOURCES[package] for module, _ in imports(file)}
    third_party = used - set(sys.stdlib_module_names) - {package}
    optional = {
        re.split(r"[<>=\[ ]", each)[0]
        for extra in project.get("optional-dependencies", {}).values()
        for each in extra
    }
    provided = {name.replace("-", "_") for name in names | optional}
    # typer brings click and rich; irem-core brings what the other two build on.
    shared = {"torch", "attrs", "jaxtyping", "einops", "typer", "rich"}
    brought = {"click"} if package == "irem_core" else shared
    renamed = {
        "attr": "attrs",
        "skimage": "scikit_image",
        "PIL": "pillow",
        "sklearn": "scikit_learn",
    }
    assert {renamed.get(name, name) for name in third_party} <= provided | brought


def test_packages_ask_for_each_other_in_versions_that_exist():
    for package in ("irem_tasks", "irem_baselines"):
        project = tomllib.loads((ROOT / package / "pyproject.toml").read_text())["project"]
        (core,) = (each for each in project["dependencies"] if each.startswith("irem-core"))
        low, high = re.fullmatch(r"irem-core>=([\d.]+),<([\d.]+)", core).groups()
        numbers = [tuple(map(int, each.split("."))) for each in (low, irem_core.__version__, high)]
        assert numbers[0] <= numbers[1] < numbers[2]


@pytest.mark.parametrize("package", PACKAGES)
def test_types_are_shipped(package):
    assert (ROOT / package / "src" / package / "py.typed").exists()


def test_the_wheel_of_the_core_has_its_modules_and_templates(tmp_path):
    (wheel,) = WheelBuilder(str(ROOT / "irem_core")).build(
        directory=str(tmp_path), versions=["standard"]
    )
    root = ROOT / "irem_core" / "src"
    templates = [each for each in root.glob("irem_core/*/templates/**/*") if each.is_file()]
    assert {"page.html", "style.css", "test.py.txt", "card.md"} <= {each.name for each in templates}
    wanted = [*SOURCES["irem_core"], *templates, root / "irem_core" / "__init__.pyi"]
    with ZipFile(wheel) as opened:
        held = set(opened.namelist())
    assert {str(each.relative_to(root)) for each in wanted} <= held


def clean_environment(folder):
    """Build the wheels and an empty environment; return its programs and how to install there."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    folders = [str(ROOT / package) for package in PACKAGES]
    call([*pip, "wheel", "--no-deps", "-w", str(folder / "dist"), *folders], folder)
    assert len(list((folder / "dist").glob("*.whl"))) == 3
    call([sys.executable, "-m", "venv", str(folder / "venv")], folder)
    binaries = folder / "venv" / "bin"

    def install(*names):
        options = ["-c", str(ROOT / "constraints.txt"), "-f", str(folder / "dist")]
        python = [str(binaries / "python"), "-m", "pip", "--disable-pip-version-check", "-q"]
        call([*python, "install", *options, *names], folder)

    return binaries, install


@pytest.mark.slow
def test_wheels_install_in_a_clean_environment(tmp_path):
    """Each wheel with what it declares and nothing of this checkout."""
    binaries, install = clean_environment(tmp_path)
    install("irem-core")
    located = call(
        [binaries / "python", "-c", "import irem_core as i; print(i.__file__)"], tmp_path
    )
    assert str(tmp_path / "venv") in located
    everything = "import irem_core as i; [getattr(i, name) for name in i.__all__]"
    call([binaries / "python", "-c", everything], tmp_path)
    assert "pip install irem-tasks" in call([binaries / "irem", "list"], tmp_path)
    install("irem-tasks")
    train = ["train", "add(size=4)", "--iterations", "3", "--batch-size", "4", "--out", "run"]
    call([binaries / "irem", *train], tmp_path)
    assert (tmp_path / "run" / "model.safetensors").exists()
    install("irem-baselines")
    assert "feedforward" in call([binaries / "irem", "list"], tmp_path)


@pytest.mark.slow
def test_a_package_of_new_task_installs_passes_its_test_and_trains(tmp_path):
    """By the commands of its own README, where nothing but irem-core is installed."""
    binaries, install = clean_environment(tmp_path)
    install("irem-core")
    call([binaries / "irem", "new-task", "partial-sums"], tmp_path)
    folder = tmp_path / "partial-sums"
    readme = (folder / "README.md").read_text()
    (commands,) = re.findall(r"^```sh\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)
    assert len(commands.splitlines()) == 3
    called = call(
        ["sh", "-e", "-c", commands],
        folder,
        PATH=f"{binaries}{os.pathsep}{os.environ['PATH']}",
        PIP_CONSTRAINT=str(ROOT / "constraints.txt"),
    )
    assert "2 passed" in called
    (record,) = folder.rglob("evaluation.json")
    error = json.loads(record.read_text())["evaluation"]["same"]["mse"]
    # The best constant answer scores the mean of the sums' variances, (1 + ... + 8) / 8 / 3 = 1.5.
    assert error < 0.05


def call(command, folder, **variables):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    finished = subprocess.run(
        [str(each) for each in command],
        cwd=folder,
        env=environment | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout + finished.stderr
