from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from commands import Irem
from irem_core import Floor
from irem_core.cli import show
from irem_core.tasks import floors

QUICK = """
import sys
sys.argv = ["irem", *{arguments!r}]
from irem_core.cli import main
try:
    main()
finally:
    print("torch" in sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["train", "--help"]])
def test_help_and_list_do_not_import_torch(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", QUICK.format(arguments=arguments)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.strip() == "False"
    assert "add" in done.stdout or "train" in done.stdout


def test_installed_command_and_module_are_the_same() -> None:
    command = Path(sys.executable).with_name("irem")
    outputs = [
        subprocess.run([*call, "list", "--json"], capture_output=True, text=True, check=True).stdout
        for call in ([str(command)], [sys.executable, "-m", "irem_core"])
    ]
    assert outputs[0] == outputs[1]
    listed = {(row["kind"], row["name"]): row["package"] for row in json.loads(outputs[0])}
    assert listed["task", "add"] == "irem-tasks"
    assert listed["solver", "feedforward"] == "irem-baselines"
    assert listed["descent", "barzilai-borwein"] == "irem-core"


def test_list_check_loads_everything(irem: Irem) -> None:
    result = irem("list", "--check", "--json")
    assert result.status == 0
    assert all(row["problem"] is None for row in json.loads(result.out))


def _distribution(folder: Path, name: str, entry_points: str) -> None:
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)


def test_broken_and_doubled_plugins_are_named(
    irem: Irem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_plugin.py").write_text("raise RuntimeError('half\\nwritten')\n")
    _distribution(tmp_path, "broken", "[irem.tasks]\nshaky = broken_plugin:Task\n")
    _distribution(tmp_path, "copycat", "[irem.tasks]\nadd = irem_tasks.vectors:Negate\n")
    monkeypatch.syspath_prepend(tmp_path)
    line = irem("train", "shaky").mistake()
    assert "broken 1.0" in line
    assert "half written" in line
    doubled = irem("train", "add").mistake()
    assert "copycat" in doubled
    assert "irem-tasks" in doubled
    listed = irem("list", "--check", "--json")
    assert listed.status == 1
    problems = {(row["name"], row["package"]): row["problem"] for row in json.loads(listed.out)}
    assert "half written" in problems["shaky", "broken"]
    assert "copycat" in problems["add", "copycat"]


def test_commands_of_packages_are_found(
    irem: Irem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "greeting_plugin.py").write_text(
        "def greet(name: str) -> None:\n    print(name * 2)\n"
    )
    _distribution(tmp_path, "greeting", "[irem.commands]\ngreet = greeting_plugin:greet\n")
    monkeypatch.syspath_prepend(tmp_path)
    help_ = irem("--help")
    assert "greet" in help_.out
    assert "greeting_plugin" not in sys.modules
    assert irem("greet", "ab").out == "abab\n"


def test_describe_a_task_prints_its_floors(irem: Irem, monkeypatch: pytest.MonkeyPatch) -> None:
    (told,) = json.loads(irem("describe", "add", "--json").out)
    assert told["difficulties"]["same"]["constant"] == pytest.approx(2 / 3, rel=0.02)
    assert told["difficulties"]["harder"]["constant"] == pytest.approx(2.5**2 * 2 / 3, rel=0.02)
    assert told["difficulties"]["harder"]["entrywise"] < 1e-6
    assert told["difficulties"]["harder"]["published"]["irem"] == 0.0021
    monkeypatch.setattr(floors, "measure", lambda *_: Floor(constant=1.0))
    shown = irem("describe", "add")
    assert "0.0021" in shown.out


def test_describe_writes_ranges_as_the_command_line_does(irem: Irem) -> None:
    (told,) = json.loads(irem("describe", "edge-copy", "--json").out)
    assert told["parameters"] == {"nodes": "2..10", "scale": 1.0}
    assert told["difficulties"]["harder"]["parameters"]["nodes"] == 15
    assert "2..10" in irem("describe", "edge-copy").out


@pytest.mark.parametrize(
    "name", ["irem", "mlp", "gine", "gradient", "any-of", "last-step", "vector", "residual"]
)
def test_describe_every_kind_of_part(irem: Irem, name: str) -> None:
    shown = irem("describe", name)
    assert shown.status == 0, shown.err
    assert name in shown.out
    assert "Settings" in shown.out or "rules" in shown.out or name == "last-step"


def test_a_part_is_described_by_its_name_with_underscores_too(irem: Irem) -> None:
    shown = [irem("describe", name, "--json") for name in ("energy_plateau", "energy-plateau")]
    assert shown[0].status == 0
    assert shown[0].out == shown[1].out


@pytest.mark.parametrize("name", ["barzilai_borwein", "BarzilaiBorwein", "Barzilai Borwein"])
def test_parts_are_described_however_their_name_is_written(irem: Irem, name: str) -> None:
    assert irem("describe", name).out.startswith("descent barzilai-borwein")


def test_small_errors_and_unknown_numbers_are_shown_as_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert [show.cell(each) for each in (3.25e-14, 0.0, None)] == ["3.25e-14", "0", "-"]
    show.json_document({"a": [1.5, float("nan")], "b": {"c": (None, True)}})
    assert json.loads(capsys.readouterr().out) == {"a": [1.5, None], "b": {"c": [None, True]}}
