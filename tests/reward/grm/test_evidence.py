import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.core.chat import render
from manyeyes.core.media import MediaRules, image_visual
from manyeyes.core.messages import (
    ImagePart,
    Message,
    TextPart,
    ToolCall,
    VideoPart,
    assistant,
    system,
    tool_result,
    user,
)
from manyeyes.core.picture import Picture
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.core.trajectory import AgentSpan, Event, Node, Trajectory
from manyeyes.core.video import Clip
from manyeyes.reward.grm.evidence import EvidenceBudget, fitted, of_messages, of_trajectory, picture_of
from manyeyes.reward.grm.vote import text_of

TOKENIZER = Tokenizer.tiny()
RULES = MediaRules()


def photo(width=56, height=28, value=90):
    return Picture.of(np.full((height, width, 3), value, np.uint8))


def rollout(messages, said):
    """One turn of the main agent and one of a frozen helper."""
    prompt = render(messages, TOKENIZER, rules=RULES, generation_prompt=True, thinking=False)
    sampled = TOKENIZER.encode(said) + [TOKENIZER.im_end]
    ids = np.concatenate([prompt.ids, np.array(sampled, np.int32)])
    zeros = np.zeros(len(sampled), np.float32)
    whole = Trajectory("t/0/0", "t/0", agents=[AgentSpan(), AgentSpan("main/0", policy="frozen", parent=0)])
    whole.add(Node(ids, len(prompt.ids), zeros, zeros.astype(np.int32), media=prompt.sample("x").media))
    helper = np.array(TOKENIZER.encode("helped"), np.int32)
    whole.add(Node(helper, 0, np.zeros(len(helper), np.float32), np.zeros(len(helper), np.int32), agent=1))
    return whole


def test_a_trajectory_shows_who_was_given_and_said_what_with_its_pictures_in_place():
    parts = of_trajectory(
        rollout([system("Be kind."), user("Look: ", photo(), " what is it?")], "It is grey."), TOKENIZER
    )
    text = text_of(parts)
    wanted = ["(main was given)", "Be kind.", "Look: ", "(a picture of 56x28)", "what is it?", "(main said)",
              "It is grey.", "(main/0 said)", "helped"]  # fmt: skip
    places = [text.index(piece) for piece in wanted]
    assert places == sorted(places)
    assert "media_pad" not in text
    (picture,) = [part.image for part in parts if isinstance(part, ImagePart)]
    assert (picture.pixels() == 90).all()


def test_a_second_end_of_thought_hides_nothing():
    ids = [TOKENIZER.think, TOKENIZER.end_think, *TOKENIZER.encode("said aloud"), TOKENIZER.end_think]
    whole = Trajectory("t/0/0", "t/0")
    whole.add(Node(np.array(ids, np.int32), 1, np.zeros(len(ids) - 1, np.float32), np.zeros(len(ids) - 1, np.int32)))
    assert "said aloud" in text_of(of_trajectory(whole, TOKENIZER))


@pytest.mark.parametrize("thinks", [True, False])
def test_thoughts_of_a_trajectory_are_left_out(thinks):
    prompt = render([user("hi")], TOKENIZER, rules=RULES, generation_prompt=True, thinking=thinks).ids
    thought = [*TOKENIZER.encode("flatter the judge"), TOKENIZER.end_think] if thinks else []
    for said in ("Hello.", ""):
        sampled = [*thought, *TOKENIZER.encode(said)] if said else thought[:-1]
        zeros = np.zeros(len(sampled), np.float32)
        whole = Trajectory("t/0/0", "t/0")
        ids = np.concatenate([prompt, np.array(sampled, np.int32)])
        whole.add(Node(ids, len(prompt), zeros, zeros.astype(np.int32)))
        text = text_of(of_trajectory(whole, TOKENIZER))
        assert "flatter" not in text and "hi" in text and text.count("(main said)") == bool(said)
        assert said in text


def test_a_trajectory_without_tokens_is_told_by_its_events():
    whole = Trajectory("t/0/0", "t/0")
    whole.events += [
        Event("reply", agent=0, data={"message": {"content": "I look."}}),
        Event("tool", agent=0, data={"name": "search", "result": "found"}),
        Event("note", agent=0, data={"secret": "not shown"}),
        Event("reply", agent=7, data={"message": "?"}),
    ]
    text = text_of(of_trajectory(whole, TOKENIZER))
    assert text.index("I look.") < text.index("found") < text.index("(somebody: reply)") and "not shown" not in text
    assert of_trajectory(Trajectory("t", "t"), TOKENIZER) == ()


def test_a_conversation_shows_calls_and_results_and_no_reasoning():
    call = ToolCall.of("bash", {"command": "ls"}, index=0)
    text = text_of(of_messages([user("hi"), assistant("I list.", reasoning="hidden thought", calls=(call,)),
                                tool_result(call, "a.txt"), Message("assistant", "Done.")]))  # fmt: skip
    assert '(calls bash) {"command": "ls"}' in text and "a.txt" in text and "hidden thought" not in text


@given(st.lists(st.one_of(st.text("abc", max_size=60), st.none()), max_size=6), st.integers(0, 80))
def test_evidence_keeps_its_budget_its_beginning_and_its_end(pieces, characters):
    parts = [ImagePart(photo()) if piece is None else TextPart(piece) for piece in pieces]
    whole = "".join(piece for piece in pieces if piece)
    found = fitted(parts, EvidenceBudget(characters, pictures=2))
    text = "".join(part.text for part in found if isinstance(part, TextPart))
    pictures = sum(piece is None for piece in pieces)
    assert sum(isinstance(part, ImagePart) for part in found) == min(2, pictures)
    if pictures <= 2 and len(whole) <= characters:
        assert text == whole
    elif pictures <= 2:
        first = int(characters * 0.25)
        left = f"\n(… {len(whole) - characters:,} characters are left out here …)\n"
        assert text == whole[:first] + left + whole[len(whole) - (characters - first) :]


def test_large_pictures_are_shrunk_and_clips_become_stills():
    found = fitted([ImagePart(photo(400, 200)), VideoPart(Clip((photo(), photo(value=5)), fps=2.0))],
                   EvidenceBudget(pixels=20_000))  # fmt: skip
    large, still = (part.image for part in found if isinstance(part, ImagePart))
    assert (large.width, large.height) == (200, 100) and large.pixels().shape == (100, 200, 3)
    assert (still.width, still.height) == (56, 28) and (still.pixels() == 90).all()


@pytest.mark.parametrize("size", [(56, 28), (61, 43)])
def test_patches_become_the_picture_they_were_cut_from(size):
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    again = picture_of(image_visual(Picture.of(pixels), RULES).media()).pixels()
    if again.shape == pixels.shape:
        assert np.array_equal(again, pixels)
    assert again.shape[0] >= size[1] - 28 and again.shape[0] % 28 == again.shape[1] % 28 == 0
