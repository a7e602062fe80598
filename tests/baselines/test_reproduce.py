"""`irem reproduce`: what is trained and measured, and how records become tables and figures."""

import json
import math
import re
import subprocess
import sys
from io import TextIOBase
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from typer.testing import CliRunner

import pages
from irem_baselines.reproduce import extras, floors, measures, tables, verifiers
from irem_baselines.reproduce.book import Book, Table, figure, over_seeds
from irem_baselines.reproduce.cells import LEARNED, PAPER_TASKS, PYTHON, Cell, cell
from irem_baselines.reproduce.command import draw
from irem_baselines.reproduce.targets import TARGETS, find_cell
from irem_baselines.reproduce.worker import Folders, make_all
from irem_core import (
    IREM,
    FullUnroll,
    StorageError,
    UnknownNameError,
    evaluate,
    load_task,
    recipe,
)
from irem_core.cli import app


def record(task="add", name="irem", seed=0, energy="mlp", evaluation=None, **more):
    scores = {"mse": 0.5, "mse_last": 0.6, "mse_best_checkpoint": 0.4, "mse_by_step": {"1": 0.5}}
    return {
        "task": task,
        "solver": name,
        "energy": energy,
        "seed": seed,
        "iterations": 10_000,
        "parameters": 10,
        "train_seconds": 600.0,
        "threads": 1,
        "hardware": {"processor": "A processor", "cores": 2},
        "evaluation": {"same": scores, "harder": scores} if evaluation is None else evaluation,
        **more,
    }


def write(folder, method, **fields):
    made = record(name=method, **fields)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{made['task']}-{method}-{made['seed']}.json"
    file.write_text(json.dumps(made))
    return made


def keep_floors(folder, task, floors):
    """Write constant and entrywise answers beside a folder of records, by difficulty."""
    (folder.parent / "floors").mkdir(exist_ok=True)
    kept = {
        name: {"constant": constant, "entrywise": entrywise, "problems": 100}
        for name, (constant, entrywise) in floors.items()
    }
    file = folder.parent / "floors" / f"{task}.json"
    file.write_text(json.dumps({"task": task, "floors": kept}))


def test_every_target_is_of_cells_that_are_found_by_their_files():
    for target in TARGETS.values():
        for seed in range(2):
            for each in target.trainings(seed + 1):
                assert find_cell(each.name) == each
    with pytest.raises(UnknownNameError, match="no table, figure or cell 'add-irem'"):
        find_cell("add-irem")
    with pytest.raises(UnknownNameError):
        find_cell("add-unknown-0")


def test_one_seed_of_every_cell_comes_before_a_second_of_any():
    cells = TARGETS["table1"].trainings(3)
    assert [each.seed for each in cells] == sorted(each.seed for each in cells)
    assert [(each.task, each.method) for each in cells[:6]] == [(t, "irem") for t in PAPER_TASKS]
    # 6 learned methods have all seeds, 3 references and the bound of completion one.
    assert len(cells) == 6 * (6 * 3 + 3) + 1
    assert len({each.name for each in cells}) == len(cells)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_what_a_target_needs_is_measured_on_its_cells(name):
    target = TARGETS[name]
    cells = target.trainings(1)
    assert set(target.measures) <= {each for one in cells for each in one.measures}
    assert all(each in measures.MEASURES for one in cells for each in one.measures)


def test_cells_train_as_their_command_says():
    assert cell("add", "irem-full-no-replay", 2).words() == [
        *("train", "add", "--solver", "irem(replay=0, backprop=full_unroll())"),
        *("--preset", "tuned", "--seed", "2", "--threads", "1", "--protocol", "paper"),
    ]
    quick = Cell(task="add", method="ponder", iterations=7)
    assert quick.process(Path("r"))[3:] == [*quick.words(), "--out", "r", "--resume"]
    assert quick.words()[-2:] == ["--iterations", "7"]


METHODS = {each.method: each for one in TARGETS.values() for each in one.trainings(1)}


