"""What an exported DICOM object takes over from the images, so that an archive files it with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

OF_STUDY = (
    "SpecificCharacterSet", "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex",
    "StudyInstanceUID", "StudyID", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName",
    "StudyDescription",
)  # fmt: skip
"""Patient and General Study modules: copied, so that the archive files it with the images."""
TYPE_2 = OF_STUDY[1:3] + OF_STUDY[4:6] + OF_STUDY[7:12]
"""Those of them that must be there, empty if need be."""


def copy_study(image: Dataset, made: Dataset) -> None:
    """Copy the patient and the study of an image into an object that is being made.

    Args:
        image: of the study.
        made: gets the elements; those of type 2 that the image lacks are there, empty.
    """
    for keyword in OF_STUDY:
        if keyword in image:
            made[keyword] = image[keyword]
        elif keyword in TYPE_2:
            setattr(made, keyword, None)
