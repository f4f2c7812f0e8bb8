"""A model of a real one's shape with random weights, and a peer's way of asking it, for the rows on the engine."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from assistant.imaging.picture import Picture
from assistant.model.load import load_model
from assistant.model.loaded import LoadedModel
from assistant.prompts import conversation

QUESTIONS = (
    "What kind of image is this?",
    "Is there a pleural effusion on the left side?",
    "Which organ is shown, and what is the main finding in it?",
    "Is it normal?",
)
_SIDE = 224


def random_model(dtype: torch.dtype = torch.float32, device: str = "cpu", *, seed: int = 0) -> LoadedModel:
    """Return a model of ViT-B/16 and a Llama of 127 million parameters, 213 million in all, with random weights.

    Tokenizer and template are the starter's; the end token is never the likeliest, so that answers are as long as
    they may be.

    Args:
        dtype: of the weights.
        device: where it runs.
        seed: of the weights.
    Returns:
        The model; nothing of it was trained.
    """
    from transformers import LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, ViTConfig

    starter = load_model("starter", device="cpu")
    was = starter.llava.config
    text = LlamaConfig(
        hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=2048, vocab_size=27000,
        max_position_embeddings=2048, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    config = LlavaConfig(
        vision_config=ViTConfig(image_size=_SIDE, patch_size=16, layer_norm_eps=1e-6),
        text_config=text,
        image_token_index=was.image_token_index,
        image_seq_length=196,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        llava = LlavaForConditionalGeneration(config)
        # Random weights prefer no token much and soon repeat one; these make the likeliest stand out, as a trained
        # model's does, and the next depend on the one before.
        llava.lm_head.weight.data.mul_(8)
        llava.model.language_model.embed_tokens.weight.data.mul_(50)
        llava.lm_head.weight.data[2].zero_()
    llava.generation_config.pad_token_id, llava.generation_config.eos_token_id = 0, None
    processor = copy.deepcopy(starter.processor)
    processor.patch_size, processor.num_additional_image_tokens = 16, 1
    processor.vision_feature_select_strategy = "default"
    images: Any = processor.image_processor
    images.size, images.crop_size = {"shortest_edge": _SIDE}, {"height": _SIDE, "width": _SIDE}
    can = {name: value for name, value in starter.contract.capabilities.items() if name != "test_time_augmentation"}
    contract = replace(  # without views: a question is put once, as its peer puts it
        starter.contract, name="random", image_size=_SIDE, image_tokens=196, feature_layer=-2, capabilities=can
    )
    return replace(
        starter,
        llava=llava.to(device=device, dtype=dtype).eval().requires_grad_(False),  # type: ignore[call-arg]
        processor=processor,
        contract=contract,
        projection=torch.randn((256, 768), generator=torch.Generator().manual_seed(seed)).to(device),
        device=device,
        dtype=dtype,
    )


def pictures(count: int, side: int = _SIDE) -> list[Picture]:
    """Return pictures of noise, each another."""
    rng = np.random.default_rng(0)
    return [Picture(rng.integers(0, 255, (side, side, 3), dtype=np.uint8)) for _ in range(count)]


def peer_answer(model: LoadedModel, picture: Picture, question: str, tokens: int) -> list[int]:
    """Ask one question as LLaVA-Med does: the picture is encoded for it, the whole prompt read, then token by token.

    Source: LLaVA-Med's `llava/eval/model_vqa.py`, a loop over questions with one call of `model.generate` each, which
    takes the pixels; here with the same stock model and Hugging Face's own `generate`.

    Args:
        model: as loaded.
        picture: of the question.
        question: the text.
        tokens: to write.
    Returns:
        The new tokens.
    """
    inputs = _inputs(model, picture, question)
    with torch.inference_mode():
        llava: Any = model.llava
        out = llava.generate(**inputs, max_new_tokens=tokens, do_sample=False)
    return [int(one) for one in out[0, inputs["input_ids"].shape[1] :]]


def _inputs(model: LoadedModel, picture: Picture, question: str) -> dict[str, Any]:
    messages = conversation(question, images=1)
    text = model.processor.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
    made: Any = model.processor(text=text, images=[picture.squared()], return_tensors="pt", add_special_tokens=False)
    inputs = {name: one.to(model.device) for name, one in made.items()}
    inputs["pixel_values"] = inputs["pixel_values"].to(model.dtype)
    return inputs


def step_apart(
    model: LoadedModel, picture: Picture, question: str, written: Sequence[int], tokens: tuple[int, int]
) -> float:
    """Return how far apart two next tokens are, in steps of the model's number format at their logits' size.

    Args:
        model: as loaded.
        picture: of the question.
        question: the text.
        written: what both answers begin with.
        tokens: the two.
    Returns:
        The difference of their logits over the distance of neighbouring numbers there; 1 is one rounding.
    """
    inputs = _inputs(model, picture, question)
    more = torch.tensor([list(written)], dtype=torch.long, device=model.device)
    inputs["input_ids"] = torch.cat([inputs["input_ids"], more], dim=1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    with torch.inference_mode():
        llava: Any = model.llava
        logits = llava(**inputs).logits[0, -1].float()
    one, other = (float(logits[token]) for token in tokens)
    return abs(one - other) / (max(abs(one), abs(other)) * torch.finfo(model.dtype).eps)


def peer_answers(
    model: LoadedModel, shown: Sequence[Picture], asked: Sequence[str], tokens: Sequence[int]
) -> list[list[int]]:
    """Ask every question about every picture, one at a time."""
    pairs = [(picture, question) for picture in shown for question in asked]
    return [peer_answer(model, *pair, longest) for pair, longest in zip(pairs, tokens, strict=True)]
