"""Reports: runs measured and drawn as one page of HTML, which needs no network and no server.

`gathering` measures, `stepping` follows single solves, `drawing` turns numbers into charts, and
`page` fills in the templates.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from irem_core.files.storage import replacing
from irem_core.report.gathering import Measuring, gather
from irem_core.report.page import render

__all__ = ["Measuring", "gather", "render", "write_report"]


def write_report(
    runs: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str] = "report.html",
    *,
    measuring: Measuring | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Measure runs and write one page about them, which replaces an earlier one.

    Args:
        runs: folders of runs, or model files.
        out: the page, a file of HTML.
        measuring: what to solve for it; a quick look if None.
        progress: told how many runs are done, and how many there are.

    Returns:
        The file written.

    Raises:
        SettingError: no run is given, or a setting is out of range.
        CheckpointError: a run cannot be read.
        UnknownNameError: a difficulty or a plug-in of a run is not known.
        StorageError: the page cannot be written.
    """
    paths = [Path(run) for run in runs]
    page = render(gather(paths, measuring or Measuring(), progress=progress))
    file = Path(out)
    with replacing(file) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return file
