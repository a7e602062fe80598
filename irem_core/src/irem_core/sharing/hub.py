"""Sharing runs through a Hugging Face hub: weights, a model card and scores, never code."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from irem_core import checks
from irem_core.errors import (
    CheckpointError,
    HubError,
    IremError,
    RunExistsError,
    SettingError,
    UnknownNameError,
)
from irem_core.files.storage import replacing
from irem_core.runs import checkpoint
from irem_core.runs.checkpoint import MODEL
from irem_core.runs.run_folder import EVALUATION
from irem_core.sharing.model_card import README, card, read_evaluation

# What is shared of a run, and what is taken of one; a repository's other files are passed over.
_BESIDE = (README, EVALUATION)
_REPOSITORY = re.compile(r"[A-Za-z0-9_][\w.-]*/[A-Za-z0-9_][\w.-]*", re.ASCII)
_LARGEST_TEXT = 2**24


def push(
    run: str | os.PathLike[str],
    repository: str,
    *,
    licence: str | None = None,
    private: bool = False,
    endpoint: str | None = None,
    token: str | None = None,
) -> str:
    """Share a run: its weights, a card that is written from them, and its scores.

    Args:
        run: its folder.
        repository: where to, as OWNER/NAME; it is made if need be.
        licence: of the weights, such as "mit"; the card says where none is stated.
        private: whether a repository that is made is for its owner alone.
        endpoint: the hub; the one of the variable HF_ENDPOINT, or the public one, if None.
        token: of the hub; that of `hf auth login` if None.

    Returns:
        The address of the repository.

    Raises:
        CheckpointError: there is no run in the folder, or it is damaged.
        SettingError: the name is none, or huggingface_hub is not installed.
        HubError: the hub cannot be reached, or refuses.
    """
    folder = Path(run)
    check_repository(repository)
    checkpoint.read(folder / MODEL)  # a damaged one is not shared
    written = card(folder, licence=licence, repository=repository)
    scores = json.dumps(read_evaluation(folder), indent=2) + "\n"
    hub = _hub()
    contents = {MODEL: str(folder / MODEL), README: written.encode(), EVALUATION: scores.encode()}
    with _speaking(hub, repository):
        api = _api(hub, endpoint, token)
        address = api.create_repo(repository, private=private or None, exist_ok=True)
        api.create_commit(
            repository,
            [hub.CommitOperationAdd(name, content) for name, content in contents.items()],
            commit_message="A run of irem",
        )
    return str(address)


def pull(
    repository: str,
    *,
    out: str | os.PathLike[str] | None = None,
    revision: str | None = None,
    endpoint: str | None = None,
    token: str | None = None,
) -> Path:
    """Fetch a run that `push` shared, into a folder that `load` and `irem solve` take.

    Only weights, scores and the card are fetched, under names of our own; nothing is executed.

    Args:
        repository: OWNER/NAME.
        out: the folder; runs/NAME if None.
        revision: a branch, tag or commit; the newest if None.
        endpoint: the hub; the one of the variable HF_ENDPOINT, or the public one, if None.
        token: of the hub; that of `hf auth login` if None.

    Returns:
        The folder.

    Raises:
        UnknownNameError: there is no such repository or revision.
        CheckpointError: it holds no run, or a damaged one.
        RunExistsError: the folder holds a run already.
        SettingError: the name is none, or names no folder, or huggingface_hub is not installed.
        HubError: the hub cannot be reached, or refuses.
        StorageError: writing failed.
    """
    check_repository(repository)
    folder = Path(out or Path("runs") / checks.folder_name(repository.partition("/")[2]))
    present = [name for name in (MODEL, *_BESIDE) if (folder / name).exists()]
    if present:
        raise RunExistsError(
            f"{folder} already holds a run ({', '.join(present)}); choose another folder with "
            "--out (out=)."
        )
    hub = _hub()
    with _speaking(hub, repository):
        api = _api(hub, endpoint, token)
        # One commit for all files, whatever is pushed meanwhile.
        found = api.model_info(repository, revision=revision)
        names = {each.rfilename for each in found.siblings or ()}
        if MODEL not in names:
            raise CheckpointError(f"{repository} holds no {MODEL}, so it is no run of irem.")
        wanted = [name for name in (MODEL, *_BESIDE) if name in names]
        fetched = {
            name: Path(api.hf_hub_download(repository, name, revision=found.sha)) for name in wanted
        }
    checkpoint.read(fetched[MODEL])
    for name in fetched.keys() - {MODEL}:
        _check_text(fetched[name], f"{repository}/{name}")
    for name, file in fetched.items():
        with replacing(folder / name) as temporary:
            shutil.copyfile(file, temporary)
    return folder


def check_repository(name: str) -> None:
    """Check that a name is OWNER/NAME, and nothing that leads elsewhere.

    Raises:
        SettingError: it is not.
    """
    if not _REPOSITORY.fullmatch(name) or ".." in name:
        raise SettingError(
            f"{name!r} names no repository; expected OWNER/NAME, in letters, digits, '.', '_' and "
            "'-'."
        )


def _check_text(file: Path, title: str) -> None:
    """Check that a file is text of a sensible size, and JSON where it should be.

    Raises:
        CheckpointError: it is not.
    """
    try:
        if file.stat().st_size > _LARGEST_TEXT:
            raise ValueError("it is too large")
        text = file.read_text(encoding="utf-8")
        if title.endswith(".json"):
            json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{title} is damaged ({error}); nothing was written.") from error


def _hub() -> Any:
    try:
        import huggingface_hub.errors
    except ImportError as error:
        raise SettingError(
            "Sharing needs huggingface_hub, which is not installed: pip install huggingface_hub."
        ) from error
    return huggingface_hub


def _api(hub: Any, endpoint: str | None, token: str | None) -> Any:
    # The client itself reads the variable once, when it is imported.
    return hub.HfApi(endpoint=endpoint or os.environ.get("HF_ENDPOINT"), token=token)


@contextlib.contextmanager
def _speaking(hub: Any, repository: str) -> Iterator[None]:
    """Turn what goes wrong between here and the hub into one sentence."""
    errors = hub.errors
    try:
        yield
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise UnknownNameError(
            f"The hub has no {repository}, or not in that revision, or not for you; check the "
            "name, and log in with: hf auth login."
        ) from error
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        hint = " Log in with: hf auth login." if status in (401, 403) else ""
        raise HubError(f"The hub refused {repository} ({_first_line(error)}).{hint}") from error
    except errors.HFValidationError as error:
        raise SettingError(f"{repository!r} names no repository: {_first_line(error)}") from error
    except IremError:
        raise
    # The client's transport raises errors of its own kinds, which depend on the client's version.
    except Exception as error:
        raise HubError(f"The hub cannot be reached ({_first_line(error)}).") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
