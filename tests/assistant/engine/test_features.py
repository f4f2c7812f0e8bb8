import numpy as np
import pytest
import torch

from assistant.engine.features import PictureEncoder
from assistant.model.load import load_model


def test_patches_and_joint_embedding_are_those_of_the_model_itself(tiny_model, make_picture):
    pictures = [make_picture(seed, width=30 + seed) for seed in range(3)]
    found = PictureEncoder(tiny_model).encode(pictures)

    pixels = tiny_model.pixel_values(pictures)
    with torch.no_grad():
        expected = tiny_model.llava.get_image_features(pixels, return_dict=True).pooler_output
        state = tiny_model.llava.model.vision_tower(pixels).last_hidden_state[:, 0]
        for one, wanted, cls in zip(found, expected, state, strict=True):
            made = tiny_model.llava.model.multi_modal_projector(one.patches)
            assert (made - wanted).abs().max() < 1e-5
            joint = (tiny_model.projection @ cls).numpy()
            np.testing.assert_allclose(one.joint, joint / np.linalg.norm(joint), atol=1e-5)
    assert found[0].joint.dtype == np.float32


def test_equal_pictures_go_through_the_tower_once(tiny_model, make_picture):
    encoder = PictureEncoder(tiny_model)
    first = encoder.encode([make_picture(1), make_picture(2), make_picture(1)])
    again = encoder.encode([make_picture(2)])
    assert encoder.passes == 2
    assert first[0] is first[2]
    assert again[0] is first[1]


def test_the_cache_forgets_the_picture_used_longest_ago(tiny_model, make_picture):
    encoder = PictureEncoder(tiny_model, max_items=2)
    encoder.encode([make_picture(1), make_picture(2)])
    encoder.encode([make_picture(1)])
    encoder.encode([make_picture(3)])
    assert encoder.passes == 3
    encoder.encode([make_picture(1)])
    assert encoder.passes == 3
    encoder.encode([make_picture(2)])
    assert encoder.passes == 4


def test_more_pictures_than_the_cache_holds_are_all_encoded(tiny_model, make_picture):
    encoder = PictureEncoder(tiny_model, max_items=1, batch_size=2)
    pictures = [make_picture(seed) for seed in range(5)]
    together = encoder.encode(pictures)
    for picture, one in zip(pictures, together, strict=True):
        alone = PictureEncoder(tiny_model).encode([picture])[0]
        assert (alone.patches - one.patches).abs().max() < 1e-5


def test_features_may_enter_a_training_step(tiny_model, make_picture):
    patches = PictureEncoder(tiny_model).encode([make_picture()])[0].patches
    weight = torch.ones(patches.shape[1], requires_grad=True)
    (patches @ weight).sum().backward()
    assert weight.grad is not None


def test_pixels_that_are_ready_give_the_features_of_their_pictures(tiny_model, make_picture):
    shown = [make_picture(seed) for seed in range(3)]
    encoder = PictureEncoder(tiny_model)
    made = encoder.encode_pixels(tiny_model.pixel_values(shown), [one.content_id for one in shown])
    for one, other in zip(made, PictureEncoder(tiny_model).encode(shown), strict=True):
        assert one.content_id == other.content_id
        assert torch.equal(one.patches, other.patches)
        assert np.array_equal(one.joint, other.joint)
    assert encoder.passes == 3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_batches_that_are_made_ready_ahead_are_those_of_one_after_the_other(tiny_folder, make_picture):
    model = load_model(tiny_folder, device="cuda", dtype="float32")
    shown = [make_picture(seed) for seed in range(9)]
    ahead = PictureEncoder(model, batch_size=2).encode(shown)
    for picture, one in zip(shown, ahead, strict=True):
        (alone,) = PictureEncoder(model).encode([picture])
        assert torch.allclose(one.patches, alone.patches, atol=1e-4)
