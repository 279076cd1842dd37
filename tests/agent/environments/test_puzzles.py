"""Visual puzzles: exact truth, solvable from their pictures by code, and not without them."""

import asyncio
import io

import numpy as np
import pytest
from PIL import Image

from manyeyes.agent.environments.puzzle import LEVELS, Puzzle, read_answer_line, read_number
from manyeyes.agent.environments.puzzle_maze import STEPS, Maze, dug, maze_puzzle
from manyeyes.agent.environments.puzzles import KINDS, Puzzles, puzzle_of, puzzle_task, puzzles
from manyeyes.agent.environments.shared_sandbox import SharedSandbox
from manyeyes.agent.task import Task
from manyeyes.agent.task_source import Tasks
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import ImagePart, Message, ToolCall, assistant
from manyeyes.core.seeds import stream

from .puzzle_solvers import solver
from .walk import walk

SEEDS = 20
EVERY = [(kind, level) for kind in KINDS for level in range(1, LEVELS + 1)]


def worth(puzzle: Puzzle, answer: str) -> float:
    return puzzle.worth(puzzle.parts(answer))


def files(puzzle: Puzzle) -> dict[str, bytes]:
    return {name: draw() for name, draw in puzzle.pictures.items()}


@pytest.mark.parametrize(("kind", "level"), EVERY)
def test_a_puzzle_is_drawn_alike_every_time_and_its_solution_is_worth_all(kind: str, level: int) -> None:
    for seed in range(3):
        puzzle, again = KINDS[kind](level, seed), KINDS[kind](level, seed)
        assert files(puzzle) == files(again) != files(KINDS[kind](level, seed + 1))
        assert puzzle.question == again.question
        assert worth(puzzle, f"I measured.\nAnswer: {puzzle.solution}") == pytest.approx(1.0)
        assert worth(puzzle, puzzle.solution) == 0.0 and worth(puzzle, "Answer: ") == 0.0
        assert f"Answer: {puzzle.solution}" not in puzzle.question
        for content in files(puzzle).values():
            assert min(Image.open(io.BytesIO(content)).size) >= 200


def test_a_shortest_route_is_found_and_no_other_length_counts() -> None:
    for seed in range(40):
        maze = dug(stream(seed, "test"), 9)
        route = maze.shortest()
        assert maze.leads(route) and not maze.leads(route[:-1]) and not maze.leads(f"{route}U{route}")
        assert len(route) == maze.distances(maze.start)[maze.goal] >= 9
        assert len(maze.distances(maze.start)) == 81
        assert all((b, a) in maze.open_ for a, b in maze.open_)


def test_routes_through_walls_do_not_count() -> None:
    maze = Maze(2, frozenset({((0, 0), (0, 1)), ((0, 1), (0, 0))}), (0, 0), (0, 1))
    assert maze.leads("R") and not maze.leads("DRU") and not maze.leads("") and not maze.leads("L")
    routes = [puzzle for seed in range(20) if "letter" in (puzzle := maze_puzzle(1, seed)).question]
    for puzzle in routes:
        there_and_back = puzzle.solution[0] + {"U": "D", "D": "U", "L": "R", "R": "L"}[puzzle.solution[0]]
        parts = puzzle.parts(f"Answer: {there_and_back}{puzzle.solution}")
        assert parts["leads"] == 1.0 and parts["route"] == 0.0 and puzzle.worth(parts) == 0.0
        assert worth(puzzle, f"Answer: {', '.join(puzzle.solution.lower())}") == 1.0


def test_a_share_counts_within_a_percentage_point() -> None:
    puzzle = KINDS["pie"](2, 5)
    percent = float(puzzle.solution)
    assert [worth(puzzle, f"Answer: {percent + off:.2f} %") for off in (-0.9, 0.9, 1.2, -1.2)] == [1.0, 1.0, 0.0, 0.0]
    assert worth(puzzle, f"Answer: {percent:.1f} or {percent + 9:.1f}") == 0.0