@pytest.mark.parametrize("method", sorted(METHODS))
def test_what_a_cell_writes_on_the_command_line_is_understood(method):
    words = METHODS[method].words()
    options = dict(zip(words[2::2], words[3::2], strict=True))
    task = load_task(words[1])
    preset, energy = options.get("--preset"), options.get("--energy")
    built = recipe(task, options["--solver"], energy=energy, preset=preset).solver
    # The paper's tables are about the paper's energies, whatever the library's own default.
    ours = METHODS[method].folder == "verifiers"
    assert (preset == "tuned") == (isinstance(built, IREM) and not ours)
    if method.startswith("irem-full"):
        assert isinstance(built.backprop, FullUnroll)
    assert (getattr(built, "buffer", 0) is None) == method.endswith("no-replay")
    if method.startswith("irem-step-"):
        assert built.descent.step_size == float(method.removeprefix("irem-step-"))


def test_a_record_without_what_is_wanted_is_missing(tmp_path):
    folders = Folders(results=tmp_path, runs=tmp_path / "runs")
    wanted = Cell(task="add", method="irem", measures=("steps", "halting"))
    assert folders.missing([wanted]) == [wanted]
    write(tmp_path, "irem", measures={"steps": {}})
    assert folders.missing([wanted], ["steps"]) == []
    assert folders.missing([wanted], ["halting"]) == [wanted]
    # Of a measure that the cell does not have, nothing is missing.
    assert folders.missing([wanted], ["contours"]) == []
    larger = Cell(task="add", method="irem", difficulties=("scale=9",))
    assert folders.missing([larger]) == [larger]
    wanted.file(tmp_path).write_text("{")
    with pytest.raises(StorageError, match="cannot be read as JSON"):
        folders.missing([wanted])


def test_table_1_shows_medians_over_seeds_beside_published_figures(tmp_path):
    root, tmp_path = tmp_path, tmp_path / "paper"
    keep_floors(tmp_path, "add", {"same": (0.5, 0.01), "harder": (0.8, 0.0)})
    for seed, error in enumerate((0.3, 0.1, 0.2)):
        scores = {"mse": error, "mse_best_checkpoint": error / 2, "mse_by_step": {"1": error}}
        both = {"same": scores, "harder": scores}
        write(tmp_path, "irem", seed=seed, parameters=1234, evaluation=both)
    by_step = {str(step): 1 / step for step in range(1, 81)}
    scores = {"mse": by_step["80"], "mse_by_step": by_step, "steps_mean": 80.0}
    write(tmp_path, "recurrent", energy=None, evaluation={"same": scores, "harder": scores})
    scores = {"mse": 0.7, "mse_by_step": by_step, "steps_mean": 1.5}
    write(tmp_path, "ponder", energy=None, evaluation={"same": scores, "harder": scores})
    errors, findings = tables.table_1(Book(tmp_path))
    assert [row[2] for row in errors.rows[:13]] == ["1,234", "", "", "", "10", "10", *[""] * 7]
    rows = {(row[1]): row[3:] for row in errors.rows[:13]}
    error = "0.2 (0.1 to 0.3)"
    assert rows["irem"] == [error, "0.4", "0.0003", error, "0.25", "0.0021"]
    assert rows["irem, best checkpoint"][0] == "0.1 (0.05 to 0.15)"
    # After the five steps of its training, not after 80.
    assert rows["recurrent"] == ["0.2", "0.4", "0.361", "0.2", "0.25", "2.6133"]
    # That of the network's own halting.
    assert rows["ponder"][0] == "0.7"
    assert rows["constant of training"] == ["-", "-", "", "-", "-", ""]
    assert rows["constant fitted there"] == ["0.5", "1", "", "0.8", "1", ""]
    assert rows["entrywise fitted there"] == ["0.01", "0.02", "", "0", "0", ""]
    assert findings.rows[0][0] == "add, same"
    assert findings.rows[0][2] == "published recurrent, ponder, constant fitted there"
    # Without floors nothing is relative to them.
    (root / "floors" / "add.json").unlink()
    errors, findings = tables.table_1(Book(tmp_path))
    assert errors.rows[0][4] == errors.rows[0][7] == "-"
    assert errors.rows[11][0] == "matrix-completion"
    assert findings.rows[0][2] == "published recurrent, ponder"


