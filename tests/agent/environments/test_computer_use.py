"""Computer use in real Chromium: E.7's protocol, MiniWoB++ with its own rewards, and ways round the work."""

import asyncio
import importlib.util
import os
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from manyeyes.agent.environments.browser_computer import BrowserComputer
from manyeyes.agent.environments.browser_computers import BrowserComputers
from manyeyes.agent.environments.computer import ComputerLost, Screen
from manyeyes.agent.environments.computer_code import events_of
from manyeyes.agent.environments.computer_use import ComputerUse
from manyeyes.agent.environments.computer_world import World, WorldState
from manyeyes.agent.environments.input_event import Terminate
from manyeyes.agent.environments.local_pages import ROOT, folder, serve
from manyeyes.agent.environments.miniwob import MiniWob, miniwob_pages, miniwob_task, miniwob_tasks
from manyeyes.agent.fakes import Scripted
from manyeyes.agent.judge import Case, JudgeFailed
from manyeyes.agent.prompting.answer_language import AnswerLanguage
from manyeyes.agent.prompting.constraints import CONSTRAINTS
from manyeyes.agent.prompting.instructions import Instructions
from manyeyes.agent.prompting.languages import LANGUAGES
from manyeyes.agent.rollouts.group import GroupRequest
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.run import AgentRun
from manyeyes.agent.task import Outcome, Task
from manyeyes.agent.token_chat import TokenChat
from manyeyes.core.errors import ConfigError
from manyeyes.core.fakes import FakeSampler
from manyeyes.core.journal import Journal
from manyeyes.core.media import MediaRules
from manyeyes.core.messages import ImagePart, Message, ToolCall, assistant
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.core.trajectory import Trajectory

from ..tools.browser_site import Site, browser
from .miniwob_policies import POLICIES, ByHand, Watched
from .walk import Caller, Policy, Walk, walk

T = TypeVar("T")
FAST = ("click-button", "enter-text")


