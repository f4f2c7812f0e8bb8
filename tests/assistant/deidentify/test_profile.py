import pytest

from assistant.deidentify.profile import Profile, table
from assistant.errors import ConfigError
from assistant.imaging.deidentify import may_pass


@pytest.mark.parametrize(
    ("tag", "vr", "action"),
    [
        (0x00100010, "PN", "pseudonym"),
        (0x00080050, "SH", "empty"),
        (0x00081030, "LO", "remove"),
        (0x0020000D, "UI", "uid"),
        (0x00080020, "DA", "shift"),
        (0x00100030, "DA", "empty"),
        (0x00420011, "OB", "dummy"),
        (0x00081140, "SQ", "keep"),
        (0x00280010, "US", "keep"),
        (0x00280010, "LT", "remove"),
        (0x00181210, "SH", "clean"),
        (0x00091001, "LO", "remove"),
        (0x50040010, "US", "remove"),
        (0x60023000, "OW", "remove"),
        (0x00020016, "AE", "remove"),
        (0x00080000, "UL", "remove"),
        (0x77776666, "UN", "remove"),
    ],
)
def test_the_basic_profile_with_shifted_dates(tag, vr, action):
    assert Profile().action(tag, vr) == action


def test_options_let_through_what_the_table_says():
    assert Profile(retain=("uids",)).action(0x0020000D, "UI") == "keep"
    assert Profile(retain=("descriptors",)).action(0x00081030, "LO") == "clean"
    assert Profile(retain=("patient",)).action(0x00100040, "CS") == "keep"
    assert Profile(dates="keep").action(0x00080020, "DA") == "keep"
    assert Profile(dates="remove").action(0x00080020, "DA") == "empty"


def test_the_table_is_whole():
    assert len(table()) == 652
    assert {rule.basic for rule in table().values()} == {"X", "Z", "D", "U", "X/Z", "X/D", "Z/D", "X/Z/D", "X/Z/U*"}


@pytest.mark.parametrize(("options", "said"), [({"retain": ("names",)}, "'names'; use one"), ({"dates": "x"}, "'x'")])
def test_unknown_options_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        Profile(**options)


def test_the_imaging_door_lets_in_what_the_profile_leaves():
    assert all(may_pass(one) for one in ("Modality", "Rows", "PixelSpacing", "SOPClassUID", "BodyPartExamined"))
    barred = ("PatientName", "PatientID", "StudyDate", "StudyInstanceUID", "StudyDescription", "Nonsense")
    assert not any(may_pass(one) for one in barred)
