"""The HTTP routes. Everything that blocks runs on worker threads; the event loop only moves pieces."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import prometheus_client as prometheus
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.exceptions import HTTPException

from .answers import Answer
from .batcher import Job, Piece
from .cache import Entry, ModelCache, resident_bytes
from .embeddings import embed, encoded
from .errors import ApiError, invalid
from .prompts import answer_limit, chat_prompt, completion_prompt
from .registry import Registry
from .requests import ChatRequest, CompletionRequest, EmbeddingRequest, Generation, Placement
from .sampling import SamplingOptions, TextAssembler
from .settings import Settings
from .verify import router as verify_router

log = logging.getLogger(__name__)


class Service:
    """The state behind the routes."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.registry = Registry(settings)
        self.metrics = prometheus.CollectorRegistry()
        self.requests = prometheus.Counter("transformers_requests", "Answers by status", ["status"], registry=self.metrics)
        self.tokens = prometheus.Counter("transformers_tokens", "Tokens", ["kind"], registry=self.metrics)
        self.passes = prometheus.Counter(
            "transformers_forward_passes", "Forward passes, each over a whole batch", registry=self.metrics
        )
        self.cache = ModelCache(settings, self.registry, self.passes.inc)
        for name, what, read in (
            ("transformers_model_bytes", "Bytes of the loaded models", self.cache.used_bytes),
            ("transformers_resident_bytes", "Resident memory of the process", resident_bytes),
            ("transformers_queued_requests", "Requests that wait for a batch",
             lambda: sum(e.batcher.queued for e in self.cache.snapshot() if e.batcher)),
        ):
            prometheus.Gauge(name, what, registry=self.metrics).set_function(read)

    def entry_json(self, entry: Entry) -> dict:
        name, dtype, quantization = entry.key
        return {
            "id": name,
            "dtype": dtype,
            "quantization": None if quantization is None else quantization.model_dump(),
            "device": self.settings.device,
            "bytes": entry.bytes,
            "context_length": entry.loaded.context_length,
            "rss_before": entry.rss_before,
            "rss_after": entry.rss_after,
            "load_ms": round(entry.load_seconds * 1000),
            "in_use": entry.users,
            "last_used": entry.last_used,
        }

    def loaded_json(self) -> dict:
        entries = [self.entry_json(e) for e in self.cache.snapshot()]
        used, limit = self.cache.used_bytes(), self.settings.memory_bytes
        return {"data": entries, "bytes": used, "budget_bytes": limit, "rss_bytes": resident_bytes()}


class Running:
    """The jobs of one request and the pieces they give, in the order they come."""

    def __init__(self, entry: Entry, prompt: list[int], options: SamplingOptions, count: int):
        loop = asyncio.get_running_loop()
        self.pieces: asyncio.Queue[tuple[int, Piece]] = asyncio.Queue()

        def emit_for(index: int):
            return lambda piece: loop.call_soon_threadsafe(self.pieces.put_nowait, (index, piece))

        def seeded(index: int) -> SamplingOptions:
            if index == 0 or options.seed is None:
                return options
            return SamplingOptions(**{**{f: getattr(options, f) for f in options.__slots__}, "seed": options.seed + index})

        tokenizer = entry.loaded.tokenizer
        self.jobs = [
            Job(prompt, seeded(i), emit_for(i), TextAssembler(tokenizer, options.stop)) for i in range(count)
        ]
        entry.batcher.submit(self.jobs)

    def cancel(self) -> None:
        for job in self.jobs:
            job.cancelled = True

    async def __aiter__(self) -> AsyncIterator[tuple[int, Piece]]:
        """Until every choice has ended. Raises the ApiError of a choice that failed."""
        open_choices = len(self.jobs)
        while open_choices:
            index, piece = await self.pieces.get()
            if piece.error is not None:
                raise piece.error
            open_choices -= piece.finish_reason is not None
            yield index, piece


async def _answer_whole(http: Request, answer: Answer, running: Running) -> dict:
    count = len(running.jobs)
    texts, tokens, reasons, total = [""] * count, [[] for _ in range(count)], [""] * count, 0

    async def collect() -> None:
        nonlocal total
        async for index, piece in running:
            texts[index] += piece.text
            tokens[index] += [piece.token] if piece.token else []
            if piece.finish_reason is not None:
                reasons[index] = piece.finish_reason
                total += piece.completion_tokens

    task = asyncio.ensure_future(collect())
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=0.25)
            if await http.is_disconnected():
                raise ApiError(499, "cancelled", "the client went away")
        task.result()
    finally:
        running.cancel()
        task.cancel()
    return answer.whole(list(zip(texts, tokens, reasons)), total)


def _event(data: dict) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"