class Stage:
    """One browser for all tests here, in a loop of its own, for it takes seconds to start."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.computers = BrowserComputers(browser(), most=3)

    def __call__(self, coming: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coming)

    def environment(self, world: World, **settings: Any) -> ComputerUse:
        return ComputerUse(world=world, computers=self.computers, **settings)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    made = Stage()
    with made.runner:
        yield made
        made(made.computers.close())


@pytest.fixture
def miniwob() -> None:
    """Skipped by name without the pages, but not in CI."""
    if importlib.util.find_spec("miniwob") is None:
        why = "needs the pages of MiniWoB++: pip install 'manyeyes[environments]'"
        pytest.fail(why) if os.environ.get("CI") == "true" else pytest.skip(why)


def answer(code: str) -> Message:
    return assistant(f"I think so.\n\n## Action:\nDo it.\n\n## Code:\n```python\n{code}\n```")


def answering(*codes: str) -> Policy:
    waiting = iter(codes)

    async def policy(_: list[Message]) -> Message:
        return answer(next(waiting))

    return policy


def played(stage: Stage, page: str, seeds: tuple[int, ...]) -> list[Walk]:
    world = Watched()
    environment = stage.environment(world)
    return [stage(walk(environment, miniwob_task(page, seed), ByHand(world, page))) for seed in seeds]


def solved(walked: Walk) -> bool:
    return walked.verdict is not None and walked.verdict.reward == 1.0 and walked.verdict.parts["raw"] == 1.0


@pytest.mark.usefixtures("miniwob")
@pytest.mark.parametrize("page", FAST)
def test_a_page_that_is_solved_gives_its_reward(page: str, stage: Stage) -> None:
    (walked,) = played(stage, page, (1,))
    assert solved(walked) and walked.noted[-1]["computer"]["done"] is True


@pytest.mark.slow
@pytest.mark.usefixtures("miniwob")
@pytest.mark.parametrize("page", sorted(POLICIES.keys() - set(FAST)))
def test_every_page_with_a_policy_gives_its_reward(page: str, stage: Stage) -> None:
    assert all(map(solved, played(stage, page, (1, 2, 3))))


@pytest.mark.slow
@pytest.mark.usefixtures("miniwob")
def test_every_page_begins_with_words_and_is_not_over(stage: Stage) -> None:
    world = MiniWob()

    async def begun(page: str) -> bool:
        computer = await stage.computers.open(world.screen)
        try:
            said = await world.begin(miniwob_task(page, 1), computer)
            return bool(said) and not (await world.state(computer)).done
        finally:
            await computer.close()

    async def all_begun() -> list[bool]:
        return await asyncio.gather(*map(begun, miniwob_pages()))

    assert all(stage(all_begun()))


def test_there_are_policies_for_more_than_twenty_pages() -> None:
    assert len(POLICIES) >= 35


@pytest.mark.usefixtures("miniwob")
def test_the_agent_sees_words_and_pictures_and_nothing_of_the_page(stage: Stage) -> None:
    (walked,) = played(stage, "use-spinner", (2,))
    first, told = walked.history[1], walked.history[0].text
    assert "You are a GUI agent." in told and "computer.terminate" in told
    assert "Select -7 with the spinner" in first.text or "with the spinner and hit Submit." in first.text
    seen = [message for message in walked.history if message.role == "user"]
    assert all(sum(isinstance(part, ImagePart) for part in message.parts) == 1 for message in seen)
    words = " ".join(message.text for message in seen[1:])
    assert not any(secret in words for secret in ("reward", "<", "button", "spinner", "raw", "done"))
    (picture,) = (part.image for part in first.parts if isinstance(part, ImagePart))
    assert (picture.width, picture.height) == (480, 630)


@pytest.mark.usefixtures("miniwob")
def test_the_same_seed_shows_the_same_problem(stage: Stage) -> None:
    world = Watched()

    async def go() -> None:
        shown: list[tuple[str, bytes | None]] = []
        for seed in (7, 7, 8):
            computer = await stage.computers.open(world.screen)
            said = await world.begin(miniwob_task("click-checkboxes", seed), computer)
            shown.append((said, (await computer.screenshot()).encoded))
            await computer.close()
        assert shown[0] == shown[1] and shown[0] != shown[2]

    stage(go())


@pytest.mark.usefixtures("miniwob")
def test_a_wrong_answer_ends_it_and_nothing_begins_again(stage: Stage) -> None:
    world = Watched()

    async def go() -> None:
        environment = stage.environment(world)

        async def wrong(_: list[Message]) -> Message:
            at = await world.computer.page.evaluate(
                "() => { const box = [...document.querySelectorAll('#area button')]"
                ".find(b => !document.querySelector('#query').textContent.includes('\"' + b.textContent + '\"'))"
                ".getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }"
            )
            click = f"pyautogui.click({at[0] / 160:.4f}, {at[1] / 210:.4f})"
            await asyncio.sleep(0)
            return answer(f"{click}\npyautogui.sleep(0.3)\npyautogui.click(0.5, 0.5)\n{click}")

        walked = await walk(environment, miniwob_task("click-button", 4), wrong)
        assert walked.verdict is not None and walked.verdict.reward == 0.0 and walked.verdict.parts["raw"] == -1.0
        assert walked.verdict.notes["done"] and walked.verdict.notes["steps"] == 1

    stage(go())


@pytest.mark.usefixtures("miniwob")
def test_a_page_that_is_loaded_anew_gives_nothing(stage: Stage) -> None:
    world = Watched()

    async def go() -> None:
        for leave in ("location.reload()", "location.href = 'about:blank'"):
            computer = await stage.computers.open(world.screen)
            await world.begin(miniwob_task("click-test", 1), computer)
            await computer.page.evaluate(leave)
            await computer.do(events_of("pyautogui.sleep(0.5)\npyautogui.click(0.5, 0.5)\npyautogui.sleep(0.1)"))
            state = await world.state(computer)
            assert state.done and state.reward == 0.0 and state.reason == "the page was left"
            await computer.close()

    stage(go())


@pytest.mark.usefixtures("miniwob")
def test_mistakes_are_told_and_steps_run_out(stage: Stage) -> None:
    world = Watched()

    async def go() -> None:
        said = iter([assistant("What shall I do?"), answer("import os"), answer("pyautogui.click(80, 100)")])

        async def policy(_: list[Message]) -> Message:
            return next(said)

        environment = stage.environment(world, steps=3)
        walked = await walk(environment, miniwob_task("click-test", 1), policy)
        words = [message.text for message in walked.history if message.role == "user"][1:]
        assert '"## Code:" section' in words[0] and "2 steps left" in words[0]
        assert "only calls" in words[1] and "1 step left" in words[1]
        assert "fraction of the screen" in words[2] and "0 steps left" in words[2]
        assert not any(message.media for message in walked.history[2:])
        assert walked.verdict is not None and walked.verdict.reward == 0.0 and walked.verdict.notes["steps"] == 3

    stage(go())


@pytest.mark.usefixtures("miniwob")
def test_terminating_ends_an_attempt_with_an_answer_and_earns_nothing_by_itself(stage: Stage) -> None:
    world = Watched()

    async def go() -> None:
        environment = stage.environment(world, wait_seconds=0.01)
        ends = "computer.wait()\ncomputer.terminate(status='success', answer='42')\npyautogui.click(0.5, 0.5)"
        walked = await walk(environment, miniwob_task("click-test", 1), answering("computer.wait()", ends))
        assert walked.verdict is not None and walked.verdict.reward == 0.0
        assert walked.verdict.parts["terminated"] == 1.0
        noted = walked.noted[-1]["computer"]
        assert (noted["status"], noted["answer"], noted["done"], noted["steps"]) == ("success", "42", False, 2)

    stage(go())


COUNTER = """<body style="margin:0"><button id="b" style="width:100px;height:50px"
onclick="window.hits=(window.hits||0)+1">more</button><input id="t" style="position:absolute;left:0;top:60px">
<div style="height:3000px"></div><script>window.keys=[];
addEventListener("keydown", event => keys.push((event.ctrlKey ? "^" : "") + event.key));
addEventListener("contextmenu", event => { window.menu = true; event.preventDefault(); });
addEventListener("dblclick", () => { window.twice = true; });</script>"""


class Counter:
    """A world of one's own: press the button three times."""

    screen = Screen(400, 300, settle_seconds=0.2)
    computer: BrowserComputer

    async def begin(self, task: Task, computer: BrowserComputer) -> str:
        self.computer = computer
        await serve(computer, {"": COUNTER.encode(), "index.html": COUNTER.encode()}.get)
        await computer.goto(f"{ROOT}index.html")
        return task.prompt

    async def state(self, computer: BrowserComputer, ended: Terminate | None) -> WorldState:
        hits = await computer.page.evaluate("() => window.hits || 0")
        knows = ended is not None and ended.answer == str(hits)
        return WorldState(hits >= 3, min(1.0, hits / 3), {"hits": float(hits), "knows": float(knows)})


