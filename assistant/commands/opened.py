"""`Opened`: an assistant that is ready, and how the commands are handed one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assistant.chat import MedicalAssistant
    from assistant.config import AssistantConfig
    from assistant.serve.upstream_link import UpstreamLink


@dataclass(frozen=True)
class Opened:
    """A loaded assistant with the names of what it is made of."""

    assistant: MedicalAssistant
    """Answers and reports."""
    model_name: str
    """As shown to a reader."""
    model_fingerprint: str
    """Identity of the weights."""
    index_fingerprint: str | None
    """Identity of the index, None without one."""
    upstream: UpstreamLink | None = None
    """The way to the server that writes the text, None if this process does."""


Opener = Callable[["AssistantConfig"], Opened]
"""Loads what a configuration names; `app.py` has the one that knows retrieval."""
