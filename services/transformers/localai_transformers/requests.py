"""What a request may say. Whatever is not listed is refused by name, like in the C++ server."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Dtype = Literal["float32", "bfloat16", "float16"]


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("has to be finite")
    return value


def _stops(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Number = Annotated[float, BeforeValidator(_finite)]
StopText = Annotated[str, Field(min_length=1, max_length=256)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Quantization(Body):
    """bitsandbytes: 8-bit integers, or 4-bit nf4/fp4 with a compute dtype."""

    bits: Literal[4, 8]
    type: Literal["nf4", "fp4"] = "nf4"
    double_quant: bool = False
    compute_dtype: Dtype = "bfloat16"


SHORT_QUANTIZATIONS = {
    "4bit": {"bits": 4},
    "nf4": {"bits": 4},
    "fp4": {"bits": 4, "type": "fp4"},
    "8bit": {"bits": 8},
    "int8": {"bits": 8},
}


def _quantization(value: Any) -> Any:
    if isinstance(value, str):
        if value not in SHORT_QUANTIZATIONS:
            raise ValueError(f"{value!r} is none of {', '.join(SHORT_QUANTIZATIONS)}, and no object")
        return SHORT_QUANTIZATIONS[value]
    return value


class Placement(Body):
    """Which copy of which model: each (model, dtype, quantization) is loaded once."""

    model: str
    dtype: Dtype | None = None
    quantization: Annotated[Quantization | None, BeforeValidator(_quantization)] = None


class StreamOptions(Body):
    include_usage: bool = False


class Generation(Placement):
    """What chat and plain completions share."""

    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1, lt=1 << 31)
    temperature: Number | None = Field(None, ge=0, le=2)
    top_p: Number | None = Field(None, ge=0, le=1)
    min_p: Number | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=-1)
    repetition_penalty: Number | None = Field(None, ge=0.01, le=100)
    presence_penalty: Number | None = Field(None, ge=-2, le=2)
    frequency_penalty: Number | None = Field(None, ge=-2, le=2)
    seed: int | None = None
    stop: Annotated[list[StopText], BeforeValidator(_stops), Field(max_length=16)] | None = None
    ignore_eos: bool | None = None
    context_length: int | None = Field(None, ge=1, lt=1 << 31)  # of prompt and answer, within the model's
    n: int | None = Field(None, ge=1, le=16)
    user: Any = None
    metadata: Any = None


class ChatRequest(Generation):
    messages: list[dict[str, Any]] = Field(min_length=1, max_length=4096)
    max_completion_tokens: int | None = Field(None, ge=1, lt=1 << 31)
    tools: list[dict[str, Any]] | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    chat_template: str | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)


class CompletionRequest(Generation):
    prompt: str | list[int]
    logprobs: int | None = Field(None, ge=0, le=20)
    echo: Literal[False] | None = None


class EmbeddingRequest(Placement):
    input: str | list[str] = Field(min_length=1, max_length=2048)
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = Field(None, ge=1)
    user: Any = None