def test_mouse_and_keyboard_are_real(stage: Stage) -> None:
    async def go() -> None:
        world = Counter()
        computer = await stage.computers.open(world.screen)
        await world.begin(Task("t", "Press."), computer)
        await computer.do(events_of(
            "pyautogui.click(0.1, 0.08)\npyautogui.rightClick(0.5, 0.9)\npyautogui.doubleClick(0.6, 0.5)\n"
            "pyautogui.click(0.05, 0.24)\npyautogui.write('Grüße 你')\npyautogui.hotkey('ctrl', 'a')\n"
            "pyautogui.press('delete')\npyautogui.write('ab')\npyautogui.scroll(-4, 0.5, 0.5)"
        ))  # fmt: skip
        told = await computer.page.evaluate("() => [hits, menu, twice, keys, t.value, scrollY]")
        assert told[:3] == [1, True, True] and told[4] == "ab" and told[5] == 4 * 53
        assert "^a" in told[3] and "Delete" in told[3] and "G" in told[3]
        await computer.close()

    stage(go())


def test_a_run_hears_of_a_missing_browser_before_its_first_attempt(stage: Stage) -> None:
    stage(stage.environment(Counter()).ready())
    missing = BrowserComputers(replace(stage.computers.config, chromium="/no/such/browser"))
    with pytest.raises(ConfigError, match="/no/such/browser"):
        stage(ComputerUse(world=Counter(), computers=missing).ready())
    with pytest.raises(ConfigError, match="a world and computers"):
        stage(ComputerUse().ready())


def test_a_world_of_ones_own_and_a_policy_that_looks_at_three_screenshots(stage: Stage) -> None:
    shown: list[int] = []

    async def policy(messages: list[Message]) -> Message:
        shown.append(sum(bool(message.media) for message in messages))
        return answer("pyautogui.click(0.1, 0.08)" if len(shown) % 2 else "pyautogui.moveTo(0.9, 0.9)")

    walked = stage(walk(stage.environment(Counter()), Task("t", "Press it thrice."), policy))
    assert shown == [1, 2, 3, 3, 3] and walked.verdict is not None and walked.verdict.reward == 1.0
    assert "Press it thrice." in walked.history[1].text


