import json

import pytest

from assistant.errors import WorklistError
from assistant.json_lines import read_lines, write_atomically
from assistant.ledger import Ledger


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
    assert [one["study"] for one in read_lines(path, mend=True)] == ["a"]
    assert path.read_bytes().endswith(b"}\n")


def test_who_only_reads_leaves_a_line_that_another_process_is_writing(tmp_path):
    path = tmp_path / "reports.jsonl"
    written = json.dumps(record("a")).encode() + b"\n"
    path.write_bytes(written + b'{"study": "b", "inp')
    assert [one["study"] for one in read_lines(path)] == ["a"]
    with path.open("ab") as other:
        other.write(b'uts": []}\n')
    assert [one["study"] for one in read_lines(path)] == ["a", "b"]


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


def test_two_runs_share_a_folder_and_never_a_study(tmp_path):
    with Ledger(tmp_path) as one, Ledger(tmp_path) as other:
        assert one.claim("a", "k", ["a.png"]) == ("mine", None)
        assert other.claim("a", "k", ["a.png"]) == ("elsewhere", None)
        one.add_reports([record("a", key="k")])
        assert other.claim("a", "k", ["a.png"]) == ("done", None)
        assert other.claim("a", "k2", ["a.png"]) == ("other", None)
        other.add_reports([record("a", key="k"), record("b", key="k")])
    assert studies(tmp_path / "reports.jsonl") == ["a", "b"]


def test_a_study_that_a_run_let_go_is_anybodys_again(tmp_path):
    with Ledger(tmp_path) as ledger:
        ledger.claim("a", "k", ["a.png"])
    with Ledger(tmp_path) as ledger:
        assert ledger.counts() == {"pending": 1}
        assert ledger.claim("a", "k", ["a.png"]) == ("mine", None)


def test_a_poisonous_study_is_quarantined_and_given_out_again_only_on_request(tmp_path):
    with Ledger(tmp_path) as ledger:
        ledger.add_failures([failure("bad"), failure("unlucky")], for_good=["bad"])
        assert ledger.counts() == {"failed": 1, "quarantined": 1}
    for _ in range(2):
        with Ledger(tmp_path) as ledger:
            ledger.add_failures([failure("unlucky", "again")])
    with Ledger(tmp_path) as ledger:
        assert ledger.claim("unlucky", "", ["unlucky.png"]) == ("quarantined", "again")
    with Ledger(tmp_path, again=True) as ledger:
        assert ledger.claim("bad", "", ["bad.png"])[0] == "mine"


def test_a_folder_of_an_earlier_version_goes_on(tmp_path):
    (tmp_path / "reports.jsonl").write_text(json.dumps(record("a", key="k")) + "\n")
    (tmp_path / "failures.jsonl").write_text(json.dumps(failure("b")) + "\n")
    with Ledger(tmp_path) as ledger:
        assert ledger.counts() == {"done": 1, "failed": 1}
        assert ledger.claim("a", "k", ["a.png"]) == ("done", None)
    assert studies(tmp_path / "failures.jsonl") == ["b"]


def test_reports_whose_lines_are_gone_are_made_again(tmp_path):
    with Ledger(tmp_path) as ledger:
        ledger.add_reports([record("a", key="k")])
    (tmp_path / "reports.jsonl").unlink()
    with Ledger(tmp_path) as ledger:
        assert ledger.claim("a", "k", ["a.png"])[0] == "mine"


def test_a_damaged_table_is_refused_with_the_mend(tmp_path):
    (tmp_path / "worklist.sqlite").write_bytes(b"no database at all, but long enough to be looked at" * 20)
    with pytest.raises(WorklistError, match=r"worklist\.sqlite cannot be used .*Delete it"), Ledger(tmp_path):
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
