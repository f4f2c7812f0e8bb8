"""The table of a comparison of two runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.evaluation.table import markdown_table, percent

HEADER = ("What", "n", "This run", "Other run", "Difference", "Only this right", "Only other right", "McNemar p")


def comparison_rows(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return the rows of the table, one a score and part, as `HEADER` names them.

    Args:
        found: made by `compare_lines`.

    Returns:
        Texts.
    """
    named = [("right", found["right"])] if "right" in found else []
    named += [
        (f"right, {value}", one) for key in ("answer_type", "source") for value, one in found["by"].get(key, {}).items()
    ]
    named += [(name.replace("_", " "), found[name]) for name in ("open_recall", "token_f1") if name in found]
    return [
        (
            name,
            str(one["n"]),
            percent(one["ours"]),
            percent(one["theirs"]),
            percent(one["difference"]),
            str(one.get("only_ours_right", "-")),
            str(one.get("only_theirs_right", "-")),
            f"{one['mcnemar_p']:.2g}" if "mcnemar_p" in one else "-",
        )
        for name, one in named
    ]


def comparison_table(found: Mapping[str, Any]) -> str:
    """Return the table as Markdown."""
    return markdown_table(HEADER, comparison_rows(found))
