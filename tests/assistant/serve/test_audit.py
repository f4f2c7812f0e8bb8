import json
import re
import subprocess
import sys
import time

import pytest

from assistant.commands.audit import run_audit
from assistant.errors import AssistantError, ConfigError, DataError
from assistant.serve.audit import AuditLog, verify_log


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "audit.jsonl"
    made = AuditLog(path)
    for number in range(5):
        made.append("chat", who="ann", id=f"request-{number}", model="m", index=None)
    made.close()
    return path


def test_a_log_as_it_was_written_is_whole(log, capsys):
    assert verify_log(log).fault is None
    assert verify_log(log).lines == 5
    assert run_audit(log) == 0
    assert capsys.readouterr().out.startswith("5 line(s), each as it was written and in order. Last hash: ")


def test_it_goes_on_where_it_ended(log):
    again = AuditLog(log)
    again.append("ended", who="ann")
    again.close()
    assert verify_log(log).fault is None
    assert [json.loads(line)["n"] for line in log.read_text().splitlines()] == [1, 2, 3, 4, 5, 6]


def lines_changed(log, change):
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(change(lines)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: [*lines[:2], lines[2].replace("ann", "eve"), *lines[3:]], "line 3: it was changed: its hash"),
        (
            lambda lines: [*lines[:2], lines[2].replace('"ann"', '"eve","who":"ann"'), *lines[3:]],
            "line 3: it is no rec",
        ),
        (lambda lines: [*lines[:2], *lines[3:]], "line 3: it says that it is number 4: lines were removed"),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], "line 2: it says that it is number 3"),
        (lambda lines: [*lines[:3], lines[2], *lines[3:]], "line 4: it says that it is number 3"),
        (lambda lines: [*lines[:2], "{}\n", *lines[3:]], "line 3: it is no record"),
        (lambda lines: [*lines[:2], "garbage\n", *lines[3:]], "line 3: it is no record"),
        (lambda lines: lines[:3], r"after line 3: 2 line\(s\) were removed from the end"),
        (lambda lines: lines[:-1], r"after line 4: 1 line\(s\) were removed from the end"),
        (lambda lines: [*lines[:-1], lines[-1][:-30]], r"after line 4: 1 line\(s\) were removed"),
        (lambda lines: [], r"after line 0: 5 line\(s\) were removed"),
    ],
)
def test_a_line_that_was_changed_removed_or_moved_is_found(log, change, message, capsys):
    lines_changed(log, change)
    assert re.search(message, verify_log(log).fault or "")
    assert run_audit(log) == 1
    assert "NOT WHOLE" in capsys.readouterr().out


def test_a_line_that_was_made_anew_with_its_hash_breaks_the_next(log):
    from assistant.serve.audit import _canonical, _digest

    def forge(lines):
        record = json.loads(lines[1])
        record.pop("hash")
        record["who"] = "eve"
        return [lines[0], _canonical({**record, "hash": _digest(record)}).decode() + "\n", *lines[2:]]

    lines_changed(log, forge)
    assert verify_log(log).fault == "line 3: it does not follow the line before it: lines were removed, added or moved"


def test_a_log_written_anew_is_found_by_its_head_or_by_a_hash_noted_elsewhere(log, tmp_path):
    noted = verify_log(log).head
    head = (tmp_path / "audit.jsonl.head").read_text()
    log.unlink()
    (tmp_path / "audit.jsonl.head").unlink()
    other = AuditLog(log)
    for number in range(5):
        other.append("chat", who="eve", id=f"request-{number}", model="m", index=None)
    other.close()
    assert verify_log(log).fault is None
    assert "written anew" in (verify_log(log, known=noted).fault or "")
    (tmp_path / "audit.jsonl.head").write_text(head)
    assert "names another last line" in (verify_log(log).fault or "")


def test_a_missing_head_is_told(log):
    log.with_name("audit.jsonl.head").unlink()
    assert "audit.jsonl.head is missing" in (verify_log(log).fault or "")


