from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset

from assistant.imaging.header import Header, plane
from assistant.imaging.load import load_picture
from assistant.vocabulary import DICOM_MODALITIES, MODALITIES

PIXELS = np.arange(64, dtype=np.uint8).reshape(8, 8)
AXIAL = [1, 0, 0, 0, 1, 0]


@pytest.mark.parametrize(("code", "name"), DICOM_MODALITIES.items())
def test_modality_codes_come_out_in_our_words(dicom, code, name):
    picture = load_picture(dicom(PIXELS, Modality=code))
    assert picture.modality == name
    assert name in MODALITIES


@pytest.mark.parametrize("code", ["OT", "SC", "", "Jane Doe"])
def test_an_unknown_modality_is_none(dicom, code):
    assert load_picture(dicom(PIXELS, Modality=code)).modality is None


@pytest.mark.parametrize("extra", [{"BodyPartExamined": "BREAST"}, {"ViewPosition": "MLO"}])
def test_a_computed_radiograph_of_a_breast_is_mammography(dicom, extra):
    assert load_picture(dicom(PIXELS, Modality="CR", **extra)).modality == "Mammography"


@pytest.mark.parametrize(
    ("term", "ours"),
    [
        ("CHEST", "chest"),
        ("CSPINE", "cervical spine"),
        ("C SPINE", "cervical spine"),
        ("HEAD", "head"),
        ("WHOLE BODY", "whole body"),
        ("JANE DOE", None),
        ("", None),
    ],
)
def test_body_parts_come_out_in_our_words_or_not_at_all(dicom, term, ours):
    assert load_picture(dicom(PIXELS, BodyPartExamined=term)).anatomy == ours


def test_the_anatomic_region_is_used_where_the_body_part_is_missing(dicom):
    region = Dataset()
    region.CodeMeaning = "Abdomen"
    assert load_picture(dicom(PIXELS, AnatomicRegionSequence=[region])).anatomy == "abdomen"


@pytest.mark.parametrize(
    ("position", "ours"),
    [("PA", "PA"), ("AP", "AP"), ("LL", "lateral"), ("LATERAL", "lateral"), ("RAO", "oblique"), ("Jane", None)],
)
def test_projections_come_out_in_our_words(dicom, position, ours):
    assert load_picture(dicom(PIXELS, Modality="DX", ViewPosition=position)).view == ours


def test_a_view_code_is_used_where_the_position_is_missing(dicom):
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "399368009", "SCT", "medio-lateral oblique"
    assert load_picture(dicom(PIXELS, Modality="MG", ViewCodeSequence=[code])).view == "MLO"


@pytest.mark.parametrize(
    ("orientation", "name"),
    [
        (AXIAL, "axial"),
        ([1, 0, 0, 0, 0, -1], "coronal"),
        ([0, 1, 0, 0, 0, -1], "sagittal"),
        ([1, 0, 0, 0, 0.94, 0.342], "axial"),
        ([1, 0, 0, 0, 0.7071, -0.7071], "oblique"),
        ([-1, 0, 0, 0, -1, 0], "axial"),
        ([0, 0, 0, 0, 0, 0], None),
        ([1, 0, 0, 1, 0, 0], None),
        ([1, 0, 0], None),
        ([], None),
    ],
)
def test_planes_follow_from_the_direction_of_rows_and_columns(orientation, name):
    assert plane(orientation) == name


