"""MedQuAD; the document is of a true sample's form."""

from __future__ import annotations

import pytest

from assistant.errors import DataError

DOCUMENT = """<?xml version="1.0" encoding="UTF-8"?>
<Document id="{key}" source="CancerGov" url="https://example.org/{key}">
<Focus>{focus}</Focus>
<QAPairs>
  <QAPair pid="1"><Question qid="{key}-1" qtype="information">What is {focus}?</Question>
    <Answer>Key   Points
                    - It&apos;s rare.

                    - It is mild.</Answer></QAPair>
  <QAPair pid="2"><Question qid="{key}-2" qtype="symptoms">What are the symptoms?</Question><Answer></Answer></QAPair>
</QAPairs>
</Document>"""


def test_answers_are_tidied_and_those_taken_out_are_counted(made, caplog):
    made.file("1_CancerGov_QA/1.xml", DOCUMENT.format(key="1", focus="Gout"))
    with caplog.at_level("INFO"):
        (found,) = made.build("medquad").values()
    assert [message["content"] for message in found[0].messages] == [
        "What is Gout?",
        "Key Points\n- It's rare.\n- It is mild.",
    ]
    assert found[0].truth["about"]["qtype"] == "information"
    assert found[0].images == ()
    assert "2 records read; 1 left out: its publisher had the answer taken out" in caplog.text


def test_a_topic_stays_in_one_split(made):
    for number in range(60):
        made.file(f"{number % 3}_QA/{number}.xml", DOCUMENT.format(key=number, focus=f"Topic {number % 20}"))
    homes = [{one.patient for one in found} for found in made.build("medquad").values()]
    assert len(homes) > 1
    assert sum(map(len, homes)) == 20


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<Document><QAPairs>", r"1_QA/1\.xml line 1: no element found.*; mend the file"),
        ('<!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/passwd">]><d>&a;</d>', "declares a type .DOCTYPE., which could"),
        ('<!DOCTYPE d [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><d>&b;</d>', "declares a type"),
    ],
)
def test_broken_documents_and_entities_are_faults(made, content, message):
    made.file("1_QA/1.xml", content)
    with pytest.raises(DataError, match=message):
        made.build("medquad")
