"""OpenAI's answer objects, whole and in chunks; the shapes of the C++ server (src/server/renderer.cc)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from .batcher import Piece, TokenInfo


def _logprob(value: float) -> float:
    return value if math.isfinite(value) else -9999.0


def _chat_token(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "logprob": _logprob(logprob), "bytes": list(text.encode())}


def _chat_logprobs(tokens: list[TokenInfo]) -> dict[str, Any]:
    content = [
        {**_chat_token(t.text, t.logprob), "top_logprobs": [_chat_token(text, lp) for _, text, lp in t.top]}
        for t in tokens
    ]
    return {"content": content, "refusal": None}


def _completion_logprobs(tokens: list[TokenInfo], offset: int) -> dict[str, Any]:
    offsets = []
    for token in tokens:
        offsets.append(offset)
        offset += len(token.text)
    return {
        "tokens": [t.text for t in tokens],
        "token_logprobs": [_logprob(t.logprob) for t in tokens],
        "top_logprobs": [{text: _logprob(lp) for _, text, lp in t.top} for t in tokens],
        "text_offset": offsets,
    }


@dataclass(slots=True)
class Answer:
    """What all choices of one request share, and how each form is written."""

    id: str
    created: int
    model: str
    chat: bool
    logprobs: bool
    prompt_tokens: int
    offsets: dict[int, int] = field(default_factory=dict)  # characters sent so far, by choice

    def _root(self, stream: bool) -> dict[str, Any]:
        kind = ("chat.completion.chunk" if stream else "chat.completion") if self.chat else "text_completion"
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def _logprobs(self, index: int, tokens: list[TokenInfo]) -> Any:
        if not self.logprobs or not tokens:
            return None
        return _chat_logprobs(tokens) if self.chat else _completion_logprobs(tokens, self.offsets.get(index, 0))

    def usage(self, completion_tokens: int) -> dict[str, int]:
        total = self.prompt_tokens + completion_tokens
        return {"prompt_tokens": self.prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": total}

    def whole(self, choices: list[tuple[str, list[TokenInfo], str]], completion_tokens: int) -> dict[str, Any]:
        out = []
        for index, (text, tokens, reason) in enumerate(choices):
            said = {"message": {"role": "assistant", "content": text, "refusal": None}} if self.chat else {"text": text}
            out.append({"index": index, **said, "logprobs": self._logprobs(index, tokens), "finish_reason": reason})
        return {**self._root(False), "choices": out, "usage": self.usage(completion_tokens)}

    def _chunk(self, index: int, said: dict[str, Any], logprobs: Any, reason: str | None) -> dict[str, Any]:
        said = {"delta": said} if self.chat else {"text": said.get("content", "")}
        choice = {"index": index, **said, "logprobs": logprobs, "finish_reason": reason}
        return {**self._root(True), "choices": [choice]}

    def opening(self, index: int) -> dict[str, Any]:
        return self._chunk(index, {"role": "assistant", "content": ""}, None, None)

    def piece(self, index: int, piece: Piece) -> list[dict[str, Any]]:
        """The chunks of one step: its text, and the end if it is the last."""
        chunks = []
        if piece.text or piece.token is not None:
            logprobs = self._logprobs(index, [piece.token] if piece.token else [])
            chunks.append(self._chunk(index, {"content": piece.text}, logprobs, None))
            self.offsets[index] = self.offsets.get(index, 0) + len(piece.text)
        if piece.finish_reason is not None:
            chunks.append(self._chunk(index, {}, None, piece.finish_reason))
        return chunks

    def usage_chunk(self, completion_tokens: int) -> dict[str, Any]:
        return {**self._root(True), "choices": [], "usage": self.usage(completion_tokens)}
