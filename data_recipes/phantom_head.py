"""Phantoms of axial head slices: CT and MR."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from data_recipes.phantom_draw import Array, Grid, blob, ellipse, smooth_noise, step
from data_recipes.phantom_findings import Finding, places

_ZONE_CENTRES: dict[str, tuple[float, float]] = {"anterior": (29, -47), "middle": (38, 0), "posterior": (30, 47)}
"""Zone to distance from the midline and place along the nose-to-neck line of a finding's centre, mm."""


def head_frame(grid: Grid, body: np.random.Generator) -> tuple[Grid, Array]:
    """Turn a grid into the head's own frame.

    Args:
        grid: of the picture.
        body: decides turn, place and size of the head; four numbers are drawn from it.
    Returns:
        the turned grid, and the depth under the skin in mm, (H, W), negative outside.
    """
    turn, dx, dy = body.uniform(-0.1, 0.1), body.uniform(-5, 5), body.uniform(-5, 5)
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    x, y = grid.x - np.float32(dx), grid.y - np.float32(dy)
    head = Grid(x * cos + y * sin, y * cos - x * sin, grid.mm)
    depth = ellipse(head, 0, 0, float(body.uniform(72, 78)), float(body.uniform(90, 98)))
    return head, depth


def _ventricles(head: Grid, body: np.random.Generator) -> Array:
    """Return the distance in mm to the edge of the ventricles, positive inside."""
    width, spread = float(body.uniform(4.5, 6.5)), float(body.uniform(0.25, 0.4))
    mirrored = Grid(np.abs(head.x), head.y, head.mm)
    horns = np.maximum(
        ellipse(mirrored, 9, -22, width, 17, spread),
        ellipse(mirrored, 15, 20, width, 20, -spread),
    )
    distance: Array = np.maximum(np.maximum(horns, ellipse(mirrored, 7, 0, width * 0.7, 12)), ellipse(head, 0, 6, 2, 9))
    return distance


def draw_head_ct(
    grid: Grid, body: np.random.Generator, paint: np.random.Generator, findings: tuple[Finding, ...]
) -> tuple[Array, NDArray[np.uint8]]:
    """Draw an axial CT slice of the head in a brain window.

    Args:
        grid: 220 mm field.
        body: decides the anatomy.
        paint: decides textures.
        findings: what to show.
    Returns:
        grey values in about [0, 1], (H, W), and the class id of each pixel, (H, W).
    """
    head, depth = head_frame(grid, body)
    brain = step(depth - 12, 1.2)
    folds = smooth_noise(paint, grid.size, 3.5 / grid.mm)
    cortex = brain * step(29 - depth, 6)
    image = np.float32(0.25) * step(depth, 1.5)
    image += (np.float32(0.4) - image) * brain
    image += brain * np.float32(0.012) * smooth_noise(paint, grid.size, 1.2 / grid.mm)
    image += cortex * (np.float32(0.06) - np.float32(0.26) * np.clip(0.35 - np.abs(folds), 0, 0.35))
    image += (np.float32(0.13) - image) * step(_ventricles(head, body), 1.2)
    falx = np.minimum(np.float32(1.0) - np.abs(head.x), np.abs(head.y) - 36)
    image += np.float32(0.12) * brain * step(falx, 0.8)
    mask = np.zeros(image.shape, np.uint8)
    for finding in findings:
        image = _ct_finding(head, image, mask, finding, brain)
    skull = step(depth - 4, 1) * step(12 - depth, 1)
    return image + (np.float32(0.97) - image) * skull, mask


def _centre(finding: Finding, rng: np.random.Generator) -> tuple[float, float]:
    """Return where a finding lies in the head's frame, mm; the patient's right is on the left."""
    across, along = _ZONE_CENTRES[finding.zone or "middle"]
    along *= 1 - 0.009 * max(0, (finding.size_mm or 0) - 20)  # keeps large ones inside the skull
    x = across + float(rng.uniform(-5, 5))
    return (-x if finding.side == "right" else x), along + float(rng.uniform(-6, 6))


