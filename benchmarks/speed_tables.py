"""Tables of what the benchmarks measured, on the machines that results/benchmarks knows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from irem_baselines.reproduce.book import Table, figure
from irem_core.testing.zoo import ZOO, KnownProblem, SquaresEnergy
from targets import machines, rows

MEBIBYTE = 2**20
WAYS = (", compiled", ", bfloat16")
Figures = dict[str, Any]


def recorded(results: Path, script: str) -> list[Figures]:
    """Read what a benchmark measured, on one machine after the other."""
    files = sorted(results.glob(f"*/{script}.json"))
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]


def speed(results: Path) -> Iterator[Table]:
    """Yield what was to be reached, and what each machine reached."""
    found = machines(results)
    if found:
        # What is counted rather than timed may have had fewer threads.
        measured = [max(each.values(), key=lambda one: one["machine"]["threads"]) for each in found]
        columns = ["", "to reach", *map(processor, measured), "on the worst"]
        yield table("Speed", columns, list(rows(found)), hardware(*measured))


def compiled(results: Path) -> Iterator[Table]:
    """Yield how many times as fast as plain training is, compiled, in bfloat16 and neither."""
    measured = recorded(results, "train_speed")
    ways = [f"{space}{way}" for space in ("vector", "graph") for way in ("", *WAYS)]
    listed = [
        [way, *(f"{each[way]['ratio']['median']:.2f}" if way in each else "-" for each in measured)]
        for way in ways
    ]
    if measured:
        yield table("Compiled", ["", *map(processor, measured)], listed, hardware(*measured))


def iterations(measured: Figures) -> Table:
    """Tabulate what `benchmarks/iterations.py` measured of training with the defaults."""
    listed = [
        [name, each["energy"], str(each["batch_size"]), *spread(each["milliseconds"], "{:.1f}")]
        for name, each in measured["tasks"].items()
    ]
    gibibytes = measured["large_update_bytes"] / 2**30
    large = f"An update on 16 graphs of 100 nodes takes {gibibytes:.1f} GiB."
    columns = ["task", "energy", "fresh problems", "ms an iteration", "range"]
    return table("Iterations", columns, listed, f"{hardware(measured)} {large}")


def energies(measured: Figures) -> Table:
    """Tabulate rates, work and memory of each energy."""
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
    return table("Energies", columns, listed, hardware(measured))


def large_file(measured: Figures) -> Table:
    """Tabulate what solving a file of many problems took, undisturbed and killed half-way."""
    listed = [
        [
            name.replace("_", " "),
            f"{measured[name]['seconds']:.0f}",
            f"{measured[name]['peak_bytes'] / MEBIBYTE:,.0f}",
        ]
        for name in ("undisturbed", "until_killed", "resumed")
    ]
    same = "the same" if measured["same_bytes"] else "OTHER"
    note = (
        f"{measured['problems']:,} problems, {measured['bytes'] / 2**30:.1f} GiB; resumed, the "
        f"answers are {same} bytes. {hardware(measured)}"
    )
    return table("A large file", ["", "seconds", "peak MiB"], listed, note)


def sooner(measured: Figures) -> Table:
    """Tabulate the seconds to the paper's own errors."""
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
    return table("Time to the paper's error", columns, listed, hardware(measured))


def fuzzing(measured: Figures) -> Table:
    """Tabulate how many inputs `tests/fuzz.py` fed to each reader, and what broke it."""
    listed = [
        [f"`{name}`", f"{each['inputs']:,}", f"{each['seconds']:.0f}", str(each["crashes"])]
        for name, each in measured["readers"].items()
    ]
    with_what = ", ".join(f"{name} {each}" for name, each in measured["versions"].items())
    columns = ["reader", "inputs", "seconds", "crashes"]
    return table("Fuzzing", columns, listed, f"{hardware(measured)} With {with_what}.")


def descents(measured: Figures) -> Table:
    """Tabulate the evaluations that descents and scipy's methods take to minima."""
    said = {"refused": "-", "elsewhere": "other", "stopped": "stops"}
    said["too many"] = f"> {measured['most']:,}"
    problems = measured["problems"]
    methods = list(next(iter(problems.values())))
    listed = [
        [f"`{name}`", *(said.get(row[each], str(row[each])) for each in methods)]
        for name, row in problems.items()
    ]
    taken = {each: [row[each] for row in problems.values()] for each in methods}
    reached = [sum(isinstance(each, int) for each in taken[method]) for method in methods]
    listed.append(["reached", *map(str, reached)])
    ratios = "; ".join(
        f"{each['ratio']:.2f} for {name} to {each['to']}, which fail on {each['failures'][0]} and "
        f"{each['failures'][1]} of the {each['problems']} that both take"
        for name, each in measured["compared"].items()
    )
    return table("Descents", ["", *methods], listed, f"Median ratio of evaluations: {ratios}.")


