"""What is asked of an archive: `Keyword=value,…` of study level, the same over DICOMweb and DIMSE."""

from __future__ import annotations

from assistant.errors import PacsError

_STUDY_LEVEL = {"Modality": "ModalitiesInStudy"}


def parsed_query(query: str) -> dict[str, str]:
    """Read a query of study level.

    Args:
        query: `Keyword=value,…`, such as `Modality=CR,StudyDate=20240101-20240131`; "" asks for every study.
    Returns:
        values by keyword; `Modality` becomes Modalities in Study.
    Raises:
        PacsError: a part is no `Keyword=value`, or the keyword is not in the data dictionary.
    """
    from pydicom.datadict import tag_for_keyword

    filters = {}
    for part in (one.strip() for one in query.split(",") if one.strip()):
        keyword, sign, value = part.partition("=")
        if not sign or not value or tag_for_keyword(keyword) is None:
            raise PacsError(
                f"query has {part!r}; write Keyword=value, such as Modality=CR,StudyDate=20240101-20240131."
            )
        filters[_STUDY_LEVEL.get(keyword, keyword)] = value
    return filters