def test_differences_count_by_number_and_place() -> None:
    puzzle = KINDS["differences"](2, 3)
    number, _, points = puzzle.solution.partition("; ")
    assert puzzle.parts(f"Answer: {int(number) + 1}; {points}")["count"] == 0.0
    assert worth(puzzle, f"Answer: {int(number) + 1}; {points}") == pytest.approx(0.9)
    everywhere = ", ".join(f"({x / 20:.3f}, {y / 20:.3f})" for x in range(21) for y in range(21))
    assert puzzle.parts(f"Answer: {number}; {everywhere}")["places"] < 0.05
    assert puzzle.parts(f"Answer: {number}; {', '.join([points] * 3)}")["places"] == pytest.approx(0.5)
    assert puzzle.parts(f"Answer: {number}; (300, 200)")["places"] == 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_who_does_not_see_the_picture_gains_next_to_nothing(kind: str) -> None:
    """The best fixed answer, and answers drawn from those of other puzzles of the same level."""
    puzzles = [KINDS[kind](level, seed) for level in (1, 3, 5) for seed in range(SEEDS)]
    others = [puzzles[SEEDS * (i // SEEDS) + (i + 1) % SEEDS] for i in range(len(puzzles))]
    borrowed = [worth(one, f"Answer: {other.solution}") for one, other in zip(puzzles, others, strict=True)]
    fixed = [np.mean([worth(one, f"Answer: {answer.solution}") for one in puzzles]) for answer in puzzles]
    assert np.mean(borrowed) < 0.12 and max(fixed) < 0.2, (np.mean(borrowed), max(fixed))


def test_answers_are_read_from_the_last_line_that_says_so() -> None:
    assert read_answer_line("Answer: 3\nno, wait\n**Answer: 4.**") == "4"
    assert read_answer_line("the answer is 4") is None and read_answer_line("Answer:\n") is None
    assert read_number("12") == 12.0 and read_number("-1.5%") == -1.5
    assert read_number("1 2") is None and read_number("") is None and read_number("9" * 400) is None


def test_tasks_name_their_puzzle_and_the_source_goes_through_kinds_and_levels() -> None:
    task = puzzle_task("pie", level=2, seed=9)
    assert puzzle_of(task).question == task.prompt and set(task.truth) == {"kind", "level", "seed"}
    source, kinds = puzzles(seed=1, levels=(1, 2)), []
    for _ in range(6):
        assert (task := source.next()) is not None
        kinds.append((task.truth["kind"], task.truth["level"]))
    assert kinds == [(kind, level) for level in (1, 2) for kind in KINDS]
    saved, following = source.state(), source.next()
    again = puzzles(seed=1, levels=(1, 2))
    again.restore(saved)
    assert again.next() == following
    for wrong in (lambda: puzzle_task("rebus", level=1, seed=0), lambda: puzzle_task("pie", level=9, seed=0)):
        with pytest.raises(ConfigError):
            wrong()


def test_the_pictures_are_shown_and_nothing_else_is_told() -> None:
    task = puzzle_task("differences", level=3, seed=2)
    here, _, _ = Puzzles().drawn(task, seed=0, name="t/0/0")
    told, asked = here.prompt(task)
    assert sum(isinstance(part, ImagePart) for part in asked.parts) == 2 and asked.text == task.prompt
    assert "/inputs/first.png, /inputs/second.png" in told.text
    assert not set(STEPS) - set("UDLR")
    assert puzzle_of(task).solution not in told.text + asked.text  # places, to three decimals


async def solved(tasks: list[Task]) -> None:
    environment = Puzzles(shared=SharedSandbox(kernels=1))

    async def policy(shown: list[Message]) -> Message:
        if shown[-1].role == "tool":
            return assistant(shown[-1].text)
        kind = next(name for name in KINDS if name in shown[-1].text.replace("pie chart", "pie"))
        return assistant(calls=(ToolCall.of("ipython", {"code": solver(kind, shown[-1].text)}, index=0),))

    try:
        for task in tasks:
            walked = await walk(environment, task, policy)
            assert walked.verdict is not None
            assert walked.verdict.reward == pytest.approx(1.0), (task.id, walked.history[-1].text, walked.verdict)
    finally:
        await environment.close()


@pytest.mark.usefixtures("probed")
def test_code_solves_puzzles_from_their_pictures_alone() -> None:
    pytest.importorskip("ipykernel", reason="needs ipykernel: pip install 'manyeyes[code]'")
    asyncio.run(solved([puzzle_task("maze", level=3, seed=11)]))


@pytest.mark.slow
@pytest.mark.usefixtures("probed")
def test_code_solves_puzzles_of_all_levels() -> None:
    pytest.importorskip("ipykernel", reason="needs ipykernel: pip install 'manyeyes[code]'")
    asyncio.run(solved([puzzle_task(kind, level=level, seed=seed) for kind, level in EVERY for seed in (1, 2)]))


def test_the_state_of_a_source_is_that_of_its_kinds_and_levels() -> None:
    with pytest.raises(ConfigError, match="expected the state of"):
        puzzles(seed=1, levels=(1, 2)).restore(puzzles(seed=1, levels=(1, 3)).state())


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


@pytest.mark.parametrize("kind", KINDS)
def test_blind_pictures_have_the_size_of_the_right_ones_and_show_nothing(kind: str) -> None:
    task = puzzle_task(kind, level=2, seed=4)
    seen, unseen = puzzle_of(task), puzzle_of(task).blind
    for name, content in files(seen).items():
        assert pixels(files(unseen)[name]).shape == pixels(content).shape
        assert pixels(content).std() > 0 == pixels(files(unseen)[name]).std()
    shown = [here.drawn(task, seed=0, name="t/0/0")[0].prompt(task) for here in (Puzzles(), Puzzles(blind=True))]
    assert [message.text for message in shown[0]] == [message.text for message in shown[1]]
    blank = [picture.pixels() for message in shown[1] for picture in message.media]
    assert len(blank) == len(seen.pictures) and all((one == 255).all() for one in blank)
    assert worth(unseen, f"Answer: {seen.solution}") == pytest.approx(1.0)


@pytest.mark.usefixtures("probed")
def test_code_finds_blank_pictures_where_the_model_is_shown_blank_ones() -> None:
    pytest.importorskip("ipykernel", reason="needs ipykernel: pip install 'manyeyes[code]'")
    code = (
        "import numpy; from PIL import Image; print(numpy.asarray(Image.open('/inputs/maze.png').convert('L')).std())"
    )

    async def policy(shown: list[Message]) -> Message:
        if shown[-1].role == "tool":
            return assistant(shown[-1].text)
        return assistant(calls=(ToolCall.of("ipython", {"code": code}, index=0),))

    async def found(blind: bool) -> float:
        environment = Puzzles(shared=SharedSandbox(kernels=1), blind=blind)
        try:
            return float((await walk(environment, puzzle_task("maze", level=1, seed=3), policy)).history[-1].text)
        finally:
            await environment.close()

    assert asyncio.run(found(True)) == 0.0 < asyncio.run(found(False))


def test_puzzles_that_are_dropped_do_not_come() -> None:
    def met(source: Tasks, count: int) -> set[str]:
        return {task.id for _ in range(count) if (task := source.next()) is not None}

    whole = met(puzzles(seed=1, size=9), 9)
    dropped = set(sorted(whole)[:4])
    assert len(whole) == 9 and met(puzzles(seed=1, size=9, dropped=dropped), 20) == whole - dropped
    for wrong in ({"size": None, "dropped": dropped}, {"size": 9, "dropped": whole}):
        with pytest.raises(ConfigError):
            puzzles(seed=1, **wrong)
    with pytest.raises(ConfigError, match="expected the state of"):
        puzzles(seed=1, size=9, dropped=dropped).restore(puzzles(seed=1, size=9, dropped={min(dropped)}).state())