def test_an_unfinished_last_line_is_mended_and_noted(log):
    with log.open("a") as file:
        file.write('{"n":6,"time":"2026-')
    verdict = verify_log(log)
    assert verdict.fault is None
    assert "unfinished" in (verdict.note or "")
    AuditLog(log).close()
    last = json.loads(log.read_text().splitlines()[-1])
    assert (last["what"], last["dropped_bytes"]) == ("mended", 20)
    assert verify_log(log).fault is None
    assert verify_log(log).note is None


def test_a_kill_at_any_moment_leaves_a_log_that_is_whole(tmp_path):
    path = tmp_path / "audit.jsonl"
    code = (
        "import sys; from pathlib import Path; from assistant.serve.audit import AuditLog\n"
        "log = AuditLog(Path(sys.argv[1])); log.append('chat', who='ann'); print('up', flush=True)\n"
        "while True: log.append('chat', who='ann', id='x' * 200)"
    )
    for wait in (0.02, 0.05, 0.11):
        process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(wait)
        process.kill()
        process.wait()
        process.stdout.close()
        assert verify_log(path).fault is None
        assert verify_log(path).lines > 0


def test_a_log_that_is_written_on_while_it_is_looked_at_is_whole(log, monkeypatch):
    from assistant.serve import audit

    writer, check = AuditLog(log), audit._fault

    def check_while_others_ask(*line):
        writer.append("chat", who="ann")
        return check(*line)

    monkeypatch.setattr(audit, "_fault", check_while_others_ask)
    assert verify_log(log).fault is None
    assert verify_log(log).lines == 10
    writer.close()


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ((5, "h5"), (5, "h5"), None),
        ((4, "h4"), (4, "h4"), None),  # a kill between the two writes
        ((3, "h3"), (3, "h3"), "names another last line"),
        ((3, "h3"), (9, "h9"), None),  # written on while it was read
        ((3, "h3"), (5, "h5"), None),
        ((2, "h2"), (3, "h3"), "names another last line"),  # it moved, and stopped short of what was read
        ((6, "h6"), (9, "h9"), r"1 line\(s\) were removed"),
        ((3, "other"), (9, "h9"), "names another last line"),
        ((3, "h3"), (5, "other"), "names another last line"),
        ((9, "h9"), (5, "h5"), r"4 line\(s\) were removed"),
    ],
)
def test_the_noted_end_is_held_against_the_log_as_it_was_before_and_after(before, after, message):
    from assistant.serve.audit import _head_fault

    heads = [json.dumps({"n": number, "hash": digest}).encode() for number, digest in (before, after)]
    fault = _head_fault("audit.jsonl.head", *heads, [f"h{number}" for number in range(6)])
    assert re.search(message, fault or "") if message else fault is None


def test_two_processes_cannot_write_one_log(log):
    first = AuditLog(log)
    with pytest.raises(ConfigError, match="Another process writes the audit log"):
        AuditLog(log)
    first.close()


def test_a_log_that_is_something_else_is_refused(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("my notes\n")
    with pytest.raises(ConfigError, match="is no record of it"):
        AuditLog(path)
    assert path.read_text() == "my notes\n"


def test_a_full_disk_leaves_no_half_line_and_is_told(log, monkeypatch):
    import assistant.serve.audit as module

    made = AuditLog(log)
    before = log.read_bytes()
    write = module.os.write

    def half(descriptor, line):
        write(descriptor, line[:10])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "write", half)
        with pytest.raises(
            AssistantError, match=r"cannot be written \(No space left on device\), and nothing is answered"
        ):
            made.append("chat", who="ann")
    assert log.read_bytes() == before
    made.append("chat", who="ann")
    made.close()
    assert verify_log(log).fault is None


def test_only_its_owner_may_read_it(log):
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_missing_log_is_told(tmp_path):
    with pytest.raises(DataError, match=r"gone cannot be read \(No such file"):
        verify_log(tmp_path / "gone")
