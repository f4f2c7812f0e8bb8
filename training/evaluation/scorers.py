"""Which scorers there are: ours, then the peers' by name."""

from __future__ import annotations

from collections.abc import Sequence

from assistant.errors import ConfigError
from training.evaluation.llava_med import LLAVA_MED
from training.evaluation.medevalkit import MEDEVALKIT
from training.evaluation.own_scores import QUESTION_SCORES, REPORT_SCORES
from training.evaluation.scorer import Scorer


def built_in() -> tuple[Scorer, ...]:
    """Return every scorer that needs no weights of its own: ours, then the peers' by name."""
    return (*QUESTION_SCORES, *REPORT_SCORES, *LLAVA_MED, *MEDEVALKIT)


def find_scorers(names: Sequence[str]) -> list[Scorer]:
    """Return scorers by name.

    Args:
        names: of scorers, or the part before the dot for all of a peer's.

    Returns:
        The scorers, in the order of the names.

    Raises:
        ConfigError: a name is unknown.
    """
    known = built_in()
    found: list[Scorer] = []
    unknown = []
    for name in names:
        matching = [one for one in known if name in (one.name, one.name.partition(".")[0])]
        found += matching
        if not matching:
            unknown.append(name)
    if unknown:
        raise ConfigError(
            f"No scorer is called {', '.join(unknown)}. There are: {', '.join(scorer.name for scorer in known)}."
        )
    return list(dict.fromkeys(found))
