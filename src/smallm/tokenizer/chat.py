"""The chat template of the models trained here: Phi-3's form, in the reserved specials.

    <|endoftext|><|user|>
    Hello<|end|>
    <|assistant|>
    Hi.<|end|>

Exactly this form because llama.cpp recognises it without a Jinja engine. It opens with BOS,
as every training document does. transformers 5 keeps it in chat_template.jinja.
"""

from __future__ import annotations

from smallm.tokenizer.specials import END

CHAT_TEMPLATE = (
    "{{- bos_token -}}\n"
    "{%- for message in messages -%}\n"
    "{%- if message['role'] not in ['system', 'user', 'assistant'] -%}\n"
    "{{- raise_exception('role must be system, user or assistant, not ' ~ message['role']) -}}\n"
    "{%- endif -%}\n"
    "{{- '<|' ~ message['role'] ~ '|>\\n' ~ message['content'] ~ '" + END + "\\n' -}}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt -%}\n"
    "{{- '<|assistant|>\\n' -}}\n"
    "{%- endif -%}\n"
)
