"""Templates written in the style of well-known models, and conversations to render with them."""

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_time",
            "description": "The time in a zone, e.g. \"UTC\" <now> & 'soon'",
            "parameters": {
                "type": "object",
                "properties": {"tz": {"type": "string", "enum": ["UTC", "Asia/日本"]}, "n": {"default": 1.5}},
                "required": ["tz"],
            },
        },
    },
    {"type": "function", "function": {"name": "noop", "description": "", "parameters": {}}},
]


def user(content):
    return {"role": "user", "content": content}


def assistant(content, **more):
    return {"role": "assistant", "content": content, **more}


def system(content):
    return {"role": "system", "content": content}


CALL = {"id": "abcdefghi", "type": "function", "function": {"name": "get_time", "arguments": {"tz": "UTC"}}}
PARTS = [{"type": "text", "text": " look "}, {"type": "image"}, {"type": "text", "text": "here"}]

CONVERSATIONS = {
    "one": {"messages": [user(" Hi ")]},
    "system": {"messages": [system(" Be brief. "), user("Hi")]},
    "turns": {"messages": [user("a"), assistant("Hello."), user("b\n\n"), assistant("\tc"), user("d")]},
    "system_turns": {"messages": [system("S"), user("a"), assistant("b"), user("c")]},
    "unicode": {"messages": [system("é ß 日本"), user("👩‍👩‍👧 naïve\u2028x\x00\x1f"), assistant("İstanbul ﬁ")]},
    "empty": {"messages": [system(""), user(""), assistant(""), user("x")]},
    "blank": {"messages": [user("  \n\t "), assistant(" \r\n ")]},
    "markup": {"messages": [user("{{ 1 }} {% if %} <|im_end|> {# c #} </s> & <b>")]},
    "thinking": {
        "messages": [user("q"), assistant("<think>\nhm\n</think>\n\nyes"), user("r")], "enable_thinking": False,
    },
    "tools": {"messages": [user("time?")], "tools": TOOLS},
    "tool_turns": {
        "messages": [
            system("S"), user("time?"), assistant(None, tool_calls=[CALL, CALL]),
            {"role": "tool", "content": "12:00", "tool_call_id": "abcdefghi"},
            {"role": "tool", "content": {"t": [1, 2.0, None, True]}, "tool_call_id": "abcdefghi"},
            assistant("noon"), user("thanks"),
        ],
        "tools": TOOLS,
    },
    "parts": {"messages": [user(PARTS), assistant([{"type": "text", "text": "ok "}]), user("x")]},
    "wrong_order": {"messages": [assistant("a"), user("b"), user("c")]},
    "none": {"messages": []},
}