def test_a_world_is_told_the_agents_answer(stage: Stage) -> None:
    for said, knows in (("1", 1.0), ("2", 0.0)):
        policy = answering("pyautogui.click(0.1, 0.08)", f"computer.terminate('success', {said!r})")
        walked = stage(walk(stage.environment(Counter()), Task("t", "How often?"), policy))
        assert walked.verdict is not None and walked.verdict.parts["knows"] == knows


def test_what_a_page_asks_for_beyond_its_own_address_is_refused(stage: Stage) -> None:
    async def go() -> None:
        async with Site({"/": "here"}) as site:
            page = f"<img src='{site.url}/img'><script>fetch('{site.url}/fetch').catch(() => {{}})</script>"
            computer = await stage.computers.open(Screen(200, 200, settle_seconds=0.5))
            await serve(computer, {"index.html": page.encode()}.get)
            await computer.goto(f"{ROOT}index.html")
            await computer.do(events_of("pyautogui.sleep(0.2)"))
            await computer.close()
            assert site.paths == []

    stage(go())


@pytest.mark.slow
def test_a_screen_that_is_gone_is_a_failure_of_the_infrastructure_and_the_browser_comes_back(stage: Stage) -> None:
    world = Counter()
    environment, started = stage.environment(world), stage.computers.started

    async def policy(_: list[Message]) -> Message:
        await world.computer.page.context.browser.close()
        return answer("pyautogui.click(0.1, 0.1)")

    with pytest.raises(ComputerLost):
        stage(walk(environment, Task("t", "Press."), policy))
    walked = stage(walk(environment, Task("t", "Press."), answering(*["pyautogui.click(0.1, 0.08)"] * 3)))
    assert walked.verdict is not None and walked.verdict.reward == 1.0
    assert stage.computers.started == max(1, started) + 1


@pytest.mark.slow
def test_attempts_wait_for_screens_and_each_begins_with_an_empty_one(stage: Stage) -> None:
    async def go() -> None:
        tasks = [Task(f"t{i}", "Press.") for i in range(2 * stage.computers.most)]
        press = "pyautogui.tripleClick(0.1, 0.08)"
        many = [walk(stage.environment(Counter()), task, answering(press)) for task in tasks]
        for walked in await asyncio.gather(*many):
            assert walked.verdict is not None and walked.verdict.notes["steps"] == 1

    stage(go())


def test_environments_that_lack_something_say_so() -> None:
    with pytest.raises(ConfigError, match="world"):
        ComputerUse().drawn(Task("t", "x"), seed=0, name="t/0/0")
    environment = ComputerUse(world=Counter(), computers=BrowserComputers.__new__(BrowserComputers))
    with pytest.raises(ConfigError, match="drawn"):
        environment.open(Caller())
    here, task, _ = environment.drawn(Task("t", "x"), seed=0, name="t/0/0")
    with pytest.raises(ConfigError, match="already"):
        here.drawn(task, seed=0, name="t/0/1")
    with pytest.raises(ConfigError, match="open the session"):
        here.prompt(task)
    with pytest.raises(ComputerLost, match="interrupted"):
        here.open(Caller(noted=[{"computer": {"steps": 3}}]))
    assert here.judge is not None
    with pytest.raises(JudgeFailed):
        asyncio.run(here.judge(Case(task, Outcome("error", ""))))


@pytest.mark.usefixtures("miniwob")
def test_pages_and_problems_are_known_by_name() -> None:
    assert len(miniwob_pages()) >= 120 and set(POLICIES) <= set(miniwob_pages())
    with pytest.raises(ConfigError, match="no page 'click-nothing'"):
        miniwob_task("click-nothing", 0)
    tasks = miniwob_tasks(seed=3, pages=("click-test", "click-link"), seeds=2, epochs=1)
    assert sorted(task.id for task in tasks) == [f"miniwob/click-{name}/{seed}" for name in ("link", "test")
                                                 for seed in (0, 1)]  # fmt: skip


