"""Sentence embeddings of encoder models: mean or CLS pooling as the model's folder says, unit length."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import torch

from .errors import ApiError, invalid
from .loading import LoadedModel
from .registry import ModelEntry

BATCH = 16


def pooling_of(folder: Path) -> str:
    """"mean" or "cls", from sentence-transformers' 1_Pooling/config.json; mean when there is none."""
    try:
        config = json.loads((folder / "1_Pooling" / "config.json").read_text())
    except (OSError, ValueError):
        return "mean"
    return "cls" if config.get("pooling_mode_cls_token") else "mean"


@torch.inference_mode()
def embed(loaded: LoadedModel, entry: ModelEntry, texts: list[str]) -> tuple[torch.Tensor, int]:
    """Unit vectors [texts, hidden] in float32, and the tokens read. Raises ApiError 400."""
    if loaded.generates:
        raise invalid(f"model {loaded.name!r} generates text; it gives no embeddings", "model")
    ids = [loaded.tokenizer(text)["input_ids"] for text in texts]
    for number, row in enumerate(ids):
        if len(row) > loaded.context_length:
            raise ApiError(400, "context_length_exceeded", f"input {number} has {len(row)} tokens, the model reads "
                           f"{loaded.context_length}", "input")
    pooling = pooling_of(entry.path)
    out = []
    for start in range(0, len(ids), BATCH):
        batch = loaded.tokenizer.pad({"input_ids": ids[start : start + BATCH]}, padding_side="right", return_tensors="pt")
        batch = batch.to(loaded.device)
        hidden = loaded.model(**batch).last_hidden_state.float()
        mask = batch["attention_mask"][..., None].float()
        pooled = hidden[:, 0] if pooling == "cls" else (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
        out.append(torch.nn.functional.normalize(pooled, dim=1).cpu())
    return torch.cat(out), sum(map(len, ids))


def encoded(vector: torch.Tensor, form: str | None) -> Any:
    return base64.b64encode(vector.numpy().tobytes()).decode() if form == "base64" else vector.tolist()
