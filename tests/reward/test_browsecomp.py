import asyncio
import base64
import csv
import hashlib
import io
import logging
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.core.errors import DataError
from manyeyes.reward.browsecomp import Grade, Item, decrypt, encrypt, grade, read_grade, read_items
from manyeyes.reward.judge import JudgeError


def by_hand(text, canary):
    key = hashlib.sha256(canary.encode()).digest()
    data = text.encode()
    stream = (key * (len(data) // len(key) + 1))[: len(data)]
    return base64.b64encode(bytes(a ^ b for a, b in zip(data, stream, strict=True))).decode()


def released(rows, columns=("problem", "answer", "problem_topic", "canary")):
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(columns)
    writer.writerows(rows)
    return file.getvalue()


@given(st.text(), st.text())
def test_decryption_is_xor_with_the_digest_repeated(text, canary):
    assert decrypt(by_hand(text, canary), canary) == text and encrypt(text, canary) == by_hand(text, canary)


def test_the_released_form_is_read():
    text = released([[by_hand("Which {river}?", "c 1"), by_hand("Nile", "c 1"), "geography", "c 1"]])
    (item,) = read_items(text)
    assert (item.number, item.question, item.answer) == (0, "Which {river}?", "Nile")
    assert "Which {river}?" in item.prompt and "Exact Answer: {" in item.prompt


def test_an_item_is_never_written(caplog):
    item = Item(3, "Which river?", "Nile")
    assert repr(item) == str(item) == f"{[item]}"[1:-1] == "<BrowseComp item 3>"
    logging.getLogger().warning("%s %r", item, {"item": item})
    assert "Nile" not in caplog.text and "river" not in caplog.text


def test_what_does_not_decrypt_says_so_without_the_bytes():
    secret = by_hand("Nile, the river ÄÖÜ" * 5, "right")
    for bad, canary in ((secret, "wrong"), ("not base64 ***", "right"), (secret[:-3], "right")):
        with pytest.raises(DataError) as error:
            decrypt(bad, canary)
        assert error.value.__context__ is None and "Nile" not in "".join(traceback.format_exception(error.value))
    with pytest.raises(DataError, match="row 0"):
        list(read_items(released([[secret, secret, "x", "wrong"]])))
    with pytest.raises(DataError, match="canary"):
        list(read_items(released([["a", "b"]], columns=("problem", "answer"))))


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("extracted_final_answer: Nile\nreasoning: same\ncorrect: yes\nconfidence: 80%", Grade(True, 80)),
        ("correct: no", Grade(False, 100)),
        ("**Correct:** Yes\n**Confidence:** 75.5%", Grade(True, 75.5)),
        ("- correct: **no**\n", Grade(False, 100)),
        ('"correct": "yes",\n"confidence": 300', Grade(True, 100)),
        ("reasoning: it says correct: yes, which is wrong\ncorrect: no", Grade(False, 100)),
        ("correct: yes\nOn reflection:\ncorrect: no", Grade(False, 100)),
        ("correct: maybe", None),
        ("incorrect: yes", None),
        ("correct_answer: yes", None),
        ("", None),
    ],
)
def test_the_group_is_read_and_not_the_match(reply, verdict):
    assert read_grade(reply) == verdict


def test_grading_asks_a_model():
    prompts = []

    async def ask(prompt):
        prompts.append(prompt)
        return "hm" if len(prompts) == 1 else "correct: yes"

    item = Item(1, "Which {river}?", "Nile")
    assert asyncio.run(grade(item, "Exact Answer: the Nile {sic}", ask)).correct
    assert all(part in prompts[1] for part in ("Which {river}?", "the Nile {sic}", "[correct_answer]: Nile"))

    async def silent(prompt):
        return "the Nile, I think"

    with pytest.raises(JudgeError) as error:
        asyncio.run(grade(item, "", silent))
    assert "Nile" not in str(error.value)
