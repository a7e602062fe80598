"""Train small runs, write reports about them, and keep pictures of these for the documentation.

    python benchmarks/draw_report.py docs/images

It takes some minutes and needs chromium and chromedriver.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

import browser
from irem_core import Measuring, fit, load_task, recipe, write_report
from irem_core.training.callbacks import EvaluateEvery

# What is trained: a task, a solver, its energy or None, and for how many updates.
TRAINED = {
    "shortest-path": ("shortest-path", "irem", None, 400),
    "add": ("add(size=64)", "irem", "mlp(width=128)", 1000),
    "add-feedforward": ("add(size=64)", "feedforward(width=128)", None, 1000),
}
# Pictures by the runs of their page: what is shown, at which width, and whether in dark.
PICTURES = {
    ("add", "add-feedforward"): {
        "report-comparison": ("#comparison", 1100, False),
        "report-phone": ("#run-1 .solve", 390, True),
    },
    ("shortest-path",): {
        "report-calibration": ("#run-1 .energies", 700, True),
        "report-solve": ("#run-1 .solve", 1100, False),
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("out", type=Path, help="the folder of the pictures")
    given = parser.parse_args()
    missing = browser.missing()
    if missing:
        sys.exit(f"The pictures are taken by a browser, but {missing}.")
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for names, pictures in PICTURES.items():
            runs = [train(name, Path(folder) / name) for name in names]
            page = write_report(runs, Path(folder) / "report.html", measuring=Measuring())
            draw(page, given.out, pictures)


def train(name: str, folder: Path) -> Path:
    task_name, solver, energy, iterations = TRAINED[name]
    task = load_task(task_name)
    made = recipe(task, solver, energy=energy)
    watch = EvaluateEvery(iterations // 10, difficulties=("same", "harder"), problems=100)
    fit(
        made.solver,
        task,
        out=folder,
        callbacks=[watch],
        **dict(made.training) | {"iterations": iterations},
    )
    return folder


def draw(page: Path, folder: Path, pictures: Mapping[str, tuple[str, int, bool]]) -> None:
    """Take pictures of a page, with every solve where it halts."""
    with browser.browser() as window:
        for name, (part, width, dark) in pictures.items():
            file = folder / f"{name}.png"
            browser.look(window, page, width=width, dark=dark)
            halt = "document.querySelectorAll('.halt').forEach((button) => button.click())"
            window.execute_script(halt)
            browser.picture(window, file, part=part)
            with Image.open(file) as taken:
                # 256 colours, which a third of the bytes hold.
                taken.convert("RGB").quantize(256).save(file, optimize=True)


if __name__ == "__main__":
    main()
