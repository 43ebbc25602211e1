"""Batched generation: one thread a loaded model takes the requests that wait and runs them in one batch.

The loop is transformers' own `generate`, so every architecture and cache works; each row samples for itself in a
logits processor, which leaves one allowed token a row. While others wait and the batch has room, the running rows stop
after a while and queue again with what they have, so that a long answer does not hold the rest up.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import LogitsProcessorList, StoppingCriteriaList

from .errors import ApiError
from .loading import LoadedModel
from .sampling import SamplingOptions, TextAssembler, penalize, pick

REJOIN_TOKENS = 32  # a batch with room runs at least this long before others join


@dataclass(slots=True)
class TokenInfo:
    id: int
    text: str
    logprob: float
    top: list[tuple[int, str, float]]


@dataclass(slots=True)
class Piece:
    """A step of one answer. The last has `finish_reason` or `error`."""

    text: str = ""
    token: TokenInfo | None = None
    finish_reason: str | None = None
    completion_tokens: int = 0
    error: ApiError | None = None


@dataclass(eq=False, slots=True)
class Job:
    """One answer in the making. `emit` is called from the model's thread and must not block."""

    prompt: list[int]
    options: SamplingOptions
    emit: Callable[[Piece], None]
    text: TextAssembler
    random: torch.Generator = field(default_factory=lambda: torch.Generator("cpu"))
    cancelled: bool = False
    done: bool = False

    def __post_init__(self) -> None:
        if self.options.seed is None:
            self.random.seed()
        else:
            self.random.manual_seed(self.options.seed & ((1 << 63) - 1))

    def history(self) -> list[int]:
        return self.prompt + self.text.ids

    def finish(self, reason: str) -> None:
        self.done = True
        self.emit(Piece(self.text.finish(), finish_reason=reason, completion_tokens=len(self.text.ids)))

    def fail(self, error: ApiError) -> None:
        self.done = True
        self.emit(Piece(error=error))


class Batcher:
    def __init__(self, loaded: LoadedModel, batch_max: int, queue_max: int, on_pass: Callable[[], None]):
        self._loaded, self._batch_max, self._queue_max = loaded, batch_max, queue_max
        self._on_pass = on_pass
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self.running = 0  # rows in the current batch
        self._thread = threading.Thread(target=self._run, name=f"model {loaded.name}", daemon=True)
        self._thread.start()

    @property
    def queued(self) -> int:
        return len(self._waiting)

    def submit(self, jobs: list[Job]) -> None:
        """Raises ApiError 429 when the queue has no room for all of them."""
        with self._changed:
            if self._closed:
                raise ApiError(503, "unavailable", f"model {self._loaded.name!r} is being unloaded", retry_after=1)
            if len(self._waiting) + len(jobs) > self._queue_max:
                raise ApiError(429, "exhausted", f"{len(self._waiting)} requests wait already for model "
                               f"{self._loaded.name!r}", retry_after=2)
            self._waiting.extend(jobs)
            self._changed.notify()

    def close(self) -> None:
        """Ends the thread after the current batch; what still waits fails with 503."""
        with self._changed:
            self._closed = True
            waiting, self._waiting = list(self._waiting), deque()
            self._changed.notify()
        for job in waiting:
            job.fail(ApiError(503, "unavailable", "the model was unloaded", retry_after=1))
        self._thread.join()

    def _take(self) -> list[Job]:
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            jobs = [self._waiting.popleft() for _ in range(min(self._batch_max, len(self._waiting)))]
        return [job for job in jobs if not job.cancelled]

    def _run(self) -> None:
        while not self._closed:
            jobs = self._take()
            if not jobs:
                continue
            self.running = len(jobs)
            try:
                _Batch(self._loaded, jobs, self._after_pass).run()
            except Exception as error:  # a model's own code may raise anything; the service goes on
                failure = ApiError(500, "internal", f"model {self._loaded.name!r} failed: {type(error).__name__}: {error}")
                for job in jobs:
                    if not job.done:
                        job.fail(failure)
            self.running = 0
            unfinished = [job for job in jobs if not job.done and not job.cancelled]
            with self._changed:
                self._waiting.extend(unfinished)

    def _after_pass(self, rows: int, steps: int) -> bool:
        """Whether the batch should end here, so that others can join."""
        self._on_pass()
        return self._closed or (steps >= REJOIN_TOKENS and rows < self._batch_max and bool(self._waiting))


