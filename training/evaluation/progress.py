"""How far an evaluation is, told in the log."""

from __future__ import annotations

import logging
from collections.abc import Callable

logger = logging.getLogger(__name__)


def progress(what: str, total: int) -> Callable[[int], None]:
    """Return a function that logs how many of `total` are done."""

    def told(done: int) -> None:
        logger.info("%d of %d %s", done, total, what)

    return told
