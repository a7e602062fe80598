"""The page of a report in a real browser: it is drawn, is stepped through, and asks for nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from irem_core.report import Measuring, write_report
from reporting import small_run

pytest.importorskip("selenium", reason="selenium is not installed")
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
# By what is drawn: what a step changes there, and where that is written.
PICTURES = {
    "vector": ("circle.answer", "element.getAttribute('cy')"),
    "matrix": ("rect.cell", "getComputedStyle(element).fill"),
    "graph": ("path.edge", "getComputedStyle(element).stroke"),
    "image": ("canvas", "element.toDataURL()"),
    "grid": ("rect.square", "element.textContent"),
}
SHOWN = ("vector", "matrix", "graph", "image", "grid", "one-shot")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write one report about all that can be drawn, a solver that answers at once among them."""
    folder = tmp_path_factory.mktemp("report")
    hostile = folder / "<img src=x onerror=alert(1)>"
    runs = [small_run(kind, folder / kind) for kind in SHOWN]
    runs[0] = runs[0].rename(hostile)
    measuring = Measuring(problems=12, max_steps=6, difficulties=["same"])
    return write_report(runs, folder / "page.html", measuring=measuring)


@pytest.fixture(scope="module")
def window() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        import browser
    if browser.missing():
        pytest.skip(browser.missing())
    with browser.browser() as opened:
        yield opened


@pytest.fixture
def look(window: Any, page: Path) -> Any:
    """Open the page; afterwards nothing must have gone wrong in the console."""
    import browser

    def open_page(width: int = 1200, *, dark: bool = False) -> Any:
        browser.look(window, page, width=width, dark=dark)
        return window

    window.get_log("browser")
    yield open_page
    assert window.get_log("browser") == []


def solve_of(window: Any, kind: str) -> Any:
    return window.find_elements(By.CSS_SELECTOR, ".solve")[SHOWN.index(kind)]


def data_of(window: Any, solve: Any) -> Any:
    text = "return arguments[0].querySelector('script.data').textContent"
    return json.loads(window.execute_script(text, solve))


def drawn(window: Any, solve: Any, kind: str) -> list[str]:
    """Return what the first picture of a solve shows: places, colours or pixels."""
    selector, value = PICTURES[kind]
    script = (
        "const figure = arguments[0].querySelector('.pictures figure');"
        f"return [...figure.querySelectorAll(arguments[1])].map((element) => {value});"
    )
    found: list[str] = window.execute_script(script, solve, selector)
    return found


def shades(values: list[float]) -> list[int]:
    """Return pixels as a screen has them, where a small step may change nothing."""
    return [round(255 * min(max(value, 0.0), 1.0)) for value in values]


def readout(solve: Any, name: str) -> str:
    text: str = solve.find_element(By.CSS_SELECTOR, f".readout .{name}").text
    return text


@pytest.mark.parametrize("kind", [kind for kind in PICTURES if kind != "grid"])
def test_the_slider_moves_the_picture_and_the_numbers(look: Any, kind: str) -> None:
    window = look()
    solve = solve_of(window, kind)
    data = data_of(window, solve)
    assert data["drawing"]["kind"] == kind
    slider = solve.find_element(By.CSS_SELECTOR, "input")
    seen = []
    for frame, step in enumerate(data["steps"]):
        assert readout(solve, "step") == f"{step} of {data['steps'][-1]}"
        for name, values in (("energy", data["energies"]), ("error", data["errors"])):
            assert float(readout(solve, name)) == pytest.approx(values[frame], rel=1e-3)
        seen.append(drawn(window, solve, kind))
        said = slider.get_attribute("aria-valuetext")
        assert said.startswith(f"step {step} of ")
        slider.send_keys(Keys.ARROW_RIGHT)
    assert len(seen) == 7
    visible = [shades(values) if kind == "image" else values for values in data["iterates"]]
    moved = [before != after for before, after in pairwise(seen)]
    assert moved == [before != after for before, after in pairwise(visible)]
    assert any(moved)
    assert kind == "image" or all(moved)
    slider.send_keys(Keys.HOME)
    assert drawn(window, solve, kind) == seen[0]
    slider.send_keys(Keys.END)
    assert drawn(window, solve, kind) == seen[-1]


def test_a_grid_says_and_shows_the_cells_of_every_step(look: Any) -> None:
    window = look()
    solve = solve_of(window, "grid")
    texts = (
        "return [...arguments[0].querySelectorAll('figure text')].map((each) => each.textContent)"
    )
    for cells in data_of(window, solve)["cells"]:
        assert drawn(window, solve, "grid") == [
            f"row {row}, column {column}: {text}, {kind}"
            for row, each in enumerate(cells, 1)
            for column, (text, kind) in enumerate(each, 1)
        ]
        shown = window.execute_script(texts, solve.find_element(By.CSS_SELECTOR, ".pictures"))
        assert shown[:16] == [text for each in cells for text, _ in each]
        solve.find_element(By.CSS_SELECTOR, "button.after").click()


def test_the_dots_of_a_vector_lie_where_its_entries_say(look: Any) -> None:
    window = look()
    solve = solve_of(window, "vector")
    data = data_of(window, solve)
    places = [float(each) for each in drawn(window, solve, "vector")]
    # The picture is linear between two entries, so that a third must lie on their line.
    values = data["iterates"][0]
    low, high = values.index(min(values)), values.index(max(values))
    slope = (places[high] - places[low]) / (values[high] - values[low])
    expected = [places[low] + slope * (value - values[low]) for value in values]
    assert slope < 0
    assert places == pytest.approx(expected, abs=0.05)


