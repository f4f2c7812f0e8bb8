"""Phantom of a frontal chest radiograph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_recipes.phantom_draw import Array, Grid, blob, ellipse, smooth_noise, step
from data_recipes.phantom_findings import Finding, places

_ZONE_CENTRES: dict[str, tuple[float, float]] = {"upper": (60, -74), "middle": (70, -12), "lower": (80, 46)}
"""Zone to distance from the midline and height of a finding's centre, mm."""


@dataclass(frozen=True)
class _Thorax:
    """Shapes that anatomy and findings share; distances in mm, positive inside."""

    across: Array
    """Distance from the midline."""
    lung: Array
    """Both lungs, 0 to 1."""
    rim: Array
    """Distance to the chest wall: outer and upper edge of the lungs."""
    floor: Array
    """Height of the diaphragm, mm down."""
    depth: Array
    """0 at the apex of the lungs to 1 at their base."""
    right: Array
    """1 on the patient's right, which is the left of the picture."""


def draw_chest(
    grid: Grid, body: np.random.Generator, paint: np.random.Generator, findings: tuple[Finding, ...]
) -> tuple[Array, NDArray[np.uint8]]:
    """Draw a frontal chest radiograph.

    Args:
        grid: 340 mm field.
        body: decides the anatomy.
        paint: decides textures.
        findings: what to show.
    Returns:
        grey values in about [0, 1], (H, W), and the class id of each pixel, (H, W).
    """
    grid = Grid(grid.x - np.float32(body.uniform(-7, 7)), grid.y - np.float32(body.uniform(-7, 7)), grid.mm)
    thorax = _thorax(grid, body)
    across = thorax.across
    shoulder = -158 + np.maximum(across - 45, 0) * np.float32(0.33)
    torso = np.maximum(np.minimum(np.float32(160) - across, grid.y - shoulder), 42 - across)
    image: Array = step(torso, 6) * (np.float32(0.66) - np.float32(0.16) * (across / 160) ** 2)
    texture = smooth_noise(paint, grid.size, 0.03 * grid.size)
    image -= thorax.lung * (np.float32(0.4) + np.float32(0.02) * texture)
    vessels = np.clip(0.5 - np.abs(smooth_noise(paint, grid.size, 4.0 / grid.mm)), 0, 0.5)
    hilum = np.exp(-(((across - 30) / 34) ** 2) - ((grid.y + 4) / 52) ** 2)
    image += thorax.lung * hilum * (np.float32(0.07) + np.float32(0.22) * vessels)
    mask = np.zeros(image.shape, np.uint8)
    image = _mediastinum(grid, body, thorax, image, mask, findings)
    for finding in findings:
        image = _finding(grid, thorax, image, mask, finding)
    return image + _bones(grid, body, thorax), mask


def _thorax(grid: Grid, body: np.random.Generator) -> _Thorax:
    outer_max = np.float32(body.uniform(104, 116))
    top = np.float32(body.uniform(-118, -108))
    base = np.float32(body.uniform(70, 86))
    across = np.abs(grid.x) + np.zeros_like(grid.y)
    right = (grid.x < 0).astype(np.float32) + np.zeros_like(grid.y)
    floor = base + 9 * (1 - right) + np.float32(24) * ((across - 50) / 58) ** 2
    depth = np.clip((grid.y - top) / (base - top), 0, 1)
    outer = outer_max * (np.float32(0.45) + np.float32(0.55) * np.sqrt(1 - (1 - depth) ** 2.4))
    apex = top + np.float32(10) * ((across - 48) / 26) ** 2
    rim = np.minimum(outer - across, grid.y - apex)
    inside = np.minimum(np.minimum(rim, across - 19), floor - grid.y)
    return _Thorax(across, step(inside, 2.5), rim, floor, depth + np.zeros_like(across), right)


