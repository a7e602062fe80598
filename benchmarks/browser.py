"""A browser without a window, Debian's chromium driven by selenium, for pages that are files."""

from __future__ import annotations

import base64
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--hide-scrollbars",),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def missing() -> str | None:
    """Say what there is none of here, or return None where a browser can be had."""
    absent = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"there is no {' and no '.join(absent)} here" if absent else None


@contextmanager
def browser() -> Iterator[webdriver.Chrome]:
    """Start a browser with an empty profile that keeps its console and what it asks the network."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        raise FileNotFoundError(missing())
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = Options()
        options.binary_location = chromium
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        window = webdriver.Chrome(options=options, service=Service(driver))
        try:
            yield window
        finally:
            window.quit()


def look(driver: Any, file: Path, *, width: int, height: int = 900, dark: bool = False) -> None:
    """Open a page at a width, in a light or dark scheme."""
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    driver.get(file.resolve().as_uri())


def picture(driver: Any, file: Path, *, part: str = "body") -> None:
    """Write the first element of a page that a selector finds, all of it, to a PNG file.

    What lies around it is shown as far as the page's own margin goes.
    """
    box = driver.execute_script(
        "const box = document.querySelector(arguments[0]).getBoundingClientRect();"
        "const edge = Math.min(16, box.x);"
        "return {x: box.x + scrollX - edge, y: Math.max(0, box.y + scrollY - edge),"
        "  width: box.width + 2 * edge, height: box.height + 2 * edge};",
        part,
    )
    taken = driver.execute_cdp_cmd(
        "Page.captureScreenshot", {"captureBeyondViewport": True, "clip": box | {"scale": 1}}
    )
    file.write_bytes(base64.b64decode(taken["data"]))
