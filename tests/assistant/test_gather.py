import shutil
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file

from assistant.gather import gather_series, series_among
from assistant.studies import Study, collect_studies
from data_recipes.phantom_volume import make_phantom_volume, write_series


@pytest.fixture
def folder(tmp_path):
    write_series(make_phantom_volume(5, 0, slices=8, size=64), tmp_path / "in" / "one")
    write_series(make_phantom_volume(5, 1, slices=8, size=64), tmp_path / "in" / "two")
    shutil.copy(get_testdata_file("CT_small.dcm"), tmp_path / "in" / "single.dcm")
    return tmp_path / "in"


def gathered(*inputs):
    return gather_series(collect_studies([str(one) for one in inputs]).studies)


def test_each_series_is_one_study_and_single_files_stay(folder):
    result = gathered(folder)
    assert [(len(one.images), one.volume) for one in result.studies] == [(1, False), (8, True), (8, True)]
    assert series_among(result.studies) == 2
    assert not result.left_out


def test_two_series_in_one_folder_are_told_apart(folder):
    for number, path in enumerate(sorted((folder / "two").iterdir())):
        path.rename(folder / "one" / f"other{number}.dcm")
    assert sorted(len(one.images) for one in gathered(folder).studies) == [1, 8, 8]


def test_fewer_than_four_slices_stay_single(folder):
    files = sorted((folder / "one").iterdir())[:3]
    assert [one.volume for one in gathered(*files).studies] == [False] * 3


def test_a_slice_in_several_copies_is_no_series(folder, tmp_path):
    first = next((folder / "one").iterdir())
    for number in range(5):
        shutil.copy(first, tmp_path / f"copy{number}.dcm")
    assert not any(one.volume for one in gathered(*sorted(tmp_path.glob("copy*.dcm"))).studies)


def test_localizers_and_structured_reports_are_left_out_where_they_were_found_but_not_where_named(folder):
    scout = folder / "scout.dcm"
    data = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    data.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    data.save_as(scout)
    shutil.copy(get_testdata_file("reportsi.dcm"), folder / "sr.dcm")
    result = gathered(folder)
    assert result.left_out == {"a localizer": 1, "a structured report": 1}
    assert len(result.studies) == 3
    named = gathered(scout)
    assert (len(named.studies), named.left_out) == (1, {})
    assert gathered(f"{folder}/sc*.dcm").left_out == {"a localizer": 1}


def test_a_file_whose_header_is_damaged_stays_a_study_of_its_own_and_stops_nothing():
    damaged = Path(get_testdata_file("badVR.dcm"))
    sound = Path(get_testdata_file("CT_small.dcm"))
    gathered = gather_series([Study(images=(path,), found=True) for path in (damaged, sound)])
    assert [study.images for study in gathered.studies] == [(damaged,), (sound,)]
