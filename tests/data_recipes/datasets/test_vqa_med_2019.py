"""VQA-Med 2019; the test file is of a true sample."""

from __future__ import annotations

import pytest

from assistant.errors import DataError


def test_three_and_four_fields(made):
    made.pictures("Train_images/synpic1.jpg", "Val_images/synpic2.jpg", "VQAMed2019_Test_Images/synpic3.jpg")
    made.file("All_QA_Pairs_train.txt", "synpic1|what plane is this?|axial\n")
    made.file("deep/All_QA_Pairs_val.txt", "synpic2|is this a t1 image?|no\n")
    made.file("VQAMed2019_Test_Questions_w_Ref_Answers.txt", "synpic3|modality|what was used?|ct#ct scan\n")
    built = made.build("vqa-med-2019")
    assert built["train"][0].images == ("images/synpic1.jpg",)
    assert built["dev"][0].answer_type == "closed"
    assert built["test"][0].messages[1]["content"] == "ct"
    assert built["test"][0].truth == {"about": {"category": "modality"}, "answers": ["ct", "ct scan"]}


def test_another_number_of_fields_is_a_fault(made):
    made.file("All_QA_Pairs_train.txt", "synpic1|what plane is this?\n")
    with pytest.raises(DataError, match=r'All_QA_Pairs_train\.txt line 1: 2 fields in "synpic1\|what plane'):
        made.build("vqa-med-2019")


def test_a_single_file_can_be_given_and_others_are_refused(made):
    made.pictures("images/synpic3.jpg")
    path = made.file("VQAMed2019_Test_Questions_w_Ref_Answers.txt", "synpic3|modality|what was used?|#\n")
    with pytest.raises(DataError, match="field 'answer' is \"#\"; give an answer"):
        made.build("vqa-med-2019", path)
    with pytest.raises(DataError, match="holds nothing that vqa-med-2019 can read"):
        made.build("vqa-med-2019", made.file("notes.txt", "x"))