class _Batch:
    """One call of `generate` over several jobs. Is its own logits processor and stopping criterion."""

    def __init__(self, loaded: LoadedModel, jobs: list[Job], after_pass: Callable[[int, int], bool]):
        self._loaded, self._jobs, self._after_pass = loaded, jobs, after_pass
        self._steps = 0
        self._end_ids = end_ids(loaded)
        self._pad = loaded.tokenizer.pad_token_id or next(iter(self._end_ids), 0)

    @torch.inference_mode()
    def run(self) -> None:
        rows = [job.history() for job in self._jobs]
        longest = max(map(len, rows))
        device = self._loaded.device
        ids = torch.tensor([[self._pad] * (longest - len(r)) + r for r in rows], device=device)
        mask = torch.tensor([[0] * (longest - len(r)) + [1] * len(r) for r in rows], device=device)
        tokens_max = max(job.options.max_tokens - len(job.text.ids) for job in self._jobs)
        self._loaded.model.generate(
            ids,
            attention_mask=mask,
            do_sample=False,
            num_beams=1,
            temperature=None,
            top_p=None,
            top_k=None,
            repetition_penalty=None,
            max_new_tokens=tokens_max,
            max_length=None,
            eos_token_id=None,
            pad_token_id=self._pad,
            logits_processor=LogitsProcessorList([self._process]),
            stopping_criteria=StoppingCriteriaList([self._finished]),
        )

    def _process(self, _ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        logits = scores.float().cpu()
        chosen = torch.full((len(self._jobs),), self._pad)
        for row, job in enumerate(self._jobs):
            if not job.done and not job.cancelled:
                chosen[row] = self._step(job, logits[row])
        self._steps += 1
        only = torch.full_like(scores, float("-inf"))
        only[torch.arange(len(self._jobs)), chosen.to(scores.device)] = 0.0
        return only

    def _finished(self, _ids: torch.Tensor, _scores: Any) -> torch.Tensor:
        over = [job.done or job.cancelled for job in self._jobs]
        if self._after_pass(over.count(False), self._steps):
            over = [True] * len(over)
        return torch.tensor(over, device=self._loaded.device)

    def _step(self, job: Job, logits: torch.Tensor) -> int:
        history = torch.tensor(job.history())
        token = pick(penalize(logits, history, job.options), job.options, job.random)
        if token in self._end_ids and not job.options.ignore_eos:
            job.finish("stop")
            return token
        info = None if job.options.top_logprobs is None else self._info(logits, token, job.options.top_logprobs)
        text = job.text.push(token)
        if job.text.stopped:
            job.emit(Piece(text, info))
            job.finish("stop")
            return token
        if text or info:
            job.emit(Piece(text, info))
        if len(job.text.ids) >= job.options.max_tokens:
            job.finish("length")
        return token

    def _info(self, logits: torch.Tensor, token: int, count: int) -> TokenInfo:
        logprobs = torch.log_softmax(logits, 0)
        values, ids = torch.topk(logprobs, min(count, logprobs.numel()))
        top = [(int(i), self._token_text(int(i)), float(v)) for i, v in zip(ids, values)]
        return TokenInfo(token, self._token_text(token), float(logprobs[token]), top)

    def _token_text(self, token: int) -> str:
        return self._loaded.tokenizer.decode([token], clean_up_tokenization_spaces=False)


def end_ids(loaded: LoadedModel) -> set[int]:
    """Every id that ends an answer: of generation_config.json, config.json and the tokenizer."""
    found: set[int] = set()
    generation = getattr(loaded.model, "generation_config", None)
    for value in (getattr(generation, "eos_token_id", None), loaded.model.config.get_text_config().eos_token_id,
                  loaded.tokenizer.eos_token_id):
        found.update(value if isinstance(value, (list, tuple)) else [] if value is None else [value])
    return found
