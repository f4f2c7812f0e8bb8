import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from assistant.conversation import Report
from assistant.errors import ConfigError, ImageError
from assistant.imaging.load import load_picture
from assistant.imaging.picture import Picture
from assistant.ledger import page_name
from assistant.names import paths_of
from assistant.readahead import MAX_PICTURES, RunSettings
from assistant.studies import Study, collect_studies
from assistant.worklist import Summary, grouped_by_study, run_worklist


class BrightnessReporter:
    """Reports the mean brightness; fails on pictures that are all black, as a model may on one picture."""

    def __init__(self):
        self.batches = []

    def reports(self, requests, batch_size):
        requests = list(requests)
        self.batches.append(len(requests))
        for request in requests:
            mean = float(np.mean([picture.pixels.mean() for picture in request.pictures]))
            if mean == 0:
                raise ImageError("the picture is all black")
            sections = {"technique": "An image.", "findings": f"Mean {mean:.1f}.", "impression": request.template}
            yield Report(sections, 0.8, False, (), ("Check it.",), "brightness", "feed", 0.01)


def make_images(folder, count, start=0):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(start, start + count):
        Image.new("L", (24, 16), number % 200 + 1).save(folder / f"image{number:03d}.png")
    return folder


@pytest.fixture
def images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return make_images(tmp_path / "images", 7)


def run(out, inputs=("images",), reporter=None, **settings):
    studies = collect_studies(list(inputs), leave_out=out).studies
    made = RunSettings(
        out=out, model=settings.pop("model", "feed"), batch_size=settings.pop("batch_size", 3), **settings
    )
    return run_worklist(studies, reporter or BrightnessReporter(), made, load=load_picture)


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_image_gets_a_line_and_a_page(images, tmp_path):
    summary = run(tmp_path / "out")
    records = lines(tmp_path / "out" / "reports.jsonl")
    assert (summary.reported, summary.failed, summary.already_done, summary.images) == (7, 0, 0, 7)
    paths = [paths_of(tmp_path / "out", one["inputs"]) for one in records]
    assert paths == [[f"images/image{number:03d}.png"] for number in range(7)]
    assert set(records[0]) == {
        "study", "inputs", "sections", "confidence", "abstained", "evidence", "grounds", "cases", "cautions", "model",
        "index", "seconds", "key", "critical", "doubts",
    }  # fmt: skip
    assert records[0]["sections"]["findings"] == "Mean 1.0."
    for record in records:
        page = (tmp_path / "out" / "studies" / f"{page_name(record)}.md").read_text()
        assert record["sections"]["findings"] in page


def test_batches_are_as_large_as_asked(images, tmp_path):
    reporter = BrightnessReporter()
    run(tmp_path / "out", reporter=reporter)
    assert reporter.batches == [3, 3, 1]


def test_a_second_run_does_nothing_twice(images, tmp_path):
    run(tmp_path / "out")
    before = (tmp_path / "out" / "reports.jsonl").read_bytes()
    reporter = BrightnessReporter()
    summary = run(tmp_path / "out", reporter=reporter)
    assert (summary.reported, summary.already_done, reporter.batches) == (0, 7, [])
    assert (tmp_path / "out" / "reports.jsonl").read_bytes() == before


def test_new_images_are_added_to_the_old(images, tmp_path):
    run(tmp_path / "out")
    make_images(images, 2, start=50)
    summary = run(tmp_path / "out")
    assert (summary.reported, summary.already_done) == (2, 7)


def test_two_files_with_the_same_bytes_get_a_report_each(images, tmp_path):
    shutil.copy(images / "image000.png", images / "twin.png")
    assert run(tmp_path / "out").reported == 8
    assert len({one["study"] for one in lines(tmp_path / "out" / "reports.jsonl")}) == 8


@pytest.mark.parametrize("change", [{"model": "other"}, {"index": "i2"}, {"template": "t2"}, {"generation": "g2"}])
def test_another_model_index_or_setting_reports_anew(images, tmp_path, change):
    run(tmp_path / "out")
    assert run(tmp_path / "out", **change).reported == 7
    assert len({one["study"] for one in lines(tmp_path / "out" / "reports.jsonl")}) == 14


