import pytest
import torch

from assistant.engine.cache import KeyValues

LAYERS, HEADS, WIDTH = 2, 3, 4


def states(rows, tokens, seed):
    made = torch.Generator().manual_seed(seed)
    return torch.randn(rows, HEADS, tokens, WIDTH, generator=made)


def filled(rows, tokens, seed=0, *, room=0, mask=None):
    """A cache whose layers hold random keys and values."""
    cache = KeyValues(LAYERS, rows=rows, expected=room, device=torch.device("cpu"))
    cache.extend(torch.ones((rows, tokens), dtype=torch.bool) if mask is None else mask)
    for layer in range(LAYERS):
        cache.update(states(rows, tokens, seed + layer), states(rows, tokens, seed + 10 + layer), layer)
    return cache


def keys(cache, layer=0):
    return cache.own[layer].view(len(cache.mask))[0]


def test_steps_are_written_in_place_until_the_room_is_full():
    cache = filled(2, 40, room=42)
    before = cache.own[0].room[0].data_ptr()
    wanted = [keys(cache).clone()]
    for step in range(4):
        cache.extend(torch.ones((2, 1), dtype=torch.bool))
        new = states(2, 1, 50 + step)
        wanted.append(new)
        given, _ = cache.update(new, new, 0)
        assert torch.equal(given, torch.cat(wanted, dim=2))
        assert (cache.own[0].room[0].data_ptr() == before) == (step < 2)
    assert cache.own[0].room[0].shape[2] == 84
    assert cache.length == 44


def test_the_last_rows_take_the_places_of_those_that_leave():
    cache = filled(5, 3)
    before, address = keys(cache).clone(), cache.own[0].room[0].data_ptr()
    order = cache.keep([1, 2, 4])
    assert sorted(order) == [1, 2, 4]
    assert order[1:] == [1, 2]
    assert torch.equal(keys(cache), before[order])
    assert cache.own[0].room[0].data_ptr() == address


def test_a_row_leaves_with_its_own_mask():
    mask = torch.tensor([[True, True], [False, True], [True, False]])
    cache = filled(3, 2, mask=mask)
    assert torch.equal(cache.mask, mask)
    order = cache.keep([2])
    assert torch.equal(cache.mask, mask[order])


def test_a_part_of_a_row_leaves_its_padding_out():
    mask = torch.tensor([[True, True, False, True], [True, True, True, True]])
    cache = filled(2, 4, mask=mask)
    part = cache.part(0)
    assert torch.equal(part[0][0], keys(cache)[0][:, [0, 1, 3]])
    assert cache.part(1, 2)[1][1].shape == (HEADS, 2, WIDTH)


def test_rows_that_begin_with_known_parts_end_at_one_column():
    long, short = filled(1, 5).part(0), filled(1, 2, seed=3).part(0)
    cache = KeyValues(LAYERS, rows=3, expected=0, device=torch.device("cpu"))
    cache.place([short, long, []])
    assert cache.mask.tolist() == [[False] * 3 + [True] * 2, [True] * 5, [False] * 5]
    assert torch.equal(keys(cache)[0, :, 3:], short[0][0])
    assert torch.equal(keys(cache)[1], long[0][0])
    assert torch.isfinite(keys(cache)).all()


@pytest.mark.parametrize(("first", "second"), [(6, 2), (2, 6), (4, 4)])
def test_a_batch_takes_another_ones_rows(first, second):
    cache, other = filled(2, first, room=first), filled(3, second, seed=7)
    one, two = cache.part(1), other.part(2)
    cache.absorb(other)
    assert cache.mask.shape == (5, max(first, second))
    for row, part in ((1, one), (4, two)):
        for layer, (had, _) in zip(cache.part(row), part, strict=True):
            assert torch.equal(layer[0], had)
    assert all(torch.isfinite(room[:5, :, : cache.length]).all() for layer in cache.own for room in layer.room)


def test_columns_that_no_row_uses_are_dropped():
    mask = torch.ones((2, 100), dtype=torch.bool)
    mask[:, :70], mask[1, :80] = False, False
    cache = filled(2, 100, mask=mask)
    parts = [cache.part(row) for row in range(2)]
    cache.trim()
    assert cache.length == 30
    assert [layer.length for layer in cache.own] == [30, 30]
    for row, part in enumerate(parts):
        assert torch.equal(cache.part(row)[0][0], part[0][0])
    cache.trim()
    assert cache.length == 30


def test_repeated_rows_are_copies():
    cache = filled(2, 3)
    copies = cache.repeated(torch.tensor([1, 1, 0]), 2)
    assert torch.equal(keys(copies), keys(cache)[[1, 1, 0]])
    keys(copies).zero_()
    assert keys(cache).abs().sum() > 0


def test_a_cache_that_is_let_go_frees_its_memory_at_once():
    import gc
    import weakref

    cache = KeyValues(2, rows=1, expected=4, device=torch.device("cpu"))
    cache.extend(torch.ones((1, 1), dtype=torch.bool))
    for layer in range(2):
        cache.update(torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 2), layer)
    there = weakref.ref(cache)
    gc.disable()
    try:
        del cache
        assert there() is None
    finally:
        gc.enable()
