"""Reports: what is measured is what solving says, what is kept is taken over, all is escaped."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch

from irem_core import (
    FixedSteps,
    GradientDescent,
    SettingError,
    compute_curve,
    evaluate,
    load,
    load_task,
    rank_correlation,
)
from irem_core.distributed import derive
from irem_core.problems.graphs import PAIRS
from irem_core.report import Measuring, gather, page, render, write_report
from irem_core.report.drawing import FRAME, Series, chart, decades, number, steps, thinned
from irem_core.report.gathering import distinct, kept_scores
from irem_core.report.page import halted_by_step
from irem_core.report.stepping import follow
from irem_core.runs import checkpoint
from reporting import KINDS, small_run

QUICK = Measuring(problems=6, max_steps=3)
DRAWN = {"matrix": "matrix", "graph": "graph", "image": "image", "grid": "grid"}
TEMPLATES = Path(page.__file__).parent / "templates"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of every kind of solver."""
    folder = tmp_path_factory.mktemp("runs")
    return {kind: small_run(kind, folder / kind) for kind in KINDS}


class Page(HTMLParser):
    """A page taken apart: its texts, its scripts, and whether its tags match."""

    EMPTY = frozenset({"meta", "link", "input", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            attrs = next(attrs for tag, attrs in reversed(self.tags) if tag == "script")
            self.scripts.append((attrs, data))
        elif data.strip() and self.open[-1] != "style":
            self.texts.append(" ".join(data.split()))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_solver_has_a_page(runs: dict[str, Path], kind: str) -> None:
    gathered = gather([runs[kind]], QUICK)
    text = render(gathered)
    page = Page(text)
    solved = gathered[0].difficulties[0].solve
    assert solved.drawing.kind == DRAWN.get(kind, "vector")
    said = " ".join(page.texts)
    without_energy = kind in ("recurrent", "one-shot", "closed-form")
    assert ("no energy, so nothing tells its errors" in said) == without_energy
    assert ("no halting rule: it takes the same steps" in said) == without_energy
    assert ("answers at once" in said) == (kind in ("one-shot", "closed-form"))
    assert ("Energy by step" in page.texts) == (not without_energy)
    assert ("Error while training" in page.texts) == (kind != "closed-form")
    assert "NaN" not in text
    assert "nan" not in {each.strip() for each in page.texts}


def test_runs_without_metrics_have_no_curves(runs: dict[str, Path]) -> None:
    model = runs["vector"] / checkpoint.MODEL
    (run,) = gather([model], QUICK)
    assert run.losses == []
    assert "The run keeps no metrics" in render([run])


def test_where_answers_are_checked_a_report_has_the_curve_of_compute(
    runs: dict[str, Path],
) -> None:
    (run,) = gather([runs["grid"]], attrs.evolve(QUICK, difficulties=["same", "givens=15"]))
    solver, task = load(run.path), load_task("sudoku(size=4)")
    curves = [
        compute_curve(solver, task, difficulty=name, problems=6, starts=8, max_steps=3)
        for name in ("same", "givens=15")
    ]
    assert [each.curve for each in run.difficulties] == curves
    page = Page(render([run]))
    assert "What compute buys" in page.texts
    assert "Share solved by energy evaluations: givens=15" in page.texts


def test_boards_are_drawn_with_what_is_given_and_what_is_wrong(runs: dict[str, Path]) -> None:
    solver, task = load(runs["grid"]), load_task("sudoku(size=4)")
    followed = follow(solver, task, "same", max_steps=3)
    generator = torch.Generator().manual_seed(derive(1, "report", "same"))
    problem, target = task.sample(1, "same", generator=generator)
    right = task.picture(problem, target)
    last = solver.solve(
        problem,
        max_steps=3,
        halting=FixedSteps(steps=3),
        generator=torch.Generator().manual_seed(derive(1, "report", "start")),
    ).last
    assert followed.cells is not None
    assert len(followed.cells) == 4
    assert followed.cells[-1] == task.picture(problem, last).cells(right)
    assert followed.exact_cells == right.cells()
    kinds = [kind for row in followed.cells[-1] for _, kind in row]
    assert kinds.count("given") == int((right.given).sum())
    assert followed.drawing.beside == right.beside.tolist()


def test_a_solve_is_followed_step_by_step(runs: dict[str, Path]) -> None:
    """Against a trace of the same solve; the errors are those of all of its entries."""
    solver, task = load(runs["vector"]), load_task("add(size=4)")
    followed = follow(solver, task, "harder", halting=FixedSteps(steps=2), max_steps=6, seed=3)
    generator = torch.Generator().manual_seed(derive(3, "report", "harder"))
    problem, target = task.sample(1, "harder", generator=generator)
    traced = solver.solve(
        problem,
        max_steps=6,
        halting=FixedSteps(steps=6),
        generator=torch.Generator().manual_seed(derive(3, "report", "start")),
        record=("y", "energy"),
    ).trace
    assert followed.steps == list(range(7))
    assert followed.energies == pytest.approx(traced.energy.tolist())
    errors = (traced.y - target).square().mean(1)
    assert followed.errors == pytest.approx(errors.tolist())
    assert followed.largest == pytest.approx((traced.y - target).abs().amax(1).tolist())
    assert torch.tensor(followed.iterates) == pytest.approx(traced.y.numpy(), rel=1e-3)
    assert followed.exact == pytest.approx(target[0].tolist(), rel=1e-3)
    assert (followed.halted, followed.outcome) == (2, "budget spent")


def test_long_solves_and_large_answers_are_cut_to_what_can_be_drawn(
    runs: dict[str, Path],
) -> None:
    solver, task = load(runs["graph"]), load_task("edge-copy")
    followed = follow(solver, task, "nodes=21", max_steps=300)
    assert (followed.steps[0], followed.steps[-1], len(followed.steps)) == (0, 300, 101)
    assert followed.drawing.part == "the first 400 of 441 pairs of nodes"
    assert len(followed.exact) == len(followed.drawing.edges or []) == 400
    generator = torch.Generator().manual_seed(derive(1, "report", "nodes=21"))
    problem, target = task.sample(1, "nodes=21", generator=generator)
    assert followed.drawing.edges == [
        tuple(pair) for pair in problem.x.get(PAIRS, problem.x.edge_index).T[:400].tolist()
    ]
    assert followed.exact == pytest.approx(target[:400, 0].tolist(), rel=1e-3)


def test_scores_are_those_of_evaluate(runs: dict[str, Path]) -> None:
    solver, task = load(runs["vector"]), load_task("add(size=4)")
    (run,) = gather([runs["vector"]], QUICK)
    assert [each.name for each in run.difficulties] == ["same", "harder"]
    found = run.difficulties[1]
    whole = evaluate(solver, task, difficulty="harder", problems=6, max_steps=3)
    assert not found.kept
    assert found.mse == whole.mse
    assert found.relative == whole.relative
    assert dict(found.mse_by_step) == whole.mse_by_step
    assert found.measured.energies.equal(whole.energies)
    assert found.floor == task.floor("harder")
    assert found.measured.energy_error_correlation == rank_correlation(whole.energies, whole.errors)


def test_a_solver_that_diverges_has_a_page_all_the_same(runs: dict[str, Path]) -> None:
    wild = attrs.evolve(QUICK, descent=GradientDescent(step_size=3e38), max_steps=20)
    gathered = gather([runs["vector"], runs["graph"]], wild)
    assert float(gathered[0].difficulties[0].measured.errors.max()) > 1e50
    page = Page(render(gathered))
    for given, text in page.scripts:
        if given:
            json.loads(text, parse_constant=pytest.fail)


def test_iterates_that_are_no_numbers_are_left_out(runs: dict[str, Path]) -> None:
    solver, task = load(runs["recurrent"]), load_task("add(size=4)")
    plain = follow(solver, task, "same", max_steps=5)
    original = solver.solve

    def spoilt(problem: Any, *, observer: Any, **options: Any) -> Any:
        def show(step: int, problems: Any, evaluation: Any) -> None:
            if step > 2:
                evaluation.iterate.y[0, 0] = math.inf
            observer(step, problems, evaluation)

        return original(problem, observer=observer and show, **options)

    solver.solve = spoilt  # type: ignore[method-assign]
    assert follow(solver, task, "same", max_steps=5).iterates == plain.iterates[:2]


def kept(folder: Path, **changes: object) -> None:
    scores = {"problems": 1000, "mse": 0.125, "mse_by_step": {"0": 1.0, "80": 0.125}}
    scores["protocol"] = "solve"
    record = {"iterations": 6, "evaluation": {"same": scores | changes}}
    (folder / "evaluation.json").write_text(json.dumps(record))


@pytest.fixture
def run(runs: dict[str, Path], tmp_path: Path) -> Path:
    """A run of its own, to keep things in."""
    folder = tmp_path / "run"
    folder.mkdir()
    for each in runs["vector"].iterdir():
        (folder / each.name).write_bytes(each.read_bytes())
    return folder


def test_an_evaluation_that_the_run_keeps_is_taken_over(run: Path) -> None:
    kept(run)
    (found,) = gather([run], Measuring(difficulties=["same"]))[0].difficulties
    assert (found.kept, found.problems, found.mse) == (True, 1000, 0.125)
    assert found.mse_by_step == [(0, 1.0), (80, 0.125)]
    kept(run, protocol="paper")
    assert not gather([run], Measuring(difficulties=["same"]))[0].difficulties[0].kept
    asked = Measuring(difficulties=["same"], problems=5, max_steps=2)
    assert not gather([run], asked)[0].difficulties[0].kept
    assert Measuring(difficulties=["same"]).as_kept
    for changes in ({"problems": 5}, {"max_steps": 2}, {"seed": 2}, {"data": Path("images")}):
        assert not Measuring(**changes).as_kept
    (run / "evaluation.json").write_text("damaged")
    (found,) = gather([run], Measuring(difficulties=["same"]))[0].difficulties
    assert (found.kept, found.problems) == (False, 200)


@pytest.mark.parametrize(
    "damage",
    [
        '{"iterations": 5, "evaluation": {"same": {"problems": 9, "mse": 1, "mse_by_step": {}}}}',
        '{"iterations": 6, "evaluation": {"same": {"problems": 9, "mse": "<script>"}}}',
        '{"iterations": 6, "evaluation": {"same": {"problems": NaN, "mse": 1, "mse_by_step": {}}}}',
        '{"iterations": 6, "evaluation": {"same": {"mse": 1, "problems": 1, "mse_by_step": [1]}}}',
        '{"iterations": 6, "evaluation": {"same": {"mse": 1, "problems": 1, "mse_by_step": '
        '{"x": 1}}}}',
        '{"iterations": 6, "evaluation": [1, 2]}',
        '{"iterations": 6}',
        "[" * 100_000,
        "no json",
    ],
)
def test_evaluations_that_are_damaged_or_of_another_model_do_not_count(
    run: Path, damage: str
) -> None:
    (run / "evaluation.json").write_text(damage)
    assert kept_scores(run, 6) == {}


def test_records_that_are_no_numbers_are_left_out(run: Path) -> None:
    lines = [
        {"iteration": 1, "loss": "<script>"},
        {"iteration": 2, "loss": float("nan")},
        {"iteration": 3, "loss": 0.5},
        {"iteration": 10**400, "loss": 0.1},
        {"iteration": 4, "loss": True},
        {"iteration": 5, "evaluation": {"same": 0.25, "harder": None, "x": {}}},
        {"iteration": 6, "evaluation": 3},
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    (found,) = gather([run], QUICK)
    assert found.losses == [(3, 0.5)]
    assert {name: points for name, points in found.evaluations.items() if points} == {
        "same": [(5, 0.25)]
    }
    render([found])


HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}'


def test_what_comes_from_a_run_is_text_and_nothing_else(run: Path) -> None:
    tensors, metadata = checkpoint.read(run / checkpoint.MODEL)
    metadata["training"][HOSTILE] = HOSTILE
    metadata["versions"] = {HOSTILE: HOSTILE}
    checkpoint.write(run / checkpoint.MODEL, tensors, metadata)
    record = {"iteration": 2, "evaluation": {f"{HOSTILE}</script>": 0.5, "other": 0.25}}
    (run / "metrics.jsonl").write_text(json.dumps(record) + "\n")
    folder = run.rename(run.with_name("<script>alert(1)<" + "\\" + "script>"))
    page = Page(render(gather([folder], QUICK)))
    assert folder.name in page.texts
    assert any(HOSTILE in text for text in page.texts)
    assert not [tag for tag, _ in page.tags if tag == "img"]
    # All scripts but the page's own are data.
    (own,) = [text for given, text in page.scripts if not given]
    assert "alert" not in own
    for given, text in page.scripts:
        if given:
            assert given["type"] == "application/json"
            json.loads(text)
    (policy,) = [given["content"] for _, given in page.tags if "http-equiv" in given]
    assert "default-src 'none'" in (policy or "")
    assert not [given for _, given in page.tags if any(name.startswith("on") for name in given)]


def test_several_runs_stand_side_by_side(runs: dict[str, Path], tmp_path: Path) -> None:
    paths = [runs["vector"], runs["one-shot"], runs["graph"]]
    file = write_report(paths, tmp_path / "new" / "page.html", measuring=QUICK)
    page = Page(file.read_text(encoding="utf-8"))
    said = " ".join(page.texts)
    assert "3 runs compared" in said
    assert "different tasks" in said
    # Of the loss, of errors on the way and by step for each of the two difficulties.
    comparison = said.partition("Comparison")[2].partition("Training The loss")[0]
    assert "Error by step: harder" in comparison
    rows = re.findall(r"(\S+) irem, gine", said)
    assert rows
    assert "solver irem feedforward irem" in said


def test_runs_of_one_name_are_told_apart() -> None:
    paths = [Path("a/x"), Path("b/x"), Path("b/y")]
    assert distinct(paths) == ["a/x", "b/x", "b/y"]
    assert distinct([Path("a/x"), Path("b/y")]) == ["x", "y"]
    twice = distinct([Path("a/x"), Path("a/x")])
    assert len(set(twice)) == 2
    assert all("x" in name for name in twice)


def test_a_report_needs_a_run() -> None:
    with pytest.raises(SettingError, match="without a run"):
        write_report([])


def test_the_share_that_has_halted_is_counted(runs: dict[str, Path]) -> None:
    (run,) = gather([runs["vector"]], QUICK)
    found = run.difficulties[0]
    scores = found.measured
    object.__setattr__(scores, "steps", torch.tensor([1, 1, 2, 3, 3, 3]))
    object.__setattr__(scores, "outcomes", {"CONVERGED": 4, "BUDGET_SPENT": 2})
    assert halted_by_step(found) == [
        (0, 0),
        (1, pytest.approx(2 / 6)),
        (2, pytest.approx(3 / 6)),
        (3, pytest.approx(4 / 6)),
    ]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (1000, 10_000, [2000, 4000, 6000, 8000, 10_000]),
        (-0.013, 0.02, [-0.01, 0, 0.01, 0.02]),
        (3, 3.4, [3, 3.1, 3.2, 3.3, 3.4]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert steps(low, high) == expected


def test_ticks_of_logarithmic_axes() -> None:
    assert decades(0.002, 300) == pytest.approx([0.01, 0.1, 1, 10, 100])
    assert decades(0.3, 6) == pytest.approx([0.5, 1, 2, 5])
    assert decades(1e-20, 1) == pytest.approx([1e-20, 1e-16, 1e-12, 1e-8, 1e-4, 1])


def test_numbers_are_short() -> None:
    written = [number(value) for value in (0, 10_000, 0.25, 1 / 3, 1.5e-7, -2.5e12, 1e-3, 1234.5)]
    assert written == ["0", "10,000", "0.25", "0.3333", "1.5e-7", "-2.5e12", "0.001", "1,234"]
    assert [number(value) for value in (None, math.inf, math.nan)] == ["-", *["not finite"] * 2]


def test_points_have_their_places() -> None:
    drawn = chart("t", [Series("s", [(0, 1), (50, 100), (100, 10_000)])], x_label="", y_label="y")
    assert drawn is not None
    middle = (FRAME.left + FRAME.right) / 2, (FRAME.top + FRAME.bottom) / 2
    assert drawn.lines[0].at == [(FRAME.left, FRAME.bottom), middle, (FRAME.right, FRAME.top)]
    assert drawn.y_label == "y, log scale"
    assert drawn.rows == [("0", "1"), ("50", "100"), ("100", "10,000")]
    # With a zero a logarithm cannot be taken.
    linear = chart("t", [Series("s", [(0, 0), (1, 50), (2, 100)])], x_label="", y_label="y")
    assert linear is not None
    assert linear.lines[0].at[1] == middle
    assert chart("t", [Series("s", [])], x_label="", y_label="y") is None


def test_series_keep_their_colours_where_others_have_no_points() -> None:
    drawn = chart("t", [Series("a", []), Series("b", [(1, 2)])], x_label="", y_label="")
    assert drawn is not None
    assert [(line.name, line.place) for line in drawn.lines] == [("b", 1)]


def test_many_points_are_averaged() -> None:
    points = [(float(x), float(x % 10)) for x in range(1500)]
    assert thinned(points) == [(10.0 * place + 9, 4.5) for place in range(150)]
    assert thinned(points[:150]) == points[:150]


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour, as WCAG 2 defines it."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1, 2], ids=["light", "dark", "print"])
def test_colours_can_be_told_from_their_ground(scheme: int) -> None:
    blocks = re.findall(r":root \{(.*?)\}", (TEMPLATES / "style.css").read_text(), re.DOTALL)
    colours = [dict(re.findall(r"--([\w]+): (#\w{6});", block)) for block in blocks]
    found = colours[0] | colours[scheme]
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    for ground in (found["page"], found["card"]):
        # WCAG 2, AA: 4.5 for text, 3 for what graphics are understood by.
        assert all(contrast(found[name], ground) >= 4.5 for name in ("ink", "soft", "focus"))
        lines = [f"s{place}" for place in range(8)]
        assert all(contrast(found[name], ground) >= 3 for name in [*lines, "high", "low"])
