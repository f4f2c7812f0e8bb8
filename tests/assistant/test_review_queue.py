import csv
import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from assistant.conversation import NOT_FOR_CLINICAL_USE
from assistant.review_queue import ReviewQueue, as_csv, queue_text, review_row


def record(study="a", **more):
    made = {
        "study": study, "inputs": [f"{study}.png"], "key": study * 16, "confidence": 0.9, "abstained": False,
        "sections": {"technique": "", "findings": "A nodule.", "impression": "Nodule."},
        "critical": [], "doubts": [], "cautions": [NOT_FOR_CLINICAL_USE],
    }  # fmt: skip
    return {**made, **more}


CRITICAL = {"critical": [{"finding": "pneumothorax", "possible": False, "sentence": "Pneumothorax."}],
            "cautions": ["Critical finding: pneumothorax. Have …", NOT_FOR_CLINICAL_USE]}  # fmt: skip
DOUBT = {"doubts": ["Sides differ."], "cautions": ["Sides differ.", "Burned-in text.", NOT_FOR_CLINICAL_USE]}
NONE = {"abstained": True, "confidence": 0.0, "sections": {"impression": "No report was drafted."}}


@pytest.mark.parametrize(
    ("more", "priority", "reasons"),
    [
        (CRITICAL, 1, ("Critical finding: pneumothorax.",)),
        (DOUBT, 2, ("Sides differ.", "Burned-in text.")),
        ({**DOUBT, "critical": CRITICAL["critical"]}, 1,
         ("Critical finding: pneumothorax.", "Sides differ.", "Burned-in text.")),
        (NONE, 3, ("No report was drafted.",)),
        ({"confidence": 0.31}, 4, ("The report's confidence is 31%.",)),
        ({"cautions": ["The window was assumed."]}, 5, ("The window was assumed.",)),
    ],
)  # fmt: skip
def test_a_report_is_queued_by_its_most_urgent_reason(more, priority, reasons):
    row = review_row(record(**more))
    assert (row.priority, row.reasons) == (priority, reasons)


def test_a_report_that_nothing_speaks_against_is_not_queued():
    assert review_row(record()) is None


@pytest.fixture
def folder(tmp_path):
    """Return a function that appends reports to a run's folder, and one failure."""

    def add(*records):
        with (tmp_path / "reports.jsonl").open("a") as file:
            file.writelines(json.dumps(one) + "\n" for one in records)
        return tmp_path

    (tmp_path / "failures.jsonl").write_text(json.dumps({"study": "f", "inputs": ["f.dcm"], "error": "cut off"}) + "\n")
    return add


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_files_list_critical_studies_first_and_failed_ones_too(folder):
    out = folder(record("a", confidence=0.2), record("b", **DOUBT), record("c"), record("d", **CRITICAL))
    ReviewQueue(out).refresh(now=True)
    rows = lines(out / "review.jsonl")
    assert [(row["study"], row["priority"], row["what"]) for row in rows] == [
        ("d", 1, "critical finding"), ("b", 2, "doubtful report"), ("f", 3, "no report"), ("a", 4, "unsure")
    ]  # fmt: skip
    assert rows[2]["reasons"] == ["No report: cut off"]
    cells = list(csv.DictReader(io.StringIO((out / "review.csv").read_text())))
    assert [row["critical"] for row in cells] == ["pneumothorax", "", "", ""]
    assert cells[0]["page"].endswith("dddddddd")


def test_new_lines_are_taken_in_and_a_critical_one_is_written_at_once(folder, monkeypatch):
    monkeypatch.setattr("assistant.review_queue._EVERY_S", 3600.0)
    out = folder(record("a", **DOUBT))
    queue = ReviewQueue(out)
    assert queue.refresh(now=True) == 1
    folder(record("b", **DOUBT))
    assert queue.refresh() == 2
    assert len(lines(out / "review.jsonl")) == 2  # not yet: it was written a moment ago
    folder(record("c", **CRITICAL))
    queue.refresh()
    assert [row["study"] for row in lines(out / "review.jsonl")][0] == "c"
    assert len(lines(out / "review.jsonl")) == 4


def test_a_line_that_is_still_being_written_waits(folder):
    out = folder(record("a", **DOUBT))
    with (out / "reports.jsonl").open("a") as file:
        file.write(json.dumps(record("b", **DOUBT))[:40])
    assert ReviewQueue(out).refresh(now=True) == 1


def test_no_cell_is_taken_for_a_formula():
    row = review_row(record("a", inputs=["=cmd.png"], **DOUBT))
    assert "'=cmd.png" in as_csv([row]).decode()


def test_the_terminal_sees_counts_and_the_first_reasons():
    rows = [review_row(record(str(number), **DOUBT)) for number in range(3)]
    told = queue_text(rows, most=2).splitlines()
    assert told[0] == "3 studies to look at: 3 doubtful reports"
    assert told[1] == "  2 0.png: Sides differ."
    assert told[3] == "  … and 1 more"
    assert queue_text([], most=2) == "No study stands out as one to look at first.\n"


def test_runs_that_share_a_folder_leave_a_queue_with_the_rows_of_all(folder):
    names = [f"{number:02d}" for number in range(24)]
    out = folder(record("first", **DOUBT))
    lock = threading.Lock()

    def run(name):
        queue = ReviewQueue(out)
        with lock:  # as the ledger appends
            folder(record(name, **DOUBT))
        queue.refresh(now=True)

    with ThreadPoolExecutor(8) as pool:
        for one in [pool.submit(run, name) for name in names]:
            one.result()
    assert {"first", *names} <= {row["study"] for row in lines(out / "review.jsonl")}
