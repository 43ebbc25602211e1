"""Loading: which class, which dtype, which quantization, and what that takes in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import transformers

from .errors import ApiError, invalid
from .registry import ModelEntry
from .requests import Quantization

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(slots=True)
class LoadedModel:
    name: str
    model: Any
    tokenizer: Any
    device: str
    dtype: str
    quantization: Quantization | None
    generates: bool  # a causal language model; else an encoder for embeddings
    bytes: int  # parameters and buffers
    context_length: int


def stored_dtype(config: dict) -> str:
    stored = config.get("dtype") or config.get("torch_dtype") or config.get("text_config", {}).get("dtype")
    return stored if stored in DTYPES else "float32"


def predicted_bytes(entry: ModelEntry, dtype: str, quantization: Quantization | None) -> int:
    """Bytes of the weights once loaded. Quantized: linear layers shrink, embeddings and norms stay in 16 bits; what
    is not known before reading is taken as all linear, so the measured figure after the load may be larger."""
    on_disk = DTYPES[stored_dtype(entry.config())].itemsize
    bits = 8 * DTYPES[dtype].itemsize if quantization is None else quantization.bits + 0.5
    return int(entry.weight_bytes() * bits / (8 * on_disk))


def choose_dtype(entry: ModelEntry, device: str, wanted: str | None, quantization: Quantization | None, room: int) -> str:
    """The request's or the model's own wish; else 16 bits on a GPU; on the CPU float32 if that fits `room` bytes, else
    bfloat16."""
    chosen = wanted or entry.dtype
    if chosen is not None:
        if chosen not in DTYPES:
            raise invalid(f"dtype: {chosen!r} is none of {', '.join(DTYPES)}", "dtype")
        return chosen
    if quantization is not None:
        return quantization.compute_dtype
    if device != "cpu":
        return "bfloat16" if stored_dtype(entry.config()) == "bfloat16" else "float16"
    return "float32" if predicted_bytes(entry, "float32", None) <= room else "bfloat16"


def quantization_config(quantization: Quantization, device: str) -> transformers.BitsAndBytesConfig:
    """The bitsandbytes config. Raises ApiError 400 with the reason when this device cannot."""
    if device.startswith("cpu") and quantization.bits == 8 and quantization.compute_dtype == "float16":
        raise invalid("quantization: 8 bits with compute_dtype float16 cannot run on the CPU; use bfloat16", "quantization")
    if quantization.bits == 8:
        return transformers.BitsAndBytesConfig(load_in_8bit=True)
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=quantization.type,
        bnb_4bit_use_double_quant=quantization.double_quant,
        bnb_4bit_compute_dtype=DTYPES[quantization.compute_dtype],
    )


def is_causal(config: dict) -> bool:
    return any("ForCausalLM" in name or "LMHead" in name for name in config.get("architectures") or [])


def load(entry: ModelEntry, device: str, dtype: str, quantization: Quantization | None) -> LoadedModel:
    """Reads the weights. Raises ApiError that names the model: 400 for what cannot be combined, 501 for a model of
    another kind, 500 for files that cannot be read."""
    config = entry.config()
    names = config.get("architectures") or []
    causal = is_causal(config)
    if not causal and not any(name.endswith("Model") for name in names):
        raise ApiError(501, "unsupported", f"model {entry.name!r}: {names} is neither a causal model nor an encoder")
    if config.get("auto_map") and not entry.trust_remote_code:
        raise ApiError(501, "unsupported", f"model {entry.name!r} brings its own code; its line in the models file has "
                       "to say \"trust_remote_code\": true")
    if quantization is not None and not causal:
        raise invalid(f"quantization: model {entry.name!r} is an encoder; only causal models are quantized", "quantization")
    options: dict[str, Any] = {"dtype": DTYPES[dtype], "low_cpu_mem_usage": True, "device_map": device}
    if quantization is not None:
        options["quantization_config"] = quantization_config(quantization, device)
    common = {"local_files_only": True, "trust_remote_code": entry.trust_remote_code}
    kind = transformers.AutoModelForCausalLM if causal else transformers.AutoModel
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(entry.path, padding_side="left", **common)
        model = kind.from_pretrained(entry.path, **options, **common).eval()
    except ApiError:
        raise
    except Exception as error:  # transformers raises nearly everything for a broken folder
        raise ApiError(500, "corrupt", f"model {entry.name!r} cannot be loaded: {error}") from error
    text_config = model.config.get_text_config()
    return LoadedModel(
        name=entry.name,
        model=model,
        tokenizer=tokenizer,
        device=device,
        dtype=dtype,
        quantization=quantization,
        generates=causal,
        bytes=model.get_memory_footprint(),
        context_length=getattr(text_config, "max_position_embeddings", None) or 2048,
    )
