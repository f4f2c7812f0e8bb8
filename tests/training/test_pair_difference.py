"""Which tokens of two answers are each one's own, and how `shared_weight` weighs the others.

In the first half letters stand for tokens, and "$" for the end of an answer.
"""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from assistant.imaging.load import load_picture
from training.pair_difference import own_tokens
from training.preference import PreferenceTrainer
from training.preference_settings import DpoSettings
from training.run_folder import RunFolder
from training.settings import DataPart


def marked(first: str, second: str) -> tuple[str, str]:
    """Return both texts with the tokens that they share as "_"."""
    texts, own = (first, second), own_tokens(tuple(map(ord, first)), tuple(map(ord, second)))
    both = (
        "".join(one if mine else "_" for one, mine in zip(*two, strict=True)) for two in zip(texts, own, strict=True)
    )
    return tuple(both)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        # One word for another, as a side: nothing else counts.
        ("abLcd$", "abRcd$", ("__L___", "__R___")),
        # Two places of unlike length.
        ("aLbcMd$", "aRbcNOd$", ("_L__M__", "_R__NO__")),
        # A passage more: the other goes on with "I" at once, which stands for leaving it out.
        ("ab.I$", "ab.XYZI$", ("___I_", "___XYZ__")),
        ("ab.XYZI$", "ab.I$", ("___XYZ__", "___I_")),
        # At the end, what stands for it is the end.
        ("ab.$", "ab.XY.$", ("___$", "___XY._")),
        # ". X" and "X ." are both what is more; only before "X" is there a choice.
        ("a.b.$", "a.X.b.$", ("__b__", "__X.___")),
        # What is more repeats the beginning of what follows: the two part only behind it.
        ("abc$", "ababc$", ("__c_", "__ab__")),
        # Nothing in common, and nothing but the end.
        ("ab", "cde", ("ab", "cde")),
        ("abc$", "$", ("abc_", "$")),
        ("ab$", "ab$", ("___", "___")),
    ],
)
def test_what_differs_is_each_answers_own(first, second, expected):
    assert marked(first, second) == expected
    assert marked(second, first) == expected[::-1]


def test_a_frequent_token_is_compared_like_any_other():
    # difflib would leave out tokens that make up over 1 % of 200, as full stops and spaces of a long answer do.
    filler = "xy" * 150
    assert marked(f"{filler}L$", f"{filler}R$") == ("_" * 300 + "L_", "_" * 300 + "R_")


@pytest.fixture(scope="module")
def pairs(few_pairs):
    """Eight pairs of reports on phantoms: a wrong side, and a passage more."""
    return few_pairs({"wrong side": 3, "mentions a prior": 5})


@pytest.fixture
def trainer(wide_folder, pairs, tmp_path):
    chosen = DpoSettings(str(wide_folder), (DataPart(pairs),), tmp_path / "run", bf16=False)
    return PreferenceTrainer(chosen, RunFolder(chosen.out, chosen))


def test_tokens_in_common_count_by_their_weight(trainer):
    object.__setattr__(trainer.settings, "shared_weight", 0.25)
    # Answers "5 6 9" and "5 7 9", then "1 9" and "1 2 3 9", whose first goes on at once with "9".
    numbers = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 3, 3])
    tokens = torch.tensor([5, 6, 9, 5, 7, 9, 1, 9, 1, 2, 3, 9])
    weights = trainer.token_weights(numbers, torch.tensor([3, 3, 2, 4]), tokens)
    assert weights.tolist() == [0.25, 1, 0.25, 0.25, 1, 0.25, 0.25, 1, 0.25, 1, 1, 0.25]


def own_sums(trainer) -> torch.Tensor:
    """Return the stock model's log-probabilities of the tokens that each answer of the pairs has for itself, (8, 2)."""
    found = torch.zeros(8, 2)
    for number, pair in enumerate(trainer.pairs):
        own = own_tokens(pair.first.answer, pair.second.answer)
        for column, turned in enumerate((pair.first, pair.second)):
            ids = torch.tensor([[*turned.prompt, *turned.answer]])
            path = trainer.pairs[number].images[0]
            pixels = trainer.loaded.pixel_values([load_picture(path)])
            with torch.no_grad():
                logits = trainer.loaded.llava(
                    input_ids=ids, pixel_values=pixels, attention_mask=torch.ones_like(ids)
                ).logits
            each = -F.cross_entropy(
                logits[0, len(turned.prompt) - 1 : -1], torch.tensor(turned.answer), reduction="none"
            )
            found[number, column] = each[torch.tensor(own[column])].sum()
    return found


def test_with_no_weight_on_what_is_shared_only_the_rest_decides(trainer):
    object.__setattr__(trainer.settings, "shared_weight", 0.0)
    with torch.no_grad():
        sums, _ = trainer.log_probabilities(*trainer.batch(range(8)))
    assert torch.allclose(sums[:, :2], own_sums(trainer), rtol=2e-3, atol=1e-2)
    assert (sums[:, 2:] < sums[:, :2]).all()


def test_the_reference_is_weighed_like_the_policy(trainer):
    object.__setattr__(trainer.settings, "shared_weight", 0.5)
    reference = trainer.reference()
    loss, told = trainer.loss(range(8), reference)
    assert loss.item() == pytest.approx(0.6931, abs=1e-4)
    assert told["margin"][0] == pytest.approx(0.0, abs=1e-4)
    # Half of the tokens in common, all of the others.
    own, plain = own_sums(trainer), reference[:, 2:]
    assert torch.allclose(reference[:, :2], own + 0.5 * (plain - own), rtol=2e-3, atol=1e-2)


def test_the_better_answer_is_learned_as_a_whole_whatever_tokens_weigh(trainer):
    reference = trainer.reference()
    before = [trainer.loss(range(8), reference)[0].item()]
    object.__setattr__(trainer.settings, "sft_weight", 0.5)
    before.append(trainer.loss(range(8), reference)[0].item())
    object.__setattr__(trainer.settings, "shared_weight", 0.0)
    (trainer.folder.path / "reference.safetensors").unlink()
    weighed, told = trainer.loss(range(8), trainer.reference())
    assert weighed.item() == pytest.approx(before[1], abs=1e-4)
    assert before[1] > before[0] + 0.1
    assert told["chosen_change"][0] == pytest.approx(0.0, abs=1e-4)