def test_another_batch_size_goes_on_with_the_same_studies(images, tmp_path):
    run(tmp_path / "out", batch_size=2)
    assert run(tmp_path / "out", batch_size=5).already_done == 7


def test_broken_files_fail_with_a_reason_and_stop_nothing(images, tmp_path):
    (images / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    (images / "empty.jpg").write_bytes(b"")
    summary = run(tmp_path / "out")
    failures = lines(tmp_path / "out" / "failures.jsonl")
    assert (summary.reported, summary.failed) == (7, 2)
    why = {paths_of(tmp_path / "out", one["inputs"])[0]: one["error"] for one in failures}
    assert sorted(why) == ["images/broken.png", "images/empty.jpg"]
    assert all(set(one) == {"study", "inputs", "error"} for one in failures)
    assert "empty" in why["images/empty.jpg"]


def test_a_failed_study_is_tried_again_and_forgotten_once_it_succeeds(images, tmp_path):
    (images / "late.png").write_bytes(b"")
    assert run(tmp_path / "out").failed == 1
    assert run(tmp_path / "out").failed == 1
    assert len(lines(tmp_path / "out" / "failures.jsonl")) == 1
    Image.new("L", (9, 9), 77).save(images / "late.png")
    summary = run(tmp_path / "out")
    assert (summary.reported, summary.failed) == (1, 0)
    assert lines(tmp_path / "out" / "failures.jsonl") == []


def test_one_study_that_the_model_cannot_take_costs_only_itself(images, tmp_path):
    Image.new("L", (24, 16), 0).save(images / "image001.png")
    summary = run(tmp_path / "out")
    (failure,) = lines(tmp_path / "out" / "failures.jsonl")
    assert (summary.reported, summary.failed) == (6, 1)
    assert failure["error"] == "the picture is all black"


def test_a_decoder_that_crashes_costs_only_its_study(images, tmp_path):
    def load(path):
        if path.name == "image002.png":
            raise RuntimeError("codec fault")
        return load_picture(path)

    studies = collect_studies(["images"]).studies
    settings = RunSettings(out=tmp_path / "out", model="feed", batch_size=3)
    summary = run_worklist(studies, BrightnessReporter(), settings, load=load)
    (failure,) = lines(tmp_path / "out" / "failures.jsonl")
    assert (summary.reported, summary.failed) == (6, 1)
    assert failure["error"] == "The image could not be read (RuntimeError)."


def test_a_deleted_page_and_a_new_format_are_written_from_the_ledger(images, tmp_path):
    out = tmp_path / "out"
    run(out)
    first = next(iter((out / "studies").glob("*.md")))
    text = first.read_text()
    first.unlink()
    run(out, formats=("md", "json"))
    assert first.read_text() == text
    assert len(list((out / "studies").glob("*.json"))) == 7
    first.write_text("")  # as a power cut leaves it
    run(out)
    assert first.read_text() == text


def test_a_listed_study_keeps_its_name_priors_and_template(images, tmp_path):
    listed = tmp_path / "list.jsonl"
    row = {"images": ["images/image001.png", "images/image003.png"], "priors": "images/image000.png",
           "template": "chest", "study": "case 1"}  # fmt: skip
    listed.write_text(json.dumps(row) + "\n")
    run(tmp_path / "out", inputs=[str(listed)])
    (record,) = lines(tmp_path / "out" / "reports.jsonl")
    assert record["study"] == "case 1"
    assert paths_of(tmp_path / "out", record["priors"]) == ["images/image000.png"]
    assert record["sections"]["impression"] == "chest"
    assert record["sections"]["findings"] == "Mean 3.0."
    assert page_name(record).startswith("case-1-")


def test_a_named_study_with_other_files_is_not_passed_off_as_done(images, tmp_path):
    listed = tmp_path / "list.jsonl"
    listed.write_text('{"images": "images/image001.png", "study": "case"}\n')
    run(tmp_path / "out", inputs=[str(listed)])
    listed.write_text('{"images": "images/image002.png", "study": "case"}\n')
    summary = run(tmp_path / "out", inputs=[str(listed)])
    assert summary.failed == 1
    assert len(lines(tmp_path / "out" / "reports.jsonl")) == 1


def test_a_line_listed_twice_is_reported_once(images, tmp_path):
    listed = tmp_path / "list.csv"
    listed.write_text("images\nimages/image001.png\nimages/image001.png\n")
    summary = run(tmp_path / "out", inputs=[str(listed)])
    assert (summary.reported, summary.already_done) == (1, 1)


def test_many_images_of_one_study_are_thinned_evenly_and_that_is_said(images, tmp_path):
    seen = []

    def load(path):
        seen.append(path.name)
        return load_picture(path)

    study = Study(tuple(sorted(images.iterdir())))
    settings = RunSettings(out=tmp_path / "out", model="feed")
    run_worklist([study], BrightnessReporter(), settings, load=load)
    (record,) = lines(tmp_path / "out" / "reports.jsonl")
    assert seen == ["image000.png", "image002.png", "image004.png", "image006.png"]
    assert f"The model saw {MAX_PICTURES} of the study's 7 images, evenly chosen." in record["cautions"]


def test_files_of_one_dicom_study_are_joined_on_request():
    keys = {"a": "study 1", "b": None, "c": "study 1", "d": "study 2", "e": None}

    def load(path):
        if path.name == "broken":
            raise ImageError("broken")
        return Picture(np.zeros((2, 2, 3), np.uint8), study_key=keys[path.name])

    studies = [Study((Path(name),)) for name in [*keys, "broken"]]
    joined = grouped_by_study(studies, load)
    assert [[path.name for path in one.images] for one in joined] == [["a", "c"], ["b"], ["d"], ["e"], ["broken"]]
    known = grouped_by_study(studies[:3], lambda path: pytest.fail("read"), {Path(name): keys[name] for name in "abc"})
    assert [[path.name for path in one.images] for one in known] == [["a", "c"], ["b"]]


def test_an_interrupt_leaves_whole_batches(images, tmp_path):
    class Interrupting(BrightnessReporter):
        def reports(self, requests, batch_size):
            if len(self.batches) == 1:
                raise KeyboardInterrupt
            yield from super().reports(requests, batch_size)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "out", reporter=Interrupting())
    assert len(lines(tmp_path / "out" / "reports.jsonl")) == 3
    assert run(tmp_path / "out").reported == 4


