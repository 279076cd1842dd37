"""`manyeyes swarm export RUN --to …`: a run as one page, its tables as files, its journal as traces.

.html                one self-contained page
.md .csv .xlsx       the tables of the answer
http(s)://…          spans to an OpenTelemetry collector (OTLP over HTTP)
"""

import logging
import shlex
from collections.abc import Callable
from pathlib import Path

from manyeyes.cli.locations import short
from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import write_atomic
from manyeyes.swarm.session import ANSWER, Session
from manyeyes.swarm.tables import as_csv, as_markdown, as_xlsx, tables_of
from manyeyes.swarm.traces import export, otlp
from manyeyes.view.swarm_export import export_html

WRITERS: dict[str, Callable[[Session], str | bytes]] = {
    ".html": lambda session: export_html(session.folder),
    ".md": lambda session: as_markdown(tables_of(_answer(session))),
    ".csv": lambda session: as_csv(tables_of(_answer(session))),
    ".xlsx": lambda session: as_xlsx(tables_of(_answer(session))),
}


def export_run(session: Session, to: str) -> int:
    """Write or send; returns 0."""
    if to.startswith(("http://", "https://")):
        if not (events := session.events):
            raise ConfigError(f"{session.folder} has not begun, so there is nothing to send")
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # what failed is said in one line, below
        count = export(events, run=session.folder.resolve().name, exporter=otlp(to))
        print(f"{count} spans sent to {to}")
        return 0
    path = Path(to)
    if path.suffix not in WRITERS or not path.stem:
        kinds = ", ".join(WRITERS)
        raise ConfigError(f"say where to: --to FILE ({kinds}), or --to the address of a trace collector; got {to!r}")
    if not path.parent.is_dir():
        raise ConfigError(f"--to {to}: there is no folder {path.parent}")
    write_atomic(path, WRITERS[path.suffix](session))
    print(short(path))
    return 0


def _answer(session: Session) -> str:
    try:
        return (session.folder / ANSWER).read_text(encoding="utf-8")
    except FileNotFoundError:
        again = shlex.join(["resume", short(session.folder)])
        raise ConfigError(f"{session.folder} has no answer yet; finish it: manyeyes swarm {again}") from None
