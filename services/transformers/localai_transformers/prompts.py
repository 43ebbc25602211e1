"""From a request to token ids: chat templates, context limits."""

from __future__ import annotations

from typing import Any

from .errors import ApiError, invalid
from .loading import LoadedModel
from .requests import ChatRequest, CompletionRequest


def _text_of(message: dict[str, Any], number: int) -> dict[str, Any]:
    """Content parts become one text; other kinds of part are refused."""
    where = f"messages[{number}]"
    if not isinstance(message.get("role"), str):
        raise invalid(f"{where}.role: a text is needed", f"{where}.role", "invalid_type")
    content = message.get("content")
    if isinstance(content, list):
        texts = []
        for part in content:
            if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
                raise invalid(f"{where}.content: only text parts are supported", f"{where}.content", "unsupported_parameter")
            texts.append(part["text"])
        message = {**message, "content": "\n".join(texts)}
    elif content is not None and not isinstance(content, str):
        raise invalid(f"{where}.content: a text or a list of parts is needed", f"{where}.content", "invalid_type")
    return message


def chat_prompt(loaded: LoadedModel, request: ChatRequest) -> list[int]:
    messages = [_text_of(m, i) for i, m in enumerate(request.messages)]
    template = request.chat_template or loaded.tokenizer.chat_template
    if template is None:
        return loaded.tokenizer(_plain(messages))["input_ids"]
    try:
        return loaded.tokenizer.apply_chat_template(
            messages,
            tools=request.tools,
            chat_template=request.chat_template,
            add_generation_prompt=True,
            return_dict=False,
            **(request.chat_template_kwargs or {}),
        )
    except Exception as error:  # jinja2 raises many kinds, and templates raise their own
        raise invalid(f"messages: the chat template of {loaded.name!r} refused them: {error}", "messages") from error


def _plain(messages: list[dict[str, Any]]) -> str:
    """The form for base models without a template; docs/CONFIGURATION.md describes it."""
    lines = [f"{str(m['role']).capitalize()}: {m.get('content') or ''}" for m in messages]
    return "\n".join([*lines, "Assistant:"])


def completion_prompt(loaded: LoadedModel, request: CompletionRequest) -> list[int]:
    if isinstance(request.prompt, str):
        ids = loaded.tokenizer(request.prompt)["input_ids"]
    else:
        size = loaded.model.get_input_embeddings().num_embeddings
        if bad := [i for i in request.prompt if not 0 <= i < size]:
            raise invalid(f"prompt: token id {bad[0]} is not within 0..{size - 1}", "prompt")
        ids = request.prompt
    if not ids:
        raise invalid("prompt: it has no tokens", "prompt")
    return ids


def answer_limit(loaded: LoadedModel, prompt: list[int], wanted: int | None, limit: int | None) -> int:
    """How many tokens the answer may have, within the request's `limit` of prompt and answer. Raises ApiError 400 when
    the prompt alone is too long."""
    context = min(limit or loaded.context_length, loaded.context_length)
    room = context - len(prompt)
    if room < 1:
        raise ApiError(400, "context_length_exceeded", f"the prompt has {len(prompt)} tokens, the context of model "
                       f"{loaded.name!r} is {context}", "messages")
    return min(wanted or room, room)
