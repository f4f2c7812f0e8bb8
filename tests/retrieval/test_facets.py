import numpy as np
import pytest

from assistant.errors import RetrievalError
from retrieval.facets import ROW, Filters, Names, date_number
from retrieval.passage import Passage

RECORDS = [
    Passage("a", "passage", "A", "t", "s", "CC-BY-4.0", modality="CT", anatomy="chest", date="2019"),
    Passage("b", "case", "B", "t", "s", "CC0-1.0", modality="MRI", anatomy="brain", date="2021-03", patient_key="k1"),
    Passage("c", "figure", "C", "t", "s", "CC-BY-SA-4.0", date="2021-03-09"),
]


@pytest.fixture
def table():
    names = Names()
    rows = np.array([names.row(one, key, 0, key, 0) for key, one in enumerate(RECORDS)], dtype=ROW)
    return names, rows


@pytest.mark.parametrize(
    ("filters", "passes"),
    [
        (Filters(kinds=("case", "figure")), [False, True, True]),
        (Filters(modalities=("CT",)), [True, False, True]),
        (Filters(anatomies=("Brain",)), [False, True, True]),
        (Filters(licences=("cc-by*",)), [True, False, True]),
        (Filters(since="2021"), [False, True, True]),
        (Filters(since="2021-03-05"), [False, False, True]),
        (Filters(until="2020"), [True, False, False]),
        (Filters(until="2021-03"), [True, True, True]),
        (Filters(exclude_patient="k1"), [True, False, True]),
        (Filters(modalities=("CT",), licences=("CC-BY-4.0",)), [True, False, False]),
    ],
)
def test_filters_pass_what_they_say(table, filters, passes):
    names, rows = table
    assert names.mask(rows, filters).tolist() == passes


def test_no_filter_is_no_mask(table):
    names, rows = table
    assert names.mask(rows, Filters()) is None


def test_names_are_read_back_with_the_same_numbers(table, tmp_path):
    names, rows = table
    names.write(tmp_path)
    again = Names.read(tmp_path)
    assert again.mask(rows, Filters(anatomies=("chest",))).tolist() == [True, False, True]
    assert again.row(RECORDS[0], 0, 0, 0, 0) == names.row(RECORDS[0], 0, 0, 0, 0)


def test_a_name_that_no_record_has_is_refused_with_those_there_are(table):
    names, rows = table
    with pytest.raises(RetrievalError, match="No record has anatomy 'brian'; this index has brain, chest"):
        names.mask(rows, Filters(anatomies=("brian",)))
    with pytest.raises(RetrievalError, match="There is no kind 'poem'; use passage, figure, case"):
        Filters(kinds=("poem",))
    with pytest.raises(RetrievalError, match="since is 'May 2021'; write it as 2021"):
        Filters(since="May 2021")


def test_dates_are_numbers_in_their_order():
    assert date_number("2021") < date_number("2021-03") < date_number("2021-03-09") == 20210309
    assert date_number(None) == 0
