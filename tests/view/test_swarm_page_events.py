"""Thin events: small, whole where figures need it, and tables and facts as they were written."""

import msgspec
import pytest

from manyeyes.core.journal import Event, JournalError
from manyeyes.view.swarm_page_events import SAID, thin
from manyeyes.view.swarm_page_fake import fake_events, write_journal
from manyeyes.view.swarm_page_feed import Feed

TABLE = "Here it is.\n\n| City | Area (km²) |\n|---|---|\n| Rome | 1,285 |\n| Oslo \\| Aker | 454 |\n"
USAGE = [1, 2, 0, 0.0]


def finished(**data) -> dict:
    outcome = {"stop": "done", "text": TABLE, "reason": "", "steps": 1, "turns": 2}
    return thin(Event(7, "agent.finished", 1.0, "main/0", (6,), {"outcome": outcome | data}))[5]


def test_a_returned_table_keeps_its_headings_and_cells() -> None:
    rows = [["Rome", "1,285"], ["Oslo | Aker", "454"]]
    assert finished()["tables"] == [{"columns": ["City", "Area (km²)"], "rows": rows}]
    assert "tables" not in finished(text="no table | here")


def test_long_texts_do_not_reach_the_browser() -> None:
    long = "x" * 100_000
    facts = f"- fact | {long} | {long} | {long} | {long} | {long}"
    table = f"| {long} | {long} |\n|---|---|\n| {long} | {long} |"
    message = {"role": "assistant", "content": long, "reasoning": facts, "calls": [["a", long, long]]}
    events = [
        Event(0, "agent.created", 1.0, "main", (), {"role": long, "prompt": long, "task": long, "call": ""}),
        Event(1, "agent.began", 1.0, "main", (0,), {"messages": [message]}),
        Event(2, "llm.finished", 2.0, "main", (1,), {"turn": 0, "message": message, "usage": USAGE, "seconds": 1}),
        Event(3, "tool.started", 2.0, "main", (2,), {"place": "0.0", "name": "search", "arguments": long}),
        Event(4, "tool.finished", 3.0, "main", (3,), {
            "place": "0.0", "name": "search", "seconds": 1.0,
            "result": {"parts": [long], "failure": "", "data": {"hits": long}},
        }),
        Event(5, "something.new", 3.0, "main", (4,), {"text": long, "list": [long] * 1000}),
        Event(6, "agent.finished", 4.0, "main", (5,), {"outcome": {"stop": "done", "text": table, "reason": long}}),
    ]  # fmt: skip
    for event in events:
        assert len(msgspec.json.encode(thin(event))) < 60 * 200, event.kind
    assert thin(events[2])[5]["said"] == "x" * SAID


def test_facts_are_those_that_name_their_page() -> None:
    reasoning = "- fact | Rome | Mayor | Ada | 2025-01-01 | https://a.example/\n- fact | Oslo | Mayor | Bo | 9999 | "
    message = {"role": "assistant", "content": "", "reasoning": reasoning, "calls": []}
    data = {"turn": 0, "message": message, "usage": [1, 2, 0, 0.0], "seconds": 1.0, "waited": 0.5, "attempts": 2}
    kept = thin(Event(1, "llm.finished", 1.0, "main/0", (), data))[5]
    assert [list(fact) for fact in kept["facts"]] == [["Rome", "Mayor", "Ada", "2025-01-01", "https://a.example/"]]
    assert kept["usage"] == [1, 2, 0, 0.0] and kept["waited"] == 0.5


def test_a_feed_reads_what_was_written_by_number_and_by_agent(tmp_path) -> None:
    events = fake_events(6, rounds=2, seed=3)
    feed = Feed(write_journal(tmp_path, events))
    assert feed.read_all() == len(events) and feed.events(0, most=10**6) == events
    assert feed.events(5, most=3) == events[5:8] and feed.events(len(events)) == []
    assert len(feed.events(0, most_bytes=1)) == 1, "a reader always gets on"
    own = [event for event in events if event.agent == "main/3"]
    assert feed.of_agent("main/3", 0) == own and feed.of_agent("main/3", own[4].seq) == own[4:]
    assert feed.of_agent("nobody", 0) == [] and set(feed.agents) == {event.agent for event in events} - {""}


def test_a_feed_follows_a_journal_that_grows_in_the_middle_of_lines(tmp_path) -> None:
    events = fake_events(2, seed=1)
    whole = (write_journal(tmp_path / "whole", events) / "events.jsonl").read_bytes()
    feed, path = Feed(tmp_path / "run"), tmp_path / "run" / "events.jsonl"
    assert feed.refresh() == 0, "there is no journal yet"
    path.parent.mkdir()
    for end in range(0, len(whole) + 997, 997):
        path.write_bytes(whole[:end])
        assert feed.refresh() == whole[:end].count(b"\n")
    assert feed.events(0, most=10**6) == events


def test_equal_arguments_make_equal_journals_and_ends_follow_from_everything() -> None:
    assert fake_events(5, seed=2, depth=2) == fake_events(5, seed=2, depth=2) != fake_events(5, seed=3, depth=2)
    events = fake_events(12, seed=2, depth=2)
    assert any(event.agent.count("/") == 2 for event in events), "sub-agents of sub-agents"
    assert all(number < event.seq for event in events for number in event.after)
    assert [event.time for event in events] == sorted(event.time for event in events)


def test_a_damaged_line_says_so(tmp_path) -> None:
    (tmp_path / "events.jsonl").write_bytes(b'{"seq":0,"kind":"run.started","time":1.0}\nnot json\n')
    with pytest.raises(JournalError, match="line 2"):
        Feed(tmp_path).read_all()
