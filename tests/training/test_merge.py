"""The merge command."""

from __future__ import annotations

import torch
from PIL import Image

from training.merge import main


def logits(folder):
    from assistant.model.load import load_model

    model = load_model(folder, device="cpu")
    message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Is it normal?"}]}
    text = model.processor.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
    picture = Image.linear_gradient("L").convert("RGB")
    inputs = model.processor(images=[picture], text=text, add_special_tokens=False, return_tensors="pt")
    with torch.inference_mode():
        return model.llava(**inputs).logits


def test_the_merged_model_says_what_the_adapter_says(adapter, wide_folder, tmp_path, capsys):
    out = tmp_path / "merged"
    assert main([str(adapter), "--out", str(out), "--name", "merged"]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert not (out / "adapter_config.json").exists()
    with_adapter, merged, base = logits(adapter), logits(out), logits(wide_folder)
    assert (with_adapter - merged).abs().max() <= 1e-4
    assert (with_adapter - base).abs().max() > 0.1


def test_a_whole_model_is_no_adapter(tiny_folder, tmp_path, capsys):
    assert main([str(tiny_folder), "--out", str(tmp_path / "out")]) == 2
    assert "is no adapter folder: it has no adapter_config.json" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
