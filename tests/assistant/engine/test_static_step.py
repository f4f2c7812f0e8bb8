from dataclasses import replace

import pytest
import torch

from assistant import prompts
from assistant.config import GenerationConfig
from assistant.engine import static_step
from assistant.engine.features import PictureEncoder
from assistant.engine.generate import Generator
from assistant.errors import ConfigError
from assistant.model.load import load_model

GROWING = GenerationConfig(max_new_tokens=40, batch_size=8)
STATIC = replace(GROWING, decode_step="static")
TEXTS = ("Is there a glioma in this MRI?", "benign?", "What is a glioma?", "Is it normal?", "Yes", "No. It is clear")


def endless(generator):
    """Let no token end an answer, so that all are as long as they may be."""
    generator._ends = frozenset()
    return generator


@pytest.fixture
def small_rooms(monkeypatch):
    """Rooms that these short answers outgrow."""
    monkeypatch.setattr(static_step, "_LEAST_COLUMNS", 32)


@pytest.fixture(scope="module")
def asked(tiny_model, make_picture):
    generator = Generator(tiny_model, GROWING)
    features = PictureEncoder(tiny_model).encode([make_picture(seed) for seed in range(2)])
    return [
        generator.encoder.encode(prompts.conversation(text, images=row % 2), features[: row % 2])
        for row, text in enumerate(TEXTS)
    ]


def written(generator, asked, limits, steps):
    """Let prompts join at given steps and leave at their limits; return ids and log-probabilities of each."""
    tickets = [generator.ticket(one, max_new_tokens=most) for one, most in zip(asked, limits, strict=True)]
    flow, step = generator.flow(), 0
    with torch.inference_mode():
        while step <= max(steps) or flow.going:
            flow.join([ticket for ticket, begin in zip(tickets, steps, strict=True) if begin == step])
            flow.step()
            step += 1
    return [(ticket.made[0].ids, ticket.made[0].log_probs) for ticket in tickets]


@pytest.mark.parametrize("ways", [{}, {"decode_attention": "matmul"}])
@pytest.mark.parametrize(("limits", "steps"), [((40,) * 6, (0,) * 6), ((40, 3, 12, 2, 30, 7), (0, 0, 0, 1, 9, 14))])
def test_a_room_of_fixed_size_gives_the_tokens_of_a_growing_one(tiny_model, asked, small_rooms, ways, limits, steps):
    growing, static = (endless(Generator(tiny_model, replace(one, **ways))) for one in (GROWING, STATIC))
    wanted, found = written(growing, asked, limits, steps), written(static, asked, limits, steps)
    assert [ids for ids, _ in found] == [ids for ids, _ in wanted]
    for (_, one), (_, other) in zip(found, wanted, strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    assert static.language.paths.describe().endswith("steps over a room of fixed size")
    sizes = {(step.rows, step.columns) for step in static.language._steps[1].made}
    assert len(sizes) > 1  # the room became too small, and the rows moved


def test_a_step_works_on_the_same_memory_each_time(tiny_model, asked):
    generator = endless(Generator(tiny_model, STATIC))
    for _ in range(2):  # the second batch finds the room of the first
        flow = generator.flow()
        with torch.inference_mode():
            flow.join([generator.ticket(one) for one in asked[:3]])
            flow.step()
            (step,) = generator.language._steps[1].made
            places = [one.data_ptr() for layer in flow._batch.cache.own for one in layer.room]
            for _ in range(5):
                flow.step()
        assert places == [one.data_ptr() for room in step.rooms for one in room]
        assert (step.rows, step.columns) == (4, 256)


def test_two_batches_at_once_have_rooms_of_their_own(tiny_model, asked):
    generator = endless(Generator(tiny_model, STATIC))
    alone = [written(generator, [one], [12], [0])[0][0] for one in asked[:2]]
    tickets = [generator.ticket(one, max_new_tokens=12) for one in asked[:2]]
    flows = [generator.flow(), generator.flow()]
    with torch.inference_mode():
        for flow, ticket in zip(flows, tickets, strict=True):
            flow.join([ticket])
        while any(flow.going for flow in flows):
            for flow in flows:
                flow.step()
    assert [ticket.made[0].ids for ticket in tickets] == alone


def test_what_the_mask_hides_never_reaches_an_answer(tiny_model, asked, small_rooms):
    generator = endless(Generator(tiny_model, STATIC))
    wanted = written(generator, asked[:2], [30, 4], [0, 0])
    with torch.inference_mode():
        for one in [one for step in generator.language._steps[1].made for room in step.rooms for one in room]:
            one.fill_(1e4)
    found = written(generator, asked[:2], [30, 4], [0, 0])
    assert [ids for ids, _ in found] == [ids for ids, _ in wanted]


def test_changed_weights_are_seen(tiny_folder, make_picture):
    model = load_model(tiny_folder, device="cpu")
    generator = endless(Generator(model, STATIC))
    prompt = generator.encoder.encode(prompts.conversation(TEXTS[0], images=0), [])
    before = generator.generate([prompt])[0]
    with torch.no_grad():
        model.llava.model.language_model.norm.weight.mul_(-1)
    after = generator.generate([prompt])[0]
    assert after.ids != before.ids
    assert after.ids == endless(Generator(model, GROWING)).generate([prompt])[0].ids


def test_a_graph_without_a_gpu_is_refused(tiny_model):
    with pytest.raises(ConfigError, match=r"decode_step is graph, which is for a GPU; this model is on cpu\. Use auto"):
        Generator(tiny_model, replace(GROWING, decode_step="graph"))


def test_a_model_that_attends_in_a_way_of_its_own_is_refused(tiny_folder):
    model = load_model(tiny_folder, device="cpu")
    model.llava.set_attn_implementation("eager")
    with pytest.raises(ConfigError, match="decode_step is static, but the layers of this model do not attend"):
        Generator(model, STATIC)
    assert Generator(model, GROWING).language._way == "growing"


@pytest.mark.slow
def test_the_step_gives_the_same_when_it_is_compiled(tiny_model, asked):
    generator = endless(Generator(tiny_model, STATIC))
    wanted = written(generator, asked[:4], [12] * 4, [0] * 4)
    (step,) = generator.language._steps[1].made
    step._compute = torch.compile(step._compute, dynamic=False)
    found = written(generator, asked[:4], [12] * 4, [0] * 4)
    assert [ids for ids, _ in found] == [ids for ids, _ in wanted]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_graph_gives_the_tokens_of_kernel_by_kernel(tiny_folder, make_picture, dtype):
    model = load_model(tiny_folder, device="cuda", dtype=dtype)
    features = PictureEncoder(model).encode([make_picture(0)])
    made = []
    for way in ("static", "graph"):
        generator = endless(Generator(model, replace(GROWING, decode_step=way)))
        asked = [generator.encoder.encode(prompts.conversation(text, images=1), features) for text in TEXTS]
        made.append([ids for ids, _ in written(generator, asked, [40, 3, 12, 2, 30, 7], [0, 0, 0, 1, 9, 14])])
        if way == "graph":
            assert all(step._graph is not None for step in generator.language._steps[1].made)
    assert made[0] == made[1]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_takes_the_graph_by_itself(tiny_folder):
    model = load_model(tiny_folder, device="cuda")
    assert Generator(model, GROWING).language._way == "graph"
