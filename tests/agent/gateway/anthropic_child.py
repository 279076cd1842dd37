"""The official Anthropic client: a loop over a tool, whole and streamed, with thoughts and without."""

import json
import sys

from anthropic import Anthropic

base, key, tokens = sys.argv[1], sys.argv[2], int(sys.argv[3])
TOOL = {"name": "look_up", "description": "Looks up.", "input_schema": {
    "type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"]}}  # fmt: skip
client = Anthropic(base_url=base, api_key=key)

messages: list = [{"role": "user", "content": "What is k1?"}]
asked = {"model": "m", "max_tokens": tokens, "system": "Be brief.", "tools": [TOOL]}
for turn in range(3):
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 1024}} if turn == 2 else {}
    if turn == 1:
        with client.messages.stream(messages=messages, **asked) as stream:
            message = stream.get_final_message()
    else:
        message = client.messages.create(messages=messages, **asked, **thinking)
    messages.append(
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in message.content]}
    )
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": f"found {turn}"}
        for block in message.content
        if block.type == "tool_use"
    ]
    messages.append({"role": "user", "content": results or f"and k{turn + 2}?"})

print(json.dumps({"turns": 3, "text": "".join(b.text for b in message.content if b.type == "text")}))
