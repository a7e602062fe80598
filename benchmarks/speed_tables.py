"""Tables of what the benchmarks measured, one for each machine that results/benchmarks knows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from irem_baselines.reproduce.book import Table, figure
from targets import TARGETS, rows

MEBIBYTE = 2**20


def recorded(results: Path, script: str, machine: str = "*") -> Iterator[dict[str, Any]]:
    """Yield what a benchmark measured, on one machine after the other."""
    for file in sorted(results.glob(f"{machine}/{script}.json")):
        yield json.loads(file.read_text(encoding="utf-8"))


def speed(results: Path) -> Iterator[Table]:
    """Yield what was to be reached, and what was."""
    for folder in sorted(each for each in results.iterdir() if each.is_dir()):
        listed = [list(each) for each in rows(folder)]
        measured = next(recorded(folder.parent, TARGETS[0].script, folder.name), None)
        if measured is not None:
            columns = ["", "to reach", "reached", ""]
            yield table("Speed", columns, listed, hardware(measured))


def iterations(results: Path) -> Iterator[Table]:
    """Yield what `benchmarks/iterations.py` measured of training with the defaults."""
    for measured in recorded(results, "iterations"):
        listed = [
            [name, each["energy"], str(each["batch_size"]), *spread(each["milliseconds"], "{:.1f}")]
            for name, each in measured["tasks"].items()
        ]
        gibibytes = measured["large_update_bytes"] / 2**30
        large = f"An update on 16 graphs of 100 nodes takes {gibibytes:.1f} GiB."
        columns = ["task", "energy", "fresh problems", "ms an iteration", "range"]
        yield Table(
            title="Iterations",
            columns=columns,
            rows=listed,
            notes=[f"{hardware(measured)} {large}"],
        )


def energies(results: Path) -> Iterator[Table]:
    """Yield rates, work and memory of each energy."""
    for measured in recorded(results, "energies"):
        listed = [
            [
                each["space"],
                each["energy"],
                each["task"],
                figure(each["training_milliseconds"]["median"]),
                f"{each['problems_per_second']:,.0f}",
                f"{each['evaluations_mean']:.1f}",
                f"{each['memory_bytes'] / MEBIBYTE:,.0f}",
            ]
            for each in measured["rows"]
        ]
        columns = ["space", "energy", "task", "ms an iteration", "problems solved a second"]
        columns += ["energy evaluations each", "MiB in training"]
        yield table("Energies", columns, listed, hardware(measured))


def products(results: Path) -> Iterator[Table]:
    """Yield the rates of float32 products by torch's own library and by oneDNN."""
    for measured in recorded(results, "products"):
        listed = [
            [
                name,
                " x ".join(map(str, each["shape"])),
                *(f"{each[side]['median']:.0f}" for side in ("torch_gflops", "onednn_gflops")),
                *spread(each["ratio"], "{:.2f}"),
            ]
            for name, each in measured["shapes"].items()
        ]
        columns = ["product", "shape", "torch, GFLOP/s", "oneDNN, GFLOP/s", "ratio", "range"]
        yield table("Products", columns, listed, hardware(measured))


def compiled(results: Path) -> Iterator[Table]:
    """Yield rates of training compiled, in bfloat16 and neither, and plain."""
    for measured in recorded(results, "train_speed"):
        listed = []
        for space in ("vector", "graph"):
            ways = [measured[f"{space}{way}"] for way in ("", ", compiled", ", bfloat16")]
            rates = [each["ours_iterations_per_second"]["median"] for each in ways]
            rates.append(ways[0]["plain_iterations_per_second"]["median"])
            listed.append([space, ways[0]["task"], *(f"{rate:.1f}" for rate in rates)])
        columns = ["space", "task", "ours", "ours, compiled", "ours, bfloat16", "plain"]
        yield table("Compiled", columns, listed, hardware(measured))


def large_file(results: Path) -> Iterator[Table]:
    """Yield what solving a file of many problems took, undisturbed and killed half-way."""
    for measured in recorded(results, "large_file"):
        listed = []
        for name in ("undisturbed", "until_killed", "resumed"):
            found = measured[name]
            peak = f"{found['peak_bytes'] / MEBIBYTE:,.0f}"
            listed.append([name.replace("_", " "), f"{found['seconds']:.0f}", peak])
        same = "the same" if measured["same_bytes"] else "OTHER"
        note = (
            f"{measured['problems']:,} problems, {measured['bytes'] / 2**30:.1f} GiB; resumed, the "
            f"answers are {same} bytes. {hardware(measured)}"
        )
        yield table("A large file", ["", "seconds", "peak MiB"], listed, note)


def sooner(results: Path) -> Iterator[Table]:
    """Yield the seconds to the paper's own errors."""
    for measured in recorded(results, "time_to_error"):
        listed = [
            [
                name,
                each["energy"],
                f"{each['iterations']:,}",
                *(f"{each['mse'][on]:.2g} ({paper})" for on, paper in each["published"].items()),
                f"{each['seconds']:.1f}",
                f"{each['plain_seconds']:,.0f}",
            ]
            for name, each in measured["tasks"].items()
        ]
        columns = ["task", "energy", "iterations", "same (published)", "harder (published)"]
        columns += ["seconds", "seconds of plain"]
        yield Table(
            title="Time to the paper's error",
            columns=columns,
            rows=listed,
            notes=[hardware(measured)],
        )


def fuzzing(results: Path) -> Iterator[Table]:
    """Yield how many inputs `tests/fuzz.py` fed to each reader, and what broke it."""
    for measured in recorded(results, "fuzzing"):
        listed = [
            [f"`{name}`", f"{each['inputs']:,}", f"{each['seconds']:.0f}", str(each["crashes"])]
            for name, each in measured["readers"].items()
        ]
        with_what = ", ".join(f"{name} {each}" for name, each in measured["versions"].items())
        columns = ["reader", "inputs", "seconds", "crashes"]
        yield table("Fuzzing", columns, listed, f"{hardware(measured)} With {with_what}.")


def table(title: str, columns: list[str], listed: list[list[str]], note: str) -> Table:
    return Table(title=title, columns=columns, rows=listed, notes=[note])


def hardware(measured: dict[str, Any]) -> str:
    """Say what was measured on."""
    machine = measured["machine"]
    return f"Hardware: {machine['processor']}, {machine['threads']} threads."


def spread(measured: dict[str, float], form: str) -> tuple[str, str]:
    """Write the median of repeated measurements, and their range."""
    low, high = (form.format(measured[end]) for end in ("low", "high"))
    return form.format(measured["median"]), f"{low} to {high}"


TABLES: dict[str, Callable[[Path], Iterator[Table]]] = {
    "compiled": compiled,
    "speed": speed,
    "iterations": iterations,
    "energies": energies,
    "products": products,
    "time-to-error": sooner,
    "large-file": large_file,
    "fuzzing": fuzzing,
}
