"""Model cards: what a run is, what it scores and how to use it, written from its files alone.

The header that hubs read is huggingface_hub's where that is installed, and then lists the errors as
results; `irem card` works without it. What it has no form for, tables of settings and of errors
beside floors, is in a template of ours.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from irem_core.errors import CheckpointError
from irem_core.runs.checkpoint import read_metadata
from irem_core.runs.run_folder import EVALUATION

README = "README.md"

_TAGS = ["irem", "energy-based-model", "test-time-compute"]
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
    templates = Environment(
        loader=PackageLoader("irem_core.sharing"),
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        autoescape=False,  # Markdown, for which `plain` escapes
    )
    templates.filters["plain"] = _text
    evaluation = _mapping(record.get("evaluation"))
    scores = {name: _mapping(each) for name, each in evaluation.items()}
    heads, rows = _scores(scores, _mapping(record.get("floors")))
    return templates.get_template("card.md").render(
        header=_header(task["name"], scores, licence=licence, repository=where),
        task=task["name"],
        solver=_innermost(solver)["name"],
        settings=_settings(task),
        training=[*_settings(solver), *_training(metadata)],
        versions=_mapping(metadata.get("versions")).items(),
        spaces=_spaces(_mapping(metadata.get("spaces"))),
        heads=heads,
        rows=rows,
        licence=licence,
        repository=where,
    )


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


def _header(
    task: str, scores: Mapping[str, Mapping[str, Any]], *, licence: str | None, repository: str
) -> str:
    """Write the YAML that hubs read, with errors as results where huggingface_hub is there."""
    stated = None if licence is None else _text(licence)
    try:
        from huggingface_hub import EvalResult, ModelCardData
    except ImportError:
        lines = ["library_name: irem", *([f"license: {stated}"] if stated else []), "tags:"]
        return "\n".join([*lines, *(f"- {tag}" for tag in _TAGS)])
    results = [
        EvalResult(
            task_type="other",
            dataset_type=_text(task),
            dataset_name=f"{_text(task)}, {_text(difficulty)}",
            dataset_config=_text(difficulty),
            metric_type="mse",
            metric_name="mean squared error",
            metric_value=each["mse"],
        )
        for difficulty, each in scores.items()
        if isinstance(each.get("mse"), float) and math.isfinite(each["mse"])
    ]
    data = ModelCardData(
        library_name="irem",
        license=stated,
        tags=_TAGS,
        model_name=repository.rpartition("/")[2] if results else None,
        eval_results=results or None,
    )
    return data.to_yaml()


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


def _spaces(spaces: Mapping[str, Any]) -> list[str]:
    """Describe the spaces of questions and answers, where they are known."""
    lines = []
    for letter, name in (("x", "question"), ("y", "answer")):
        if spaces.get(name) is not None:
            space = _part(spaces[name])
            given = space["settings"].items()
            written = ", ".join(f"{key}={value}" for key, value in given if value is not None)
            lines.append(f"{letter}: {_text(space['name'])}({_text(written)})")
    return lines


def _scores(
    scores: Mapping[str, Mapping[str, Any]], floors: Mapping[str, Any]
) -> tuple[list[str], list[list[str]]]:
    """Return the headings and the rows of a table of errors beside floors, a row a difficulty."""
    below = {name: _mapping(floors.get(name)) for name in scores}
    columns = [key for key in _COLUMNS if any(key in each for each in scores.values())]
    known = [key for key in _FLOORS if any(each.get(key) is not None for each in below.values())]
    heads = ["difficulty", *(_COLUMNS[key] for key in columns), *(_FLOORS[key] for key in known)]
    rows = [
        [
            name,
            *(_number(each.get(key)) for key in columns),
            *(_number(below[name].get(key)) for key in known),
        ]
        for name, each in scores.items()
    ]
    return heads, rows


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "-"


def _text(value: Any) -> str:
    """Return one line of text that no terminal and no Markdown reads as more."""
    plain = "".join(each if each.isprintable() else " " for each in str(value))
    shown = plain if len(plain) <= _LONGEST else f"{plain[: _LONGEST - 3]}..."
    for special in "\\`*_[]<>|#":
        shown = shown.replace(special, f"\\{special}")
    return shown