def test_files_outside_of_a_folder_are_not_served(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("a/in.txt", "out.txt"):
        (tmp_path / name).write_text("x")
    (tmp_path / "a/link.txt").symlink_to(tmp_path / "out.txt")
    read = folder(tmp_path / "a")
    assert read("in.txt") == b"x" and read("") is None
    assert read("../out.txt") is None and read("link.txt") is None and read(f"{tmp_path}/out.txt") is None
    (tmp_path / "a/round.txt").symlink_to("round.txt")
    assert read("\0") is None and read("a" * 5_000) is None and read("round.txt") is None


@pytest.mark.usefixtures("miniwob")
def test_the_loop_of_every_agent_drives_it(stage: Stage, tmp_path: Path) -> None:
    here, task, _ = stage.environment(MiniWob()).drawn(miniwob_task("click-test", 1), seed=0, name="t/0/0")
    keys = ["pyautogui.press('tab')", "pyautogui.press('space')"]
    model = Scripted([assistant("Where?"), *map(answer, keys)])
    with Journal(tmp_path / "run") as journal:
        outcome = stage(AgentRun(journal, model).start(task, here))
    assert outcome.stop == "done" and outcome.turns == 3
    assert here.judge is not None and stage(here.judge(Case(task, outcome))).reward == 1.0


def test_every_sampled_token_of_a_long_attempt_is_trained_once(stage: Stage) -> None:
    """From the fourth observation on every turn is a branch of its own, for a screenshot is left out."""
    tokenizer, turns = Tokenizer.tiny(), 6
    said = [answer("pyautogui.moveTo(0.9, 0.9)" if turn < turns - 1 else "computer.terminate(status='success')")
            for turn in range(turns)]  # fmt: skip
    ids = [[tokenizer.end_think, *tokenizer.encode(message.text), tokenizer.im_end] for message in said]
    chat = TokenChat(FakeSampler(ids, vocab_size=tokenizer.n_vocab, context_tokens=100_000), tokenizer,
                     MediaRules(patch_size=8), context_tokens=100_000)  # fmt: skip

    async def rolled() -> Trajectory:
        async with RolloutManager({"live": chat}) as manager:
            manager.submit(GroupRequest("0", Task("t", "Press."), stage.environment(Counter()), size=1))
            return (await anext(manager.results())).trajectories[0]

    whole = stage(rolled())
    assert whole.stop == "done" and len(whole.nodes) == turns
    assert [node.fork for node in whole.nodes] == ["", "", "", *["changed"] * (turns - 3)]
    samples = whole.to_samples(1.0)
    assert len(samples) == turns - 2
    assert sum(int(sample.weights.sum()) for sample in samples) == whole.sampled_tokens == sum(map(len, ids))
    assert all(len(sample.media) == 3 for sample in samples)


@pytest.mark.usefixtures("miniwob")
def test_the_state_of_a_source_is_that_of_its_pages() -> None:
    with pytest.raises(ConfigError, match="expected the state of"):
        miniwob_tasks(pages=("click-test",)).restore(miniwob_tasks(pages=("click-link",)).state())


class Renaming(Counter):
    """A world with words of its own, as a page has that says what is to be done."""

    async def begin(self, task: Task, computer: BrowserComputer) -> str:
        await super().begin(task, computer)
        return "Press the {button} thrice."


def test_what_a_prompt_module_asks_on_top_stands_beside_the_words_of_the_world(stage: Stage) -> None:
    modules = (AnswerLanguage(codes=("fr",)), Instructions(kinds=("postscript",), most=1))
    environment = stage.environment(Renaming(), modules=modules)
    here, task, variant = environment.drawn(Task("t", "Play."), seed=0, name="t/0/0")
    language, (asked,) = variant["language"], variant["instructions"]["constraints"]

    async def opening() -> str:
        async with here.open(Caller()):
            return "\n".join(message.text for message in here.prompt(task))

    told = stage(opening())
    assert "Press the {button} thrice." in told and "Play." not in told
    assert LANGUAGES["fr"].ask[language["wording"]] in told
    assert CONSTRAINTS["postscript"].asked(asked["params"], wording=asked["wording"]) in told


def test_calls_of_tools_that_are_not_there_are_told_so_and_the_words_act(stage: Stage) -> None:
    call = ToolCall.of("click", {"x": 1}, index=0)
    said = iter([replace(answer("pyautogui.tripleClick(0.1, 0.08)"), tool_calls=(call,))])

    async def policy(_: list[Message]) -> Message:
        return next(said)

    walked = stage(walk(stage.environment(Counter()), Task("t", "Press."), policy))
    told, seen = walked.history[-2:]
    assert told.tool_call_id == call.id and "no tools here" in told.text and seen.media
    assert walked.verdict is not None and walked.verdict.reward == 1.0
