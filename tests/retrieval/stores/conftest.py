"""The three backends, each on a real instance: a folder, a LanceDB folder, a PostgreSQL server of the tests' own."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from retrieval.corpus import Corpus
from retrieval.encoder import Encoder
from retrieval.passage import Passage
from retrieval.stores.open import is_store, open_retriever, open_store
from retrieval.stores.write import add_to_store, copy_index, delete_from_store, source_of
from retrieval.write import add_passages, build_index, delete_documents

BACKENDS = ("folder", "lance", "postgres")


def _fixtures_of_retrieval() -> ModuleType:
    path = Path(__file__).parent.parent / "conftest.py"
    spec = importlib.util.spec_from_file_location("retrieval_conftest", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A server that lives as long as the tests; its socket's folder must have a short path."""
    folder = tempfile.mkdtemp(prefix="pg", dir="/tmp")
    os.environ.setdefault("XDG_RUNTIME_DIR", folder)
    pgserver = pytest.importorskip("pgserver", reason="the bundled PostgreSQL is not installed")
    pytest.importorskip("pg8000")
    server = pgserver.get_server(f"{folder}/data", cleanup_mode="stop")
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


class Backend:
    """One kind of index, and one name of it."""

    def __init__(self, kind: str, tmp_path: Path, url: str | None) -> None:
        self.kind = kind
        self._folder = tmp_path / f"index-{kind}"
        self._opened: list[Any] = []
        mark = uuid.uuid4().hex[:8]
        self.name = {
            "folder": str(self._folder),
            "lance": f"lance:{tmp_path / 'lance'}",
            "postgres": f"{url}&schema=t{mark}",
        }[kind]

    def build(self, corpus: Corpus, encoder: Encoder) -> None:
        """Fill it."""
        build_index(corpus, encoder, self._folder)
        if is_store(self.name):
            with closing(open_store(self.name)) as store:
                copy_index(source_of(str(self._folder)), store)

    def open(self, encoder: Encoder, **options: Any) -> Any:
        """Open a retriever; `close` closes it."""
        opened = open_retriever(self.name, encoder, **options)
        if is_store(self.name):
            self._opened.append(opened)
        return opened

    def close(self) -> None:
        """Close all that was opened."""
        while self._opened:
            self._opened.pop().close()

    def add(self, passages: Sequence[Passage], encoder: Encoder) -> None:
        """Add passages."""
        if is_store(self.name):
            with closing(open_store(self.name)) as store:
                add_to_store(store, passages, encoder)
        else:
            add_passages(self._folder, passages, encoder)

    def delete(self, encoder: Encoder, **which: Any) -> int:
        """Take documents out."""
        if is_store(self.name):
            with closing(open_store(self.name)) as store:
                return delete_from_store(store, **which)
        return delete_documents(self._folder, encoder, **which)


@pytest.fixture
def make_backend(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Return a function that makes a backend of a kind; only PostgreSQL starts a server."""
    made: list[Backend] = []

    def make(kind: str) -> Backend:
        if kind == "lance":
            pytest.importorskip("lancedb", reason="the lance extra is not installed")
        url = request.getfixturevalue("postgres_url") if kind == "postgres" else None
        made.append(Backend(kind, tmp_path, url))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, make_backend: Any) -> Backend:
    """Every backend in turn."""
    made: Backend = make_backend(request.param)
    return made


@pytest.fixture(params=BACKENDS[1:])
def database(request: pytest.FixtureRequest, make_backend: Any) -> Backend:
    """Every backend but the folder."""
    made: Backend = make_backend(request.param)
    return made