@pytest.mark.parametrize(
    ("task", "same", "harder", "constant", "expected"),
    [
        ("add", 0.0006, 0.0035, 1.0, ["reached", "reached"]),
        ("add", 0.0009, 0.0042, 1.0, ["3.00 times the published", "2.00 times the published"]),
        ("shortest-path", 0.0315, 0.0533, 0.09, ["reached", "reached"]),
        ("shortest-path", 0.0315, 0.0533, 0.04, ["reached", "no better than a constant (0.0533)"]),
        ("matrix-completion", 0.01, 0.1, 1.0, ["not learned, as published"] * 2),
    ],
)
def test_a_cell_is_met_within_its_bar_and_below_the_constant(
    tmp_path, task, same, harder, constant, expected
):
    scores = {
        "same": {"mse": same, "mse_best_checkpoint": 0.0, "mse_by_step": {}},
        "harder": {"mse": 9.0, "mse_best_checkpoint": harder, "mse_by_step": {}},
    }
    write(tmp_path / "paper", "irem", task=task, evaluation=scores)
    keep_floors(tmp_path / "paper", task, {"same": (constant, None), "harder": (constant, None)})
    book = Book(tmp_path / "paper")
    assert [tables.verdict(book, task, each) for each in ("same", "harder")] == expected


def test_outputs_are_those_of_steps_and_of_halting(tmp_path):
    by_step = {str(step): 1 / step for step in range(1, 81)}
    scores = {"mse": 0.7, "mse_last": 0.0125, "mse_by_step": by_step, "steps_mean": 1.5}
    both = {"same": scores, "harder": scores | {"mse": 0.8}}
    drawn = {"same": {"mse": 0.9}, "harder": {"mse": 0.95}}
    write(tmp_path, "ponder", energy=None, evaluation=both, measures={"sampled": drawn})
    write(tmp_path, "recurrent", energy=None, evaluation=both)
    (table,) = extras.outputs(Book(tmp_path))
    assert table.rows == [
        ["add, same", "recurrent", "1", "0.2", "0.0125", "-", "-"],
        ["add, harder", "recurrent", "1", "0.2", "0.0125", "-", "-"],
        ["add, same", "ponder", "1", "0.2", "0.0125", "0.7", "0.9"],
        ["add, harder", "ponder", "1", "0.2", "0.0125", "0.8", "0.95"],
    ]


def test_halting_is_sampled_for_a_measure_alone():
    task = load_task("add", size=3)
    solver = recipe(task, "ponder(width=8)").solver
    found = measures.sampled(solver, task, {})
    assert set(found) == {"same", "harder"}
    assert solver.halt == "expected"
    solver.halt = "sampled"
    expected = evaluate(solver, task, difficulty="harder", seed=measures.SEED)
    assert found["harder"] == {"mse": expected.mse, "steps_mean": expected.steps_mean}


def test_table_2_relates_costs_to_those_with_replay_and_truncation(tmp_path):
    costs = {
        "irem": {"seconds": 0.1, "bytes": 200},
        "irem-full": {"seconds": 0.2, "bytes": 500},
        "irem-full-no-replay": {"seconds": 0.125, "bytes": 300},
    }
    write(tmp_path, "irem", task="shortest-path", measures={"cost": costs})
    (table,) = tables.table_2(Book(tmp_path))
    assert [row[-2:] for row in table.rows] == [
        ["80% (87%)", "150% (295%)"],
        ["50% (83%)", "250% (295%)"],
        ["100% (100%)", "100% (100%)"],
    ]


