import json

import pytest

from assistant.errors import WorklistError
from assistant.ledger import Ledger, read_lines, write_atomically


def record(study, **fields):
    return {"study": study, "inputs": [f"{study}.png"], **fields}


def failure(study, error="broken", inputs=None):
    return {"study": study, "inputs": inputs or [f"{study}.png"], "error": error}


def studies(path):
    return [json.loads(line)["study"] for line in path.read_text().splitlines()]


def test_reports_are_read_back_by_the_next_run(tmp_path):
    with Ledger(tmp_path) as ledger:
        ledger.add_reports([record("a"), record("b")])
    with Ledger(tmp_path) as ledger:
        assert list(ledger.done) == ["a", "b"]
        ledger.add_reports([record("c")])
    assert studies(tmp_path / "reports.jsonl") == ["a", "b", "c"]


def test_both_files_exist_even_when_nothing_happened(tmp_path):
    with Ledger(tmp_path / "new"):
        pass
    assert (tmp_path / "new" / "reports.jsonl").read_text() == ""
    assert (tmp_path / "new" / "failures.jsonl").read_text() == ""


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_an_unfinished_last_line_is_cut_off(tmp_path, cut):
    with Ledger(tmp_path) as ledger:
        ledger.add_reports([record("a"), record("b")])
    path = tmp_path / "reports.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    with Ledger(tmp_path) as ledger:
        assert list(ledger.done) == ["a"]
        ledger.add_reports([record("b")])
    assert studies(path) == ["a", "b"]


def test_a_last_line_of_zero_bytes_is_cut_off(tmp_path):
    path = tmp_path / "reports.jsonl"
    path.write_bytes(json.dumps(record("a")).encode() + b"\n" + bytes(40) + b"\n")
    assert [one["study"] for one in read_lines(path)] == ["a"]
    assert path.read_bytes().endswith(b"}\n")


def test_a_broken_line_in_the_middle_is_refused_with_its_number(tmp_path):
    path = tmp_path / "reports.jsonl"
    path.write_text(json.dumps(record("a")) + "\nnot json\n" + json.dumps(record("b")) + "\n")
    with pytest.raises(WorklistError, match="line 2 is not a JSON object: b'not json"), Ledger(tmp_path):
        pass


def test_a_line_without_a_study_is_refused(tmp_path):
    (tmp_path / "reports.jsonl").write_text('{"other": 1}\n')
    with pytest.raises(WorklistError, match="holds a line without 'study'"), Ledger(tmp_path):
        pass


def test_a_refused_folder_is_not_left_locked(tmp_path):
    (tmp_path / "reports.jsonl").write_text('{"other": 1}\n')
    with pytest.raises(WorklistError), Ledger(tmp_path):
        pass
    (tmp_path / "reports.jsonl").unlink()
    with Ledger(tmp_path) as ledger:
        assert ledger.done == {}


def test_two_runs_in_one_folder_are_refused(tmp_path):
    with (
        Ledger(tmp_path),
        pytest.raises(WorklistError, match="Another report run is writing into"),
        Ledger(tmp_path),
    ):
        pass


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(WorklistError, match=r"cannot be written: .*Choose another --out"),
        Ledger(tmp_path / "file" / "out"),
    ):
        pass


def test_the_same_study_is_never_written_twice(tmp_path):
    with Ledger(tmp_path) as ledger:
        ledger.add_reports([record("a")])
        with pytest.raises(ValueError, match="study a is reported already"):
            ledger.add_reports([record("a")])


def test_a_failure_that_comes_again_stands_once_with_its_latest_reason(tmp_path):
    with Ledger(tmp_path) as ledger:
        ledger.add_failures([failure("a"), failure("b")])
    with Ledger(tmp_path) as ledger:
        ledger.add_failures([failure("a", "still broken")])
    lines = [json.loads(line) for line in (tmp_path / "failures.jsonl").read_text().splitlines()]
    assert [(one["study"], one["error"]) for one in lines] == [("a", "still broken"), ("b", "broken")]


def test_a_failed_study_that_succeeds_is_failed_no_more(tmp_path):
    with Ledger(tmp_path) as ledger:
        ledger.add_failures([failure("a"), failure("b")])
        ledger.add_reports([record("a")])
    assert studies(tmp_path / "failures.jsonl") == ["b"]


def test_a_mended_file_has_another_id_and_its_failure_goes_all_the_same(tmp_path):
    with Ledger(tmp_path) as ledger:
        ledger.add_failures([failure("old", inputs=["x.png"])])
        ledger.add_reports([{"study": "new", "inputs": ["x.png"]}])
    assert studies(tmp_path / "failures.jsonl") == []


def test_a_file_that_is_broken_otherwise_replaces_its_own_failure(tmp_path):
    with Ledger(tmp_path) as ledger:
        ledger.add_failures([failure("old", inputs=["x.png"])])
        ledger.add_failures([failure("new", inputs=["x.png"])])
    assert studies(tmp_path / "failures.jsonl") == ["new"]


def test_an_atomic_write_leaves_nothing_beside_the_file(tmp_path):
    write_atomically(tmp_path / "deep" / "page.md", "text")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["page.md"]
