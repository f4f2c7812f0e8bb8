import copy
from dataclasses import replace

import pytest
import torch

from assistant import prompts
from assistant.config import GenerationConfig
from assistant.engine.features import PictureEncoder
from assistant.engine.generate import Generator
from assistant.engine.language import Language
from assistant.engine.linears import Int8Linear, PackedLinear, can_pack
from assistant.errors import ConfigError
from assistant.model.load import load_model
from assistant.model.tensors import tensor_fingerprint

TEXTS = ("Is there a glioma in this MRI?", "benign?", "Is it normal?")
FAMILIES = ["Mistral", "Qwen2", "Qwen3", "Phi3", "Gemma", "Gemma3", "SmolLM3", "GPTNeoX", "BioGPT"]
FORCED = {"linears": "packed", "decode_attention": "matmul"} if can_pack() else {"decode_attention": "matmul"}


@pytest.fixture(scope="module")
def make_asked(make_picture):
    pictures = [make_picture(seed) for seed in range(2)]

    def make(generator, model):
        features = PictureEncoder(model).encode(pictures)
        return [
            generator.encoder.encode(prompts.conversation(text, images=1), [one]) for one in features for text in TEXTS
        ]

    return make


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_answers_on_every_way_as_generate_does(family, tiny_folder, tmp_path, make_asked):
    from assistant.model.build import assemble_folder
    from tests.assistant.model.test_build import family as config_of
    from tests.assistant.model.test_build import save_llm

    root = tiny_folder.parent
    config = config_of(family)
    config.initializer_range = 0.3
    save_llm(tmp_path / "llm", root / "tokenizer", config)
    model = load_model(assemble_folder(root / "encoder", tmp_path / "llm", None, tmp_path / "out"), device="cpu")
    answers = []
    for ways in ({"linears": "torch", "decode_attention": "torch", "share_prefixes": False}, FORCED):
        generator = Generator(model, GenerationConfig(max_new_tokens=12, batch_size=8, **ways))
        asked = make_asked(generator, model)
        answers.append([one.ids for one in generator.generate(asked)])
        answers.append([generator.generate([one])[0].ids for one in asked])
    ids = torch.tensor([asked[0].ids])
    with torch.inference_mode():
        pixels = torch.cat([asked[0].features[0].patches])[None]
        embeds = model.llava.get_input_embeddings()(ids)
        embeds[ids == model.contract.image_token_id] = model.llava.model.multi_modal_projector(pixels)[0]
        wanted = []
        for _ in answers[0][0] or [0]:
            out = model.llava.lm_head(model.llava.model.language_model(inputs_embeds=embeds).last_hidden_state[:, -1])
            wanted.append(int(out.argmax()))
            embeds = torch.cat([embeds, model.llava.get_input_embeddings()(out.argmax(-1))[:, None]], dim=1)
    assert answers[0] == answers[1] == answers[2] == answers[3]
    assert list(answers[0][0]) == wanted[: len(answers[0][0])]


@pytest.mark.skipif(not can_pack(), reason="this torch has no oneDNN")
def test_packing_touches_neither_weights_nor_training(tiny_folder, make_asked):
    model = load_model(tiny_folder, device="cpu")
    before = tensor_fingerprint(model.llava.state_dict())
    kinds = [type(one) for one in model.llava.modules()]
    generator = Generator(model, GenerationConfig(max_new_tokens=4, **FORCED))
    generator.generate(make_asked(generator, model))
    ready = generator.language._get()
    assert any(isinstance(one, PackedLinear) for one in ready.decoder.modules())
    assert [type(one) for one in model.llava.modules()] == kinds
    assert tensor_fingerprint(model.llava.state_dict()) == before
    copy.deepcopy(model.llava)
    llava = model.llava.requires_grad_(True)
    llava(input_ids=torch.tensor([[1, 40, 50]]), labels=torch.tensor([[1, 40, 50]])).loss.backward()
    assert llava.lm_head.weight.grad.abs().sum() > 0


