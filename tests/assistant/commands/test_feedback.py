import datetime
import json
import stat

import pytest

from app import main
from assistant.feedback.address import address_of
from assistant.feedback.records import Feedback, KeptPicture
from assistant.feedback.store import FeedbackStore

TODAY = datetime.datetime.now(datetime.UTC).date()


@pytest.fixture
def path(tmp_path):
    store = FeedbackStore(address_of(str(tmp_path / "feedback.sqlite")))
    for name, age, png in (("old", 100, b"old pixels"), ("new", 1, None)):
        store.put(
            Feedback(
                name, TODAY - datetime.timedelta(days=age), "answer", "down", "What?", "A nodule.", "feed",
                correction="A cyst.", pictures=(KeptPicture(f"{name}hash", "current", png),),
            )
        )  # fmt: skip
    store.close()
    return str(tmp_path / "feedback.sqlite")


def run(capsys, *words):
    code = main(["feedback", *words])
    return code, *capsys.readouterr()


def test_a_list_shows_no_text_unless_asked(path, capsys):
    code, out, err = run(capsys, "list", "--feedback", path)
    assert code == 0
    assert [line.split("\t")[0] for line in out.splitlines()] == ["old", "new"]
    assert "cyst" not in out
    assert err.startswith("2 in ")
    _, out, _ = run(capsys, "list", "--feedback", path, "--json")
    assert [json.loads(line)["correction"] for line in out.splitlines()] == ["A cyst."] * 2


def test_an_export_is_a_folder_for_its_owner_alone(path, capsys, tmp_path):
    code, *_ = run(capsys, "export", "--feedback", path, "--out", str(tmp_path / "out"))
    assert code == 0
    rows = [json.loads(line) for line in (tmp_path / "out" / "feedback.jsonl").read_text().splitlines()]
    assert rows[0]["pictures"] == [{"content_id": "oldhash", "role": "current", "file": "oldhash.png"}]
    assert "file" not in rows[1]["pictures"][0]
    assert (tmp_path / "out" / "oldhash.png").read_bytes() == b"old pixels"
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700
    assert {stat.S_IMODE(one.stat().st_mode) for one in (tmp_path / "out").iterdir()} == {0o600}


def test_what_is_old_is_purged(path, capsys):
    assert run(capsys, "purge", "--feedback", path, "--older-than", "30")[1] == "1 deleted.\n"
    assert run(capsys, "list", "--feedback", path)[1].startswith("new\t")
    assert run(capsys, "purge", "--feedback", path, "--id", "gone")[1] == "0 deleted. 1 named.\n"
    assert run(capsys, "purge", "--feedback", path, "--all")[1] == "1 deleted.\n"


def test_pictures_alone_can_be_purged(path, capsys):
    assert run(capsys, "purge", "--feedback", path, "--all", "--pictures")[1] == "1 without pictures now.\n"
    assert len(run(capsys, "list", "--feedback", path)[1].splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["purge"], "purge needs to be told what"),
        (["purge", "--all", "--id", "x"], "--all goes with neither"),
        (["purge", "--older-than", "-1"], "--older-than is -1"),
        (["list", "--all"], "are for purge"),
        (["export"], "export needs a new folder"),
        (["list", "--feedback", "none"], "keeps nothing"),
        (["list", "--feedback", "missing.sqlite"], "does not exist: no feedback was given yet"),
    ],
)
def test_words_that_do_not_go_together_are_told(words, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, *words)
    assert code == 2
    assert message in err


def test_an_export_into_a_folder_that_is_there_is_refused(path, capsys, tmp_path):
    (tmp_path / "out").mkdir()
    code, _, err = run(capsys, "export", "--feedback", path, "--out", str(tmp_path / "out"))
    assert (code, list((tmp_path / "out").iterdir())) == (2, [])
    assert "is there already" in err
