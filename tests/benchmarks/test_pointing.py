"""The pointing game's rule."""

import numpy as np

from assistant.engine.occlusion import Heat
from benchmarks.pointing import hits_finding, near_finding
from data_recipes.phantom import make_phantom


def _phantom():
    return next(one for one in (make_phantom(3, index) for index in range(100)) if len(one.findings) == 1)


def test_the_finding_is_widened_by_a_sixteenth_of_the_side():
    phantom = _phantom()
    mask = phantom.mask == phantom.findings[0].class_id
    near = near_finding(phantom)
    assert near.shape == mask.shape
    rows, columns = np.nonzero(mask)
    wide_rows, wide_columns = np.nonzero(near)
    assert wide_rows.min() == max(0, rows.min() - 8)
    assert wide_columns.max() == min(mask.shape[1] - 1, columns.max() + 8)


def test_a_peak_on_the_finding_is_a_hit_and_one_far_off_is_not():
    phantom = _phantom()
    near = near_finding(phantom)
    cells = near.reshape(8, 16, 8, 16)[:, 8, :, 8]  # the middle of each of eight by eight places
    assert cells.any()
    assert hits_finding(Heat(cells.astype(np.float32), 1.0), phantom)
    assert not hits_finding(Heat((~cells).astype(np.float32), 1.0), phantom)