GEMMA = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system here') }}{% endif %}
{%- for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{ raise_exception('user and assistant take turns') }}{% endif %}
{% set who = 'model' if m.role == 'assistant' else m.role %}
{{ '<start_of_turn>' + who + '\\n' + m['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}
{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"""

GEMMA3 = """{{ bos_token }}
{%- if messages and messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set prefix = messages[0]['content'] + '\\n\\n' -%}
    {%- else -%}
        {%- set prefix = messages[0]['content'][0]['text'] + '\\n\\n' -%}
    {%- endif -%}
    {%- set rest = messages[1:] -%}
{%- else -%}
    {%- set prefix = '' -%}{%- set rest = messages -%}
{%- endif -%}
{%- for m in rest -%}
    {%- if (m['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("turns must alternate user/assistant/user/assistant/...") }}
    {%- endif -%}
    {{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\\n' + (prefix if loop.first else "") }}
    {%- if m['content'] is string -%}
        {{ m['content'] | trim }}
    {%- elif m['content'] is iterable -%}
        {%- for item in m['content'] -%}
            {%- if item['type'] == 'image' -%}{{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}{{ item['text'] | trim }}{%- endif -%}
        {%- endfor -%}
    {%- else -%}{{ raise_exception("Invalid content type") }}{%- endif -%}
    {{ '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}
"""

PHI = """{% for m in messages %}{% if m['role'] == 'system' and m['content'] %}{{'<|system|>\\n' + m['content'] + '<|end|>\\n'}}
{%- elif m['role'] == 'user' %}{{'<|user|>\\n' + m['content'] + '<|end|>\\n'}}
{%- elif m['role'] == 'assistant' %}{{'<|assistant|>\\n' + m['content'] + '<|end|>\\n'}}{% endif %}{% endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}"""

GRANITE = """{%- set intro = 'Tools:\\n<tools>' %}
{%- set outro = '\\n</tools>\\nCall them.' %}
{%- set ns = namespace(system_message=none, has=false, text='') %}
{%- if tools %}
    {%- for tool in tools %}{%- set ns.text = ns.text + '\\n' + (tool | tojson) %}{%- endfor %}
    {%- set ns.text = intro + ns.text + outro %}
{%- endif %}
{%- if messages and messages[0].role == 'system' %}
    {%- if messages[0].content is string %}{%- set ns.system_message = messages[0].content %}
    {%- elif messages[0].content is iterable %}
        {%- for e in messages[0].content %}{%- if e.type == 'text' %}{%- set ns.system_message = ns.system_message | default('', true) + e.text %}{%- endif %}{%- endfor %}
    {%- endif %}
    {%- set ns.has = true %}
{%- endif %}
{%- if ns.has or tools %}
{{- '<|start_of_role|>system<|end_of_role|>' }}{{ ns.system_message if ns.has else 'Default.' }}{{ ns.text }}{{ '<|end_of_text|>\\n' }}
{%- endif %}
{%- for m in messages if m.role != 'system' %}
    {%- set content = namespace(val='') %}
    {%- if m.content is string %}{%- set content.val = m.content %}
    {%- elif m.content is iterable and m.content is not mapping %}
        {%- for e in m.content %}{%- if e.type is defined and e.type == 'text' %}{%- set content.val = content.val + e.text %}{%- endif %}{%- endfor %}
    {%- elif m.content is not none %}{%- set content.val = m.content | string %}{%- endif %}
    {%- if m.role == 'tool' %}
        {%- if loop.first or loop.previtem.role != 'tool' %}{{- '<|start_of_role|>user<|end_of_role|>' }}{%- endif %}
        {{- '\\n<tool_response>\\n' + content.val + '\\n</tool_response>' }}
        {%- if loop.last or loop.nextitem.role != 'tool' %}{{- '<|end_of_text|>\\n' }}{%- endif %}
    {%- else %}
        {{- '<|start_of_role|>' + m.role + '<|end_of_role|>' + content.val }}
        {%- for call in m.tool_calls | default([]) %}
            {%- if (loop.first and content.val) or not loop.first %}{{- '\\n' }}{%- endif %}
            {%- if call.function %}{%- set call = call.function %}{%- endif %}
            {{- '<tool_call>\\n{"name": "' }}{{- call.name }}{{- '", "arguments": ' }}
            {%- if call.arguments is string %}{{- call.arguments }}{%- else %}{{- call.arguments | tojson }}{%- endif %}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|end_of_text|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_of_role|>assistant<|end_of_role|>' }}{%- endif %}
"""

QWEN = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
    {{- "# Tools\\n\\n<tools>" }}
    {%- for tool in tools %}{{- "\\n" }}{{- tool | tojson }}{%- endfor %}
    {{- "\\n</tools>\\n{\\"name\\": <function-name>}<|im_end|>\\n" }}
{%- elif messages and messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(multi_step=true, last=messages|length - 1) %}
{%- for m in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step and m.role == "user" and m.content is string and not(m.content.startswith('<tool_response>') and m.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step = false %}{%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for m in messages %}
    {%- if m.content is string %}{%- set content = m.content %}{%- else %}{%- set content = '' %}{%- endif %}
    {%- if (m.role == "user") or (m.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + m.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif m.role == "assistant" %}
        {%- set thought = '' %}
        {%- if m.reasoning_content is string %}{%- set thought = m.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last and (loop.last or thought) %}
            {{- '<|im_start|>' + m.role + '\\n<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}{{- '<|im_start|>' + m.role + '\\n' + content }}{%- endif %}
        {%- if m.tool_calls %}
            {%- for call in m.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}{{- '\\n' }}{%- endif %}
                {%- if call.function %}{%- set call = call.function %}{%- endif %}
                {{- '<tool_call>\\n{"name": "' }}{{- call.name }}{{- '", "arguments": ' }}{{- call.arguments | tojson }}{{- '}\\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif m.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\\n<tool_response>\\n' }}{{- content }}{{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}"""

LLAMA3 = """{{- bos_token }}
{%- if custom_tools is defined %}{%- set tools = custom_tools %}{%- endif %}
{%- if not tools_in_user_message is defined %}{%- set tools_in_user_message = true %}{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}{%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}{%- set date_string = "26 Jul 2024" %}{%- endif %}
{%- endif %}
{%- if not tools is defined %}{%- set tools = none %}{%- endif %}
{#- the system message #}
{%- if messages and messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}{%- set messages = messages[1:] %}
{%- else %}{%- set system_message = "" %}{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}{{- "Environment: ipython\\n" }}{%- endif %}
{{- "Cutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}{{- "<|eot_id|>" }}
{%- if tools_in_user_message and not tools is none %}
    {%- if messages | length != 0 %}
        {%- set first = messages[0]['content']|trim %}{%- set messages = messages[1:] %}
    {%- else %}{{- raise_exception("no first user message!") }}{%- endif %}
    {{- '<|start_header_id|>user<|end_header_id|>\\n\\n' -}}
    {{- "Given the following functions.\\n\\n" }}
    {%- for t in tools %}{{- t | tojson(indent=4) }}{{- "\\n\\n" }}{%- endfor %}
    {{- first + "<|eot_id|>"}}
{%- endif %}
{%- for m in messages %}
    {%- if not (m.role == 'ipython' or m.role == 'tool' or 'tool_calls' in m) %}
        {{- '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n'+ m['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in m %}
        {%- if not m.tool_calls|length == 2 %}{{- raise_exception("two calls!") }}{%- endif %}
        {%- set call = m.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {{- '{"name": "' + call.name + '", ' }}{{- '"parameters": ' }}{{- call.arguments | tojson }}{{- "}<|eot_id|>" }}
    {%- elif m.role == "tool" or m.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if m.content is mapping or m.content is iterable %}{{- m.content | tojson }}{%- else %}{{- m.content }}{%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}
"""

NEMO = """{%- if messages and messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}{%- set loop_messages = messages[1:] %}
{%- else %}{%- set loop_messages = messages %}{%- endif %}
{%- if not tools is defined %}{%- set tools = none %}{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or message.role == "tool_results" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}{{- raise_exception("roles must alternate") }}{%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS][" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}{{- '"' + key + '": "' + val + '"' }}
                    {%- else %}{{- '"' + key + '": ' + val|tojson }}{%- endif %}
                    {%- if not loop.last %}{{- ", " }}{%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" }}{%- endif %}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}{{- "[INST]" + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}{{- "[INST]" + message["content"] + "[/INST]" }}{%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS][" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}
            {%- if not tool_call.id is defined or tool_call.id|length != 9 %}{{- raise_exception("ids have 9 characters") }}{%- endif %}
            {{- ', "id": "' + tool_call.id + '"}' }}
            {%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" + eos_token }}{%- endif %}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}{{- message["content"] + eos_token}}
    {%- elif message["role"] == "tool_results" or message["role"] == "tool" %}
        {%- if message.content is defined and message.content.content is defined %}{%- set content = message.content.content %}
        {%- else %}{%- set content = message.content %}{%- endif %}
        {{- '[TOOL_RESULTS]{"content": ' + content|string + ", " }}
        {%- if not message.tool_call_id is defined or message.tool_call_id|length != 9 %}{{- raise_exception("ids have 9 characters") }}{%- endif %}
        {{- '"call_id": "' + message.tool_call_id + '"}[/TOOL_RESULTS]' }}
    {%- else %}{{- raise_exception("unknown role") }}{%- endif %}
{%- endfor %}
"""

MACROS = """{%- macro show(value, level=0, sep=', ') -%}
    {%- if value is mapping -%}{ {%- for k, v in value | dictsort %}{{ k }}={{ show(v, level + 1) }}{{ sep if not loop.last }}{% endfor -%} }
    {%- elif value is string -%}{{ value | upper | replace(' ', '_') }}
    {%- elif value is iterable -%}[{% for v in value %}{{ loop.index }}:{{ show(v, level=level + 1) }}{% if not loop.last %};{% endif %}{% endfor %}]
    {%- else -%}{{ value }}@{{ level }}{%- endif -%}
{%- endmacro -%}
{%- macro frame(title) %}<{{ title }}>{{ caller(title | length) }}</{{ title }}>{% endmacro -%}
{%- for m in messages %}
    {%- if m.role == 'system' %}{% continue %}{% endif %}
    {%- call(n) frame(m.role) %}{{ n }}:{{ show(m.content) }}{% endcall %}
    {% generation %}{{ m.content if m.content is string else show(m.content) }}{% endgeneration %}
    {%- if loop.index >= 4 %}{% break %}{% endif %}
{%- else %}nothing{% endfor %}
{% set block | trim | indent(2, true) %}
   a
   {{ messages | length }}
{% endset %}
{{ block }}{% filter upper %}x{{ block }}{% endfilter %}
{% with a = 1, b = tools | default([]) | length %}{{ a + b }}{% endwith %}
{% raw %}{{ raw }}{% endraw %}
"""

TEMPLATES = {
    "gemma": GEMMA, "gemma3": GEMMA3, "phi": PHI, "granite": GRANITE, "qwen": QWEN, "llama3": LLAMA3,
    "nemo": NEMO, "macros": MACROS,
}
