"""Phantom of an abdominal ultrasound picture: speckle in a fan or a rectangle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from data_recipes.phantom_draw import Array, Grid, blob, blur, smooth_noise, step
from data_recipes.phantom_findings import Finding, places

_ZONE_DEPTHS: dict[str, float] = {"superficial": 25, "middle": 54, "deep": 83}
"""Zone to the depth of a finding's centre under the skin, mm."""
_TOP_MM = -54.0
_FAN_RADIUS_MM = 40.0


def draw_abdomen(
    grid: Grid, body: np.random.Generator, paint: np.random.Generator, findings: tuple[Finding, ...]
) -> tuple[Array, NDArray[np.uint8]]:
    """Draw an abdominal ultrasound picture with layers, tissue and speckle.

    Args:
        grid: 120 mm field.
        body: decides the anatomy and whether the field is a fan or a rectangle.
        paint: decides speckle.
        findings: what to show.
    Returns:
        grey values in about [0, 1], (H, W), and the class id of each pixel, (H, W).
    """
    fan = bool(body.random() < 0.6)
    if fan:
        away = np.sqrt(grid.x**2 + (grid.y - np.float32(_TOP_MM - _FAN_RADIUS_MM)) ** 2)
        depth: Array = away - np.float32(_FAN_RADIUS_MM)
        edge = np.float32(0.62) - np.abs(np.arctan2(grid.x, grid.y - np.float32(_TOP_MM - _FAN_RADIUS_MM)))
        field = np.minimum(np.minimum(depth, 108 - depth), edge * away)
    else:
        depth = grid.y - np.float32(_TOP_MM) + np.zeros_like(grid.x)
        field = np.minimum(np.minimum(depth, 108 - depth), 50 - np.abs(grid.x))
    echo = _layers(grid, depth, body)
    mask = np.zeros(depth.shape, np.uint8)
    for finding in findings:
        echo = _finding(grid, echo, mask, finding, fan)
    pixels = grid.size / 128
    waves = [blur(paint.standard_normal(depth.shape, dtype=np.float32), 0.7 * pixels, 1.1 * pixels) for _ in range(2)]
    speckle = blur(np.sqrt(waves[0] ** 2 + waves[1] ** 2), 0.6 * pixels) * np.float32(1.9 * pixels)
    image = np.float32(0.5) + np.float32(0.18) * np.log(speckle * echo + np.float32(0.03))
    inside = step(field, 0.8)
    shown: Array = np.clip(image, 0, 1) * inside
    mask[inside < 0.5] = 0
    return shown, mask


def _layers(grid: Grid, depth: Array, body: np.random.Generator) -> Array:
    """Return how strongly tissue echoes: skin, fat, muscle, then an even organ and its far border."""
    wave = np.float32(2.0) * np.sin(grid.x * np.float32(body.uniform(0.05, 0.1)) + np.float32(body.uniform(0, 6)))
    level = depth + wave
    fat, muscle = float(body.uniform(5, 7)), float(body.uniform(10, 13))
    echo = np.full(depth.shape, body.uniform(0.85, 1.1), np.float32)
    echo += np.float32(0.12) * smooth_noise(body, grid.size, 7.0 / grid.mm)
    echo -= np.float32(0.45) * step(muscle - level, 1)
    stripes = np.clip(np.cos(level * np.float32(2.2)), 0, 1)
    echo += np.float32(0.9) * stripes * step(muscle - level, 1) * step(level - fat, 1)
    echo += np.float32(1.6) * step(np.float32(0.9) - np.abs(level - muscle), 0.6)
    echo += np.float32(2.0) * step(np.float32(2.2) - depth, 0.8)
    far = level - np.float32(body.uniform(99, 103)) - np.float32(0.003) * grid.x**2
    echo += np.float32(2.5) * step(np.float32(1.3) - np.abs(far), 0.8)
    echo *= np.exp(-np.float32(0.004) * depth)
    strength: Array = np.clip(echo, 0.05, None)
    return strength


def _finding(grid: Grid, echo: Array, mask: NDArray[np.uint8], finding: Finding, fan: bool) -> Array:
    """Draw one finding into the echo strengths and the mask."""
    size = float(finding.size_mm or 0)
    rng = np.random.default_rng(finding.seed)
    deep = _ZONE_DEPTHS[finding.zone or "middle"]
    across = 18 + (float(rng.uniform(0, 10)) if deep > 30 else float(rng.uniform(0, 2)))
    x = -across if finding.side == "right" else across
    reach_down = float(np.sqrt((_FAN_RADIUS_MM + deep) ** 2 - x * x)) - _FAN_RADIUS_MM if fan else deep
    y = _TOP_MM + reach_down + float(rng.uniform(-4, 4))
    for part_x, part_y in places(finding, rng, x, y, reach=9):
        beam = step(np.float32(0.42 * size) - np.abs(grid.x - np.float32(part_x)), 1.5)
        behind = beam * step(grid.y - np.float32(part_y + 0.5 * size), 2)
        if finding.name == "cyst":
            shape = step(blob(grid, rng, part_x, part_y, size, 0.03), 0.8)
            echo = echo * (1 + np.float32(0.9) * behind * (mask == 0))
            echo = echo * (1 - np.float32(0.985) * shape)
        else:
            outline = blob(grid, rng, part_x, part_y, size, 0.1)
            shape = step(outline, 1.0)
            echo = echo * (1 - np.float32(0.55) * behind)
            inner = np.float32(0.14) + np.float32(0.04) * smooth_noise(rng, grid.size, 2.0 / grid.mm)
            echo = echo + (inner - echo) * shape
            echo = echo + np.float32(0.9) * step(np.float32(1.1) - np.abs(outline + 1), 0.8)
        mask[shape > 0.5] = finding.class_id
        echo = np.clip(echo, 0.005, None)
    return echo