def many_problems(measured: Figures) -> Table:
    """Tabulate how much sooner a batch of problems is solved than by a loop over scipy."""
    listed = [
        [
            f"`{name}`",
            f"{each['seconds']['median']:.2f}",
            *(
                "-" if by not in each["ratio"] else "{} ({} to {})".format(
                    *(f"{each['ratio'][by][end]:.0f}" for end in ("median", "low", "high"))
                )
                for by in ("torch", "scipy")
            ),
            *(f"{share:.1%}" for share in each["reached"]),
        ]
        for name, each in measured["zoo"].items()
    ]  # fmt: skip
    columns = ["problem", "seconds", "times as fast", "than scipy's own function"]
    columns += ["within 1e-8", "scipy"]
    note = (
        f"{measured['problems']:,} of each, the loop over {measured['sample']:,} of them. "
        f"Median: {measured['median']:.0f} times as fast. {hardware(measured)}"
    )
    return table("Many problems", columns, listed, note)


def residual_energies(measured: Figures) -> Table:
    """Tabulate the steps and evaluations of each descent down trained energies."""
    runs = measured["runs"]
    names = list(next(iter(runs.values()))["descents"])
    listed = [
        [title, f"{run['goal']:.1e}", *(_steps(run["descents"].get(name)) for name in names)]
        for title, run in runs.items()
    ]
    note = f"{measured['problems']} problems each. {hardware(measured)}"
    return table("Trained energies", ["", "error", *names], listed, note)


def _steps(taken: Figures | None) -> str:
    """Write steps and the evaluations that they take."""
    if taken is None or taken["steps"] is None:
        return "-"
    return f"{taken['steps']} ({taken['evaluations']:.1f})"


def optimistix(measured: Figures) -> Table:
    """Tabulate how problems of many lengths compare with optimistix."""
    listed = [
        [
            title,
            method,
            *(f"{each[side]['seconds']['median']:.2f}" for side in ("eager", "compiled")),
            f"{each['optimistix']['seconds']['median']:.2f}",
            *("{} ({} to {})".format(
                *(f"{each[side]['ratio'][end]:.2f}" for end in ("median", "low", "high"))
            ) for side in ("eager", "compiled")),
            " / ".join(f"{number:.0f}" for number in each["eager"]["steps"]),
            " / ".join(f"{number:.0f}" for number in each["optimistix"]["steps"]),
        ]
        for title, case in measured["cases"].items()
        for method, each in case["against"].items()
    ]  # fmt: skip
    columns = ["problems", "its method", "seconds, eager", "compiled", "its", "its : eager"]
    columns += ["its : compiled", "steps (5 %, half, 95 %, all)", "its"]
    shares = "; ".join(
        f"{title}: " + ", ".join(f"{part} {share:.0%}" for part, share in case["profile"].items())
        for title, case in measured["cases"].items()
    )
    note = f"Where the time of a step goes, eager: {shares}. {hardware(measured)}"
    return table("Optimistix", columns, listed, note)


def halting(measured: Figures) -> Table:
    """Tabulate what halting rules said on the zoo of test problems, and how much of it is false."""
    counts = [("CONVERGED", "false"), ("STALLED", None), ("BUDGET_SPENT", None)]
    listed = [
        [
            name,
            str(sum(each["settled"]["outcomes"].values())),
            *_said(each["settled"], counts),
            *_said(each["energy-plateau"], counts[:1]),
            _ratio(each["settled"]["fairly"], each["energy-plateau"]["fairly"]),
        ]
        for name, each in measured["descents"].items()
    ]
    columns = ["descent", "cases", "`settled`: converged (false)", "stalled", "budget spent"]
    columns += ["`energy-plateau`: converged (false)", "evaluations, ratio"]
    note = (
        f"{measured['problems']} problems, {measured['starts']} starts each, in float32 and "
        f"float64; rules are asked for {measured['steps']} steps, and answers watched for "
        f"{measured['onward']} more. Evaluations are those of `settled` over those of "
        f"`energy-plateau` where the latter is not false. {hardware(measured)}"
    )
    return table("Halting", columns, listed, note)


