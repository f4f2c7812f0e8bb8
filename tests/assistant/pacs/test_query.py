import pytest

from assistant.errors import PacsError
from assistant.pacs.query import parsed_query


def test_queries_are_keyword_and_value():
    filters = {"ModalitiesInStudy": "CR", "StudyDate": "20240101-"}
    assert parsed_query("Modality=CR, StudyDate=20240101-") == filters
    assert parsed_query("") == {}


@pytest.mark.parametrize("query", ["Modality", "Nonsense=1", "StudyDate="])
def test_what_is_no_query_is_refused(query):
    with pytest.raises(PacsError, match="write Keyword=value"):
        parsed_query(query)
