import datetime
import multiprocessing
import os
import shutil
import sqlite3
import stat
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from assistant.errors import ConfigError, DataError
from assistant.feedback.address import address_of
from assistant.feedback.records import KeptPicture
from assistant.feedback.store import FeedbackStore
from assistant.feedback.tables import Base

PIXELS = b"\x89PNG" + bytes(range(256)) * 40


def full(word):
    pictures = (KeptPicture("p1", "prior"), KeptPicture("p2", "current", PIXELS))
    return word(
        options=("yes", "no"), history=(("user", "before"), ("assistant", "answer")), confidence=0.25, index="i",
        reason="missed", comment="c", patient_key="pk", study_key="sk", modality="CT", anatomy="head", accepted=True,
        pictures=pictures,
    )  # fmt: skip


def test_what_is_put_in_comes_out(store, word):
    store.put(full(word))
    assert list(store.all(pictures=True)) == [full(word)]
    (without,) = store.all()
    assert [one.png for one in without.pictures] == [None, None]


def test_the_file_is_its_owners_alone_and_made_only_when_needed(store, word):
    assert not store.exists
    store.put(word())
    assert stat.S_IMODE(store.address.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.address.file.parent.stat().st_mode) == 0o700


def test_a_second_word_on_one_answer_replaces_the_first(store, word):
    store.put(full(word))
    store.put(word(correction="A mass."))
    (one,) = store.all(pictures=True)
    assert (one.correction, one.pictures) == ("A mass.", ())


def test_what_is_purged_is_gone_from_the_disk(store, word):
    store.put(full(word))
    assert PIXELS[:200] in store.address.file.read_bytes()
    assert store.purge(every=True, pictures_only=True) == 1
    assert PIXELS[:200] not in store.address.file.read_bytes()
    assert [one.correction for one in store.all()] == ["A cyst."]
    assert store.purge(names=["a"]) == 1
    assert b"A cyst." not in store.address.file.read_bytes()


def test_only_what_is_older_is_purged(store, word):
    for day in (1, 10, 20):
        store.put(word(f"d{day}", day=datetime.date(2026, 11, day)))
    assert store.purge(before=datetime.date(2026, 11, 10), names=["d20"]) == 2
    assert [one.id for one in store.all()] == ["d10"]
    assert store.purge(names=["nobody"]) == 0


def test_the_tables_after_all_steps_are_those_that_are_used(store):
    store.open()
    with store._engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_a_database_of_a_later_version_is_refused(store, word):
    store.put(word())
    store.close()
    with sqlite3.connect(store.address.file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v99'")
    connection.close()
    with pytest.raises(DataError, match="later version of this program"):
        store.open()


def test_a_file_that_is_no_database_is_told(store):
    store.address.file.parent.mkdir()
    store.address.file.write_bytes(b"something else entirely" * 50)
    with pytest.raises(DataError, match=r"feedback.sqlite cannot be used \(DatabaseError\)"):
        store.open()


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(ConfigError, match="cannot be made or written"):
        FeedbackStore(address_of(str(tmp_path / "taken" / "x.sqlite"))).open()


def test_a_fault_quotes_nothing_of_what_was_to_be_kept(store, word):
    store.open()
    with store._engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE feedback_picture")
        connection.exec_driver_sql("DROP TABLE feedback")
    with pytest.raises(DataError, match=r"cannot be used \(OperationalError\)") as caught:
        store.put(word(correction="a secret"))
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_words_on_one_answer_at_the_same_moment_leave_one_of_them(store, word):
    store.open()
    start = threading.Barrier(6, timeout=60)

    def give(correction):
        for number in range(8):
            start.wait()
            store.put(word(f"answer {number}", correction=correction))

    with ThreadPoolExecutor(6) as pool:
        for one in [pool.submit(give, f"word {number}") for number in range(6)]:
            one.result()
    assert [one.id for one in store.all()] == [f"answer {number}" for number in range(8)]


def test_a_file_that_another_program_holds_is_told_also_when_it_is_to_shrink(store, word, monkeypatch):
    monkeypatch.setattr("assistant.feedback.store._WAIT_S", 0.05)
    store.put(word())
    purged = store._session

    @contextmanager
    def held_afterwards():
        with purged() as session:
            yield session
        other.execute("BEGIN IMMEDIATE")

    monkeypatch.setattr(store, "_session", held_afterwards)
    with closing(sqlite3.connect(store.address.file, isolation_level=None)) as other:
        with pytest.raises(DataError, match=r"cannot be used \(OperationalError\)"):
            store.purge(every=True)
        other.execute("ROLLBACK")


def _write(path, start, name):
    from tests.assistant.feedback.test_store import address_of as read

    store = FeedbackStore(read(path))
    start.wait()
    from assistant.feedback.records import Feedback

    for number in range(5):
        store.put(Feedback(f"{name}{number}", datetime.date(2026, 1, 1), "answer", "up", "q", "a", "m"))
    store.close()


def test_processes_that_begin_at_once_all_keep_their_words(store):
    context = multiprocessing.get_context("fork")
    start = context.Event()
    workers = [context.Process(target=_write, args=(str(store.address.file), start, name)) for name in "xyz"]
    for worker in workers:
        worker.start()
    start.set()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert len(list(store.all())) == 15


def test_a_postgresql_server_keeps_the_same(word, monkeypatch):
    folder = tempfile.mkdtemp(prefix="mf", dir="/tmp")  # a socket's path must be short
    monkeypatch.setenv("XDG_RUNTIME_DIR", os.environ.get("XDG_RUNTIME_DIR", folder))
    pgserver = pytest.importorskip("pgserver", reason="the bundled PostgreSQL is not installed")
    pytest.importorskip("pg8000")
    server = pgserver.get_server(f"{folder}/data", cleanup_mode="stop")
    try:
        store = FeedbackStore(address_of(f"postgresql://postgres@/postgres?host={folder}/data"))
        store.put(full(word))
        store.put(full(word))
        assert list(store.all(pictures=True)) == [full(word)]
        store.close()
        store.open()
        assert store.purge(every=True) == 1
        assert list(store.all()) == []
        store.close()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def test_a_server_that_is_not_there_is_told_without_its_password():
    store = FeedbackStore(address_of("postgresql://ann:secret@127.0.0.1:1/words"))
    with pytest.raises(DataError, match="postgresql://ann@127.0.0.1:1/words cannot be used") as caught:
        store.open()
    assert "secret" not in str(caught.value)
