"""Raw logits and greedy tokens, to compare another engine with. Only there with TRANSFORMERS_VERIFY=1."""

from __future__ import annotations

import sys
from typing import Annotated

import torch
from fastapi import APIRouter, Response
from pydantic import Field

from .cache import ModelCache
from .errors import ApiError, invalid
from .loading import LoadedModel
from .requests import Placement

TOKENS_MAX = 4096


class LogitsRequest(Placement):
    tokens: Annotated[list[int], Field(min_length=1, max_length=TOKENS_MAX)]
    first: Annotated[int, Field(ge=0)] = 0  # rows before it are left out


class GreedyRequest(Placement):
    text: str
    tokens: Annotated[list[int], Field(min_length=1, max_length=TOKENS_MAX)]
    max_tokens: Annotated[int, Field(ge=1, le=TOKENS_MAX)]


def _ids(loaded: LoadedModel, tokens: list[int]) -> torch.Tensor:
    """[1, n] on the model's device. Raises ApiError 400."""
    if not loaded.generates:
        raise invalid(f"model {loaded.name!r} is an encoder; it has no logits", "model")
    size = loaded.model.get_input_embeddings().num_embeddings
    if bad := [i for i in tokens if not 0 <= i < size]:
        raise invalid(f"tokens: token id {bad[0]} is not within 0..{size - 1}", "tokens")
    if len(tokens) > loaded.context_length:
        raise ApiError(400, "context_length_exceeded", f"{len(tokens)} tokens, the context of model {loaded.name!r} is "
                       f"{loaded.context_length}", "tokens")
    return torch.tensor([tokens], device=loaded.device)


@torch.inference_mode()
def logits(loaded: LoadedModel, request: LogitsRequest) -> bytes:
    """float32 [n - first, vocab], little-endian, of one forward pass over all tokens."""
    if request.first >= len(request.tokens):
        raise invalid(f"first: {request.first} is not within 0..{len(request.tokens) - 1}", "first")
    out = loaded.model(_ids(loaded, request.tokens), use_cache=False).logits[0, request.first :]
    array = out.float().cpu().numpy()
    return (array if sys.byteorder == "little" else array.byteswap()).tobytes()


@torch.inference_mode()
def greedy(loaded: LoadedModel, request: GreedyRequest) -> dict:
    ids = _ids(loaded, request.tokens)
    # Plain greedy, whatever the model's own generation_config wants; an end token ends it.
    out = loaded.model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=request.max_tokens, do_sample=False,
        repetition_penalty=1.0, num_beams=1, pad_token_id=loaded.tokenizer.pad_token_id or 0,
    )[0, ids.shape[1] :].tolist()
    answer = loaded.tokenizer.decode(out, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return {"prompt": loaded.tokenizer(request.text)["input_ids"], "tokens": out, "answer": answer}


def router(cache: ModelCache) -> APIRouter:
    routes = APIRouter(prefix="/v1/verify")

    @routes.post("/logits")
    def logits_of(request: LogitsRequest):
        with cache.lease(request) as entry:
            return Response(logits(entry.loaded, request), media_type="application/octet-stream")

    @routes.post("/greedy")
    def greedy_of(request: GreedyRequest):
        with cache.lease(request) as entry:
            return greedy(entry.loaded, request)

    return routes