def create_app(settings: Settings) -> FastAPI:
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI):
        yield
        await asyncio.to_thread(service.cache.close)

    app = FastAPI(title="localai transformers service", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.service = service

    def failure(error: ApiError) -> JSONResponse:
        service.requests.labels(error.status).inc()
        return JSONResponse(error.body(), error.status, error.headers())

    @app.exception_handler(ApiError)
    async def on_api_error(_http: Request, error: ApiError):
        return failure(error)

    @app.exception_handler(RequestValidationError)
    async def on_validation(_http: Request, error: RequestValidationError):
        return failure(_validation_error(error))

    @app.exception_handler(HTTPException)
    async def on_http(_http: Request, error: HTTPException):
        code = {404: "unknown_url", 405: "method_not_allowed"}.get(error.status_code, "invalid_target")
        return failure(ApiError(error.status_code, code, str(error.detail)))

    async def generate(http: Request, request: Generation, chat: bool):
        entry = await asyncio.to_thread(service.cache.acquire, request)
        try:
            answer, prompt, options = await asyncio.to_thread(_prepare, entry, request, chat)
            running = Running(entry, prompt, options, request.n or 1)
        except BaseException:
            service.cache.release(entry)
            raise
        service.tokens.labels("prompt").inc(len(prompt))
        if request.stream:
            usage = request.stream_options is not None and request.stream_options.include_usage
            return StreamingResponse(stream(entry, answer, running, usage), media_type="text/event-stream")
        try:
            body = await _answer_whole(http, answer, running)
        finally:
            service.cache.release(entry)
        service.tokens.labels("completion").inc(body["usage"]["completion_tokens"])
        service.requests.labels(200).inc()
        return JSONResponse(body)

    async def stream(entry: Entry, answer: Answer, running: Running, usage: bool) -> AsyncIterator[str]:
        total = 0
        try:
            if answer.chat:
                for index in range(len(running.jobs)):
                    yield _event(answer.opening(index))
            async for index, piece in running:
                total += piece.completion_tokens
                for chunk in answer.piece(index, piece):
                    yield _event(chunk)
            if usage:
                yield _event(answer.usage_chunk(total))
            yield "data: [DONE]\n\n"
            service.requests.labels(200).inc()
        except ApiError as error:
            service.requests.labels(error.status).inc()
            yield _event(error.body())
        finally:  # also when the client goes away
            running.cancel()
            service.cache.release(entry)
            service.tokens.labels("completion").inc(total)

    @app.post("/v1/chat/completions")
    async def chat_completions(http: Request, request: ChatRequest):
        return await generate(http, request, chat=True)

    @app.post("/v1/completions")
    async def completions(http: Request, request: CompletionRequest):
        return await generate(http, request, chat=False)

    @app.post("/v1/embeddings")
    def embeddings(request: EmbeddingRequest):
        texts = [request.input] if isinstance(request.input, str) else request.input
        with service.cache.lease(request) as entry:
            vectors, tokens = embed(entry.loaded, service.registry.find(request.model), texts)
        if request.dimensions is not None:
            if request.dimensions > vectors.shape[1]:
                raise invalid(f"dimensions: {request.dimensions} is more than the model's {vectors.shape[1]}", "dimensions")
            vectors = vectors[:, : request.dimensions]
            vectors = vectors / vectors.norm(dim=1, keepdim=True)
        data = [
            {"object": "embedding", "index": i, "embedding": encoded(v, request.encoding_format)}
            for i, v in enumerate(vectors)
        ]
        service.requests.labels(200).inc()
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "data": data, "model": entry.key[0], "usage": usage}

    if settings.verify:
        app.include_router(verify_router(service.cache))

    @app.get("/v1/models")
    def models():
        loaded = {e.key[0] for e in service.cache.snapshot()}
        data = [
            {"id": n, "object": "model", "created": 0, "owned_by": "local", "loaded": n in loaded}
            for n in service.registry.names()
        ]
        return {"object": "list", "data": data}

    @app.get("/v1/models/loaded")
    def loaded():
        return service.loaded_json()

    @app.post("/v1/models/plan")
    def plan(request: Placement):
        """What a load would take, changing nothing."""
        (name, dtype, quantization), need, loaded = service.cache.plan(request)
        said = None if quantization is None else quantization.model_dump()
        return {"id": name, "dtype": dtype, "quantization": said, "bytes": need, "loaded": loaded}

    @app.post("/v1/models/load")
    def load(request: Placement):
        with service.cache.lease(request) as entry:
            return service.entry_json(entry)

    @app.post("/v1/models/unload")
    def unload(request: Placement):
        return {"unloaded": service.cache.unload(request), **service.loaded_json()}

    @app.get("/health")
    def health():
        return {"status": "ok", "device": settings.device, **service.loaded_json()}

    @app.get("/metrics")
    def metrics():
        return PlainTextResponse(prometheus.generate_latest(service.metrics), media_type=prometheus.CONTENT_TYPE_LATEST)

    return app


def _prepare(entry: Entry, request: Generation, chat: bool) -> tuple[Answer, list[int], SamplingOptions]:
    """Tokens, limits and options of a request. Raises ApiError 400."""
    loaded = entry.loaded
    if not loaded.generates:
        raise invalid(f"model {loaded.name!r} is an encoder; it answers /v1/embeddings only", "model")
    if chat:
        prompt = chat_prompt(loaded, request)
        wanted, top = request.max_completion_tokens or request.max_tokens, request.top_logprobs or 0
        top = top if request.logprobs else None
    else:
        prompt = completion_prompt(loaded, request)
        wanted, top = request.max_tokens, request.logprobs
    options = SamplingOptions.of(request, answer_limit(loaded, prompt, wanted, request.context_length), top)
    id = ("chatcmpl-" if chat else "cmpl-") + uuid.uuid4().hex
    return Answer(id, int(time.time()), entry.key[0], chat, top is not None, len(prompt)), prompt, options


def _validation_error(error: RequestValidationError) -> ApiError:
    """The first thing that is wrong, by the name of its field."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return invalid(f"the body is not valid JSON: {first['ctx']['error']}", code="invalid_json")
    place = [str(part) for part in first["loc"][1:] if not str(part).startswith("function-")]
    param = ".".join(place) or None
    code = {"extra_forbidden": "unknown_parameter", "missing": "missing_required_parameter"}.get(first["type"])
    if code is None:
        code = "invalid_type" if first["type"].endswith("_type") else "invalid_value"
    return invalid(f"{param or 'body'}: {first['msg']}", param, code)
