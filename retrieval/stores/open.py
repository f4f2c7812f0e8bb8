"""Opening an index by the name that a person gives it: a folder, `lance:FOLDER`, or `postgresql://…`."""

from __future__ import annotations

from pathlib import Path

from assistant.errors import AssistantError
from retrieval.encoder import Encoder
from retrieval.retriever import IndexRetriever
from retrieval.settings import SearchSettings
from retrieval.stores.pg_connect import SCHEMES
from retrieval.stores.retriever import StoreRetriever
from retrieval.stores.store import Store

LANCE = "lance:"


def is_store(name: str) -> bool:
    """Tell whether a name is a database's."""
    return name.startswith((LANCE, *SCHEMES))


def open_store(name: str) -> Store:
    """Open a database.

    Args:
        name: `lance:FOLDER` or `postgresql://…`.
    Returns:
        The store, filled or not.
    Raises:
        ConfigError: the extra that it needs is not installed, or an address is not usable.
        RetrievalError: the server cannot be reached.
    """
    if name.startswith(LANCE):
        from retrieval.stores.lance import LanceStore

        return LanceStore(Path(name.removeprefix(LANCE)).expanduser())
    from retrieval.stores.postgres import PostgresStore

    return PostgresStore(name)


def open_retriever(
    name: str, encoder: Encoder, settings: SearchSettings | None = None
) -> IndexRetriever | StoreRetriever:
    """Open whatever can be searched.

    Args:
        name: an index folder, or a database.
        encoder: the one it was built with.
        settings: the index's own if None.
    Returns:
        The retriever.
    Raises:
        RetrievalError: it cannot be opened, or was built with another encoder.
    """
    if is_store(name):
        store = open_store(name)
        try:
            return StoreRetriever(store, encoder, settings)
        except AssistantError:
            store.close()
            raise
    return IndexRetriever.open(Path(name).expanduser(), encoder, settings)
