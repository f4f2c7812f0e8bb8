from pathlib import Path

import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset

from assistant.dicomdir import referenced_files
from assistant.errors import WorklistError
from assistant.imaging.quiet import QUIET
from assistant.studies import collect_studies


def write(folder, *parts):
    index = Dataset()
    index.preamble = bytes(128)
    index.file_meta = FileMetaDataset()
    index.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    index.DirectoryRecordSequence = [Dataset() for _ in parts]
    for record, one in zip(index.DirectoryRecordSequence, parts, strict=True):
        record.DirectoryRecordType = "IMAGE"
        with QUIET:  # ".." is no allowed name
            record.ReferencedFileID = one
    folder.mkdir(exist_ok=True)
    with QUIET:
        index.save_as(folder / "DICOMDIR", enforce_file_format=False)
    return folder / "DICOMDIR"


def test_the_files_of_a_real_index_are_found():
    index = Path(get_testdata_file("DICOMDIR"))
    files = referenced_files(index)
    assert len(files) == len(set(files)) == 31
    assert all(one.is_relative_to(index.parent) for one in files)


def test_each_file_listed_is_a_study_found(tmp_path):
    index = write(tmp_path / "cd", ["IMAGES", "ONE"], ["IMAGES", "TWO"])
    studies = collect_studies([str(index)]).studies
    assert [one.images[0] for one in studies] == [tmp_path / "cd" / "IMAGES" / name for name in ("ONE", "TWO")]
    assert all(one.found for one in studies)


def test_a_path_out_of_the_folder_is_refused(tmp_path):
    with pytest.raises(WorklistError, match="refers to a file outside its folder"):
        referenced_files(write(tmp_path / "cd", ["..", "SECRET"]))


def test_an_index_without_files_and_one_that_is_none_are_refused(tmp_path):
    with pytest.raises(WorklistError, match="refers to no file"):
        referenced_files(write(tmp_path / "cd"))
    (tmp_path / "DICOMDIR").write_text("Doe^John")
    with pytest.raises(WorklistError, match="cannot be read as a DICOMDIR") as raised:
        referenced_files(tmp_path / "DICOMDIR")
    assert "Doe" not in str(raised.value)
