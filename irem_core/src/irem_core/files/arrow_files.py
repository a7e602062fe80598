"""Parquet and Feather files, by way of pyarrow, the extra irem-core[tables]."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from irem_core.errors import SettingError

_MODULES = {".parquet": "pyarrow.parquet", ".feather": "pyarrow.feather"}
ENDINGS = tuple(_MODULES)
"""The endings of the files that pyarrow reads and writes."""


def read_arrow(file: Path) -> Any:
    """Return the `pyarrow.Table` that a file holds.

    Raises:
        SettingError: pyarrow is not installed.
        Exception: whatever pyarrow raises of a damaged file.
    """
    return _module(file.suffix).read_table(str(file))


def write_arrow(file: Path, columns: Mapping[str, Any], ending: str) -> None:
    """Write columns by name, in the format that the ending names.

    Raises:
        SettingError: pyarrow is not installed.
        OSError: writing failed.
    """
    module = _module(ending)
    write = module.write_table if ending == ".parquet" else module.write_feather
    write(import_module("pyarrow").table(dict(columns)), str(file))


def _module(ending: str) -> Any:
    try:
        return import_module(_MODULES[ending.lower()])
    except ModuleNotFoundError as error:
        raise SettingError(
            "Parquet and Feather files are read and written with pyarrow, which is not installed: "
            'pip install "irem-core[tables]". Files of .csv need nothing.'
        ) from error
