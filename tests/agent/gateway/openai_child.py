"""The official OpenAI client: a loop over a tool, whole and streamed, chat and responses."""

import json
import sys

from openai import OpenAI

base, key, tokens = sys.argv[1], sys.argv[2], int(sys.argv[3])
TOOL = {"type": "function", "function": {"name": "look_up", "description": "Looks up.", "parameters": {
    "type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"]}}}  # fmt: skip
client = OpenAI(base_url=f"{base}/v1", api_key=key)

messages: list = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is k1?"}]
for turn in range(3):
    asked = {"model": "m", "messages": messages, "tools": [TOOL], "max_tokens": tokens}
    if turn == 1:
        message = {"role": "assistant", "content": "", "tool_calls": []}
        for chunk in client.chat.completions.create(**asked, stream=True):
            for piece in (choice.delta for choice in chunk.choices):
                message["content"] += piece.content or ""
                for call in piece.tool_calls or ():
                    if call.id:
                        message["tool_calls"].append({"id": call.id, "type": "function", "function": {
                            "name": call.function.name, "arguments": ""}})  # fmt: skip
                    message["tool_calls"][-1]["function"]["arguments"] += call.function.arguments or ""
    else:
        message = client.chat.completions.create(**asked).choices[0].message.model_dump(exclude_none=True)
    calls = message.get("tool_calls") or []
    messages.append({name: value for name, value in message.items() if value})
    messages[-1].setdefault("content", "")
    messages += [{"role": "tool", "tool_call_id": call["id"], "content": f"found {turn}"} for call in calls]
    if not calls:
        messages.append({"role": "user", "content": f"and k{turn + 2}?"})

said = client.responses.create(model="m", input="Say it again.", max_output_tokens=max(16, tokens))
print(json.dumps({"turns": 4, "text": said.output_text}))
