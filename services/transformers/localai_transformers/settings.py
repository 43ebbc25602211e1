"""Settings of the service, from the environment. Every one has a default that works on a laptop."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

DEVICES = ("cuda", "xpu", "cpu")


class SettingsError(Exception):
    """A variable with a value that cannot be used; the message names it."""


@dataclass(frozen=True, slots=True)
class Settings:
    models_dir: Path  # every folder in it that holds a config.json is a model of that name
    models_file: Path | None  # JSON: {"models": {name: {"path", "aliases", "dtype", "trust_remote_code"}}}
    models_json: str  # the same as text; what is there goes before the file; "": nothing
    device: str  # "cuda:0", "xpu", "cpu"
    memory_bytes: int  # all loaded models together
    batch_max: int  # sequences in one forward pass
    allow_paths: bool  # a request may name a model by the absolute path of its folder
    queue_max: int  # requests that wait for one model; one more is answered 429

    @classmethod
    def from_environment(cls, env: dict[str, str] | None = None) -> Settings:
        """Raises SettingsError that names the variable."""
        env = dict(os.environ) if env is None else env
        models_file = env.get("TRANSFORMERS_MODELS_CONFIG")
        return cls(
            models_dir=Path(env.get("TRANSFORMERS_MODELS_DIR", "models")),
            models_file=Path(models_file) if models_file else None,
            models_json=env.get("TRANSFORMERS_MODELS", ""),
            device=choose_device(env.get("DEVICE", "")),
            memory_bytes=_positive(env, "MODEL_CACHE_MAX_MEMORY_MB", 8192) << 20,
            batch_max=_positive(env, "TRANSFORMERS_BATCH_MAX", 8),
            allow_paths=env.get("TRANSFORMERS_ALLOW_PATHS", "") == "1",
            queue_max=_positive(env, "TRANSFORMERS_QUEUE_MAX", 64),
        )


def choose_device(wanted: str) -> str:
    """The torch device for DEVICE; empty: the GPU if there is one. A device that is wanted but absent is an error."""
    if wanted and wanted not in DEVICES:
        raise SettingsError(f"DEVICE: {wanted!r} is none of {', '.join(DEVICES)}")
    available = {"cuda": torch.cuda.is_available(), "xpu": torch.xpu.is_available(), "cpu": True}
    if wanted and not available[wanted]:
        raise SettingsError(f"DEVICE: {wanted} was asked for, but torch {torch.__version__} finds none")
    device = wanted or next(name for name in DEVICES if available[name])
    return "cuda:0" if device == "cuda" else device


def _positive(env: dict[str, str], name: str, default: int) -> int:
    text = env.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 1 << 31):
        raise SettingsError(f"{name}: {text!r} is not a positive whole number")
    return int(text)
