"""What every reader of a corpus shares: its options, what it notes, and the checks of single fields.

Every fault of every file is gathered and named with its file, line, field and value, and what to do; nothing that is
broken is left out in silence.
"""

from __future__ import annotations

import datetime
import logging
import re
from dataclasses import dataclass, field
from pathlib import Path

from assistant.errors import RetrievalError
from assistant.vocabulary import MODALITIES
from retrieval.passage import ANY_MODALITY, CountTokens, count_words

logger = logging.getLogger(__name__)

KNOWLEDGE = "knowledge"
_MOST_FAULTS_SHOWN = 20
_DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?\Z")


@dataclass
class Faults:
    """What is wrong with a corpus, gathered while it is read. The first `kept` are worded, the others counted."""

    found: list[str] = field(default_factory=list)
    count: int = 0
    kept: int = _MOST_FAULTS_SHOWN

    def add(self, place: str, name: str, value: object, mend: str) -> None:
        """Note one fault: where, in which field, the value seen, what to do."""
        self.count += 1
        if len(self.found) < self.kept:
            shown = repr(value)
            self.found.append(f"{place}: {name} is {shown if len(shown) <= 60 else shown[:57] + '...'}; {mend}")

    def raise_if_any(self) -> None:
        """Raise one RetrievalError that lists the faults.

        Raises:
            RetrievalError: at least one fault was noted.
        """
        if not self.count:
            return
        more = self.count - len(self.found)
        tail = f"\n  … and {more} more" if more else ""
        raise RetrievalError(
            f"The corpus has {self.count} fault(s); mend them and run again:\n  " + "\n  ".join(self.found) + tail
        )


@dataclass
class Tally:
    """What was left out while a corpus was read, by reason; no fault, but said."""

    other_split: int = 0
    """Cases that belong to another split."""
    duplicates: int = 0
    """Pieces whose words were there already."""
    near_duplicates: int = 0
    """Pieces that differ from an earlier one by a few words that change nothing."""
    empty: int = 0
    """Records without text where their format allows it: an answer withheld, an article without an abstract."""


@dataclass(frozen=True)
class ReadOptions:
    """How corpora are read."""

    budget: int = 180
    """The longest chunk, as `count_tokens` counts."""
    count_tokens: CountTokens = count_words
    """Length of a text: words, or tokens of the encoder."""
    with_title: bool = False
    """Whether the title counts too: what is embedded is the title and the chunk."""
    split: str = "train"
    """Cases that name another split are left out; "all" keeps every one."""
    licence: str | None = None
    """Of records that name none, such as those of a PDF."""
    source: str | None = None
    """Of records that name none."""

    def room(self, title: str) -> int:
        """Return how long the text of a chunk under this title may be, at least half of the budget."""
        taken = self.count_tokens(f"{title}. ") if self.with_title else 0
        return max(self.budget - taken, (self.budget + 1) // 2)


def knowledge_folder() -> Path:
    """Return the folder of the knowledge cards that ship with the project."""
    return Path(__file__).parent / "knowledge"


def check_modality(value: object, place: str, faults: Faults) -> str | None:
    """Return the modality by its name in `MODALITIES`, None for "any"; note a fault for an unknown name."""
    from assistant.vocabulary import canonical_modality

    if value is None or value == ANY_MODALITY:
        return None
    name = canonical_modality(value) if isinstance(value, str) else None
    if name is None:
        faults.add(place, "modality", value, f"use one of {', '.join(MODALITIES)}, or {ANY_MODALITY}.")
    return name


def check_date(value: object, place: str, faults: Faults) -> str | None:
    """Return a date as `2021`, `2021-03` or `2021-03-09`; note a fault for anything else."""
    if value in (None, ""):
        return None
    match = _DATE.match(str(value))
    if match:
        try:
            datetime.date(int(match[1]), int(match[2] or 1), int(match[3] or 1))
        except ValueError:
            match = None
    if not match:
        faults.add(place, "date", value, "write it as 2021, 2021-03 or 2021-03-09.")
        return None
    return str(value)