def test_planes_are_told_for_slices_only(dicom):
    assert load_picture(dicom(PIXELS, Modality="CT", ImageOrientationPatient=AXIAL)).view == "axial"
    assert load_picture(dicom(PIXELS, Modality="DX", ImageOrientationPatient=AXIAL)).view is None
    scout = load_picture(
        dicom(PIXELS, Modality="CT", ImageOrientationPatient=AXIAL, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    )
    assert scout.view is None
    assert any("localizer" in caution for caution in scout.cautions)


@pytest.mark.parametrize(("side", "ours"), [("L", "left"), ("R", "right"), ("B", None), ("U", None)])
@pytest.mark.parametrize("keyword", ["ImageLaterality", "Laterality"])
def test_laterality(dicom, keyword, side, ours):
    assert load_picture(dicom(PIXELS, **{keyword: side})).laterality == ours


def test_spacing_is_taken_in_the_order_of_the_standard(dicom):
    all_three = {
        "PixelSpacing": [0.5, 0.5],
        "ImagerPixelSpacing": [0.3, 0.3],
        "NominalScannedPixelSpacing": [0.1, 0.1],
    }
    assert load_picture(dicom(PIXELS, **all_three)).pixel_spacing_mm == (0.5, 0.5)
    del all_three["PixelSpacing"]
    assert load_picture(dicom(PIXELS, **all_three)).pixel_spacing_mm == (0.3, 0.3)
    magnified = load_picture(dicom(PIXELS, **all_three, EstimatedRadiographicMagnificationFactor=1.5))
    assert magnified.pixel_spacing_mm == pytest.approx((0.2, 0.2))
    del all_three["ImagerPixelSpacing"]
    assert load_picture(dicom(PIXELS, **all_three)).pixel_spacing_mm == (0.1, 0.1)
    assert load_picture(dicom(PIXELS, PixelSpacing=[0, 0])).pixel_spacing_mm is None


def test_spacing_and_size_follow_a_reduction(dicom):
    big = np.arange(200 * 120, dtype=np.uint16).reshape(200, 120)
    data = dicom(big, PixelSpacing=[0.2, 0.2], WindowCenter=12000, WindowWidth=24000)
    small = load_picture(data, max_side=50)
    assert small.size == (30, 50)
    assert small.pixel_spacing_mm == pytest.approx((0.8, 0.8))
    whole = load_picture(data).pixels[..., 0].reshape(50, 4, 30, 4).mean((1, 3))
    assert np.abs(small.pixels[..., 0] - whole).max() <= 0.51


@pytest.mark.parametrize("extra", [{"PixelAspectRatio": [4, 3]}, {"PixelSpacing": [0.4, 0.3]}])
def test_pixels_that_are_not_square_get_a_caution(dicom, extra):
    assert load_picture(dicom(PIXELS, **extra)).cautions == (
        "Pixels are 1.33 times as high as wide; shapes look squeezed.",
    )


@pytest.mark.parametrize(
    ("elements", "said"),
    [
        ({"BurnedInAnnotation": "YES"}, "The header says that text is burned in"),
        ({"BurnedInAnnotation": "NO", "Modality": "US"}, None),
        ({"Modality": "US"}, "often have text burned in"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "often have text burned in"),
        ({"ConversionType": "DF"}, "often have text burned in"),
        ({}, None),
    ],
)
def test_burned_in_text_is_cautioned_of(dicom, elements, said):
    cautions = load_picture(dicom(PIXELS, **elements)).cautions
    assert (cautions == ()) if said is None else (len(cautions) == 1 and said in cautions[0])


def enhanced(dicom, frames=3):
    """An enhanced multi-frame image: spacing shared, plane and window and side by frame."""

    def item(**elements):
        dataset = Dataset()
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)
        return dataset

    shared = item(
        PixelMeasuresSequence=[item(PixelSpacing=[0.7, 0.7])],
        PixelValueTransformationSequence=[item(RescaleSlope=2, RescaleIntercept=-100)],
    )
    per_frame = [
        item(
            PlaneOrientationSequence=[item(ImageOrientationPatient=AXIAL if n else [1, 0, 0, 0, 0, -1])],
            FrameVOILUTSequence=[item(WindowCenter=20 * n - 60, WindowWidth=100)],
            FrameAnatomySequence=[item(FrameLaterality="RL"[n % 2])],
        )
        for n in range(frames)
    ]
    pixels = np.stack([PIXELS + n for n in range(frames)]).astype(np.uint16)
    return pixels, dicom(
        pixels,
        NumberOfFrames=frames,
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=per_frame,
    )


def test_functional_groups_are_read_for_the_frame_that_is_shown(dicom):
    pixels, data = enhanced(dicom)
    first, last = load_picture(data), load_picture(data, frame=2)
    assert (first.frame, first.frames, first.view, first.laterality) == (0, 3, "coronal", "right")
    assert (last.frame, last.view, last.laterality, last.pixel_spacing_mm) == (2, "axial", "right", (0.7, 0.7))
    assert load_picture(data, frame=1).laterality == "left"
    x = pixels[2] * 2.0 - 100
    by_hand = np.clip((x + 20.5) / 99 + 0.5, 0, 1) * 255
    assert np.abs(last.pixels[..., 0] - by_hand).max() <= 0.501


@pytest.mark.parametrize("keyword", ["PatientName", "StudyDescription", "StudyDate", "SeriesInstanceUID"])
def test_what_deidentification_takes_out_cannot_be_read(keyword):
    with pytest.raises(ValueError, match=f"{keyword} may name somebody"):
        Header(Dataset()).get(keyword)