def test_buttons_step_and_find_where_it_halts(look: Any) -> None:
    window = look()
    solve = solve_of(window, "matrix")
    data = data_of(window, solve)
    for button, step in (("after", 1), ("after", 2), ("before", 1), ("halt", data["halted"])):
        solve.find_element(By.CSS_SELECTOR, f"button.{button}").click()
        assert readout(solve, "step") == f"{step} of 6"


def test_an_answer_at_once_is_drawn_without_a_slider(look: Any) -> None:
    window = look()
    solve = solve_of(window, "one-shot")
    assert not solve.find_element(By.CSS_SELECTOR, "input").is_displayed()
    assert "answers at once" in solve.text
    assert len(drawn(window, solve, "vector")) == 4


def test_the_page_asks_the_network_for_nothing(look: Any, window: Any, page: Path) -> None:
    window.get_log("performance")
    look()
    resources = "return performance.getEntriesByType('resource').map((each) => each.name)"
    assert window.execute_script(resources) == []
    messages = [json.loads(each["message"])["message"] for each in window.get_log("performance")]
    asked = {
        each["params"]["request"]["url"]
        for each in messages
        if each["method"] == "Network.requestWillBeSent"
    }
    assert asked - {"data:,"} == {page.resolve().as_uri()}


def test_names_are_shown_and_never_run(look: Any) -> None:
    window = look()
    assert window.find_elements(By.CSS_SELECTOR, "img") == []
    headings = [each.text for each in window.find_elements(By.CSS_SELECTOR, "h2")]
    assert "<img src=x onerror=alert(1)>" in headings
    # Scripts that come in another way are refused too.
    inject = "const made = document.createElement('script'); made.textContent = 'window.ran = 1';"
    window.execute_script(f"{inject} document.body.append(made);")
    assert window.execute_script("return window.ran === undefined")
    assert "Content Security Policy" in window.get_log("browser")[0]["message"]


@pytest.mark.parametrize("width", [390, 768, 1200])
def test_the_page_is_never_wider_than_the_window(look: Any, width: int) -> None:
    window = look(width)
    window.execute_script("document.querySelectorAll('details').forEach((it) => it.open = true)")
    sizes = "return [document.documentElement.scrollWidth, window.innerWidth]"
    assert window.execute_script(sizes) == [width, width]


def test_the_page_follows_the_scheme_of_the_system(look: Any) -> None:
    grounds, fills = [], []
    for dark in (False, True):
        window = look(dark=dark)
        style = "return getComputedStyle(document.body).backgroundColor"
        colour = window.execute_script(style)
        grounds.append(sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(","))))
        fills.append(drawn(window, solve_of(window, "matrix"), "matrix"))
    assert grounds[0] > 3 * 230
    assert grounds[1] < 3 * 40
    assert fills[0] != fills[1]


def test_the_values_under_the_pointer_are_those_of_the_table(look: Any) -> None:
    window = look()
    figure = window.find_element(By.CSS_SELECTOR, "#run-3 figure.chart")
    plot = figure.find_element(By.CSS_SELECTOR, ".plot svg")
    window.execute_script("arguments[0].scrollIntoView()", figure)
    ActionChains(window).move_to_element_with_offset(plot, plot.size["width"] // 3, 0).perform()
    x, y = figure.find_element(By.CSS_SELECTOR, ".tip").text.splitlines()
    cells = (
        "return [...arguments[0].querySelectorAll('tbody tr')]"
        ".map((row) => [...row.cells].map((cell) => cell.textContent))"
    )
    rows = window.execute_script(cells, figure)
    assert [x, y.removeprefix("loss: ")] in rows
    assert x == rows[-1][0]


def test_everything_can_be_reached_by_keyboard_and_has_a_name(look: Any) -> None:
    window = look()
    reached = set()
    body = window.find_element(By.TAG_NAME, "body")
    body.click()
    for _ in range(200):
        ActionChains(window).send_keys(Keys.TAB).perform()
        active = window.switch_to.active_element
        if active.tag_name == "input":
            reached.add(active.get_attribute("aria-label"))
        if active.tag_name == "body":
            break
    assert reached == {"Step of the solve on same"}
    unnamed = (
        "return [...document.querySelectorAll('input, svg[role], canvas, [role=region]')]"
        ".filter((each) => !each.ariaLabel).length"
    )
    assert window.execute_script(unnamed) == 0


def test_pictures_of_the_documentation_are_taken(
    window: Any, page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import draw_report

    draw_report.draw(page, tmp_path, {"light": ("#scores", 900, False), "dark": ("h1", 390, True)})
    with Image.open(tmp_path / "light.png") as light, Image.open(tmp_path / "dark.png") as dark:
        assert (light.width, dark.width) == (900, 390)
        corners = [picture.convert("L").getpixel((1, 1)) for picture in (light, dark)]
    assert corners[0] > 200 > 60 > corners[1]
    pictures = sorted((BENCHMARKS.parent / "docs" / "images").glob("report-*.png"))
    assert [each.stem for each in pictures] == sorted(
        name for each in draw_report.PICTURES.values() for name in each
    )
    assert all(each.stat().st_size < 300_000 for each in pictures)
