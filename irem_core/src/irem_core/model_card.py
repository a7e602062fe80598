"""Model cards: what a run is, what it scores and how to use it, written from its files alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from irem_core.checkpoint import read_metadata
from irem_core.errors import CheckpointError
from irem_core.run_folder import EVALUATION

README = "README.md"

_LONGEST = 300
_COLUMNS = {
    "mse": "mean squared error",
    "relative": "over that of the best constant",
    "r2": "R2",
    "worst_tenth_auroc": "AUROC",
    "steps_mean": "steps",
    "problems": "problems",
}
_FLOORS = {
    "constant": "best constant answer",
    "entrywise": "best function of an entry's own input",
    "linear": "linear regression",
}


def card(run: Path, *, licence: str | None = None, repository: str | None = None) -> str:
    """Write the model card of a run, in Markdown with the header that hubs read.

    Args:
        run: its folder.
        licence: under which the weights may be used, such as "mit"; the card says where none is
            stated.
        repository: where it is shared, as OWNER/NAME; a placeholder if None.

    Raises:
        CheckpointError: there is no run, or its evaluation is damaged.
    """
    metadata = read_metadata(run)
    record = read_evaluation(Path(run))
    solver, task = _part(metadata.get("solver")), _part(metadata.get("task"))
    where = repository or "OWNER/NAME"
    name = where.rpartition("/")[2]
    lines = [
        *_header(licence),
        f"# {_text(task['name'])}, solved by {_text(_innermost(solver)['name'])}",
        "",
        "A solver trained with irem: iterative reasoning as energy minimisation (Du et al., ICML "
        "2022). It answers a question x by descending a learned energy E(x, y) over candidate "
        "answers y until that stops changing.",
        "",
        "## Task",
        "",
        *_table(["setting", "value"], _settings(task)),
        *_spaces(metadata.get("spaces")),
        "## Error",
        "",
        *_scores(record),
        "## Settings",
        "",
        *_table(["setting", "value"], [*_settings(solver), *_training(metadata)]),
        "## Versions",
        "",
        *_table(["package", "version"], _mapping(metadata.get("versions")).items()),
        "## Licence",
        "",
        "None is stated: ask whoever shared this before you use it."
        if licence is None
        else f"The weights are under {_text(licence)}.",
        "",
        "## Use",
        "",
        "The file `model.safetensors` holds weights and settings, and no code; loading builds the "
        "parts that it names from the packages that you have installed.",
        "",
        "```sh",
        "pip install huggingface_hub",
        f"irem pull {where}",
        f"irem solve runs/{name} --input x.npy --output y.npy",
        "```",
        "",
        "```py",
        "from irem_core import load, pull",
        "",
        f'solver = load(pull("{where}"))',
        "solution = solver.solve(x)  # solution.y, solution.energy, solution.steps",
        "```",
    ]
    return "\n".join(lines) + "\n"


def read_evaluation(run: Path) -> dict[str, Any]:
    """Read what a run recorded of its evaluation; nothing where it was not evaluated.

    Raises:
        CheckpointError: the file is no JSON object.
    """
    file = (run if run.is_dir() else run.parent) / EVALUATION
    if not file.is_file():
        return {}
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{file} is damaged: it holds no JSON.") from error
    if not isinstance(record, dict):
        raise CheckpointError(f"{file} is damaged: it holds no JSON object.")
    return record


def _header(licence: str | None) -> list[str]:
    stated = [] if licence is None else [f"license: {_text(licence)}"]
    tags = ["tags:", "- irem", "- energy-based-model", "- test-time-compute"]
    return ["---", "library_name: irem", *stated, *tags, "---", ""]


def _part(described: Any) -> dict[str, Any]:
    """Return a described part with a name and settings, whatever the file says."""
    part = _mapping(described)
    title = part.get("name") or str(part.get("class", "unknown")).rpartition(":")[2]
    return {"name": title, "settings": _mapping(part.get("settings"))}


def _innermost(solver: Mapping[str, Any]) -> dict[str, Any]:
    inner = _mapping(solver["settings"].get("solver")).get("part")
    return dict(solver) if inner is None else _part(inner)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _settings(part: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """List a part's name and its settings, parts within it below their own names."""
    rows = [(prefix.rstrip(".") or "name", str(part["name"]))]
    for name, value in part["settings"].items():
        inner = _mapping(value).get("part")
        if inner is not None and prefix.count(".") < 5:
            rows += _settings(_part(inner), f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", json.dumps(value)))
    return rows


def _training(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    training = _mapping(metadata.get("training"))
    return [(f"training.{name}", json.dumps(value)) for name, value in training.items()]


def _spaces(spaces: Any) -> list[str]:
    found = {name: _part(space) for name, space in _mapping(spaces).items() if space is not None}
    lines = []
    for name, letter in (("question", "x"), ("answer", "y")):
        if name in found:
            given = found[name]["settings"].items()
            written = ", ".join(f"{key}={value}" for key, value in given if value is not None)
            lines.append(f"- {letter}: {_text(found[name]['name'])}({_text(written)})")
    return [*lines, ""] if lines else []


def _scores(record: Mapping[str, Any]) -> list[str]:
    evaluation = _mapping(record.get("evaluation"))
    scored = {name: _mapping(each) for name, each in evaluation.items()}
    if not scored:
        return ["This run was not evaluated when it was trained; `irem evaluate` does.", ""]
    floors = {name: _mapping(_mapping(record.get("floors")).get(name)) for name in scored}
    columns = [key for key in _COLUMNS if any(key in each for each in scored.values())]
    known = [key for key in _FLOORS if any(each.get(key) is not None for each in floors.values())]
    heads = [_COLUMNS[key] for key in columns] + [_FLOORS[key] for key in known]
    rows = [
        [
            name,
            *(_number(scores.get(key)) for key in columns),
            *(_number(floors[name].get(key)) for key in known),
        ]
        for name, scores in scored.items()
    ]
    return [
        *_table(["difficulty", *heads], rows),
        "Errors are over all entries of the lowest-energy answers. The columns at the end are the "
        "errors of answers without reasoning, on the same problems: an error that is not far below "
        "them shows none. R2 is the share of the variance explained; AUROC says how well the "
        "energy tells the tenth of the answers that are worst, where 0.5 is chance.",
        "",
    ]


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "-"


def _table(heads: Sequence[str], rows: Iterable[Iterable[Any]]) -> list[str]:
    written = [[_text(cell) for cell in row] for row in rows]
    lines = [heads, ["---"] * len(heads), *written]
    return [*(f"| {' | '.join(line)} |" for line in lines), ""]


def _text(value: Any) -> str:
    """Return one line of text that no terminal and no Markdown reads as more."""
    plain = "".join(each if each.isprintable() else " " for each in str(value))
    shown = plain if len(plain) <= _LONGEST else f"{plain[: _LONGEST - 3]}..."
    for special in "\\`*_[]<>|#":
        shown = shown.replace(special, f"\\{special}")
    return shown
