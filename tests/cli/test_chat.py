"""`manyeyes chat`: commands, conversation, what stops an answer."""

import io
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from manyeyes.cli.chat import Chat
from manyeyes.cli.main import main
from manyeyes.core.errors import DataError
from manyeyes.core.messages import ImagePart, Message, TextPart


class Echo:
    """Says what it was asked, and remembers each conversation it saw."""

    def __init__(self, failure: BaseException | None = None) -> None:
        self.seen: list[list[Message]] = []
        self.failure = failure

    def answer(self, messages: Sequence[Message], *, params, thinking, on_text) -> Message:
        self.seen.append(list(messages))
        if self.failure:
            raise self.failure
        text = f"you said {messages[-1].text}"
        on_text(text)
        return Message("assistant", text, reasoning="hm" if thinking else None)


def talk(assistant: Echo, *lines: str, thinking: bool = False) -> Chat:
    chat = Chat(assistant, lambda turn: turn, thinking=thinking)
    rest = list(lines)
    chat.run(lambda: rest.pop(0) if rest else None)
    return chat


def roles(messages: Sequence[Message]) -> str:
    return "".join(message.role[0] for message in messages)


def test_a_conversation_grows_and_an_empty_line_is_nothing(capsys) -> None:
    echo = Echo()
    chat = talk(echo, "hello", "", "   ", "again\n")
    assert capsys.readouterr().out == "you said hello\nyou said again\n"
    assert [roles(seen) for seen in echo.seen] == ["u", "uau"] and roles(chat.messages) == "uaua"


@pytest.mark.parametrize("word", ["/exit", "/quit", "/bye"])
def test_leaving(word) -> None:
    echo = Echo()
    talk(echo, "hello", word, "not heard")
    assert len(echo.seen) == 1


def test_a_new_conversation_forgets(capsys) -> None:
    echo = Echo()
    talk(echo, "hello", "/new", "again")
    assert [roles(seen) for seen in echo.seen] == ["u", "u"]


def test_pictures_go_with_the_next_message(tmp_path, capsys) -> None:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a cat.png")
    echo = Echo()
    talk(echo, f"/see {tmp_path / 'a cat.png'}", f"/see '{tmp_path / 'a cat.png'}'", "what is it?", "and now?")
    kinds = [[type(part) for part in seen[-1].content] for seen in echo.seen]
    assert kinds == [[ImagePart, ImagePart, TextPart], [TextPart]]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("/see nothing.png", "no such picture"),
        ("/see", "which picture?"),
        ("/sea cat.png", "no command /sea"),
        ("/help", "/new"),
    ],
)
def test_commands_that_do_not_work_are_explained_and_the_talk_goes_on(line, says, capsys) -> None:
    echo = Echo()
    talk(echo, line, "hello")
    assert says in capsys.readouterr().out and len(echo.seen) == 1


@pytest.mark.parametrize(
    ("failure", "says"), [(DataError("no room"), "no answer: no room"), (KeyboardInterrupt(), "stopped")]
)
def test_a_turn_without_an_answer_leaves_the_conversation_as_it_was(failure, says, capsys) -> None:
    chat = talk(Echo(failure), "hello")
    assert chat.messages == [] and says in capsys.readouterr().out


def test_thoughts_are_told_from_the_answer(capsys) -> None:
    talk(Echo(), "hello", thinking=True)
    assert capsys.readouterr().out == "(thinks) hm\nyou said hello\n"


def test_control_characters_of_a_model_do_not_reach_the_terminal(capsys) -> None:
    talk(Echo(), "\x1b[2J")
    assert "\x1b" not in capsys.readouterr().out


def test_the_whole_command_answers_piped_lines(finished, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("hello\n/exit\n"))
    assert main(["chat", "--max-new-tokens", "3", "--temperature", "0"]) == 0
    printed = capsys.readouterr()
    assert printed.err == "" and printed.out.endswith("\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--model", "nothing"], "no run 'nothing'"),
        (["--top-p", "0"], "top_p"),
        (["--temperature", "inf"], "temperature"),
        (["--device", "tpu"], "expected auto, cpu, cuda or cuda:N"),
    ],
)
def test_wrong_settings_are_one_line(arguments, says, finished, capsys) -> None:
    assert main(["chat", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


def test_without_a_run_it_says_how_to_get_one(runs, capsys) -> None:
    assert main(["chat"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "manyeyes run tiny" in line
