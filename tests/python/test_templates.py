"""Chat templates: `localai template` against jinja2 in the environment that transformers makes."""

import json

import pytest
from conftest import run_localai
from template_reference import render_reference
from template_samples import CONVERSATIONS, TEMPLATES


def render_ours(template, variables, tmp_path):
    path = tmp_path / "t.jinja"
    path.write_bytes(template.encode())
    return run_localai("template", "--file", path, stdin=json.dumps(variables).encode()).decode()


@pytest.fixture(scope="session")
def smollm2_template(smollm2):
    from gguf import GGUFReader

    field = GGUFReader(str(smollm2)).fields["tokenizer.chat_template"]
    return bytes(field.parts[-1]).decode()


def compare(template, variables, tmp_path):
    expected, error = render_reference(template, variables)
    path = tmp_path / "t.jinja"
    path.write_bytes(template.encode())
    done = run_localai("template", "--file", path, stdin=json.dumps(variables).encode(), check=False)
    if error is not None:
        assert done.returncode != 0 and not done.stdout, (error, done.stdout)
    else:
        assert done.returncode == 0, done.stderr.decode()
        assert done.stdout == expected.encode()


@pytest.mark.parametrize("name", sorted(CONVERSATIONS))
def test_real_template(name, smollm2_template, tmp_path):
    for prompt in (False, True):
        compare(smollm2_template, {**CONVERSATIONS[name], "add_generation_prompt": prompt}, tmp_path)


@pytest.mark.parametrize("style", sorted(TEMPLATES))
def test_written_template(style, tmp_path):
    rendered = 0
    for conversation in CONVERSATIONS.values():
        for prompt in (False, True):
            variables = {
                "bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": prompt,
                "date_string": "26 Jul 2024", **conversation,
            }
            compare(TEMPLATES[style], variables, tmp_path)
            rendered += render_reference(TEMPLATES[style], variables)[1] is None
    assert rendered >= 4, "this template refuses nearly every conversation"


def test_model_gives_template_and_tokens(smollm2, gemma3, tmp_path):
    request = json.dumps({"messages": [{"role": "user", "content": "hi"}], "add_generation_prompt": True}).encode()
    assert run_localai("template", "--model", smollm2, stdin=request).endswith(b"hi<|im_end|>\n<|im_start|>assistant\n")
    done = run_localai("template", "--model", gemma3, stdin=request, check=False)
    assert done.returncode != 0 and b"no chat template" in done.stderr
    path = tmp_path / "t.jinja"
    path.write_text("{{ bos_token }}{{ messages[0].content }}{{ eos_token }}")
    assert run_localai("template", "--model", gemma3, "--file", path, stdin=request) == b"<bos>hi<eos>"


def test_raise_exception_gives_its_message(tmp_path):
    path = tmp_path / "t.jinja"
    path.write_text("{{ raise_exception('roles must alternate') }}")
    done = run_localai("template", "--file", path, stdin=b"{}", check=False)
    assert done.returncode != 0 and b"roles must alternate" in done.stderr and done.stdout == b""


def test_strftime_now_is_local_time(tmp_path):
    import datetime

    before = datetime.datetime.now().strftime("%d %b %Y %j %A %H")
    ours = render_ours("{{ strftime_now('%d %b %Y %j %A %H') }}", {}, tmp_path)
    after = datetime.datetime.now().strftime("%d %b %Y %j %A %H")
    assert ours in (before, after)


@pytest.mark.parametrize("hostile", [
    "{{ range(10**9)|list }}",
    "{{ 'x' * 10**12 }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{{ " + "(" * 10000 + "1" + ")" * 10000 + " }}",
    "{{ {'a': 1}|tojson(indent=10**9) }}",
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(9999) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
    "{{ ''.__class__.__mro__ }}",
    "{{ 'x'.center(10**15) }}",
    "{{ 'x'|indent(10**15, true) }}",
])
def test_hostile_template_is_refused(hostile, tmp_path):
    path = tmp_path / "t.jinja"
    path.write_text(hostile)
    done = run_localai("template", "--file", path, stdin=b"{}", check=False, timeout=60)
    assert done.returncode > 0 and done.stderr
