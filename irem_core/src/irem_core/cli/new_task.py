"""`irem new-task`: a package with a task of one's own."""

from __future__ import annotations

import importlib.util
import keyword
import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from irem_core import __version__, checks
from irem_core.errors import RunExistsError, SettingError, StorageError
from irem_core.registry import TASKS, plugins

_LONGEST_NAME = 40
# What the written files import: a class of such a name would take its place.
_IMPORTED = frozenset({"ClassVar", "GradientDescent", "Problem", "Task", "Tensor", "VectorSpace"})


def new_task(
    task_name: Annotated[
        str, typer.Argument(metavar="NAME", help='The name of the task, such as "running-sum".')
    ],
    out: Annotated[
        Path | None, typer.Option(help="The package's folder, a new one; NAME if unset.")
    ] = None,
) -> None:
    """Write a package with a task of your own, which installs, passes its test and trains at once.

    The task begins as running sums; put your own problems in its place. Once the package is
    installed, irem finds the task by its name.
    """
    names = check_name(task_name)
    folder = out or Path(task_name)
    checks.check_path(folder)
    if folder.exists() or folder.is_symlink():
        raise RunExistsError(
            f"{folder} exists already, and nothing in it was changed; choose another folder with "
            "--out, or another name."
        )
    # After the folder, since what lies in the current folder may be importable from there.
    _check_free(names)
    _write(folder, _files(names))
    # What quotes an argument on Windows is made for it alone.
    quoted = subprocess.list2cmdline([folder]) if os.name == "nt" else shlex.quote(str(folder))
    typer.echo(
        f"The package is in {folder}. Next:\n\n"
        f"  cd {quoted}\n"
        '  pip install -e ".[test]"\n'
        "  pytest\n"
        f"  irem train {task_name} --iterations 1000"
    )


def check_name(name: str) -> dict[str, str]:
    """Check a task's name and return what the files of its package are filled in with.

    Args:
        name: lower-case words joined by hyphens.

    Returns:
        The `name`, its `module`, the `title` of its class, and what it needs of the `core`.

    Raises:
        SettingError: the name cannot be a task's, a module's or a class's.
    """
    if len(name) > _LONGEST_NAME or not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise SettingError(
            f"The name {name!r} cannot be used; expected lower-case words joined by hyphens, such "
            f'as "running-sum", that begin with a letter and have at most {_LONGEST_NAME} '
            "characters."
        )
    module = name.replace("-", "_")
    if keyword.iskeyword(module):
        raise SettingError(
            f"The name {name!r} is a word of the Python language, so no module can bear it; choose "
            "another, such as two words joined by a hyphen."
        )
    if checks.reserved(name):
        raise SettingError(
            f"The name {name!r} is a device's on Windows, which can have no folder of that name; "
            "choose another."
        )
    title = "".join(word.capitalize() for word in name.split("-"))
    if title in _IMPORTED:
        raise SettingError(
            f"The name {name!r} would make a class {title}, which stands for something else in "
            "the same file; choose another."
        )
    major, minor = map(int, __version__.split(".")[:2])
    core = f"irem-core>={major}.{minor},<{major}.{minor + 1}"
    return {"name": name, "module": module, "title": title, "core": core}


def _check_free(names: dict[str, str]) -> None:
    """Check that a package of these names takes nothing else's place.

    Raises:
        SettingError: a task, module or distribution bears the name.
    """
    name, module = names["name"], names["module"]
    for plugin in plugins(TASKS):
        if plugin.name == name:
            raise SettingError(
                f"The name {name!r} is that of an installed task, of {plugin.distribution}; choose "
                "another, or uninstall that package."
            )
    if module in sys.stdlib_module_names or importlib.util.find_spec(module) is not None:
        raise SettingError(
            f"The name {name!r} would hide the installed module {module!r} from everything that "
            "imports it; choose another."
        )
    try:
        version = distribution(name).version
    except PackageNotFoundError:
        return
    raise SettingError(
        f"The name {name!r} is that of an installed package ({name} {version}), which installing "
        "yours would remove; choose another."
    )


def _files(names: dict[str, str]) -> dict[str, str]:
    """Return the content of each file, by its path in the package's folder."""
    module = names["module"]
    templates = files("irem_core.cli") / "templates" / "task"
    paths = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"src/{module}/__init__.py": "task.py",
        f"tests/test_{module}.py": "test.py",
    }
    written = {
        path: Template((templates / f"{template}.txt").read_text("utf-8")).substitute(names)
        for path, template in paths.items()
    }
    return written | {f"src/{module}/py.typed": ""}


def _write(folder: Path, contents: dict[str, str]) -> None:
    """Write a folder beside its place first, so that it is there whole or not at all.

    Raises:
        StorageError: writing failed.
    """
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        for path, text in contents.items():
            file = unfinished / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        unfinished.rename(folder)
    except OSError as error:
        raise StorageError(
            f"{folder} could not be written ({error.strerror}); free some space, or choose another "
            "folder with --out."
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
