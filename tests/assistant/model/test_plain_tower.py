import pytest
import torch

from assistant.model.load import load_model
from assistant.model.plain_tower import can_read, read_pixels


@pytest.fixture(scope="module")
def vit():
    return load_model("starter", device="cpu").llava.model.vision_tower


@pytest.mark.parametrize("count", [1, 8, 11])
def test_the_states_that_are_read_and_the_class_token_are_the_towers_own(vit, count):
    side = vit.config.image_size
    pixels = torch.randn((count, 3, side, side), generator=torch.Generator().manual_seed(count))
    with torch.no_grad():
        wanted = vit(pixels, output_hidden_states=True)
        states, last = read_pixels(vit, pixels)
    assert len(states) == len(wanted.hidden_states)
    for own, whole in zip(states[:-1], wanted.hidden_states[:-1], strict=True):
        assert torch.allclose(own, whole, atol=1e-5)
    assert states[-1].shape == (count, 1, vit.config.hidden_size)
    assert torch.allclose(last, wanted.last_hidden_state[:, 0], atol=1e-5)


def test_the_last_layer_sees_one_token_of_each_picture(vit):
    seen = []
    handle = vit.layers[-1].mlp.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[:2]))
    try:
        with torch.no_grad():
            read_pixels(vit, torch.zeros(2, 3, vit.config.image_size, vit.config.image_size))
    finally:
        handle.remove()
    assert seen == [(2, 1)]


def test_a_tower_whose_last_layer_is_read_or_that_is_trained_is_left_to_itself(vit):
    layers = len(vit.layers)
    assert can_read(vit, -2)
    assert can_read(vit, [-2, 3])
    assert not can_read(vit, -1)
    assert not can_read(vit, [1, layers])
    assert not can_read(torch.nn.Linear(2, 2), -2)
    vit.train()
    try:
        assert not can_read(vit, -2)
    finally:
        vit.eval()
