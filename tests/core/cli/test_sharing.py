"""Runs are shared and fetched through the real client of a hub, which here is on this machine."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard, constants

from commands import Irem
from hub import Hub, serving
from irem_core import CheckpointError, SettingError, load, save
from irem_core import card as written_card
from irem_core.runs.checkpoint import read, write
from irem_core.sharing import model_card
from irem_core.sharing.hub import check_repository
from trainings import TASK, small_solver


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that the client speaks to in place of the public one; nothing is found in a cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "stand-in")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with serving() as stand_in:
        monkeypatch.setenv("HF_ENDPOINT", stand_in.endpoint)
        yield stand_in


def test_a_run_is_pushed_pulled_and_solved_with(irem: Irem, run: Path, hub: Hub) -> None:
    pushed = irem("push", run, "someone/adder", "--license", "mit")
    assert pushed.status == 0, pushed.err
    assert f"{hub.endpoint}/someone/adder" in pushed.out
    shared = hub.repositories["someone/adder"]
    assert set(shared) == {"model.safetensors", "README.md", "evaluation.json"}
    assert shared["model.safetensors"] == (run / "model.safetensors").read_bytes()
    assert hub.tokens == {"Bearer stand-in"}
    assert not hub.private["someone/adder"]

    pulled = irem("pull", "someone/adder")
    assert pulled.status == 0, pulled.err
    folder = Path("runs/adder")
    assert {each.name for each in folder.iterdir()} == set(shared)
    for name, content in shared.items():
        assert (folder / name).read_bytes() == content
    asked = torch.rand(3, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(load(folder).solve(asked).y, load(run).solve(asked).y)
    solved = irem("solve", folder, "--difficulty", "same", "--count", 2, "--json")
    assert solved.status == 0, solved.err
    assert "already holds a run" in irem("pull", "someone/adder").mistake()
    # Pushed again, to a repository that is there already.
    assert irem("push", folder, "someone/adder", "--private").status == 0


def test_the_card_says_what_the_run_is(irem: Irem, run: Path) -> None:
    card = irem("card", run, "--license", "mit").out
    record = json.loads((run / "evaluation.json").read_text())
    assert card.startswith("---\nlibrary_name: irem\nlicense: mit\n")
    for difficulty, scores in record["evaluation"].items():
        (row,) = (line for line in card.splitlines() if line.startswith(f"| {difficulty} |"))
        assert f"{scores['mse']:.4g}" in row
        assert f"{record['floors'][difficulty]['constant']:.4g}" in row
    for words in (
        "# add, solved by irem",
        "| size | 4 |",
        "| energy.width | 16 |",
        "- x: vector(length=8)",
        f"| torch | {version('torch')}",
        "training.iterations",
        "The weights are under mit.",
        "irem pull OWNER/NAME",
    ):
        assert words in card, words
    assert "None is stated" in irem("card", run).out


def test_hubs_read_the_errors_and_the_card_needs_no_client(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = ModelCard(written_card(run, licence="mit", repository="someone/adder"))
    evaluation = json.loads((run / "evaluation.json").read_text())["evaluation"]
    errors = {each.dataset_config: each.metric_value for each in read.data.eval_results}
    assert errors == {difficulty: scores["mse"] for difficulty, scores in evaluation.items()}
    assert read.data.model_name == "adder"
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    plain = ModelCard(written_card(run, licence="mit", repository="someone/adder"))
    assert plain.text == read.text
    assert read.data.to_dict().items() >= plain.data.to_dict().items()
    assert plain.data.license == "mit"


def test_a_run_without_scores_and_a_model_file_have_cards(tmp_path: Path) -> None:
    save(small_solver(), tmp_path, task=TASK)
    for path in (tmp_path, tmp_path / "model.safetensors"):
        assert "was not evaluated" in written_card(path)
    (tmp_path / "evaluation.json").write_text("[1]")
    with pytest.raises(CheckpointError, match="no JSON object"):
        written_card(tmp_path)
    (tmp_path / "evaluation.json").write_text("{")
    with pytest.raises(CheckpointError, match="no JSON"):
        written_card(tmp_path)


def test_what_a_stranger_wrote_stays_text(tmp_path: Path) -> None:
    save(small_solver(), tmp_path, task=TASK)
    tensors, metadata = read(tmp_path / "model.safetensors")
    metadata["task"]["name"] = "<script>alert(1)</script>\x1b[2J| a |\n# heading"
    metadata["task"]["settings"] = {"a": {"part": 3}, "b": [1], "c": "x" * 10_000}
    metadata["solver"], metadata["versions"], metadata["spaces"] = 7, "none", {"question": []}
    write(tmp_path / "model.safetensors", tensors, metadata)
    card = written_card(tmp_path)
    assert "<script>" not in card
    assert "\x1b" not in card
    assert "\n# heading" not in card
    assert max(map(len, card.splitlines())) < 1000


def test_no_code_and_no_other_file_is_fetched(irem: Irem, run: Path, hub: Hub) -> None:
    irem("push", run, "someone/adder")
    shared = hub.repositories["someone/adder"]
    shared |= {
        "../../escaped.json": b"{}",
        "setup.py": b"raise SystemExit",
        "weights.bin": pickle.dumps(print),
        "training.safetensors": b"",
    }
    assert irem("pull", "someone/adder", "--out", "taken").status == 0
    assert {each.name for each in Path("taken").iterdir()} == {
        "model.safetensors",
        "README.md",
        "evaluation.json",
    }
    assert not any("escaped" in asked or "setup" in asked for asked in hub.asked)
    assert not list(Path().rglob("escaped*"))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("model.safetensors", pickle.dumps(print), "no safetensors file"),
        ("model.safetensors", None, "holds no model.safetensors"),
        ("evaluation.json", b"{", "is damaged"),
        ("README.md", b"\xff\xfe", "is damaged"),
    ],
)
def test_what_is_no_run_is_not_kept(
    irem: Irem, run: Path, hub: Hub, name: str, content: bytes | None, words: str
) -> None:
    irem("push", run, "someone/adder")
    shared = hub.repositories["someone/adder"]
    if content is None:
        del shared[name]
    else:
        shared[name] = content
    assert words in irem("pull", "someone/adder").mistake()
    assert not Path("runs/adder").exists()


def test_an_altered_model_is_neither_fetched_nor_shared(irem: Irem, run: Path, hub: Hub) -> None:
    shutil.copytree(run, "altered")
    file = Path("altered/model.safetensors")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert "was altered" in irem("push", "altered", "someone/adder").mistake()
    assert not hub.repositories
    irem("push", run, "someone/adder")
    hub.repositories["someone/adder"]["model.safetensors"] = bytes(content)
    assert "was altered" in irem("pull", "someone/adder").mistake()


NAMES = ["adder", "a/b/c", "../b", "a/..", "a/.b", "/etc/passwd", "a/b\n", "a/b c", "", "a/", "é/b"]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(SettingError, match="OWNER/NAME"):
        check_repository(name)


def test_a_run_is_not_fetched_into_a_device(irem: Irem, hub: Hub) -> None:
    assert "give the folder itself with --out" in irem("pull", "someone/nul").mistake()
    assert not hub.asked


def test_a_hub_that_refuses_or_is_away_is_one_line(
    irem: Irem, run: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "has no someone/nothing" in irem("pull", "someone/nothing").mistake()
    irem("push", run, "someone/adder")
    assert "not in that revision" in irem("pull", "someone/adder", "--revision", "v9").mistake()
    hub.refused = 403
    for arguments in (("push", run, "someone/adder"), ("pull", "someone/adder")):
        refused = irem(*arguments)
        assert refused.status == 1
        assert "hf auth login" in refused.err
        assert refused.err.count("\n") == 1
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    away = irem("pull", "someone/adder")
    assert away.status == 1
    assert "cannot be reached" in away.err
    assert away.err.count("\n") == 1


def test_without_the_client_the_error_names_what_to_install(
    irem: Irem, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for arguments in (("push", run, "someone/adder"), ("pull", "someone/adder")):
        assert "pip install huggingface_hub" in irem(*arguments).mistake()


def test_parts_within_parts_without_end_have_a_card() -> None:
    nested: dict[str, Any] = {"class": "a:B", "settings": {}}
    for _ in range(50):
        nested = {"class": "a:B", "settings": {"inner": {"part": nested}}}
    assert len(model_card._settings(model_card._part(nested))) < 10