@pytest.mark.skipif(not can_pack(), reason="this torch has no oneDNN")
def test_what_is_being_trained_is_not_packed(tiny_folder):
    model = load_model(tiny_folder, device="cpu")
    model.llava.model.language_model.layers[0].requires_grad_(True)
    ready = Language(model, GenerationConfig(**FORCED))._get()
    first, second = ready.decoder.layers
    assert not any(isinstance(one, PackedLinear) for one in first.modules())
    assert sum(isinstance(one, PackedLinear) for one in second.modules()) == 7


def test_two_generators_of_a_model_share_what_was_made(tiny_model):
    one, other = (Language(tiny_model, GenerationConfig(**FORCED)) for _ in range(2))
    assert one._get() is other._get()
    assert one._get() is not Language(tiny_model, GenerationConfig(linears="torch"))._get()


@pytest.mark.skipif(not can_pack(), reason="this torch has no oneDNN")
@pytest.mark.parametrize(("precision", "most"), [("bfloat16", 0.05), ("int8", 0.3)])
def test_fewer_bits_come_near(precision, most, tiny_model, make_asked):
    exact = Generator(tiny_model, GenerationConfig())
    fewer = Generator(tiny_model, GenerationConfig(precision=precision))
    asked = make_asked(exact, tiny_model)
    options = [["Yes", "No"]] * len(asked)
    for one, other in zip(exact.score(asked, options), fewer.score(asked, options), strict=True):
        assert other == pytest.approx(one, abs=most * max(map(abs, one)))
        assert other != pytest.approx(one, abs=1e-6)
    kinds = {type(one) for one in fewer.language._get().decoder.modules()}
    assert (Int8Linear in kinds) == (precision == "int8")
    assert fewer.paths.precision == precision
    assert next(tiny_model.llava.parameters()).dtype is torch.float32


def test_fewer_bits_are_for_a_cpu_and_for_plain_weights(tiny_model):
    elsewhere = Language(tiny_model, GenerationConfig())
    elsewhere.device, elsewhere._settings = torch.device("cuda:1"), GenerationConfig(precision="int8")
    with pytest.raises(ConfigError, match=r"precision is int8, which is for a CPU; this model is on cuda:1\."):
        elsewhere._check()


@pytest.mark.filterwarnings("ignore")
def test_a_quantized_model_has_its_bits_already(make_asked):
    model = load_model("starter", device="cpu", quantization="nf4")
    with pytest.raises(ConfigError, match=r"precision is bfloat16, but the language model is loaded in .*Linear4bit"):
        Generator(model, GenerationConfig(precision="bfloat16"))
    generator = Generator(model, GenerationConfig(max_new_tokens=4))
    assert len(generator.generate(make_asked(generator, model))) == 6


@pytest.mark.filterwarnings("ignore")
def test_an_adapter_keeps_its_own_layers(tiny_folder, make_asked):
    from peft import LoraConfig, get_peft_model

    model = load_model(tiny_folder, device="cpu")
    targets = r".*language_model.*\.(q_proj|v_proj)"
    adapted = get_peft_model(model.llava, LoraConfig(r=2, target_modules=targets, init_lora_weights=False))
    model = replace(model, llava=adapted.eval())
    generator = Generator(model, GenerationConfig(max_new_tokens=6, **FORCED))
    asked = make_asked(generator, model)
    plain = Generator(model, GenerationConfig(max_new_tokens=6, linears="torch", share_prefixes=False))
    first = generator.generate(asked)
    assert [one.ids for one in first] == [one.ids for one in plain.generate(asked)]
    with torch.no_grad():
        for name, one in adapted.named_parameters():
            if "lora_B" in name:
                one.mul_(20)
    second = generator.generate(asked)
    assert [one.ids for one in second] == [one.ids for one in plain.generate(asked)]
    assert [one.log_probs for one in second] != [one.log_probs for one in first]


@pytest.mark.gpu
def test_a_gpu_gives_the_same_words(tiny_folder, make_asked):
    answers = []
    for device in ("cpu", "cuda"):
        model = load_model(tiny_folder, device=device, dtype="float32")
        generator = Generator(model, GenerationConfig(max_new_tokens=12))
        answers.append([one.ids for one in generator.generate(make_asked(generator, model))])
    assert answers[0] == answers[1]