def _mediastinum(
    grid: Grid,
    body: np.random.Generator,
    thorax: _Thorax,
    image: Array,
    mask: NDArray[np.uint8],
    findings: tuple[Finding, ...],
) -> Array:
    """Add great vessels, heart, trachea and the soft tissue under the diaphragm."""
    half, tilt, lift = body.uniform(46, 52), body.uniform(0.3, 0.5), body.uniform(-4, 4)
    large = next((finding for finding in findings if finding.name == "enlarged heart"), None)
    shift = 15.0
    if large:
        half, shift = half * 1.5, 17.0
    heart = ellipse(grid, shift, 44 + lift, half, half * 0.82, tilt)
    vessels = np.maximum(ellipse(grid, 1, -38, 25, 75), ellipse(grid, 22, -50, 13, 14))
    shape = step(np.maximum(heart, vessels), 3)
    image = image + shape * (np.float32(0.63) - image) * np.float32(0.92)
    below = step(grid.y - thorax.floor, 4) * step(thorax.rim + 14, 8)
    image = image + below * (np.float32(0.7) - image) * np.float32(0.9)
    bubble = step(ellipse(grid, 58, float(np.median(thorax.floor)) + 30, 20, 9), 4)
    image -= np.float32(0.2 if body.random() < 0.6 else 0.0) * bubble
    image -= np.float32(0.13) * step(np.minimum(7 - thorax.across, -42 - grid.y), 3)
    if large:
        mask[(heart > 0) & (grid.y < thorax.floor)] = large.class_id
    return image


def _bones(grid: Grid, body: np.random.Generator, thorax: _Thorax) -> Array:
    """Return what ribs, clavicles and spine add."""
    across, y = thorax.across, grid.y
    cage = step(thorax.rim + 7, 4) * step(thorax.floor + 25 - y, 25)
    phase = np.float32(body.uniform(0, 21))
    back = np.cos((y - phase - np.float32(0.0026) * (across - 15) ** 2) * np.float32(2 * np.pi / 21))
    front = np.cos((y - phase + np.float32(0.45) * across) * np.float32(2 * np.pi / 27))
    bones = cage * (np.float32(0.075) * np.clip(back - 0.3, 0, 0.5) * 2 + np.float32(0.03) * np.clip(front, 0, 1))
    line = y + 100 + np.float32(0.24) * (across - 15) - 5 * np.sin((across - 15) * np.float32(0.05))
    clavicle = np.minimum(np.minimum(np.float32(4.5) - np.abs(line), across - 14), 122 - across)
    bones += np.float32(0.13) * step(clavicle, 2)
    vertebrae = np.float32(0.8) + np.float32(0.2) * np.cos((y + phase) * np.float32(2 * np.pi / 24))
    bones += np.float32(0.1) * step(15 - across, 3) * vertebrae
    added: Array = bones
    return added


def _finding(grid: Grid, thorax: _Thorax, image: Array, mask: NDArray[np.uint8], finding: Finding) -> Array:
    """Draw one finding into image and mask."""
    if finding.side is None or finding.zone is None or finding.size_mm is None:
        return image
    rng = np.random.default_rng(finding.seed)
    own_side = thorax.right if finding.side == "right" else 1 - thorax.right
    sign = -1.0 if finding.side == "right" else 1.0
    lung = thorax.lung * own_side
    across, down = _ZONE_CENTRES[finding.zone]
    x, y = sign * (across + float(rng.uniform(-8, 8))), down + float(rng.uniform(-11, 11))
    if finding.name == "nodule":
        for part_x, part_y in places(finding, rng, x, y, reach=22):
            shape = step(blob(grid, rng, part_x, part_y, finding.size_mm, 0.04), 2)
            image = image + shape * np.float32(0.3)
            mask[shape > 0.5] = finding.class_id
    elif finding.name == "consolidation":
        shape = step(blob(grid, rng, x, y, finding.size_mm, 0.13), 6) * lung
        patchy = np.float32(0.85) + np.float32(0.13) * smooth_noise(rng, grid.size, 4.0 / grid.mm)
        image = image + shape * patchy * np.float32(0.27)
        mask[shape > 0.5] = finding.class_id
    elif finding.name == "pleural effusion":
        level = float(thorax.floor.min()) + (9 if finding.side == "left" else 0) - finding.size_mm
        surface = level - np.float32(12) * ((thorax.across - 40) / 60) ** 2
        fluid = step(grid.y - surface, 4) * np.minimum(2.5 * lung, 1)  # to the very edge: no dark seam
        image = image + fluid * (np.float32(0.7) - image) * np.float32(0.92)
        mask[fluid > 0.5] = finding.class_id
    elif finding.name == "pneumothorax":
        gap = finding.size_mm * (1 - np.float32(0.75) * thorax.depth)
        air = step(gap - thorax.rim, 1.5) * lung
        line = step(np.float32(1.6) - np.abs(thorax.rim - gap), 1.3) * lung
        image = image + air * (np.float32(0.06) - image) + line * np.float32(0.24)
        mask[air > 0.5] = finding.class_id
    return image