def _ct_finding(head: Grid, image: Array, mask: NDArray[np.uint8], finding: Finding, brain: Array) -> Array:
    """Draw one CT finding into image and mask."""
    size = float(finding.size_mm or 0)
    rng = np.random.default_rng(finding.seed)
    x, y = _centre(finding, rng)
    if finding.name == "calcification":
        for part_x, part_y in places(finding, rng, x, y, reach=14):
            shape = step(blob(head, rng, part_x, part_y, size, 0.0), 1) * brain
            image = image + (np.float32(1.0) - image) * shape
            mask[shape > 0.5] = finding.class_id
        return image
    outline = blob(head, rng, x, y, size, 0.09)
    swelling, grey, grain = (10.0, 0.56, 0.06) if finding.name == "mass" else (4.0, 0.78, 0.02)
    image = image - np.float32(0.16) * step(outline + swelling, 3) * brain
    shape = step(outline, 1.2) * brain
    tissue = np.float32(grey) + np.float32(grain) * smooth_noise(rng, image.shape[0], 2.5 / head.mm)
    image = image + (tissue - image) * shape
    mask[shape > 0.5] = finding.class_id
    return image


def draw_brain_mr(
    grid: Grid, body: np.random.Generator, paint: np.random.Generator, findings: tuple[Finding, ...]
) -> tuple[Array, NDArray[np.uint8]]:
    """Draw an axial MR slice of the brain: dark fluid, bright fat and enhancement.

    Args:
        grid: 220 mm field.
        body: decides the anatomy.
        paint: decides textures.
        findings: what to show.
    Returns:
        grey values in about [0, 1], (H, W), and the class id of each pixel, (H, W).
    """
    head, depth = head_frame(grid, body)
    brain = step(depth - 14, 1)
    folds = smooth_noise(paint, grid.size, 3.2 / grid.mm)
    white = step(depth - 25 + np.float32(7) * folds, 3)
    image: Array = np.float32(0.72) * step(depth, 1.2) * step(6 - depth, 1.2)
    image += brain * (np.float32(0.36) + np.float32(0.15) * white)
    sulci = step(34 - depth, 5) * np.clip(0.22 - np.abs(folds), 0, 0.22)
    image -= brain * np.float32(1.1) * sulci
    image += brain * np.float32(0.015) * smooth_noise(paint, grid.size, 1.2 / grid.mm)
    nuclei = ellipse(Grid(np.abs(head.x), head.y, head.mm), 21, 0, 8, 15, -0.25)
    image -= np.float32(0.1) * step(nuclei, 2.5)
    image += (np.float32(0.07) - image) * step(_ventricles(head, body), 1.2)
    falx = np.minimum(np.float32(1.2) - np.abs(head.x), np.abs(head.y) - 34)
    image -= np.float32(0.22) * brain * step(falx, 0.8)
    mask = np.zeros(image.shape, np.uint8)
    for finding in findings:
        image = _mr_finding(head, image, mask, finding, brain)
    return image, mask


def _mr_finding(head: Grid, image: Array, mask: NDArray[np.uint8], finding: Finding, brain: Array) -> Array:
    """Draw one MR finding into image and mask."""
    size = float(finding.size_mm or 0)
    rng = np.random.default_rng(finding.seed)
    x, y = _centre(finding, rng)
    for part_x, part_y in places(finding, rng, x, y, reach=16):
        outline = blob(head, rng, part_x, part_y, size, 0.07)
        shape = step(outline, 1.2) * brain
        if finding.name == "ring-enhancing lesion":
            image = image - np.float32(0.12) * step(outline + 8, 3) * brain
            ring = shape * step(max(2.6, 0.13 * size) - outline, 1.2)
            image = image + (np.float32(0.13) - image) * shape
            image = image + (np.float32(0.95) - image) * ring
        else:
            image = image + (np.float32(0.93) - image) * shape
        mask[shape > 0.5] = finding.class_id
    return image
