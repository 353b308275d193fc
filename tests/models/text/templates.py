"""Chat templates written for the tests, in the shapes of published ones."""

_PARTS = """
{%- macro part(c) -%}
{%- if c.type == 'image' or 'image' in c -%}<|vision_start|><|image_pad|><|vision_end|>
{%- elif 'text' in c -%}{{ c.text }}{%- endif -%}
{%- endmacro -%}
"""
_BODY = """{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}
{%- if m.content is string %}{{ m.content }}{% else %}
{%- for c in m.content %}{{ part(c) }}{% endfor %}{% endif %}{{ '<|im_end|>\\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""

SHAPES = {
    "macros": _PARTS + _BODY,
    "tools are none": "{% if tools is not none %}Tools: {{ tools }}{% endif %}" + _PARTS + _BODY,
    "tools are falsy": "{% if tools %}T{% else %}no tools {% endif %}" + _PARTS + _BODY,
    "documents": "{% if documents is none %}none{% elif documents is defined %}D{% endif %}"
    + _PARTS
    + _BODY,
    "nothing else is defined": "{{ enable_thinking is defined }}{{ builtin_tools is defined }}"
    "{{ continue_final_message is defined }}" + _PARTS + _BODY,
    "generation": """{% for m in messages -%}
{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}
{%- elif m.content is string %}[{{ m.content }}]
{%- else %}{% generation %}
  {% for c in m.content %}{{ c.text|default('<|image_pad|>') }}{% endfor %}
{% endgeneration %}{% endif %}{% endfor %}""",
    "json": """{% for m in messages %}{{ m | tojson }}
{{ m | tojson(ensure_ascii=false) }}{{ m | tojson(ensure_ascii=true, indent=2) }}
{{ m | tojson(indent=4) }}{{ m | tojson(separators=(',', ':'), sort_keys=true) }}{% endfor %}""",
    "loop controls": """{% for m in messages %}{% if loop.index0 > 5 %}{% break %}{% endif %}
{% if m.role == 'system' %}{% continue %}{% endif %}{{ loop.index }}{{ loop.last }}
{%- for c in m.content %}{{ loop.revindex }}{{ loop.cycle('a', 'b') }}{{ c.type }}{% endfor %}
{% endfor %}""",
    "namespace, counting images": """{% set image_count = namespace(value=0) %}
{%- for m in messages %}{% if loop.first and m.role != 'system' %}<|im_start|>system
You are a helpful assistant.<|im_end|>
{% endif %}<|im_start|>{{ m.role }}
{% if m.content is string %}{{ m.content }}<|im_end|>
{% else %}{% for c in m.content %}{% if c.type == 'image' or 'image' in c or 'image_url' in c %}
{% set image_count.value = image_count.value + 1 %}
{% if add_vision_id %}Picture {{ image_count.value }}: {% endif %}<|vision_start|><|image_pad|>
<|vision_end|>{% elif 'text' in c %}{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>
{% endif %}{% endfor %}{{ image_count.value }}""",
    "from the end, to the last question": """{% set ns = namespace(last=-1, found=false) %}
{%- for m in messages[::-1] %}{% set i = (messages|length - 1) - loop.index0 %}
{%- if not ns.found and m.role == 'user' %}{% set ns.last = i %}{% set ns.found = true %}
{%- endif %}{% endfor %}{{ ns.last }}{{ messages[0].content[-1].text if
messages[0].content is not string }}{{ messages[-1]['content'][0]['type'] }}""",
    "words of strings": """{% for m in messages %}{% if m.content is string %}
{{ m.content.strip().split(' ')[0].title() }}{{ m.content|trim|upper }}{{ m.content[:3] }}
{{ '%s: %d' % (m.role, 3) }}{{ '{} {}'.format(m.role, 1) }}{{ m.content.startswith('You') }}
{% else %}{% for c in m.content %}{{ (c.text or '')|replace('e', 'E')|indent(2) }}
{{- c.items()|list|length }}{{ c.get('text', '-')|e }}{% endfor %}{% endif %}{% endfor %}""",
    "filters with tests": """{{ messages|selectattr('role', 'equalto', 'user')|list|length }}
{{ messages|map(attribute='role')|join(', ') }}{{ messages|rejectattr('role', 'in', ['user'])
|map(attribute='content')|first|default('no system', true) }}
{% for kind, group in messages[-1].content|groupby('type') %}{{ kind }}{{ group|length }}
{% endfor %}{{ messages is iterable }}{{ messages is mapping }}{{ messages[0] is mapping }}""",
    "special tokens": "{{ bos_token }}{{ eos_token }}{{ pad_token }}{{ unk_token }}"
    "{{ bos_token is defined }}{{ image_token }}" + _PARTS + _BODY,
    "white space": "{% for m in messages %}\n   {% if true %}\n   x\n   {% endif %}\n"
    "{% endfor %}\n\n",
    "dict and range": "{{ dict(a=1, b=[2])|tojson }}{{ dict.fromkeys('ab', 0) }}"
    "{% for i in range(3) %}{{ i }}{% endfor %}{{ range(2)|list }}{{ namespace(a=1).a }}"
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}"
    "{% set j = joiner(',') %}{{ j() }}x{{ j() }}",
    "blocks and calls": """{% set text %}
{%- for m in messages %}{{ m.role }} {% endfor %}{% endset %}
{{- text|length }}{% macro wrap() %}<{{ caller() }}>{% endmacro %}{% call wrap() %}in{% endcall %}
{%- filter upper %}loud{% endfilter %}{% with a=1 %}{{ a }}{% endwith %}{# not said #}
{% raw %}{{ as it is }}{% endraw %}""",
    "dates": "{{ strftime_now('%Y') }}{{ strftime_now is defined }}"
    "{% if strftime_now is defined %}{% set day = strftime_now('%d %b %Y') %}{{ day }}{% endif %}",
}
REFUSING = {
    "an exception": "{{ raise_exception('only one image, please') }}",
    "an attribute of Python": "{{ messages.__class__.__mro__ }}",
    "a change of what is given": "{{ messages.append(1) }}",
    "a name of Python's own": "{% set n = namespace(_a=1) %}",
    "a name of Python's own, later": "{% set n = namespace() %}{% set n._a = 1 %}",
    "a statement that is not there": "{% do messages %}",
    "what is not defined": "{{ nothing.at_all }}",
    "another file": "{% include 'x' %}",
    "too long a range": "{% for i in range(1000000) %}{% endfor %}",
    "an argument that is not known": "{{ 1|tojson(nonsense=1) }}",
}
