"""The reference renderer: transformers' own environment, which needs no torch."""

import jinja2
from transformers.utils.chat_template_utils import _compile_jinja_template


def render_reference(template, variables):
    """(text, None), or (None, the error)."""
    try:
        text = _compile_jinja_template(template).render(**variables)
        text.encode()
        return text, None
    except (jinja2.exceptions.TemplateError, TypeError, ValueError, ArithmeticError, LookupError,
            AttributeError, RecursionError, AssertionError) as error:
        return None, error
