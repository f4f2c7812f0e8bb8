"""What the frozen image tower makes of a picture, computed once and kept on disk for every later step, run and stage.

One safetensors file a picture, `<encoder>-<settings>/<ab>/<content>.safetensors`, named by what decides its values:
the encoder's fingerprint with all that it is run with, and the picture's decoded pixels. Files appear whole (written
beside, then renamed), so processes may share a folder; two that compute the same picture write the same entry.
Only pictures that are never augmented can be kept: a changed picture is another picture.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from training.feature_settings import FeatureCacheSettings
from training.packed import PackedModel
from training.pictures import plain

logger = logging.getLogger(__name__)

_NAME = "patches"


class FeatureCache:
    """A folder of features of one encoder. P patches, D width of the tower.

    Args:
        settings: where, and how much.
        identity: all that decides the features besides the picture; a change of any value makes another folder.
    """

    def __init__(self, settings: FeatureCacheSettings, identity: dict[str, str]) -> None:
        self.identity = json.dumps(identity, sort_keys=True)
        digest = hashlib.sha256(self.identity.encode()).hexdigest()[:8]
        if settings.folder is None:
            raise ValueError("a cache needs a folder; take `kept_features` of the run's settings")
        self.folder = settings.folder / f"{identity['encoder']}-{digest}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.bytes = sum(file.stat().st_size for file in settings.folder.rglob("*.safetensors"))
        # Nobody who has not asked for a cache should find the disk full of it.
        self.limit = min(settings.limit_gb * 1e9, self.bytes + shutil.disk_usage(self.folder).free / 2)
        self.found = self.added = 0
        self._full = False

    def path(self, key: str) -> Path:
        """Return where the entry of a picture is, or would be."""
        return self.folder / key[:2] / f"{key}.safetensors"

    def read(self, key: str) -> Tensor | None:
        """Return a picture's features, (P, D), or None if they are not there or not usable, which is warned of.

        Args:
            key: of `picture_key`.
        Returns:
            As they were written.
        """
        from safetensors import SafetensorError, safe_open

        path = self.path(key)
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                told = file.metadata() or {}
                if told.get("identity") != self.identity or told.get("key") != key:
                    raise ValueError("it is of another encoder or picture")
                features: Tensor = file.get_tensor(_NAME)
                if features.ndim != 2 or not features.isfinite().all():
                    raise ValueError(f"it holds no finite matrix but {tuple(features.shape)}")
        except (SafetensorError, OSError, ValueError) as error:
            logger.warning("feature cache: %s cannot be used (%s); it is computed again", path.name, error)
            return None
        self.found += 1
        return features

    def write(self, key: str, features: Tensor) -> None:
        """Keep a picture's features, unless the folder is full.

        Args:
            key: of `picture_key`.
            features: (P, D).
        """
        from safetensors.torch import save_file

        path = self.path(key)
        size = features.numel() * features.element_size()
        if self.bytes + size > self.limit:
            if not self._full:
                logger.warning(
                    "feature cache: %.2f GB are kept, the most that `feature_cache.limit_gb` or the disk allows; other "
                    "pictures go through the tower each time. Raise it, or delete folders of encoders no longer used.",
                    self.bytes / 1e9,
                )
            self._full = True
            return
        path.parent.mkdir(exist_ok=True)
        partial = path.with_name(f".{key}.{os.getpid()}.{secrets.token_hex(4)}.partial")
        try:
            told = {"identity": self.identity, "key": key}
            save_file({_NAME: features.detach().cpu().contiguous()}, partial, metadata=told)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
        self.bytes += size
        self.added += 1


def picture_key(pixels: Tensor) -> str:
    """Return the content id of a decoded picture.

    Args:
        pixels: uint8 (3, S, S).
    Returns:
        32 hexadecimal digits.
    """
    digest = hashlib.sha256(repr(tuple(pixels.shape)).encode())
    digest.update(pixels.contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


class PictureView:
    """Pictures as they are, without augmentation, in the form `PackedModel.answer_logits` takes.

    Args:
        packed: the model, whose tower is frozen.
        settings: of the cache; without, the tower runs each time.
    """

    def __init__(self, packed: PackedModel, settings: FeatureCacheSettings | None) -> None:
        self.packed, self.size = packed, int(packed.loaded.contract.picture_size)
        self.cache = FeatureCache(settings, self._identity()) if settings else None

    def _identity(self) -> dict[str, str]:
        loaded = self.packed.loaded
        config, tower = loaded.llava.config, loaded.llava.model.vision_tower
        return {
            "encoder": loaded.contract.encoder,
            "layer": str(config.vision_feature_layer),
            "select": str(config.vision_feature_select_strategy),
            "size": str(self.size),
            **({"tiles": str(loaded.contract.tiles)} if loaded.contract.tiles > 1 else {}),
            "normalised": f"{self.packed.mean.flatten().tolist()} {self.packed.std.flatten().tolist()}",
            "type": f"{tower.dtype} autocast={self.packed.bf16}",
        }

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return pictures, or their features where these are kept.

        Args:
            pixels: uint8 (N, 3, S, S), as decoded.
        Returns:
            Without a cache float (N, 3, size, size), 0 to 1; with one (N, P, D).
        """
        if self.cache is None or not len(pixels):
            return plain(pixels, self.size)
        return self.features(pixels)

    def features(self, pixels: Tensor) -> Tensor:
        """Return what the connector reads of the pictures, through the cache if there is one.

        Args:
            pixels: uint8 (N, 3, S, S), N at least 1.
        Returns:
            (N, P, D), on the model's device.
        """
        keys = [picture_key(one) for one in pixels]
        known = {key: self.cache.read(key) for key in dict.fromkeys(keys)} if self.cache else dict.fromkeys(keys)
        wanted = [key for key, one in known.items() if one is None]
        if wanted:
            computed = self._through_tower(pixels[[keys.index(key) for key in wanted]])
            known.update(zip(wanted, computed, strict=True))
            if self.cache:
                for key, one in zip(wanted, computed, strict=True):
                    self.cache.write(key, one)
        device = self.packed.loaded.device
        return torch.stack([one.to(device) for one in _present([known[key] for key in keys])])

    def _through_tower(self, pixels: Tensor) -> Tensor:
        with self.packed.autocast():
            return self.packed.features(plain(pixels, self.size))

    def report(self) -> None:
        """Log how much the cache has saved, and how much it holds."""
        if self.cache:
            logger.info(
                "feature cache: %d pictures read, %d added; %.2f GB kept in %s",
                self.cache.found,
                self.cache.added,
                self.cache.bytes / 1e9,
                self.cache.folder.parent,
            )


def _present(found: Sequence[Tensor | None]) -> list[Tensor]:
    return [one for one in found if one is not None]
