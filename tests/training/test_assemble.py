"""Assembling a model, and the way from there to an answer."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from assistant.errors import ConfigError
from assistant.model.contract import Contract
from assistant.model.load import load_model
from assistant.prompts import PROMPT_VERSION
from data_recipes.schema import read_examples
from training.align import run as align
from training.assemble import describe, main, run, texts_of
from training.assemble_settings import AssembleSettings, LlamaShape, NewTokenizer
from training.augment_settings import AugmentSettings
from training.recipe import OptimizerSettings
from training.settings import DataPart, LlavaSettings
from training.sft import run as sft

SHAPE = LlamaShape(32, 64, 2, 2, 1, 512)


@pytest.fixture(scope="module")
def assembled(encoder_folder, phantom_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("assembled") / "model"
    run(
        AssembleSettings(
            encoder=str(encoder_folder),
            out=out,
            new_llm=SHAPE,
            new_tokenizer=NewTokenizer((phantom_data,), 400),
            licence="Apache-2.0",
            name="tiny",
            training_data=("phantoms, CC0-1.0",),
            capabilities={"text_only": "quote"},
        )
    )
    return out


def test_the_contract_says_what_was_put_together(assembled):
    contract = Contract.read(assembled)
    assert (contract.name, contract.licence, contract.prompt_version) == ("tiny", "Apache-2.0", PROMPT_VERSION)
    assert (contract.image_size, contract.image_tokens, contract.embedding_dim) == (64, 16, 16)
    assert contract.connector == "mlp2x_gelu"
    assert contract.training_data == ("phantoms, CC0-1.0",)
    assert contract.capabilities == {"text_only": "quote"}
    model = load_model(assembled, device="cpu")
    text = model.llava.config.text_config
    assert (text.hidden_size, text.num_hidden_layers, text.num_key_value_heads) == (32, 2, 1)
    assert contract.vocabulary == len(model.tokenizer) <= 400


def test_assembled_aligned_and_tuned_it_answers(assembled, phantom_data, tmp_path):
    from assistant.chat import MedicalAssistant
    from assistant.conversation import Question
    from assistant.imaging.load import load_picture

    model = assembled
    for stage, work in (("align", align), ("sft", sft)):
        settings = LlavaSettings(
            model=str(model),
            data=(DataPart(phantom_data),),
            out=tmp_path / stage,
            steps=3,
            pictures=3,
            questions=2,
            augment=AugmentSettings(),
            optimizer=OptimizerSettings(lr=1e-3, warmup_steps=1),
            store_side=64,
            report_every=3,
        )
        work(settings, False)
        model = tmp_path / stage / "model"
        line = json.loads((tmp_path / stage / "metrics.jsonl").read_text())
        assert line["step"] == 3
        assert 0 < line["loss"] < 20
    tuned = load_model(model, device="cpu")
    assert tuned.contract.encoder == Contract.read(assembled).encoder
    assert tuned.contract.connector_fingerprint != Contract.read(assembled).connector_fingerprint
    path = next(read_examples(phantom_data)).image_paths(phantom_data.parent)[0]
    answer = MedicalAssistant(tuned).answer(Question("What imaging modality is shown?", (load_picture(path),)))
    assert answer.model_name == f"tiny+{stage}"
    assert answer.text


def test_a_folder_that_is_there_is_not_written_over(assembled, encoder_folder, phantom_data, tmp_path, capsys):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"encoder: {encoder_folder}\nout: {assembled}\nnew_llm: {{hidden_size: 32, num_attention_heads: 2, "
        f"num_key_value_heads: 1}}\nnew_tokenizer: {{data: [{phantom_data}], size: 400}}\n"
    )
    assert main([str(recipe)]) == 2
    assert str(assembled) in capsys.readouterr().err


def test_a_recipe_gives_a_model_another_encoder(assembled, encoder_folder, tmp_path, capsys):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"encoder: {encoder_folder}\nmodel: {assembled}\nout: {tmp_path / 'again'}\nname: again\n")
    assert main([str(recipe), "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert f"in place of the encoder of {assembled}" in told
    assert re.search(rf"model\W+{re.escape(str(assembled))}.*a folder here", told)
    assert "Licence" not in told
    assert main([str(recipe), "--dry-run", "--set", f"model={tmp_path / 'no'}"]) == 2
    assert f"There is no model '{tmp_path / 'no'}'" in capsys.readouterr().err
    assert main([str(recipe)]) == 0
    old, new = Contract.read(assembled), Contract.read(tmp_path / "again")
    # The encoder it had anyway: all that is measured of the folder is as before.
    assert (new.name, new.encoder, new.connector_fingerprint) == ("again", old.encoder, old.connector_fingerprint)


def test_words_come_from_examples_and_cards(phantom_data, tmp_path):
    (tmp_path / "card.md").write_text("A card.")
    texts = list(texts_of([tmp_path, phantom_data]))
    assert texts[0] == "A card."
    assert len(texts) == 1 + sum(len(one.messages) for one in read_examples(phantom_data))


def test_a_dry_run_says_what_would_be_made():
    made = AssembleSettings("enc", Path("out"), new_llm=SHAPE, new_tokenizer=NewTokenizer(()))
    assert describe(made) == "enc + mlp2x_gelu + a new Llama of width 32 to out"
    assert describe(AssembleSettings("enc", Path("out"), llm="llm")) == "enc + mlp2x_gelu + llm to out"
    told = describe(AssembleSettings("enc", Path("out"), model="old"))
    assert told == "enc in place of the encoder of old, to out"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AssembleSettings("e", Path("o")), "give one of `llm`, a language model to take, `new_llm`"),
        (lambda: AssembleSettings("e", Path("o"), llm="l", new_llm=SHAPE), "give one of `llm`"),
        (lambda: AssembleSettings("e", Path("o"), new_llm=SHAPE), "`new_llm` and `new_tokenizer` go together"),
        (lambda: AssembleSettings("e", Path("o"), model="m", llm="l"), "give one of `llm`"),
        (lambda: AssembleSettings("e", Path("o"), model="m", tiles=2, licence="MIT"), "leave out tiles, licence"),
        (lambda: NewTokenizer((), 299), r"new_tokenizer\.size is 299; the 256 bytes"),
        (lambda: LlamaShape(hidden_size=30), r"new_llm\.hidden_size 30 is no multiple of its 4 heads"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
