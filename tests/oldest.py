"""Print the oldest versions that the packages say they work with, as constraints for pip.

`make test-oldest` installs these and runs the quick tests.
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("irem_core", "irem_tasks", "irem_baselines")


def oldest() -> dict[str, str]:
    """Return the lowest version that is declared of each dependency."""
    found: dict[str, str] = {}
    for package in PACKAGES:
        project = tomllib.loads((ROOT / package / "pyproject.toml").read_text())["project"]
        for each in project["dependencies"]:
            if not each.startswith("irem-"):
                name, version = re.fullmatch(r"([\w-]+)>=([\d.]+)", each).groups()
                # One environment holds them all, so what one package asks for counts for all.
                found[name] = max(version, found.get(name, "0"), key=_numbers)
    return found


def _numbers(version: str) -> list[int]:
    return [int(each) for each in version.split(".")]


if __name__ == "__main__":
    for name, version in sorted(oldest().items()):
        print(f"{name}=={version}")
