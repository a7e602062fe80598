"""What keeps the project whole: wheels, versions, deprecations, citation and hooks."""

from __future__ import annotations

import ast
import email
import json
import re
import tomllib
import zipfile
from importlib import import_module
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder
from packaging.version import Version

import oldest
from irem_core import __version__
from irem_core.registry import KINDS

ROOT = Path(__file__).parents[1]
PACKAGES = oldest.PACKAGES


def project(package):
    return tomllib.loads((ROOT / package / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_wheel_holds_the_package_and_nothing_else(package, tmp_path):
    (built,) = WheelBuilder(str(ROOT / package)).build(directory=str(tmp_path))
    declared = project(package)
    stem = f"{package}-{declared['version']}"
    assert Path(built).name == f"{stem}-py3-none-any.whl"
    source = ROOT / package / "src"
    files = {
        str(each.relative_to(source))
        for each in source.rglob("*")
        if each.is_file() and "__pycache__" not in each.parts
    }
    about = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
    with zipfile.ZipFile(built) as wheel:
        assert set(wheel.namelist()) == files | {f"{stem}.dist-info/{each}" for each in about}
        metadata = email.message_from_bytes(wheel.read(f"{stem}.dist-info/METADATA"))
        points = wheel.read(f"{stem}.dist-info/entry_points.txt").decode()
    assert (metadata["Name"], metadata["License-Expression"]) == (declared["name"], "MIT")
    assert metadata["Requires-Python"] == ">=3.11"
    assert "Typing :: Typed" in metadata.get_all("Classifier")
    assert metadata.get_payload().strip() == (ROOT / package / "README.md").read_text().strip()
    modules = re.findall(r"= ([\w.]+):", points)
    assert modules
    for module in modules:
        path = module.replace(".", "/")
        assert {f"{path}.py", f"{path}/__init__.py"} & files, module


@pytest.mark.parametrize("package", PACKAGES)
def test_a_source_distribution_holds_what_a_wheel_is_built_of(package, tmp_path):
    import tarfile

    (built,) = SdistBuilder(str(ROOT / package)).build(directory=str(tmp_path))
    with tarfile.open(built) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "PKG-INFO"} <= names
    assert {f"src/{package}/__init__.py", f"src/{package}/py.typed"} <= names
    assert not [name for name in names if name.startswith(("tests", "results"))]


def test_all_versions_are_one():
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (.+)$", citation, re.MULTILINE).group(1) == __version__
    assert {project(package)["version"] for package in PACKAGES} == {__version__}
    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_python_versions_are_those_of_the_classifiers():
    for package in PACKAGES:
        declared = project(package)
        named = [
            each.rpartition(" ")[2]
            for each in declared["classifiers"]
            if re.search(r"Python :: 3\.\d", each)
        ]
        assert named == ["3.11"]  # the tests have passed with no other yet
        assert declared["requires-python"] == f">={named[0]}"


def test_every_dependency_declares_its_oldest_version():
    """`make test-oldest` installs them; constraints.txt has the newest that are tested."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = (line.lower() for line in lines if not line.startswith("#"))
    newest = dict(line.split("==") for line in pinned)
    found = oldest.oldest()
    assert {"torch", "numpy", "attrs", "scipy"} <= found.keys()
    for name, version in found.items():
        assert Version(version) <= Version(newest[name]), name


def deprecations(source):
    """Find the texts of `deprecated` in a source."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "deprecated":
            yield node.args[0].value


def overdue(text, version):
    """Say whether what was deprecated with a text may go, or should have said since when."""
    since = re.match(r"since (\d+)\.(\d+): \S", text)
    if since is None:
        return True
    major, minor = map(int, since.groups())
    now = Version(version)
    return (now.major, now.minor) > (major, minor + 1)


def test_deprecations_say_since_when_and_are_removed_in_time():
    for package in PACKAGES:
        for file in (ROOT / package / "src").rglob("*.py"):
            late = [text for text in deprecations(file.read_text()) if overdue(text, __version__)]
            assert not late, file
    source = "@deprecated('since 0.1: use minimize')\ndef minimise(): ...\n"
    assert list(deprecations(source)) == ["since 0.1: use minimize"]
    assert not overdue("since 0.1: use minimize", "0.1.0")
    assert not overdue("since 0.1: use minimize", "0.2.3")
    assert overdue("since 0.1: use minimize", "0.3.0")
    assert overdue("since 0.1: use minimize", "1.0.0")
    assert overdue("use minimize", "0.1.0")


def test_records_name_no_folder_of_a_machine():
    for file in (ROOT / "results").rglob("*.json"):
        for word in str(json.loads(file.read_text()).get("command", "")).split():
            assert not Path(word).is_absolute(), file


def test_the_guide_names_every_kind_of_part_and_its_contract():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    testing = import_module("irem_core.testing")
    for group in KINDS:
        assert f"`{group}`" in text
    for name in set(testing.__all__) - {"check_part"}:
        assert f"`{name}`" in text
    for model in re.findall(r"`(irem_\w+)/([\w/]+\.py)`", text):
        assert (ROOT / model[0] / "src" / "/".join(model)).exists(), model


def test_hooks_run_what_make_test_runs():
    hooks = re.findall(r"entry: \.venv/bin/(.+)", (ROOT / ".pre-commit-config.yaml").read_text())
    steps = re.findall(r"^\t\$\(BIN\)/(ruff.*|mypy.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert [each.replace(" --force-exclude", " .") for each in hooks] == steps
    assert "://" not in (ROOT / ".pre-commit-config.yaml").read_text()
