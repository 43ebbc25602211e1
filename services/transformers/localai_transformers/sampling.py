"""Sampling of one sequence: penalties, temperature, filters, a random stream of its own, stop strings."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    temperature: float = 0.8  # 0: greedy
    top_k: int = 40  # 0 or less: off
    top_p: float = 0.95  # 0 or 1: off
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    max_tokens: int = 0
    top_logprobs: int | None = None  # None: no log-probabilities

    @classmethod
    def of(cls, request, max_tokens: int, top_logprobs: int | None) -> SamplingOptions:
        """From a request; what it leaves out keeps the defaults, which are those of the C++ server."""
        names = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "presence_penalty",
                 "frequency_penalty", "seed", "ignore_eos")
        said = {name: value for name in names if (value := getattr(request, name)) is not None}
        return cls(**said, stop=tuple(request.stop or ()), max_tokens=max_tokens, top_logprobs=top_logprobs)


def penalize(logits: torch.Tensor, history: torch.Tensor, options: SamplingOptions) -> torch.Tensor:
    """`history`: the ids of prompt and answer so far, [n]."""
    if options.repetition_penalty == 1.0 and options.presence_penalty == options.frequency_penalty == 0.0:
        return logits
    ids, counts = history.unique(return_counts=True)
    seen = logits[ids]
    factor = options.repetition_penalty
    seen = torch.where(seen > 0, seen / factor, seen * factor)
    seen = seen - options.presence_penalty - options.frequency_penalty * counts
    logits = logits.clone()
    logits[ids] = seen
    return logits


def pick(logits: torch.Tensor, options: SamplingOptions, random: torch.Generator) -> int:
    """One id from [vocab] float32 logits."""
    if options.temperature == 0.0:
        return int(logits.argmax())
    kept = options.top_k if 0 < options.top_k < logits.numel() else logits.numel()
    values, ids = torch.topk(logits, kept)
    probabilities = torch.softmax(values / options.temperature, 0)
    keep = torch.ones_like(probabilities, dtype=torch.bool)
    if 0.0 < options.top_p < 1.0:
        keep &= probabilities.cumsum(0) - probabilities < options.top_p
    if options.min_p > 0.0:
        keep &= probabilities >= options.min_p * probabilities[0]
    probabilities = torch.where(keep, probabilities, 0.0)
    return int(ids[torch.multinomial(probabilities, 1, generator=random)])


@dataclass(slots=True)
class TextAssembler:
    """Ids to text as it grows: never half a character, and nothing that may yet become a stop string."""

    tokenizer: object
    stop: tuple[str, ...]
    ids: list[int] = field(default_factory=list)
    stopped: bool = False
    _held: str = ""
    _decoded: int = 0  # ids whose text was taken
    _context: int = 0  # ids before that, which decoding needs for its spaces

    def push(self, token: int) -> str:
        """The text that is certain after this token."""
        self.ids.append(token)
        before = self._decode(self.ids[self._context : self._decoded])
        now = self._decode(self.ids[self._context :])
        if now.endswith("\ufffd") and len(self.ids) - self._decoded < 8:
            return ""
        self._context, self._decoded = self._decoded, len(self.ids)
        self._held += now[len(before) :]
        return self._release(final=False)

    def finish(self) -> str:
        """What was held back, at the end of the answer."""
        if not self.stopped:
            before = self._decode(self.ids[self._context : self._decoded])
            self._held += self._decode(self.ids[self._context :])[len(before) :]
            self._decoded = len(self.ids)
        return self._release(final=True)

    def _decode(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def _release(self, final: bool) -> str:
        found = [at for stop in self.stop if (at := self._held.find(stop)) >= 0]
        if found:
            self.stopped = True
            text, self._held = self._held[: min(found)], ""
            return text
        keep = 0 if final else self._possible_stop()
        text, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return text

    def _possible_stop(self) -> int:
        """Characters at the end that begin a stop string."""
        longest = max((len(s) for s in self.stop), default=1) - 1
        for size in range(min(longest, len(self._held)), 0, -1):
            tail = self._held[-size:]
            if any(stop.startswith(tail) for stop in self.stop):
                return size
        return 0
