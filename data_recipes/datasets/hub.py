"""Data sets from the Hugging Face hub: a snapshot of the files, read like a local copy. No code of theirs is run."""

from __future__ import annotations

import logging
from pathlib import Path

from assistant.errors import DataError
from data_recipes.datasets.catalogue import CARDS
from data_recipes.datasets.mmmu_health import SUBJECTS

logger = logging.getLogger(__name__)

DATA_FILES: tuple[str, ...] = tuple(
    f"*.{ending}"
    for ending in ("json", "jsonl", "csv", "tsv", "txt", "xml", "parquet", "arrow", "zip", "jpg", "jpeg", "png")
)
"""What is downloaded: no program of the repository is."""
ONLY: dict[str, tuple[str, ...]] = {"mmmu-health": tuple(f"{subject}/*.parquet" for subject in SUBJECTS)}
"""For sets that are a part of their repository: the files of that part."""


def snapshot(name: str) -> Path:
    """Download a data set from the hub, or what is missing of it.

    Args:
        name: of the recipe.
    Returns:
        Folder of the snapshot in the hub's cache; its name is the commit.
    Raises:
        DataError: the set is not openly on the hub, or the hub cannot be reached.
    """
    card = CARDS.get(name)
    if card is None or card.hub is None:
        able = ", ".join(sorted(key for key, one in CARDS.items() if one.hub))
        home = f" {name} is at {card.home}; download it and give its folder." if card else ""
        raise DataError(f"--source hub: {name} is not openly on the hub.{home} Recipes that are: {able}.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    logger.info("%s: downloading %s (%s); see its page for the terms", name, card.hub, card.licence)
    try:
        return Path(snapshot_download(card.hub, repo_type="dataset", allow_patterns=list(ONLY.get(name, DATA_FILES))))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        told = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"--source hub: {card.hub} cannot be downloaded ({told[:200]}). Unset HF_HUB_OFFLINE if it is set, log in "
            f"with `hf auth login` if the set asks for it, or download it yourself and give the folder."
        ) from error
