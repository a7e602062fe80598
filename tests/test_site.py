"""The documentation builds without a warning and misses no public name; links lead somewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import irem_baselines
import irem_core
import irem_core.testing
import irem_tasks
from trainings import run_python

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("irem_*/README.md"), *ROOT.glob("docs/**/*.md")]
PAGES = [page for page in PAGES if "_build" not in page.parts]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the documentation as `make docs` does; a warning fails."""
    pytest.importorskip("furo")
    pytest.importorskip("myst_parser")
    folder = tmp_path_factory.mktemp("site")
    run_python("-m", "sphinx", "-W", "--keep-going", "-q", ROOT / "docs", folder)
    return folder


def test_every_public_name_is_in_the_reference() -> None:
    listed = set()
    for page in (ROOT / "docs" / "api").glob("*.md"):
        module = ""
        directives = r"^\.\. (currentmodule|auto\w+):: (\S+)$"
        for kind, name in re.findall(directives, page.read_text(encoding="utf-8"), re.M):
            if kind == "currentmodule":
                module = name
            else:
                assert hasattr(import_module(module), name), f"{page}: there is no {module}.{name}"
                listed.add(f"{module}.{name}")
    public = {
        f"{module.__name__}.{name}"
        for module in (irem_core, irem_core.testing, irem_tasks, irem_baselines)
        for name in module.__all__
        if not isinstance(getattr(module, name), ModuleType)
    }
    # Composition is documented where it is defined.
    missing = public - listed - {"irem_core.__version__", "irem_baselines.compose"}
    assert not missing, f"add {missing} to a page in docs/api"


@pytest.mark.slow
def test_signatures_name_what_constructors_take(site: Path) -> None:
    for page in (site / "api").iterdir():
        text = re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8"))
        assert "*args: Any, **kwargs: Any" not in text, page
    text = re.sub(r"<[^>]+>|\s+", "", (site / "api" / "energies.html").read_text(encoding="utf-8"))
    assert "classMLPEnergy(question:Space,answer:Space,*,width:int=512,depth:int=3,)" in text


@pytest.mark.slow
def test_pages_ask_nothing_of_other_servers(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"""(src=|<link[^>]*href=)["'](https?:)?//""", text), page


class Links(HTMLParser):
    """The anchors of a page, and the links to pages of the same site."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.targets: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.anchors |= {value for name, value in attrs if name in ("id", "name") and value}
        for link in (found.get("href"), found.get("src")):
            if link and not re.match(r"\w+:|#$", link):
                self.targets.add(link)


@pytest.mark.slow
def test_links_of_the_site_lead_somewhere(site: Path) -> None:
    read = {page: Links(page) for page in site.rglob("*.html")}
    missing, count = [], 0
    for page, links in read.items():
        for link in links.targets:
            path, _, anchor = link.partition("#")
            target = (page.parent / path.partition("?")[0]).resolve() if path else page
            known = target in read or (target.is_file() and not anchor)
            if not known or (anchor and anchor not in read[target].anchors):
                missing.append((page.name, link))
            count += bool(anchor)
    assert not missing
    assert count > 500


@pytest.mark.slow
def test_equations_are_numbered_as_in_the_paper(site: Path) -> None:
    text = (site / "scratchpad.html").read_text(encoding="utf-8")
    numbers = re.findall(r'<div class="equation"><math.*?</math><span>\((\d+)\)</span>', text, re.S)
    assert numbers == ["8", "9", "10"]


def anchors(page: Path) -> set[str]:
    """Return the anchors that a page's headings have, those of pages that it includes too."""
    text = page.read_text(encoding="utf-8")
    titles = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M)
    own = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
    for included in re.findall(r"^```\{include\} (.*)$", text, re.M):
        own |= anchors(page.parent / included)
    return own


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    missing = []
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if re.match("https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            missing.append(link)
    assert not missing


def test_links_are_found() -> None:
    found = [re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")) for page in PAGES]
    assert sum(map(len, found)) > 60
    assert "what-is-guaranteed" in anchors(ROOT / "docs" / "theory.md")
