"""The page: whole for whatever a run left, and never broken by what it shows."""

import base64
import hashlib
import json
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from manyeyes.core.runlog import RunFolder, RunFolderError
from manyeyes.view.fake_run import config_of, fake_run
from manyeyes.view.report import write_report

EVIL = "<script>alert(1)</script>\"'&]]>\x1b[2J\u202e\ud800<img src=x onerror=alert(1)>"
VOID = {"meta", "br", "img", "input", "link", "hr"}


class Page(HTMLParser):
    """Checks that elements nest, and collects what a browser would run, load or show."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.scripts: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attrs) -> None:
        self.attributes += [(tag, key, value or "") for key, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.attributes += [(tag, key, value or "") for key, value in attrs]

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif not self.open or self.open[-1] != "style":
            self.text += data


def page_of(folder: RunFolder) -> Page:
    return Page(write_report(folder).read_text(encoding="utf-8"))


@pytest.fixture
def run(tmp_path) -> RunFolder:
    return fake_run(tmp_path / "run", scale=0.1)


def test_a_finished_run_shows_everything(run) -> None:
    page = page_of(run)
    for words in (
        "finished", "35 GFLOP/s", "2 threads", "image-blind 67.0%", "Held-out loss", "ocr: reading",
        "Grounding: mean IoU", "Learning rate", "Expert load", "Largest attention logit", "Tokens a second", "MFU",
        "vit_align", "siglip",
        "what color is the rectangle?", "right", "wrong", "truth: blue", "IoU 83.0%", "the picture is cut short",
        "vqa: right answers", "8 routed, 2 active", "Oslo",
    ):  # fmt: skip
        assert words in page.text, words
    pictures = [value for tag, key, value in page.attributes if tag == "image" and key == "href"]
    assert len(pictures) == 16


@pytest.mark.parametrize("upto", [0.0, 0.01, 0.2, 0.5, 0.99])
def test_a_run_that_is_under_way_gives_a_page(tmp_path, upto) -> None:
    page = page_of(fake_run(tmp_path / "run", scale=0.1, upto=upto))
    assert "finished" not in page.text.replace("unfinished", "") and "Configuration" in page.text


def test_a_run_with_nothing_but_a_config_gives_a_page(tmp_path) -> None:
    assert "not started" in page_of(RunFolder.create(tmp_path / "a", {})).text
    assert "not started" in page_of(RunFolder.create(tmp_path / "b", config_of())).text


def test_nothing_is_loaded_from_elsewhere(run) -> None:
    page = page_of(run)
    for tag, key, value in page.attributes:
        assert tag != "link" and not key.startswith("on")
        if key in ("src", "href", "action"):
            assert value.startswith("data:image/png;base64,")
    text = run.report_path.read_text()
    assert not re.search(r"https?:|//[a-z]|url\(|@import", re.sub(r"data-chart=\"[^\"]*\"|base64,[^\"]*", "", text))


def test_the_policy_admits_the_pages_own_script_alone(run) -> None:
    page = page_of(run)
    (policy,) = (v for tag, key, v in page.attributes if tag == "meta" and key == "content" and "default-src" in v)
    (script,) = page.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in policy and f"script-src 'sha256-{digest}'" in policy


def poisoned(tmp_path: Path) -> RunFolder:
    """A run whose every text is hostile."""
    config = config_of()
    config |= {"name": EVIL, "about": EVIL, "hardware": EVIL, "vocabulary": EVIL, "extra": {EVIL: EVIL}}
    config["stages"][0]["name"] = config["stages"][0]["trainable"][0] = EVIL
    config["held_out"][0] = {"name": EVIL.replace("/", ""), "source": EVIL}
    folder = RunFolder.create(tmp_path / "run", json.loads(json.dumps(config)))
    folder.log("start", 0, device=EVIL, dtype=EVIL, threads=EVIL, peak=EVIL)
    for step in range(1, 40):
        folder.log(
            "train", step, stage=EVIL, stage_step=step, loss=3.0, tokens=9, seconds=1, **{EVIL: 2.0, "mfu": EVIL}
        )
    for step in (20, 39):
        name = EVIL.replace("/", "")
        folder.log("evaluation", step, stage=EVIL, final=True, **{f"{name}/exact": 0.5, f"{name}/exact {EVIL}": 0.5})
    (folder.path / "examples").mkdir()
    row = {"name": EVIL, "stage": EVIL, "asked": EVIL, "truth": EVIL, "answer": EVIL, "scores": {"exact": 1, EVIL: 2}}
    rows = [row | {"picture": name} for name in (EVIL, "../secret.png", "/etc/passwd", "text.png", None, 3)]
    Image.new("RGB", (8, 8)).save(tmp_path / "run" / "secret.png")
    (folder.path / "examples" / "text.png").write_text("no picture")
    (folder.path / "examples" / "000039.json").write_text(json.dumps(rows))
    (folder.path / "examples" / "000040.json").write_text("{")
    (folder.path / "examples" / "000041.json").write_text('[3, {"scores": 3}]')
    (folder.path / "quarantine").mkdir()
    line = json.dumps({"source": EVIL, "index": EVIL, "reason": EVIL})
    (folder.path / "quarantine" / "rank-0.jsonl").write_text(f'{line}\n[1]\n{{"cut')
    return folder


def test_hostile_text_stays_text(tmp_path) -> None:
    page = page_of(poisoned(tmp_path))
    assert len(page.scripts) == 1 and "alert" not in page.scripts[0]
    assert not any(key.startswith("on") for _, key, _ in page.attributes)
    assert "<script>alert(1)</script>" in page.text
    assert "\x1b" not in page.text and "\u202e" not in page.text
    assert not [value for tag, key, value in page.attributes if tag == "image"], "no picture outside examples/ is shown"


def test_a_long_question_keeps_its_end(run) -> None:
    (pages,) = (run.path / "examples").glob("*.json")
    rows = json.loads(pages.read_text())
    rows[0]["asked"] = "The jar is 12. " * 500 + "What is the jar?"
    pages.write_text(json.dumps(rows))
    text = page_of(run).text
    assert "What is the jar?" in text and text.count("The jar is 12.") < 20


def test_a_diverged_loss_is_said(tmp_path) -> None:
    folder = RunFolder.create(tmp_path / "run", config_of())
    for step in range(1, 9):
        folder.log(
            "train", step, stage="text", stage_step=step, loss=float("nan") if step > 5 else 3.0, tokens=1, seconds=1
        )
    assert "not finite at 3 steps, first at step 6" in page_of(folder).text


def test_a_stage_says_what_did_not_go_as_planned(tmp_path) -> None:
    folder = RunFolder.create(tmp_path / "run", config_of())
    folder.log("quarantine", 1, stage="text", source="web", index=3, epoch=0, reason="cut short")
    for step in range(1, 4):
        folder.log("train", step, stage="text", stage_step=step, loss=3.0, tokens=1, seconds=1)
    assert "1 record replaced" in page_of(folder).text
    folder.log("quarantine", 4, stage="text", source="web", index=9, epoch=0, reason="cut short")
    folder.log("train", 4, stage="text", stage_step=4, loss=3.0, tokens=1, seconds=1)
    folder.log("used_up", 4, stage="text", stage_step=4)
    assert "data used up, 2 records replaced" in page_of(folder).text


def test_a_record_is_counted_once_whatever_stages_met_it(tmp_path) -> None:
    folder = RunFolder.create(tmp_path / "run", config_of())
    (folder.path / "quarantine").mkdir()
    failure = {"source": "web", "index": 3, "epoch": 0, "length": 9, "reason": "cut short"}
    lines = [failure | {"stage": "text"}, failure | {"stage": "joint"}, failure | {"stage": "joint", "epoch": 1}]
    path = folder.path / "quarantine" / "rank-0.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    page = page_of(folder)
    assert "1 record could not be read" in page.text and "joint" in page.text
    path.write_text(path.read_text() + json.dumps(failure | {"index": 4}) + "\n")  # of a version without stages
    assert "2 records could not be read" in page_of(folder).text


def test_a_long_run_gives_a_light_page(tmp_path) -> None:
    folder = RunFolder.create(tmp_path / "run", config_of())
    rows = [
        dict(kind="train", step=step, time=float(step), stage="joint", stage_step=step, loss=2 + 1 / step, text=2.0,
             tokens=100, seconds=1.0, mfu=0.3, load=1.5, max_logit=50.0, learning_rate=1e-3, gradient_norm=1.0,
             fill=1.0)
        for step in range(1, 20_001)
    ]  # fmt: skip
    folder.metrics_path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = page_of(folder)
    assert folder.report_path.stat().st_size < 400_000
    assert "QK-Clip at 100" in page.text


def test_a_missing_or_damaged_run_is_one_line(tmp_path, run) -> None:
    with pytest.raises(RunFolderError, match="config.json"):
        write_report(RunFolder(tmp_path / "nothing"))
    run.config_path.write_text("{")
    with pytest.raises(RunFolderError, match="not valid JSON"):
        write_report(run)


@pytest.mark.slow
def test_a_browser_shows_the_values_under_the_pointer(run) -> None:
    import shutil

    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("needs chromium")
    text = write_report(run).read_text()
    # The page's own script in a page of the test, where the pointer can be moved by another script.
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    probe = """<script>const s = document.querySelector("figure.chart svg"), r = s.getBoundingClientRect();
    s.dispatchEvent(new PointerEvent("pointermove", {clientX: r.left + r.width / 2, clientY: r.top + 50}));
    document.title = document.querySelector(".values").innerText.replace(/\\n/g, "|")</script></body>"""
    probed = run.path / "probe.html"
    probed.write_text(text.replace("</body>", probe))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--dump-dom"]
    done = subprocess.run([browser, *flags, probed.as_uri()], capture_output=True, text=True, timeout=90)
    title = re.search(r"<title>(.*?)</title>", done.stdout)
    assert title is not None and "all questions" in title[1] and "%" in title[1]
