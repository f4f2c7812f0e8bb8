"""Evaluation on a tiny random model: what is asked, what is written, and that it answers as the product does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from assistant.chat import MedicalAssistant
from assistant.config import GenerationConfig
from assistant.conversation import Question, ReportRequest
from assistant.errors import DataError
from assistant.evidence import Evidence
from assistant.known import Kinds, save_known_pictures
from assistant.model.load import load_model
from assistant.model.save import save_model
from training.evaluate import evaluate, main, picture_loader, predict, read_data
from training.evaluation.answers import Asker
from training.evaluation.controls import CONTROLS, swapped_images, verdict
from training.evaluation.items import attribute_of, make_item, question_kind, same_region, standard_items
from training.evaluation.settings import EvaluationSettings
from training.evaluation.summary import block

SHORT = GenerationConfig(max_new_tokens=8, report_max_new_tokens=24)


@pytest.fixture(scope="module")
def items(small_data, phantom_data):
    """A few questions on each data file, a caption and a report among them."""
    chosen = [*read_data([small_data])[:9], *read_data([phantom_data])[-6:]]
    return [make_item(example, root) for root, example in chosen]


@pytest.fixture(scope="module")
def guarded(tiny_folder, tmp_path_factory):
    """The tiny model with a guard that knows nothing like the pictures of the tests, and a threshold of confidence."""
    import shutil

    folder = tmp_path_factory.mktemp("guarded") / "model"
    shutil.copytree(tiny_folder, folder)
    model = load_model(folder, device="cpu")
    known = np.zeros((2, model.contract.embedding_dim), np.float32)
    known[:, 0] = 1
    width = model.llava.config.vision_config.hidden_size
    parts = (np.zeros(width), np.ones(width), np.full((2, width), 9.0), np.zeros((2, 1, width)))
    kinds = Kinds(*parts, variance=np.ones((2, 1)), rest=np.ones(2))
    save_known_pictures(folder, known, ["MRI", "X-ray"], kinds)
    numbers = {"ood_distance": 2.0, "abstain_below_closed": 0.6, "abstain_below_open": 0.3}
    return replace(model, contract=model.contract.replace(calibration=numbers))


def test_it_answers_what_the_assistant_answers(tiny_model, items):
    settings = replace(SHORT, abstain_below=0.0)
    load = picture_loader()
    replies = [row.reply for row in predict(Asker(tiny_model, settings), items, load)]
    assistant = MedicalAssistant(tiny_model, None, settings)
    for item, reply in zip(items, replies, strict=True):
        request = item.request([load(path) for path in item.images])
        if isinstance(request, ReportRequest):
            report = assistant.report(request)
            assert reply.kind == "report"
            assert reply.confidence == pytest.approx(report.confidence, rel=1e-4)
            continue
        answer = assistant.answer(request)
        assert reply.confidence == pytest.approx(answer.confidence, rel=1e-4)
        assert (reply.text or answer.text) == answer.text


def test_with_a_retriever_its_evidence_stands_in_the_prompt(tiny_model, items):
    class Found:
        def search(self, *args, **kwargs):
            return [
                Evidence(id="c", kind="passage", title="Of note", text="A.", source="S", licence="CC0-1.0", score=1.0)
            ]

    asker = Asker(tiny_model, SHORT, Found())
    seen = []
    generate = asker._generator.answer
    asker._generator.answer = lambda prompts, *rest, **more: (seen.extend(prompts), generate(prompts, *rest, **more))[1]
    load = picture_loader()
    requests = [one.request([load(path) for path in one.images]) for one in items]
    asker.ask(requests)
    assert seen
    assert all("[1] Of note" in one.text for one in seen)


def test_that_it_cannot_tell_is_scored_as_an_answer_and_told_as_none(tiny_model, items):
    asker = Asker(tiny_model, SHORT)
    generate = asker._generator.answer

    def taught(*asked, **more):
        return ((replace(made, text="This model cannot tell."), scores) for made, scores in generate(*asked, **more))

    asker._generator.answer = taught
    load = picture_loader()
    open_items = [
        replace(one, truth="This model cannot tell.") for one in items if (one.task, one.answer_type) == ("vqa", "open")
    ]
    rows = predict(asker, open_items, load)
    assert rows
    assert [(row.right, row.reply.stop) for row in rows] == [(True, "untold")] * len(rows)


def test_it_knows_when_the_assistant_would_abstain_and_answers_all_the_same(guarded, items):
    load = picture_loader()
    rows = predict(Asker(guarded, SHORT), items, load)
    assistant = MedicalAssistant(guarded, None, SHORT)
    asked = [row for row in rows if row.item.answer_type != "report"]
    for row in asked:
        answer = assistant.answer(row.item.request([load(path) for path in row.item.images]))
        assert (row.reply.stop is not None) == answer.abstained, row
    assert {row.reply.stop for row in asked} & {"unfamiliar", "unsure"}
    assert all(row.reply.text for row in asked if row.reply.kind == "closed")


def test_a_question_out_of_scope_is_answered_by_the_model_but_counted_as_withheld(tiny_model, items):
    load = picture_loader()
    picture = load(items[0].images[0])
    (reply,) = Asker(tiny_model, SHORT).ask([Question("Should I take aspirin?", (picture,))])
    assert reply.stop == "scope"
    assert reply.text in ("Yes", "No")


def test_the_command_writes_its_three_files(tiny_folder, small_data, tmp_path, capsys):
    code = main(["--model", str(tiny_folder), "--data", str(small_data), "--out", str(tmp_path), "--limit", "6"])
    assert code == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["data"]["examples"] == 6
    assert metrics["model"]["name"] == "tiny"
    assert metrics["overall"]["n"] == 6
    assert metrics["overall"]["assistant"]["coverage"]["value"] == 1
    lines = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines if line["kind"] == "region"]
    wanted = {"id", "question", "truth", "prediction", "answer_type", "confidence", "abstained", "seconds"}
    assert wanted <= set(lines[0])
    assert "By attribute" in (tmp_path / "table.md").read_text()
    assert "Kind of image" in capsys.readouterr().out


def test_a_model_that_looks_several_times_is_measured_so_or_with_one_view(tiny_model, small_data, tmp_path):
    folder = tmp_path / "model"
    save_model(tiny_model, folder, capabilities={"test_time_augmentation": "flip zoom"})
    single = EvaluationSettings(limit=8, one_view=True)
    views, several = evaluate(str(folder), [small_data], limit=8)
    alone, one = evaluate(str(folder), [small_data], settings=single)
    _, plain = evaluate(str(tiny_model.folder), [small_data], limit=8)
    assert [row.reply.shares for row in one] == [row.reply.shares for row in plain]
    assert [row.reply.shares for row in several] != [row.reply.shares for row in one]
    assert "one_view" not in views["protocol"]
    assert alone["protocol"]["one_view"]
    assert main(["--model", str(folder), "--data", str(small_data), "--out", str(tmp_path / "o"), "--one-view"]) == 0


def test_controls_say_whether_answers_depend_on_the_image(tiny_folder, phantom_data):
    metrics, _ = evaluate(str(tiny_folder), [phantom_data], limit=8, controls=True)
    controls = metrics["controls"]
    assert set(CONTROLS) < set(controls)
    assert controls["verdict"] == verdict(controls)


def test_an_image_blind_model_is_called_so():
    same = {"value": 0.0, "low": 0.0, "high": 0.01}
    found = {name: {"answers_changed": same, "drop": same} for name in CONTROLS}
    assert verdict(found).startswith("THE ANSWERS DO NOT DEPEND ON THE IMAGE: with a blank image only 0.0%")
    much = {"value": 0.4, "low": 0.3, "high": 0.5}
    assert "falls by 40.0%" in verdict({name: {"answers_changed": much, "drop": much} for name in CONTROLS})
    assert verdict({name: {"answers_changed": much, "drop": same} for name in CONTROLS}).startswith("NO BENEFIT")


def test_swapped_pictures_are_another_patients(items):
    single = [item for item in items if len(item.images) == 1]
    assert all(images != item.images for item, images in zip(single, swapped_images(single, 0), strict=True))


def test_reports_on_phantoms_are_judged_by_their_findings(tiny_model, phantom_data):
    reports = [make_item(example, root) for root, example in read_data([phantom_data])]
    reports = [item for item in reports if item.answer_type == "report"]
    assert all(item.right(item.truth) for item in reports)
    rows = predict(Asker(tiny_model, SHORT), reports, picture_loader())
    truths = [replace(row, reply=replace(row.reply, text=row.item.truth), right=True) for row in rows]
    assert block(truths)["report"]["findings"]["f1"] == {"value": 1.0, "low": 1.0, "high": 1.0}


@pytest.mark.parametrize(
    ("question", "answer", "truth", "attribute"),
    [
        ("Which?", "Pituitary tumor", {"modality": "MRI", "brain finding": "pituitary"}, "brain finding"),
        ("Which finding?", "No tumor", {"modality": "MRI", "brain finding": "notumor"}, "brain finding"),
        ("Is this skin lesion a melanoma?", "No", {"region": "skin", "skin finding": "not melanoma"}, "skin finding"),
        ("Are platelets visible?", "Yes", {"platelets": "yes", "red cells": "yes"}, "platelets"),
        ("What kind of image is this?", "Blood smear", {"modality": "Blood-smear microscopy"}, "modality"),
        ("Is the trachea midline?", "yes", {"modality": "X-ray", "region": "chest"}, None),
    ],
)
def test_a_question_is_put_down_to_the_attribute_it_asks_for(question, answer, truth, attribute):
    choices = ("Glioma", "Pituitary tumor") if question == "Which?" else ()
    assert attribute_of(question, answer, truth, choices) == attribute


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("How was this image taken?", "modality"),
        ("What part of the body is this?", "region"),
        ("Is the nodule on the left or on the right?", "side"),
        ("Is the nodule upper, middle or lower?", "zone"),
        ("How large is the mass: 8 mm or 12 mm?", "size"),
        ("Count the nodules.", "count"),
        ("Is this image abnormal?", "normality"),
        ("Can you see a mass here?", "presence"),
        ("What abnormality is seen?", "finding"),
        ("Describe the finding in this image.", "finding"),
        ("Describe this image.", "description"),
        ("What does this image show?", "description"),
        ("Does this image show a mass?", "presence"),
        ("Is this a CT or an MRI?", "which of two"),
        ("How has the finding changed since the prior, the first image?", "change"),
        ("Why?", "other"),
    ],
)
def test_kinds_of_question_are_told_by_their_words(question, kind):
    assert question_kind(question) == kind


def test_each_picture_is_asked_for_modality_and_region_once(small_data):
    asked = standard_items(read_data([small_data]))
    assert len(asked) == 12
    assert {item.question for item in asked} == {"What kind of image is this?", "Which body region is shown?"}


def test_brain_and_head_are_one_region():
    assert same_region("The brain.", "head")
    assert not same_region("chest", "abdomen")


def test_an_empty_data_file_is_refused(tmp_path: Path):
    (tmp_path / "none.jsonl").write_text("")
    with pytest.raises(DataError, match=r"none\.jsonl holds no example"):
        read_data([tmp_path / "none.jsonl"])


def test_an_id_that_stands_twice_is_refused(tmp_path: Path, small_data: Path):
    first, second, *_ = small_data.read_text().splitlines()
    (tmp_path / "twice.jsonl").write_text(f"{first}\n{second}\n{first}\n")
    with pytest.raises(
        DataError, match=r"twice\.jsonl line 3: field 'id' is '.+', which line 1 has already; .* its own"
    ):
        read_data([tmp_path / "twice.jsonl"])