def test_table_4_counts_applications_and_operands(tmp_path):
    composed = {
        str(k): {"mse_by_application": [n / 100 for n in range(1, k + 1)]} for k in (2, 5, 10)
    }
    write(tmp_path, "irem", measures={"composition": composed})
    (table,) = tables.table_4(Book(tmp_path))
    assert [row[1:] for row in table.rows[:3]] == [
        ["2", "0.02", "0.01", "0.0014"],
        ["5", "0.05", "0.04", "0.0078"],
        ["10", "0.1", "0.09", "0.0422"],
    ]


def test_verifiers_stand_beside_the_papers_energy_and_what_bounds_both(tmp_path):
    ours, theirs = tmp_path / "verifiers", tmp_path / "paper"
    errors = {"same": 0.001, "harder": 0.002}
    both = {
        name: {"mse": error, "mse_by_step": {}, "accuracy": 0.985, "steps_mean": 12.5}
        for name, error in errors.items()
    }
    judge = {"same": {"auroc_of_tenth": 0.75}, "harder": {"auroc_of_tenth": 0.5}}
    sizes = {"50": {"problems": 20, "mse": 0.003, "steps_mean": 9.0, "seconds": 0.5}}
    for seed in range(3):
        write(
            ours,
            "irem-default",
            task="shortest-path",
            energy="pairwise",
            seed=seed,
            evaluation=both,
            measures={"sizes": sizes, "halting": judge},
        )
    write(theirs, "irem", task="shortest-path", energy="gine", evaluation=both)
    write(theirs, "constant", task="shortest-path", energy=None, evaluation=both)
    bounds = {"same": (0.01, 0.005), "harder": (0.02, None), "nodes=50": (0.002, 0.0015)}
    keep_floors(ours, "shortest-path", bounds)
    errors, judged, by_size = verifiers.table(Book(ours))
    scored = ["0.001", "0.1", "12.5", "0.002", "0.1", "12.5"]
    assert errors.rows[:6] == [
        [
            *("shortest-path", "pairwise", "10", "10 (10 to 10)"),
            *("0.001 (0.001 to 0.001)", "0.1", "12.5", "0.002 (0.002 to 0.002)", "0.1", "12.5"),
        ],
        ["", "gine, the paper's energy", "10", "10", *scored],
        ["", "published", "", "", "0.0274", "2.74", "", "0.0464", "2.32", ""],
        ["", "constant of training", "", "", *scored],
        ["", "constant fitted there", "", "", "0.01", "1", "", "0.02", "1", ""],
        ["", "entrywise fitted there", "", "", "0.005", "0.5", "", "-", "-", ""],
    ]
    ranked = ["0.75 (0.75 to 0.75)", "0.5 (0.5 to 0.5)"]
    assert judged.rows == [["shortest-path", "pairwise", *ranked, "98.50% right", "98.50% right"]]
    # At that size it is worse than one number.
    bounds = ["0.003 (0.003 to 0.003)", "0.002", "0.0015", "1.5"]
    assert by_size.rows == [["shortest-path, pairwise", "nodes=50", "20", *bounds, "9", "0.5"]]
    assert errors.rows[6][:2] == ["connected-components", "irem-default"]


def test_halted_answers_stand_beside_those_of_running_on(tmp_path):
    ways = {
        "halted": {"mse": 0.003, "steps_mean": 12.0, "evaluations_mean": 15.0},
        "on": {"mse": 0.002, "steps_mean": 400.0, "evaluations_mean": 800.0},
        "paper": {"mse": 0.004, "steps_mean": 9.0, "evaluations_mean": 10.0},
    }
    measured = {"problems": 200, "converged": 150, "moved": 2, **ways}
    both = {name: {"protocol": "solve", "mse": 0.003} for name in ("same", "harder")}
    options = {"task": "parity", "energy": "periodic", "evaluation": both}
    found = {"running-on": {"same": measured, "harder": measured}}
    write(tmp_path, "irem-default", **options, measures=found)
    # Of another protocol, and so left out.
    write(tmp_path, "irem-default", **{**options, "evaluation": {"same": {"mse": 9.0}}}, seed=1)
    (table,) = verifiers.running_on(Book(tmp_path))
    said = ["0.003", "12", "0.002", "1.5", "75.0%", "2", "0.004", "1.5"]
    assert table.rows == [
        ["parity, periodic", difficulty, *said] for difficulty in ("same", "harder")
    ]


