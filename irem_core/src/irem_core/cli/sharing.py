"""`irem card`, `irem push` and `irem pull`: describe a run, share it, and fetch one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from irem_core.cli.options import RunArgument

Repository = Annotated[
    str, typer.Argument(metavar="REPO", help="A repository of the hub, as OWNER/NAME.")
]
Licence = Annotated[
    str | None,
    typer.Option("--license", help='Of the weights, such as "mit"; the card says where unstated.'),
]


def card(run: RunArgument, licence: Licence = None) -> None:
    """Print the model card of a run: task, error beside floors, settings, versions, how to load.

    It is written from the run's files alone, in Markdown; irem push shares it with the weights.
    """
    from irem_core.sharing.model_card import card as written

    typer.echo(written(run, licence=licence), nl=False)


def push(
    run: RunArgument,
    repository: Repository,
    licence: Licence = None,
    private: Annotated[
        bool, typer.Option("--private", help="Make a new repository for you alone.")
    ] = False,
) -> None:
    """Share a run on a Hugging Face hub: its weights, a model card and its scores.

    It needs huggingface_hub, and you logged in with "hf auth login". HF_ENDPOINT names another hub.
    """
    from irem_core.sharing.hub import push as share

    address = share(run, repository, licence=licence, private=private)
    typer.echo(f"The run is shared at {address}.")


def pull(
    repository: Repository,
    out: Annotated[Path | None, typer.Option(help="The run's folder; runs/NAME if unset.")] = None,
    revision: Annotated[
        str | None, typer.Option(help="A branch, tag or commit; the newest if unset.")
    ] = None,
) -> None:
    """Fetch a run that someone shared, to solve and evaluate with.

    Weights, scores and the card are fetched, and no code; what the run names is built from the
    packages that are installed here.
    """
    from irem_core.sharing.hub import pull as fetch

    folder = fetch(repository, out=out, revision=revision)
    typer.echo(f"The run is in {folder}; solve with: irem solve {folder} --input x.npy")
