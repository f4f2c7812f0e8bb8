import multiprocessing
import os
import signal
import sqlite3
from contextlib import closing

import pytest

from assistant.errors import WorklistError
from assistant.states import CRASHES, States


def claim_and_die(folder):
    States(folder).claim("a", "k", ["a.png"])
    os.kill(os.getpid(), signal.SIGKILL)


def die_with_it(folder):
    process = multiprocessing.get_context("spawn").Process(target=claim_and_die, args=(folder,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def test_a_study_of_a_killed_process_is_free_again(tmp_path):
    die_with_it(tmp_path)
    states = States(tmp_path)
    assert states.counts() == {"running": 1}
    assert states.claim("a", "k", ["a.png"]) == ("mine", None)
    states.close()


def test_a_study_that_processes_die_with_is_quarantined(tmp_path):
    states = States(tmp_path)
    states.claim("a", "k", ["a.png"])
    states.close()
    die_with_it(tmp_path)
    states = States(tmp_path)
    states._db.execute("UPDATE studies SET crashes=?", (CRASHES - 1,))
    verdict, reason = states.claim("a", "k", ["a.png"])
    assert verdict == "quarantined"
    assert reason == f"The process ended {CRASHES} times while it held this study. Look at its files."
    states.close()


def test_the_reported_are_listed_with_their_keys_and_can_be_forgotten(tmp_path):
    states = States(tmp_path)
    states.done([("a", "k", ["a.png"]), ("b", "l", ["b.png"])])
    assert states.keys() == {"a": "k", "b": "l"}
    states.forget_done(["a"])
    assert states.keys() == {"b": "l"}
    states.close()


def test_a_success_clears_the_failure_of_the_same_files(tmp_path):
    states = States(tmp_path)
    states.failed("old", ["a.png"], "cut off")
    states.done([("new", "k", ["a.png"])])
    assert states.failures() == []
    states.close()


def test_what_failed_may_be_tried_again_and_what_is_quarantined_not(tmp_path):
    states = States(tmp_path)
    states.failed("a", ["a.png"], "no memory")
    states.failed("b", ["b.png"], "cut off", for_good=True)
    assert states.to_retry() == [["a.png"]]
    states.close()


def test_a_table_that_another_process_holds_is_not_to_be_deleted(tmp_path, monkeypatch):
    monkeypatch.setattr("assistant.states._WAIT_S", 0.05)
    with closing(sqlite3.connect(tmp_path / "worklist.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(WorklistError, match="is locked.*Another process is at work on it") as caught:
            States(tmp_path)
    assert "Delete" not in str(caught.value)