def test_figure_2_tells_how_sizes_compare(tmp_path):
    by_step = {str(step): 1 / (1 + step) for step in range(41)}
    scores = {"nodes=30": {"mse": 0.1, "mse_by_step": by_step}}
    write(tmp_path / "paper", "irem", task="shortest-path", energy="gine", evaluation=scores)
    keep_floors(tmp_path / "paper", "shortest-path", {"nodes=30": (1 / 82, None)})
    (table,) = extras.graph_sizes(Book(tmp_path / "paper"))
    assert table.columns[-3:] == ["constant", "entrywise", "relative"]
    assert table.rows[4][:2] == ["irem", "30"]
    assert table.rows[4][-4:] == ["0.0244", "0.0122", "-", "2"]
    assert table.rows[3][-4:] == ["-"] * 4


def test_floors_are_measured_once_for_every_difficulty_that_is_shown(tmp_path, monkeypatch):
    wanted = floors.wanted()
    assert {"nodes=25", "nodes=100", "same", "harder"} <= set(wanted["shortest-path"])
    assert {"scale=7", "size=4000", "size=50"} <= set(wanted["add"])
    assert wanted["parity"] == ["same", "harder"]
    # What is kept in the repository is all of that.
    book = Book(pages.ROOT / "results" / "paper")
    assert {task: set(each) for task, each in book.floors.items()} == {
        task: set(each) for task, each in wanted.items()
    }

    monkeypatch.setattr(floors, "wanted", lambda: {"parity": ["same", "share=1"]})
    keep_floors(tmp_path / "floors", "parity", {"same": (0.125, None)})
    options = ["--results", tmp_path / "floors", "--markdown"]
    assert "share=1" not in run("floors", "--no-train", *options).output
    printed = run("floors", *options).output
    assert "| parity | same | 100 | 0.125 | - |" in printed
    assert "| parity | share=1 | 8000 | 0 | - |" in printed
    kept = json.loads((tmp_path / "floors" / "parity.json").read_text())
    assert kept["seed"] == 0
    assert kept["floors"]["share=1"] == {"constant": 0.0, "entrywise": None, "problems": 8000}


def test_cells_of_verifiers_train_what_is_default_and_are_kept_apart():
    made = find_cell("add-irem-default-1")
    assert made.words() == ["train", "add", "--solver", "irem", "--seed", "1", "--threads", "1"]
    assert made.folder == TARGETS["verifiers"].folder == "verifiers"
    for name in ("add-irem-elementwise-0", "edge-copy-irem-pairwise-0"):
        assert find_cell(name).words()[4:6] == ["--energy", name.split("-")[-2]]
    assert find_cell("sort-constant-0").folder == "verifiers"
    assert find_cell("add-constant-0").folder == "paper"


def test_a_table_in_markdown():
    table = Table(title="T", columns=["a", "b"], rows=[["x", "1"]], notes=["Note."])
    assert table.markdown() == "| a | b |\n| --- | ---: |\n| x | 1 |\n\nNote.\n"
    assert [figure(None), figure(1e-13), figure(0.00123456)] == ["-", "0", "0.00123"]
    assert over_seeds([]) == "-"


