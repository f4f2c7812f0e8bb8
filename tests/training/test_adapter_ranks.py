"""AdaLoRA: ranks are shared out, what is written is smaller, and a run goes on where it stopped."""

from __future__ import annotations

import pytest
import torch

from assistant.errors import TrainingError
from assistant.model.load import load_model
from assistant.model.merge import merge_adapter
from training.adapter import LoraSettings
from training.adapter_ranks import find_ranks
from training.loop import Loop
from training.recipe import OptimizerSettings
from training.run_folder import RunFolder
from training.team import Team
from training.trainable import TrainedModel

IDS = torch.arange(5, 25)[None]


def text_logits(llava):
    with torch.no_grad():
        return llava(input_ids=IDS).logits


def loss_of(network):
    return network(input_ids=IDS, labels=IDS).loss


def steps(network, count):
    """Train on twenty tokens; returns the loop."""
    loop = Loop(network, OptimizerSettings(lr=1e-2, warmup_steps=1), steps=count, seed=0)
    while loop.step_number < count:
        loop.update(loss_of(network))
    return loop


def adalora(folder, **options):
    torch.manual_seed(0)
    settings = LoraSettings(rank=2, dropout=0.0, method="adalora", options=options)
    return TrainedModel(str(folder), ("language_model",), settings)


def test_ranks_are_shared_out_and_what_is_written_is_smaller(wide_folder, tmp_path):
    model = adalora(wide_folder)
    network = model.network.eval()
    first = loss_of(network).item()
    loop = steps(network, 30)
    assert loss_of(network).item() < first - 0.1
    pattern = loop.ranks.config.rank_pattern
    shares = [sum(kept) for kept in pattern.values()]
    # Fourteen linears began with 3 each and keep 2 on average.
    assert (len(shares), sum(shares)) == (14, 28)
    expected = text_logits(network)
    out = model.write(tmp_path / "adapter")
    assert torch.allclose(text_logits(load_model(out).llava), expected, atol=1e-4)
    merged = merge_adapter(out, tmp_path / "merged")
    assert torch.allclose(text_logits(load_model(merged).llava), expected, atol=1e-4)
    on = TrainedModel(str(out), ("language_model",), LoraSettings(rank=2, method="adalora"))
    steps(on.network.eval(), 3)
    again = on.write(tmp_path / "again")
    assert torch.allclose(text_logits(load_model(again).llava), text_logits(on.network), atol=1e-4)


def test_the_matrices_are_kept_near_orthogonal(wide_folder):
    def distance(weight):
        network = adalora(wide_folder, orth_reg_weight=weight).network.eval()
        steps(network, 20)
        rows = [one for name, one in network.named_parameters() if ".lora_A." in name]
        return sum(torch.linalg.norm(one @ one.T - torch.eye(len(one))).item() for one in rows)

    assert distance(5.0) < 0.8 * distance(0.0)


def test_a_run_with_shared_ranks_that_was_cut_short_ends_as_if_it_had_not(wide_folder, tmp_path):
    whole = adalora(wide_folder).network.eval()
    steps(whole, 20)
    folder = RunFolder(tmp_path / "run", LoraSettings())
    for stop in (9, 17):
        # Once while ranks are shared out, once after.
        half = adalora(wide_folder).network.eval()
        loop = Loop(half, OptimizerSettings(lr=1e-2, warmup_steps=1), steps=20, seed=0)
        while loop.step_number < stop:
            loop.update(loss_of(half))
        loop.save(folder)
        rest = adalora(wide_folder).network.eval()
        loop = Loop(rest, OptimizerSettings(lr=1e-2, warmup_steps=1), steps=20, seed=0)
        loop.restore(folder)
        while loop.step_number < 20:
            loop.update(loss_of(rest))
        assert torch.equal(text_logits(rest), text_logits(whole))


def test_a_run_too_short_to_share_out_ranks_is_refused(wide_folder):
    network = adalora(wide_folder, tinit=5, tfinal=5).network
    with pytest.raises(TrainingError, match="10 steps leave none to share out ranks between tinit 5 and tfinal 5"):
        find_ranks(network, 10)
    assert find_ranks(torch.nn.Linear(2, 2), 10) is None


@pytest.mark.parametrize("method", ["adalora", "lora_fa"])
def test_methods_that_need_whole_matrices_are_refused_where_they_are_spread_out(wide_folder, method):
    with pytest.raises(TrainingError, match=f"{method} needs whole matrices, which FSDP spreads out"):
        TrainedModel(str(wide_folder), ("language_model",), LoraSettings(rank=2, method=method), Team(0, 2, 0, "FSDP"))
