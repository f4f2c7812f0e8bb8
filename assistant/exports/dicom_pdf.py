"""A report's PDF as a DICOM Encapsulated PDF in the images' own study (PS3.3 A.45.1)."""

from __future__ import annotations

import datetime
import io
from collections.abc import Mapping
from typing import Any

from assistant import __version__
from assistant.deidentify.shown import cleans
from assistant.exports import pdf
from assistant.exports.codes import REPORT
from assistant.exports.source import Source, made_uid
from assistant.exports.sr import description
from assistant.exports.study import copy_study
from assistant.imaging.quiet import QUIET

_CLASS = "1.2.840.10008.5.1.4.1.1.104.1"
_SERIES_NUMBER = 9902


def render(record: Mapping[str, Any], source: Source) -> bytes:
    """Write a report as Encapsulated PDF.

    Args:
        record: as the ledger keeps it.
        source: DICOM images of one study.
    Returns:
        the file; the same record gives the same instance UID.
    Raises:
        ExportError: the inputs are no DICOM images of one study.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.sequence import Sequence
    from pydicom.uid import ExplicitVRLittleEndian

    images = source.dicom("dicom-pdf")
    document = pdf.render(record, source)
    now = datetime.datetime.now()
    made = Dataset()
    with QUIET:
        copy_study(images[0], made)
        made.SOPClassUID, made.SOPInstanceUID = _CLASS, made_uid(record, "dicom-pdf")
        made.SeriesInstanceUID, made.SeriesNumber = made_uid(record, "dicom-pdf series"), _SERIES_NUMBER
        made.Modality, made.SeriesDescription, made.InstanceNumber = "DOC", description(record), 1
        made.Manufacturer, made.ManufacturerModelName, made.SoftwareVersions = "medassist", "medassist", __version__
        made.ConversionType, made.BurnedInAnnotation = "WSD", "NO" if cleans() else "YES"
        made.ContentDate, made.ContentTime = f"{now:%Y%m%d}", f"{now:%H%M%S}"
        made.AcquisitionDateTime = None
        made.DocumentTitle, made.VerificationFlag = description(record), "UNVERIFIED"
        made.ConceptNameCodeSequence = Sequence([_code()])
        made.SourceInstanceSequence = Sequence([_reference(one) for one in images])
        made.MIMETypeOfEncapsulatedDocument = "application/pdf"
        made.EncapsulatedDocumentLength = len(document)
        made.EncapsulatedDocument = document + b"\0" * (len(document) % 2)
        made.file_meta = FileMetaDataset()
        made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        stream = io.BytesIO()
        made.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _code() -> Any:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = REPORT.value, REPORT.scheme, REPORT.meaning
    return item


def _reference(image: Any) -> Any:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    return item
