"""What a model is called that was made from another one: its base's name, "+", and the name of its run."""

from __future__ import annotations

import re
from pathlib import Path

_SAYS_NOTHING = frozenset({"adapter", "checkpoint", "language", "merged", "model", "out", "output"})
"""Names of folders that every run has; the one above tells which run it was."""
_LONGEST = 64
"""Characters; what names of models have elsewhere, such as `also` in the settings."""


def made_name(base: str, folder: Path) -> str:
    """Return a name for what was made from a model, so that a reader can tell which of the two said something.

    Args:
        base: name of the model that it was made from; what was made from that before is not told again.
        folder: where it lies or will lie; the first part of its path, from the end, that says something is its name.
    Returns:
        Such as "starter+chest" for `runs/chest/model`; `base` as it is where no part of the path says anything.
    """
    parts = reversed(folder.resolve().parts)
    named = (one for one in parts if one.lower() not in _SAYS_NOTHING and not one.startswith("."))  # not yet renamed
    run = re.sub(r"[^\w.-]+", "-", next(named, "")).strip("-")
    return f"{base.partition('+')[0]}+{run}"[:_LONGEST] if run else base
