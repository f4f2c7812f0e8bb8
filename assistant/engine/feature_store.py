"""Encoded pictures on disk, for runs that meet the same pictures again: off unless a folder is named.

One safetensors file a picture, `<encoder>-<settings>/<ab>/<content id>.safetensors`. What a tower makes of a patient's
picture tells much about that picture, so the folder is for its owner alone (mode 0700) and belongs where the pictures
themselves may lie. Files appear whole: several processes may share a folder.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from assistant.engine.picture_features import PictureFeatures
from assistant.errors import ConfigError
from assistant.model.tiles import view_count

if TYPE_CHECKING:
    from assistant.model.loaded import LoadedModel

logger = logging.getLogger(__name__)


class FeatureStore:
    """A folder of encoded pictures of one encoder.

    Args:
        root: the folder; made if it is missing.
        identity: all that decides the features besides the pixels; a change of any value makes another folder.
        limit_gb: the most that the folder may hold, all encoders together; what comes later is not kept.
    Raises:
        ConfigError: the folder cannot be made.
    """

    def __init__(self, root: str | Path, identity: dict[str, str], limit_gb: float = 4.0) -> None:
        root = Path(root).expanduser()
        self._identity = json.dumps(identity, sort_keys=True)
        self._views = view_count(int(identity.get("tiles", "1")))
        self.folder = root / f"{identity['encoder']}-{hashlib.sha256(self._identity.encode()).hexdigest()[:8]}"
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"feature_folder is {root}, which cannot be made ({error.strerror}). Name a folder that you can write."
            ) from error
        self._limit = limit_gb * 1e9
        self._bytes = sum(file.stat().st_size for file in root.rglob("*.safetensors"))
        self._full = False
        self.found = self.added = 0
        """Pictures that were read from the folder, and that were put there."""

    @classmethod
    def for_model(cls, root: str | Path, model: LoadedModel, limit_gb: float) -> FeatureStore:
        """Open the folder of a model's encoder, in the format that it computes in."""
        config = model.llava.config
        identity = {
            "encoder": model.contract.encoder,
            "encoding": model.encoding,
            "layer": str(config.vision_feature_layer),
            "select": str(config.vision_feature_select_strategy),
            "size": str(model.contract.image_size),
            "type": str(model.dtype),
        }
        if model.contract.tiles > 1:
            identity["tiles"] = str(model.contract.tiles)
        return cls(root, identity, limit_gb)

    def path(self, content_id: str) -> Path:
        """Return where a picture's entry is, or would be."""
        return self.folder / content_id[:2] / f"{content_id}.safetensors"

    def read(self, content_id: str) -> PictureFeatures | None:
        """Return a picture's features, or None if they are not there or not usable, which is warned of."""
        from safetensors import SafetensorError, safe_open

        path = self.path(content_id)
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                told = file.metadata() or {}
                if told.get("identity") != self._identity or told.get("content") != content_id:
                    raise ValueError("it is of another encoder or picture")
                patches, joint = file.get_tensor("patches"), file.get_tensor("joint")
            if not (patches.isfinite().all() and joint.isfinite().all()):
                raise ValueError("it holds numbers that are not finite")
        except (SafetensorError, OSError, ValueError) as error:
            logger.warning("an encoded picture cannot be used (%s); it is encoded again", error)
            return None
        self.found += 1
        return PictureFeatures(patches, joint.numpy(), content_id, self._views)

    def write(self, content_id: str, features: PictureFeatures) -> None:
        """Keep a picture's features, unless the folder is full; a disk that fails costs the entry and no more."""
        from safetensors.torch import save_file

        patches = features.patches.detach().cpu().contiguous()
        size = patches.numel() * patches.element_size()
        if self._bytes + size > self._limit:
            if not self._full:
                logger.warning("%.1f GB of encoded pictures are kept, which is the limit", self._bytes / 1e9)
            self._full = True
            return
        path = self.path(content_id)
        partial = path.with_name(f".{content_id}.{os.getpid()}.{secrets.token_hex(4)}.partial")
        told = {"identity": self._identity, "content": content_id}
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            save_file({"patches": patches, "joint": torch.from_numpy(features.joint)}, partial, metadata=told)
            os.replace(partial, path)
        except OSError as error:
            logger.warning("an encoded picture could not be kept (%s)", error.strerror)
            return
        finally:
            partial.unlink(missing_ok=True)
        self._bytes += size
        self.added += 1
