"""Which models there are: names and aliases to folders. Read at start; folders are looked up at each use."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from .errors import ApiError
from .settings import Settings, SettingsError

# Names that configs of the first system use, and the folders that hold such models.
WELL_KNOWN = {
    "granite-4.0": ("granite-4.0-h-micro", "granite-4.0-h-micro-transformers"),
    "granite-4.0-h-micro": ("granite-4.0-h-micro-transformers",),
    "phi-3.5-mini": ("phi-3.5-mini-instruct", "phi-3.5-mini-instruct-pytorch", "Phi-3.5-mini-instruct"),
    "vaultgemma-1b": ("vaultgemma-1b-transformers",),
}
ENTRY_KEYS = {"path", "aliases", "dtype", "trust_remote_code"}


@dataclass(frozen=True, slots=True)
class ModelEntry:
    name: str
    path: Path
    dtype: str | None = None  # None: chosen by device and memory
    trust_remote_code: bool = False

    def config(self) -> dict:
        """config.json. Raises ApiError when it cannot be read."""
        try:
            config = json.loads((self.path / "config.json").read_text())
        except (OSError, ValueError) as error:
            raise ApiError(500, "corrupt", f"model {self.name!r}: config.json: {error}") from error
        if not isinstance(config, dict):
            raise ApiError(500, "corrupt", f"model {self.name!r}: config.json is not an object")
        return config

    def weight_bytes(self) -> int:
        """Bytes of the weight files on disk."""
        files = list(self.path.glob("*.safetensors")) or list(self.path.glob("*.bin"))
        return sum(f.stat().st_size for f in files)


class Registry:
    def __init__(self, settings: Settings):
        self._dir = settings.models_dir
        self._allow_paths = settings.allow_paths
        self._entries: dict[str, ModelEntry] = {}
        self._aliases: dict[str, str] = {}
        if settings.models_file is not None:
            try:
                text = settings.models_file.read_text()
            except OSError as error:
                raise SettingsError(f"{settings.models_file}: {error!r}") from error
            self._read(str(settings.models_file), text, settings.models_file.parent)
        if settings.models_json:
            self._read("TRANSFORMERS_MODELS", settings.models_json, Path())

    def _read(self, source: str, text: str, folder: Path) -> None:
        """Takes the models of a JSON text; their paths are relative to `folder`."""
        try:
            models = dict(json.loads(text)["models"])
        except (ValueError, KeyError, TypeError) as error:
            raise SettingsError(f"{source}: {error!r}") from error
        for name, entry in models.items():
            if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
                raise SettingsError(f"{source}: models.{name}: needs a path")
            if unknown := entry.keys() - ENTRY_KEYS:
                raise SettingsError(f"{source}: models.{name}: unknown key {min(unknown)!r}")
            path = folder / entry["path"]
            self._entries[name] = ModelEntry(
                name, path, entry.get("dtype"), entry.get("trust_remote_code", False) is True
            )
            self._aliases.update({alias: name for alias in entry.get("aliases", [])})

    def names(self) -> list[str]:
        found = set(self._entries)
        if self._dir.is_dir():
            found |= {f.name for f in self._dir.iterdir() if (f / "config.json").is_file()}
        return sorted(found)

    def find(self, name: str) -> ModelEntry:
        """By name, alias, folder in the models directory, or path where that is allowed. Raises ApiError 404."""
        name = self._aliases.get(name, name)
        if name in self._entries:
            return self._entries[name]
        if self._allow_paths and name.startswith("/") and "\0" not in name and (Path(name) / "config.json").is_file():
            return ModelEntry(name, Path(name))
        for folder in (name, *WELL_KNOWN.get(name, ())):
            plain = folder not in ("", ".", "..") and "/" not in folder and "\0" not in folder
            if plain and (self._dir / folder / "config.json").is_file():
                return ModelEntry(folder, self._dir / folder)
        known = ", ".join(self.names()) or "none"
        raise ApiError(404, "model_not_found", f"model {name!r} is not known here; known: {known}", "model")
