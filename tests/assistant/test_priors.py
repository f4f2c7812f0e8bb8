import pytest

from assistant.gather import gather_series
from assistant.imaging.visit import read_visit
from assistant.priors import find_priors
from assistant.studies import Study, collect_studies
from data_recipes.phantom_volume import make_phantom_volume, write_series
from tests.assistant.dicom_files import write_image


def found(*paths):
    return find_priors([Study((path,), found=True) for path in paths])


def test_the_latest_earlier_study_of_the_same_patient_and_kind_is_the_prior(tmp_path):
    old = write_image(tmp_path / "old.dcm", StudyDate="20200101")
    before = write_image(tmp_path / "before.dcm", StudyDate="20230101")
    now = write_image(tmp_path / "now.dcm")
    made = found(now, old, before)
    assert made.found == 2
    assert [study.priors for study in made.studies] == [(before,), (), (old,)]
    assert made.studies[0].priors_found


def test_two_studies_of_one_day_are_ordered_by_their_time(tmp_path):
    morning = write_image(tmp_path / "a.dcm", StudyTime="080000.5")
    evening = write_image(tmp_path / "b.dcm", StudyTime="1730")
    assert [study.priors for study in found(evening, morning).studies] == [(morning,), ()]


@pytest.mark.parametrize(
    "other",
    [
        {"PatientID": "H-1"},
        {"PatientID": "ANONYMOUS"},
        {"PatientID": "0000"},
        {"PatientID": None},
        {"IssuerOfPatientID": "Elsewhere"},
        {"PatientBirthDate": "19611111"},
        {"PatientSex": "M"},
        {"StudyDate": None},
        {"StudyDate": "20240301"},
        {"Modality": "CT"},
        {"BodyPartExamined": "KNEE"},
        {"ViewPosition": "LL"},
        {"ImageLaterality": "L"},
        {"StudyInstanceUID": "1.2.3"},
    ],
    ids=lambda other: next(iter(other)) + str(next(iter(other.values()))),
)
def test_what_is_of_another_patient_time_or_kind_is_no_prior(tmp_path, other):
    before = write_image(tmp_path / "before.dcm", **{"StudyDate": "20230101", **other})
    own = {"ImageLaterality": "R"} if "ImageLaterality" in other else {}
    if other == {"StudyInstanceUID": "1.2.3"}:
        own = other
    placeholder = {
        name: value for name, value in other.items() if name == "PatientID" and value in ("ANONYMOUS", "0000")
    }
    now = write_image(tmp_path / "now.dcm", **own, **placeholder)
    made = found(now, before)
    assert (made.found, [study.priors for study in made.studies]) == (0, [(), ()])


def test_a_header_without_region_is_counted_and_not_compared(tmp_path):
    before = write_image(tmp_path / "before.dcm", StudyDate="20230101", BodyPartExamined=None)
    made = found(write_image(tmp_path / "now.dcm"), before)
    assert (made.found, made.unclear) == (0, 1)


def test_priors_that_a_list_names_are_kept(tmp_path):
    write_image(tmp_path / "before.dcm", StudyDate="20230101")
    named, now = write_image(tmp_path / "named.dcm", PatientID="H-9"), write_image(tmp_path / "now.dcm")
    made = find_priors([Study((now,), priors=(named,)), Study((tmp_path / "before.dcm",))])
    assert made.studies[0].priors == (named,)
    assert not made.studies[0].priors_found


def test_files_that_are_no_dicom_have_no_prior_and_do_no_harm(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    assert found(tmp_path / "a.png", tmp_path / "missing.dcm").found == 0


def test_a_volume_is_compared_with_the_whole_earlier_series(tmp_path):
    import pydicom

    for name, date in (("now", "20240101"), ("before", "20220101")):
        for path in write_series(make_phantom_volume(5, 0, kind="head_ct", slices=8, size=64), tmp_path / name):
            data = pydicom.dcmread(path)
            data.PatientID, data.StudyDate, data.BodyPartExamined = "H-1", date, "HEAD"
            data.StudyInstanceUID, data.SeriesInstanceUID = f"1.2.{date}", f"1.3.{date}"
            data.save_as(path)
    gathered = gather_series(collect_studies([str(tmp_path)]).studies)
    compared = find_priors(gathered.studies, gathered.visits)
    (now,) = [study for study in compared.studies if study.priors]
    assert now.prior_volume
    assert {path.parent.name for path in now.images} == {"now"}
    assert [path.parent.name for path in now.priors] == ["before"] * 8


def test_a_visit_shows_nothing_of_the_patient(tmp_path):
    visit = read_visit(write_image(tmp_path / "a.dcm"))
    assert visit is not None
    told = repr(visit)
    assert not any(secret in told for secret in ("4711", "Doe", "1950", "2024", str(visit.patient), visit.when))
    assert (visit.modality, visit.anatomy, visit.view) == ("X-ray", "chest", "PA")
    assert visit.when == "20240301101500"