def halting_tasks(measured: Figures) -> Table:
    """Tabulate what halting rules spend on the energies of tasks, as one would write them."""
    listed = [
        [
            name,
            *(
                f"{rules[rule]['evaluations']:.0f} ({rules[rule]['energy']:.1e})"
                for rule in ("settled", "energy-plateau")
            ),
            _ratio(rules["settled"]["evaluations"], rules["energy-plateau"]["evaluations"]),
        ]
        for name, rules in measured["tasks"].items()
    ]
    columns = ["task, descent", "`settled`: evaluations (energy)"]
    columns += ["`energy-plateau`: evaluations (energy)", "ratio"]
    note = "Means of harder problems. Where energies differ, the higher one has not arrived."
    return table("Halting on tasks", columns, listed, note)


def _ratio(one: float, other: float) -> str:
    """Write how many times as much one is as another."""
    return f"{one / other:.2f}" if other else "-"


def _said(counted: Figures, names: Iterable[tuple[str, str | None]]) -> list[str]:
    """Write how often a rule said what, and how often that was false."""
    said = [(str(counted["outcomes"].get(name, 0)), aside) for name, aside in names]
    return [many if aside is None else f"{many} ({counted[aside]})" for many, aside in said]


def known_problems(results: Path) -> Iterator[Table]:
    """Yield the zoo of test problems."""
    listed = [
        [
            f"`{name}`",
            str(len(known.start)),
            f"{known.minimum:.6g}",
            ", ".join(_kinds(known)) or "-",
            known.source,
        ]
        for name, known in ZOO.items()
    ]
    columns = ["problem", "entries", "minimum", "kind", "source"]
    yield Table(title="Zoo", columns=columns, rows=listed)


def _kinds(known: KnownProblem) -> Iterator[str]:
    """Say what is special about a test problem."""
    if isinstance(known.energy, SquaresEnergy):
        yield "sum of squares"
    if not known.smooth:
        yield "has kinks"
    if known.local:
        yield "other minima"
    if known.low is not None or known.high is not None:
        yield "bounded"


def table(title: str, columns: list[str], listed: list[list[str]], note: str) -> Table:
    return Table(title=title, columns=columns, rows=listed, notes=[note])


def processor(measured: Figures) -> str:
    """Name a machine in the head of a column."""
    machine = measured["machine"]
    return ", ".join(str(machine[part]) for part in ("processor", "gpu") if part in machine)


def hardware(*measured: Figures) -> str:
    """Say what was measured on, and who measured where it was not `make bench`."""
    said = []
    for each in measured:
        source = f" ({each['machine']['source']})" if "source" in each["machine"] else ""
        said.append(f"{processor(each)}, {each['machine']['threads']} threads{source}")
    return f"Hardware: {'; '.join(said)}."


def spread(measured: dict[str, float], form: str) -> tuple[str, str]:
    """Write the median of repeated measurements, and their range."""
    low, high = (form.format(measured[end]) for end in ("low", "high"))
    return form.format(measured["median"]), f"{low} to {high}"


# One table for all machines, or one for each.
OVER_MACHINES: dict[str, Callable[[Path], Iterable[Table]]] = {
    "speed": speed,
    "compiled": compiled,
    "zoo": known_problems,
}
OF_MACHINES: dict[str, tuple[str, Callable[[Figures], Table]]] = {
    "iterations": ("iterations", iterations),
    "energies": ("energies", energies),
    "time-to-error": ("time_to_error", sooner),
    "large-file": ("large_file", large_file),
    "fuzzing": ("fuzzing", fuzzing),
    "descents": ("descents", descents),
    "many-problems": ("many_problems", many_problems),
    "residual-energies": ("residual_energies", residual_energies),
    "optimistix": ("optimistix", optimistix),
    "halting": ("halting", halting),
    "halting-tasks": ("halting", halting_tasks),
}


def tables(name: str, results: Path) -> Iterable[Table] | None:
    """Return the tables of a name, None where it is not one of these."""
    if name in OVER_MACHINES:
        return OVER_MACHINES[name](results)
    if name in OF_MACHINES:
        script, make = OF_MACHINES[name]
        return [make(each) for each in recorded(results, script)]
    return None