def rich_records(folder):
    """Write records with everything that figures draw."""
    by_step = {str(step): 1 / (1 + step) for step in range(41)} | {"0": math.nan}
    scores = {"mse": 0.5, "mse_by_step": by_step, "mse_best_checkpoint": 0.4}
    names = ["same", "harder", *(f"nodes={n}" for n in (10, 15, 20, 25, 30))]
    evaluation = dict.fromkeys(names, scores)
    grid = [[0.0, 1.0], [2.0, 3.0]]
    measured = {
        "contours": {
            "first": [0.0, 1.0],
            "second": [0.0, 1.0],
            "energies": grid,
            "path": grid,
            "solution": [0.5, 0.5],
        },
        "elements": {"squared_errors": grid},
        "nested": {
            "operands": [[0.1] * 9] * 4,
            "predictions": [[0.4] * 9] * 3,
            "sum": [0.4] * 9,
        },
        "landscape": {
            "errors": grid,
            "energies": grid,
            "rank_correlation": 1.0,
            "rank_correlation_of_a_problem": 1.0,
        },
        "composition": {"10": {"mse_by_application": [0.1] * 10}},
        "descents": {"adam": {"evaluations_per_step": 1.0, "mse": 0.1, "mse_by_step": by_step}},
        "psnr": {"45": {"5": 20.0, "10": 21.0, "30": 22.0, "100": 22.0}},
        "sizes": {
            size: {
                "problems": 10,
                "mse": 0.1,
                "steps_mean": 7.0,
                "seconds": 0.01,
                "mse_by_step": {"0": 1.0, "1": 0.1},
            }
            for size in ("10", "100")
        },
        "judged": {step: {"energy": grid, "squared_error": grid} for step in ("0", "5")},
    }
    nodes = {f"nodes={n}": (0.1, 0.05) for n in (10, 15, 20, 25, 30, 100)}
    keep_floors(folder, "shortest-path", nodes)
    for task in (*PAPER_TASKS, "denoise"):
        for method in ("irem", "recurrent", "residual", "irem-default"):
            write(folder, method, task=task, evaluation=evaluation, measures=measured)


@pytest.mark.parametrize("name", [name for name in TARGETS if TARGETS[name].draw])
def test_figures_are_drawn_from_records(tmp_path, name):
    rich_records(tmp_path / "results")
    if name == "figure8":
        psnr = {"psnr": {"45": {"1": 21.5}}}
        write(tmp_path / "results", "residual", task="denoise", measures=psnr)
    draw(name, TARGETS[name], Book(tmp_path / "results"), tmp_path, "")
    with Image.open(tmp_path / f"{name}.png") as picture:
        assert len(picture.convert("RGB").getcolors(picture.width * picture.height)) > 20
    assert "<svg" in (tmp_path / f"{name}.svg").read_text()


def test_the_same_records_give_the_same_file(tmp_path):
    rich_records(tmp_path / "results")
    for place in ("first", "second"):
        draw("figure5", TARGETS["figure5"], Book(tmp_path / "results"), tmp_path / place, "")
    first, second = (
        (tmp_path / place / "figure5.svg").read_text() for place in ("first", "second")
    )
    assert first == second


def run(*words):
    return CliRunner().invoke(app, ["reproduce", *map(str, words)])


def kept_apart(folder):
    return ["--results", folder / "results", "--runs", folder / "runs", "--figures", folder / "f"]


def test_without_matplotlib_tables_are_shown_and_the_figure_says_what_to_install(
    tmp_path, monkeypatch
):
    rich_records(tmp_path / "results")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = run("figure5", "--no-train", *kept_apart(tmp_path))
    assert "Figure 5: rank correlation" in result.output
    assert "pip install 'irem-baselines[plot]'" in str(result.exception)
    assert "Table 2" in run("table2", "--no-train", *kept_apart(tmp_path)).output


def test_figures_without_records_are_not_drawn(tmp_path):
    result = run("figure3", "--no-train", *kept_apart(tmp_path))
    assert result.exit_code == 0
    assert "there are no records to draw" in result.output
    assert not (tmp_path / "f").exists()


