"""What the settings of trl's and transformers' trainers are called here, for recipes that name them.

The stages run on loops of this project (docs/training.md says why), so such a key has no effect by itself. A recipe
that holds one, at its top or under `trainer:`, is refused with the line to write in its place.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

OWN_NAMES: dict[str, tuple[str, ...]] = {
    "output_dir": ("out",),
    "learning_rate": ("optimizer.lr",),
    "weight_decay": ("optimizer.weight_decay",),
    "warmup_steps": ("optimizer.warmup_steps",),
    "max_grad_norm": ("optimizer.clip_norm",),
    "max_steps": ("steps",),
    "gradient_accumulation_steps": ("accumulate",),
    "gradient_checkpointing": ("checkpoint",),
    "logging_steps": ("report_every",),
    "save_steps": ("report_every",),
    "data_seed": ("seed",),
    "torch_compile": ("compile",),
    "max_length": ("longest",),
    "max_seq_length": ("longest",),
    "loss_type": ("loss", "average"),
    "sync_ref_model": ("beta",),
    "rpo_alpha": ("sft_weight",),
    "desirable_weight": ("good_weight",),
    "undesirable_weight": ("bad_weight",),
    "num_generations": ("samples",),
    "max_completion_length": ("max_new_tokens",),
    "reward_weights": ("rewards",),
    "reward_funcs": ("rewards",),
    "center_rewards_coefficient": ("centre",),
    "model_init_kwargs": ("model",),
    "peft_config": ("lora",),
}
"""Key of a trainer to the settings here that do the same; the first that a stage has is named, with the same value."""

REASONS: dict[str, str] = {
    "per_device_train_batch_size": "write how much a whole step takes, on all devices together: {counted}",
    "auto_find_batch_size": "a dry run estimates the memory; raise accumulate until a step fits",
    "num_train_epochs": "write the number of updates: steps; a dry run tells how often each picture is drawn",
    "warmup_ratio": "write the number of updates: optimizer.warmup_steps",
    "lr_scheduler_type": "the rate falls by half a cosine after the warm-up, to optimizer.final_lr_share of its peak",
    "lr_scheduler_kwargs": "the rate falls by half a cosine after the warm-up, to optimizer.final_lr_share of its peak",
    "optim": "write optimizer.name: adamw or muon",
    "adam_beta1": "AdamW's betas are 0.9 and 0.98 and cannot be set",
    "adam_beta2": "AdamW's betas are 0.9 and 0.98 and cannot be set",
    "adam_epsilon": "AdamW's epsilon is 1e-8 and cannot be set",
    "fp16": "no stage computes in float16; write bf16: true, or leave it out and it is chosen by measurement",
    "tf32": "write bf16: true, or leave it out and it is chosen by measurement",
    "use_cpu": "a GPU is used where there is one; hide it with CUDA_VISIBLE_DEVICES= in the environment",
    "fsdp": "launch with training/recipes/accelerate/fsdp.yaml",
    "fsdp_config": "launch with training/recipes/accelerate/fsdp.yaml",
    "deepspeed": "launch with training/recipes/accelerate/fsdp.yaml, which shards the same",
    "ddp_find_unused_parameters": "launch with training/recipes/accelerate/gpus.yaml; gradients are summed as they are",
    "eval_strategy": "measure with python -m training.evaluate; held_out keeps its patients out of the data",
    "eval_steps": "measure with python -m training.evaluate; held_out keeps its patients out of the data",
    "per_device_eval_batch_size": "measure with python -m training.evaluate",
    "load_best_model_at_end": "measure with python -m training.evaluate; `average` evens out the last steps",
    "save_strategy": "a state is saved at every report: report_every",
    "logging_strategy": "numbers are written at every report: report_every",
    "save_total_limit": "one state is kept, which --resume goes on from",
    "resume_from_checkpoint": "give --resume on the command line",
    "report_to": "numbers go to metrics.jsonl in the run folder, and nowhere else",
    "push_to_hub": "nothing is sent anywhere; `hf upload` does it with the model folder",
    "run_name": "the run folder, out, is its name",
    "dataloader_num_workers": "pictures are decoded once into the run folder, so there is nothing to load beside",
    "dataloader_pin_memory": "pictures are decoded once into the run folder, so there is nothing to load beside",
    "remove_unused_columns": "examples are read whole, and none is cut",
    "group_by_length": "sequences of like length come together by themselves, and packs are not padded",
    "packing": "questions about one picture are packed by themselves; `questions` says how many at most",
    "padding_free": "packs are put end to end by themselves",
    "completion_only_loss": "the loss is on answers only, always",
    "assistant_only_loss": "the loss is on answers only, always",
    "precompute_ref_log_probs": "they are computed once and kept in the run folder, always",
    "neftune_noise_alpha": "there is no such noise here; `dropout` works on what is seen of the picture",
    "use_vllm": "answers are drawn by this project's own engine",
    "scale_rewards": "write baseline: group (with their spread) or mean (without)",
    "use_liger_kernel": "only answers go through the vocabulary, which is what that kernel saves most at",
}
"""Key of a trainer to what there is in its place."""


def foreign_faults(values: Mapping[str, Any], known: Collection[str], counted: str | None) -> dict[str, str]:
    """Find what a recipe holds of other trainers' settings.

    Args:
        values: of the recipe.
        known: settings of the stage; they are never foreign.
        counted: the setting that says how much a step takes, if the stage has one.
    Returns:
        The key at the top of the recipe to what is wrong with it, one line or more.
    """
    found = {}
    for key, value in values.items():
        if key in known:
            continue
        if key == "trainer":
            inner = value if isinstance(value, Mapping) else {}
            told = [f"trainer.{name}: {_instead(name, one, known, counted)}" for name, one in inner.items()]
            found[key] = "\n".join(told or ["trainer: this project's own loop trains; take it out."])
        elif key in OWN_NAMES or key in REASONS:
            found[key] = f"{key}: {_instead(key, value, known, counted)}"
    return found


def _instead(name: str, value: Any, known: Collection[str], counted: str | None) -> str:
    """Return what to do in place of a key."""
    head = "a setting of trl's trainer, not of this project's own loop; "
    if name in known:
        return f"{head}write {name}: {value} at the top of the recipe."
    same = [own for own in OWN_NAMES.get(name, ()) if own.partition(".")[0] in known]
    if same:
        return f"{head}write {same[0]}: {value}." if "." not in same[0] else f"{head}write {_nested(same[0], value)}."
    if name in REASONS:
        return f"{head}{REASONS[name].format(counted=counted or 'see the settings of the stage')}."
    return f"{head}nothing here is like it, so take it out."


def _nested(own: str, value: Any) -> str:
    outer, _, inner = own.partition(".")
    return f"{outer}: {{{inner}: {value}}}"
