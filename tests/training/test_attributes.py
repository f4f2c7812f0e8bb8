"""Categories of pictures: the table, its losses, its accuracies."""

from __future__ import annotations

import math

import pytest
import torch

from training.attributes import (
    UNKNOWN,
    AttributeHeads,
    accuracies,
    attribute_loss,
    build_table,
    distillation_loss,
    flat_attributes,
)

KNOWN = [
    {"modality": "MRI", "finding": "glioma"},
    {"modality": "CT"},
    {"modality": "MRI", "finding": "none", "site": "A"},
]


def test_texts_of_the_truth_are_attributes():
    truth = {"modality": "MRI", "phantom": True, "field_mm": 200, "findings": [], "site": "A"}
    assert flat_attributes(truth) == {"modality": "MRI", "site": "A"}


def test_the_table_holds_what_is_known_and_varies():
    table = build_table(KNOWN)
    assert table.names == ("finding", "modality")  # every picture with a known site has the same
    assert table.values == (("glioma", "none"), ("CT", "MRI"))
    assert table.targets.tolist() == [[0, 1], [UNKNOWN, 0], [1, 1]]
    assert table.sizes == [2, 2]


def test_a_second_split_keeps_the_first_ones_categories():
    table = build_table([{"modality": "CT", "finding": "abscess", "age": "old"}], like=build_table(KNOWN))
    assert table.names == ("finding", "modality")
    assert table.targets.tolist() == [[UNKNOWN, 0]]


def test_heads_split_one_layer():
    logits = AttributeHeads(5, [2, 3])(torch.randn(4, 5))
    assert [tuple(one.shape) for one in logits] == [(4, 2), (4, 3)]


def test_only_known_attributes_cost():
    logits = [torch.tensor([[0.0, 0.0], [9.0, 0.0]]), torch.tensor([[0.0, 0.0], [0.0, 0.0]])]
    targets = torch.tensor([[0, 1], [UNKNOWN, 0]])
    found = attribute_loss(logits, targets, torch.tensor([1.0, 0.5]), smoothing=0.0)
    assert found.tolist() == pytest.approx([1.5 * math.log(2), 0.5 * math.log(2)])


def test_agreeing_with_the_teacher_costs_nothing():
    teacher = [torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])]
    known, weights = torch.tensor([[True, True]]), torch.ones(2)
    assert distillation_loss(teacher, teacher, known, weights).item() == pytest.approx(0.0, abs=1e-7)
    other = [torch.zeros(1, 2), torch.zeros(1, 2)]
    share = 1 / (1 + math.exp(-2))
    by_hand = share * math.log(2 * share) + (1 - share) * math.log(2 * (1 - share))
    half = torch.tensor([[True, False]])
    assert distillation_loss(other, teacher, half, weights).item() == pytest.approx(by_hand, rel=1e-5)


def test_accuracy_counts_known_pictures_only():
    table = build_table(KNOWN)
    logits = [torch.tensor([[1.0, 0], [0, 1], [1, 0]]), torch.tensor([[0.0, 1], [1, 0], [0, 1]])]
    assert accuracies(logits, table) == {"finding": 0.5, "modality": 1.0}
    nothing = build_table([{}], like=table)
    assert accuracies([one[:1] for one in logits], nothing) == {}
