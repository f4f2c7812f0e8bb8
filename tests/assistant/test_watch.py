import os
import shutil
import time

import pytest
from PIL import Image

from assistant.errors import ConfigError, WorklistError
from assistant.watch import RETRIES, Watcher, WatchPlan, watched_folders
from data_recipes.phantom_volume import make_phantom_volume, write_series
from tests.assistant.dicom_files import write_image


class Watched:
    """A folder, a watcher of it, and a clock that is set by hand."""

    def __init__(self, folder):
        self.folder, self.now = folder / "in", 1000.0
        self.folder.mkdir()
        plan = WatchPlan(every_s=1, settled_s=10)
        self.watcher = Watcher([self.folder], folder / "out", plan, clock=lambda: self.now)

    def image(self, name, grey=90):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (64, 48), grey).save(path)
        return path

    def after(self, seconds):
        """Let time pass, look, and return the names of what is handed out."""
        self.now += seconds
        gathered = self.watcher.look()
        studies = self.watcher.fresh(gathered.studies) if gathered else []
        return [[path.name for path in study.images] for study in studies]


@pytest.fixture
def watched(tmp_path):
    return Watched(tmp_path)


def test_a_file_is_handed_out_once_when_it_has_settled(watched):
    watched.image("a.png")
    assert watched.after(0) == []
    assert watched.after(9) == []
    assert watched.after(1) == [["a.png"]]
    assert watched.after(60) == []
    watched.image("sub/b.png")
    watched.after(0)
    assert watched.after(10) == [["b.png"]]


def test_a_file_that_grows_is_waited_for(watched):
    whole = watched.image("whole.png").read_bytes()
    growing = watched.folder / "growing.png"
    for end in (len(whole) // 3, len(whole) // 2):
        growing.write_bytes(whole[:end])
        assert watched.after(8) == []
    growing.write_bytes(whole)
    assert watched.after(2) == [["whole.png"]]
    assert watched.after(10) == [["growing.png"]]


def test_a_copy_that_stalls_is_not_given_up_too_early_and_not_waited_for_for_ever(watched):
    whole = watched.image("whole.png").read_bytes()
    (watched.folder / "half.png").write_bytes(whole[: len(whole) // 2])
    watched.after(0)
    assert watched.after(10) == [["whole.png"]]
    assert watched.after(40) == []
    assert watched.watcher.waiting == 1
    assert watched.after(10) == [["half.png"]]  # the run will say what is wrong with it


def test_a_stalled_copy_that_goes_on_is_read_whole(watched):
    whole = watched.image("whole.png").read_bytes()
    half = watched.folder / "half.png"
    half.write_bytes(whole[: len(whole) // 2])
    watched.after(0)
    watched.after(50)
    half.write_bytes(whole)
    watched.after(1)
    assert watched.after(10) == [["half.png"]]


def test_names_of_unfinished_copies_are_passed_over(watched):
    for name in ("a.png.part", "b.png.tmp", ".c.png", "d.png~"):
        shutil.copy(watched.image("whole.png"), watched.folder / name)
    watched.after(0)
    assert watched.after(100) == [["whole.png"]]


def series(watched, numbers):
    source = watched.folder.parent / "source"
    if not source.exists():
        write_series(make_phantom_volume(5, 0, kind="head_ct", slices=8, size=64), source)
    (watched.folder / "ct").mkdir(exist_ok=True)
    for path in [sorted(source.iterdir())[number] for number in numbers]:
        shutil.copy(path, watched.folder / "ct")


def test_a_series_waits_until_its_folder_has_settled(watched):
    series(watched, range(4))
    watched.after(0)
    series(watched, range(4, 6))
    assert watched.after(9) == []
    series(watched, range(6, 8))
    assert watched.after(9) == []
    (slices,) = watched.after(10)
    assert len(slices) == 8


def test_a_series_with_a_gap_is_waited_for_longer(watched):
    series(watched, [0, 1, 2, 4, 5, 6, 7])
    watched.after(0)
    assert watched.after(30) == []
    series(watched, [3])
    watched.after(1)
    (slices,) = watched.after(10)
    assert len(slices) == 8


def test_a_gap_that_is_never_filled_is_reported_with_in_the_end(watched):
    series(watched, [0, 1, 2, 4, 5])
    watched.after(0)
    watched.after(30)
    assert [len(slices) for slices in watched.after(30)] == [5]


def test_a_file_that_is_replaced_is_handed_out_again_and_one_that_is_gone_is_forgotten(watched):
    path = watched.image("a.png")
    watched.after(0)
    watched.after(10)
    watched.image("a.png", grey=200)
    os.utime(path, (1, time.time() + 5))
    watched.after(1)
    assert watched.after(10) == [["a.png"]]
    path.unlink()
    assert watched.after(1) == []
    assert watched.watcher.waiting == 0


def test_what_the_model_failed_on_is_tried_again_some_times(watched):
    watched.image("a.png")
    watched.after(0)
    tried = 0
    for _ in range(RETRIES + 3):
        watched.now += 100
        gathered = watched.watcher.look()
        studies = watched.watcher.fresh(gathered.studies) if gathered else []
        tried += len(studies)
        watched.watcher.failed(studies)
    assert tried == 1 + RETRIES


def test_the_runs_own_folder_is_not_watched(tmp_path):
    (tmp_path / "out").mkdir()
    Image.new("L", (9, 9)).save(tmp_path / "out" / "page.png")
    watcher = Watcher([tmp_path], tmp_path / "out", WatchPlan())
    watcher.look()
    assert watcher.waiting == 0


def test_times_and_folders_that_cannot_be_meant_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="--every is 0 s and --settled 10 s; use 0.05 s and 0.1 s up to a day"):
        WatchPlan(every_s=0)
    with pytest.raises(WorklistError, match="--watch has no folder"):
        watched_folders([])
    with pytest.raises(WorklistError, match=r"--watch takes folders, and .*list\.csv is none"):
        watched_folders([str(tmp_path), str(tmp_path / "list.csv")])


def test_a_damaged_header_costs_its_own_file_alone(watched):
    path = write_image(watched.folder / "damaged.dcm", NumberOfFrames=1)
    path.write_bytes(path.read_bytes().replace(b"\x28\x00\x08\x00IS\x02\x001 ", b"\x28\x00\x08\x00IS\x02\x00x "))
    watched.image("a.png")
    watched.after(0)
    assert watched.after(10) == [["a.png"]]
    assert watched.watcher.waiting == 1