def test_settings_without_a_page_format_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="formats is 'xls'; use one or more of md, json"):
        RunSettings(out=tmp_path, model="feed", formats=("xls",))
    with pytest.raises(ConfigError, match="batch_size is 0 and loaders 2; each is 1 or more"):
        RunSettings(out=tmp_path, model="feed", batch_size=0)


def test_a_summary_counts_speed_and_percentiles():
    summary = Summary(4, 0, 0, 4, 2.0, (0.4, 0.1, 0.2, 0.3))
    assert summary.images_per_second == 2.0
    assert (summary.percentile(0.5), summary.percentile(0.95)) == (0.3, 0.4)
    assert Summary(0, 0, 0, 0, 0.0, ()).percentile(0.5) == 0.0


def test_a_model_that_fails_for_a_moment_is_asked_again(images, tmp_path):
    class Moody(BrightnessReporter):
        failures = 0

        def reports(self, requests, batch_size):
            requests = list(requests)
            if len(requests) == 1 and self.failures < 2:
                self.failures += 1
                raise MemoryError
            yield from super().reports(requests, batch_size)

    reporter = Moody()
    assert run(tmp_path / "out", reporter=reporter, batch_size=1, backoff=0.001).reported == 7
    assert reporter.failures == 2


def test_studies_an_hour_are_told():
    assert Summary(5, 0, 0, 5, 10.0, ()).studies_per_hour == 1800
    assert Summary(0, 0, 0, 0, 0.0, ()).studies_per_hour == 0
