"""`write_report`: one page about a run, in one file that needs nothing else: curves, figures, answered questions.

It can be written at any time; a run that is under way, was stopped or has only begun gives a page of what there is. All
text in it is escaped, and its content security policy lets nothing run or load but its own style, script and pictures.
"""

from datetime import datetime
from math import isfinite
from pathlib import Path

from manyeyes.core.runlog import RunFolder, write_atomic
from manyeyes.view.document import document
from manyeyes.view.examples import read_examples
from manyeyes.view.held_out_figures import held_out_sets
from manyeyes.view.history import History, curve
from manyeyes.view.markup import Markup, joined, tag
from manyeyes.view.report_curves import held_out_charts, loss_charts, training_charts
from manyeyes.view.report_examples import example_cards
from manyeyes.view.report_tables import (
    configuration,
    figure_tiles,
    figures_table,
    history_table,
    quarantine,
    run_tiles,
    stages_table,
    tiles,
    where_it_ran,
)
from manyeyes.view.rft_report import rft_page
from manyeyes.view.rl_history import RlHistory
from manyeyes.view.rl_report import rl_page


def write_report(folder: RunFolder) -> Path:
    """Writes `report.html` of a run, replacing the last one.

    Raises:
        RunFolderError: the run cannot be read, or the page not written.
    """
    write_atomic(folder.report_path, _page_of(folder))
    return folder.report_path


def _page_of(folder: RunFolder) -> Markup:
    kind = folder.config().get("kind")
    if kind == "rl":
        return rl_page(folder, RlHistory.read(folder))
    return rft_page(folder, History.read(folder)) if kind == "rft" else page(folder, History.read(folder))


def page(folder: RunFolder, history: History) -> Markup:
    """The whole document."""
    title = f"{history.config.get('name', folder.name)} · {folder.name}"
    return document(title, tag("main", _header(folder, history), _sections(folder, history)))


def _header(folder: RunFolder, history: History) -> Markup:
    config = history.config
    return tag(
        "header",
        tag("h1", str(config.get("name", folder.name)), tag("span", _status(history), class_=_state(history))),
        tag("p", str(config.get("about", ""))),
        tag("p", where_it_ran(history.start), class_="quiet"),
        tag("p", folder.name, ", written ", f"{datetime.now():%Y-%m-%d %H:%M}", class_="quiet"),
    )


def _sections(folder: RunFolder, history: History) -> Markup:
    sets = held_out_sets(history)
    examples = read_examples(folder)
    parts = [_notes(history)]
    if sets:
        parts += [tag("h2", "What it can do"), tiles(figure_tiles(sets)), _charts(held_out_charts(sets, history))]
    parts += [tag("h2", "What it took"), tiles(run_tiles(history))]
    if history.train:
        parts += [tag("h2", "Loss of each stage"), _charts(loss_charts(history.stages))]
    if examples:
        parts += [tag("h2", "Held-out questions, answered"), _legend(), example_cards(examples)]
    if history.train:
        parts += [tag("h2", "How training went"), _charts(training_charts(history))]
    parts += [tag("h2", "Stages"), stages_table(history.stages)]
    if sets:
        evaluations = tag("details", tag("summary", "every evaluation"), history_table(sets))
        parts += [tag("h2", "All figures"), figures_table(sets), evaluations]
    parts += [tag("h2", "Quarantine"), quarantine(folder), tag("h2", "Configuration"), configuration(history)]
    return joined(parts)


def _charts(charts: list[Markup]) -> Markup:
    return tag("div", charts, class_="charts")


def _legend() -> Markup:
    boxes = (tag("i", class_="truth"), " true box ", tag("i", class_="said"), " the model's box")
    return tag("p", "Never seen in training; the newest answers of each set. ", boxes, class_="quiet")


def _state(history: History) -> str:
    return "pill done" if history.finished else "pill"


def _status(history: History) -> str:
    if history.finished:
        return "finished"
    return f"unfinished: step {history.step:,} of {history.steps:,}" if history.train else "not started"


def _notes(history: History) -> Markup | None:
    broken = [int(step) for step, loss in zip(*curve(history.train, "loss"), strict=True) if not isfinite(loss)]
    if not broken:
        return None
    text = f"The loss was not finite at {len(broken):,} steps, first at step {broken[0]:,}: training diverged there."
    return tag("p", text, class_="warning")