def test_records_are_not_trained_again(tmp_path):
    for method in LEARNED:
        composed = {str(k): {"mse_by_application": [0.1] * k} for k in (2, 5, 10)}
        write(tmp_path / "results", method, measures={"composition": composed})
    result = run("table4", "--markdown", *kept_apart(tmp_path))
    assert result.exit_code == 0
    assert "| irem | 2 | 0.1 | 0.1 | 0.0014 |" in result.output
    assert not (tmp_path / "runs").exists()


def test_what_fails_is_named_and_the_others_go_on():
    said = []
    cells = [Cell(task=name, method="irem") for name in ("good", "bad", "fine")]

    def command(each):
        broken = "raise SystemExit('irem: no')" if each.task == "bad" else "print('done')"
        return [sys.executable, "-c", broken]

    assert make_all(cells, command, jobs=2, say=said.append) == ["bad-irem-0"]
    assert sorted(said) == ["bad-irem-0 failed. irem: no", "done", "done"]

    def interrupted(each):
        return [sys.executable, "-c", "raise SystemExit(130)"]

    with pytest.raises(KeyboardInterrupt):
        make_all(cells, interrupted, jobs=1, say=said.append)


@pytest.fixture
def in_this_process(irem, monkeypatch):
    """Let whatever starts irem in a process of its own call it here, one at a time."""

    def call(command, *, stdout=None, **options):
        assert tuple(command[: len(PYTHON)]) == PYTHON
        words = command[len(PYTHON) :]
        done = irem(*words, *(("--problems", 40) if words[0] == "train" else ()))
        if isinstance(stdout, TextIOBase):
            stdout.write(done.out + done.err)
        return subprocess.CompletedProcess(command, done.status, done.out, done.err)

    here = SimpleNamespace(run=call, STDOUT=subprocess.STDOUT)
    monkeypatch.setattr("irem_baselines.reproduce.worker.subprocess", here)


def quick_look(irem, folder, jobs):
    """Make two cells, and the table of them again from their records."""
    words = ["reproduce", "gradient-free", "--iterations", 2, "--jobs", jobs, *kept_apart(folder)]
    done = irem(*words)
    assert done.status == 0, done.err
    assert "quick look: 2 iterations" in re.sub(r"\s+", " ", done.out)
    assert "Trained for 2 iterations" in done.out
    (quick,) = (folder / "results").iterdir()
    assert quick.name == "quick-2"
    made = json.loads((quick / "small-add-irem-gradient-free-0.json").read_text())
    assert made["iterations"] == 2
    assert made["settings"]["task"] == {"size": 20}
    assert made["command"] == "irem reproduce small-add-irem-gradient-free-0 --iterations 2"
    again = irem(*words)
    assert (again.out, again.err) == (done.out, "")


@pytest.mark.usefixtures("in_this_process")
def test_a_quick_look_trains_and_is_labelled_and_kept_apart(irem, tmp_path):
    quick_look(irem, tmp_path, jobs=1)


@pytest.mark.slow
def test_a_quick_look_trains_in_processes(irem, tmp_path):
    quick_look(irem, tmp_path, jobs=2)


@pytest.mark.usefixtures("in_this_process")
def test_a_training_that_fails_is_a_fault_that_names_its_log(irem, tmp_path):
    run_folder = tmp_path / "runs" / "quick-1" / "small-add-irem-0"
    run_folder.mkdir(parents=True)
    (run_folder / "training.safetensors").write_bytes(b"no checkpoint")
    done = irem("reproduce", "small-add-irem-0", "--iterations", 1, *kept_apart(tmp_path))
    assert done.status == 1
    assert done.err.startswith("irem: The training of small-add-irem-0 ended with status")
    assert "small-add-irem-0.log" in done.err
    assert done.err.count("\n") == 1


def test_an_unknown_target_is_a_users_mistake(irem):
    line = irem("reproduce", "tabel1").mistake()
    assert line.startswith("irem: There is no table, figure or cell 'tabel1'; expected")
