"""The loaded models: each (model, dtype, quantization) once, least recently used out first, never over the limit."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil

from .batcher import Batcher
from .errors import ApiError
from .loading import LoadedModel, choose_dtype, load, predicted_bytes
from .registry import ModelEntry, Registry
from .requests import Placement, Quantization
from .settings import Settings

Key = tuple[str, str, Quantization | None]


@dataclass(eq=False, slots=True)
class Entry:
    """A model that is loaded or about to be."""

    key: Key
    bytes: int  # predicted, then measured
    loaded: LoadedModel | None = None
    batcher: Batcher | None = None
    error: ApiError | None = None
    users: int = 0
    last_used: float = field(default_factory=time.time)
    load_seconds: float = 0.0
    rss_before: int = 0
    rss_after: int = 0
    ready: threading.Event = field(default_factory=threading.Event)


def resident_bytes() -> int:
    return psutil.Process().memory_info().rss


class ModelCache:
    def __init__(self, settings: Settings, registry: Registry, on_pass: Callable[[], None]):
        """`on_pass` is called after each forward pass, from the models' threads."""
        self._settings, self._registry, self._on_pass = settings, registry, on_pass
        self._entries: dict[Key, Entry] = {}
        self._lock = threading.Lock()

    @contextmanager
    def lease(self, placement: Placement) -> Iterator[Entry]:
        """The model, loaded; it stays while the lease is held. Blocks while it loads. Raises ApiError: 404 unknown,
        503 no room, or what loading raises."""
        entry = self.acquire(placement)
        try:
            yield entry
        finally:
            self.release(entry)

    def acquire(self, placement: Placement) -> Entry:
        model = self._registry.find(placement.model)
        key = self._key(model, placement)
        with self._lock:
            entry = self._entries.get(key)
            mine = entry is None
            if entry is None:
                entry, evicted = self._reserve(key, model)
            else:
                evicted = []
            entry.users += 1
            entry.last_used = time.time()
        if mine:
            for old in evicted:
                _free(old)
            self._load(entry, model)
        entry.ready.wait()
        if entry.error is not None:
            self.release(entry)
            raise entry.error
        return entry

    def plan(self, placement: Placement) -> tuple[Key, int, bool]:
        """Which copy is meant, its bytes (measured once it is loaded), and whether it is. Raises ApiError 404."""
        model = self._registry.find(placement.model)
        key = self._key(model, placement)
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None and entry.ready.is_set():
                return key, entry.bytes, True
        return key, predicted_bytes(model, key[1], key[2]), False

    def release(self, entry: Entry) -> None:
        with self._lock:
            entry.users -= 1
            entry.last_used = time.time()

    def unload(self, placement: Placement) -> int:
        """Frees the copies of a model that nobody uses; all dtypes and quantizations unless the request names one.
        Returns how many. Raises ApiError 409 when one is in use."""
        name = self._registry.find(placement.model).name
        with self._lock:
            chosen = [
                e for e in self._entries.values() if e.key[0] == name
                and placement.dtype in (None, e.key[1]) and placement.quantization in (None, e.key[2])
            ]
            if busy := [e for e in chosen if e.users > 0]:
                raise ApiError(409, "in_use", f"model {name!r} is answering {busy[0].users} requests", "model")
            for entry in chosen:
                del self._entries[entry.key]
        for entry in chosen:
            _free(entry)
        return len(chosen)

    def snapshot(self) -> list[Entry]:
        with self._lock:
            return [e for e in self._entries.values() if e.ready.is_set() and e.loaded is not None]

    def used_bytes(self) -> int:
        with self._lock:
            return sum(e.bytes for e in self._entries.values())

    def close(self) -> None:
        with self._lock:
            entries, self._entries = list(self._entries.values()), {}
        for entry in entries:
            _free(entry)

    def _key(self, model: ModelEntry, placement: Placement) -> Key:
        limit, device = self._settings.memory_bytes, self._settings.device
        dtype = choose_dtype(model, device, placement.dtype, placement.quantization, limit)
        return model.name, dtype, placement.quantization

    def _reserve(self, key: Key, model: ModelEntry) -> tuple[Entry, list[Entry]]:
        """Makes the entry and takes out those that have to go for it. Called with the lock held."""
        need = predicted_bytes(model, key[1], key[2])
        limit = self._settings.memory_bytes
        in_use = sum(e.bytes for e in self._entries.values() if e.users > 0)
        if need > limit:
            raise ApiError(503, "exhausted", f"model {key[0]!r} in {key[1]} needs {need >> 20} MiB, the limit is "
                           f"{limit >> 20} MiB; ask for a smaller dtype or a quantization", "model")
        if in_use + need > limit:
            raise ApiError(503, "exhausted", f"model {key[0]!r} needs {need >> 20} MiB, but models in use hold "
                           f"{in_use >> 20} of {limit >> 20} MiB", "model", retry_after=5)
        evicted = []
        free = limit - sum(e.bytes for e in self._entries.values())
        for old in sorted(self._entries.values(), key=lambda e: (e.last_used, e.key[:2])):
            if free >= need:
                break
            if old.users == 0:
                evicted.append(old)
                free += old.bytes
                del self._entries[old.key]
        entry = self._entries[key] = Entry(key, need)
        return entry, evicted

    def _load(self, entry: Entry, model: ModelEntry) -> None:
        name, dtype, quantization = entry.key
        started, entry.rss_before = time.monotonic(), resident_bytes()
        try:
            loaded = load(model, self._settings.device, dtype, quantization)
            with self._lock:
                entry.bytes = loaded.bytes
                over = sum(e.bytes for e in self._entries.values()) - self._settings.memory_bytes
            if over > 0:
                raise ApiError(503, "exhausted", f"model {name!r} took {loaded.bytes >> 20} MiB, {over >> 20} MiB over "
                               "the limit of all models together", "model", retry_after=5)
            entry.loaded = loaded
            if loaded.generates:
                entry.batcher = Batcher(loaded, self._settings.batch_max, self._settings.queue_max, self._on_pass)
        except ApiError as error:
            entry.error = error
        except BaseException as error:
            entry.error = ApiError(500, "internal", f"loading model {name!r}: {error}")
            raise
        finally:
            entry.load_seconds, entry.rss_after = time.monotonic() - started, resident_bytes()
            if entry.error is not None:
                with self._lock:
                    self._entries.pop(entry.key, None)
            entry.ready.set()


def _free(entry: Entry) -> None:
    entry.ready.wait()
    if entry.batcher is not None:
        entry.batcher.close()
    entry.loaded = entry.batcher = None
    gc.collect()
