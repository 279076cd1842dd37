"""Takes the picture of the live page: a swarm's run as the page shows it at a moment.

    manyeyes swarm demo --tasks 1 --plain --folder runs/demo
    python docs/picture_swarm_page.py runs/demo/*-swarm [--at 1.0] [--agent 3] [--scheme dark] [--out …]

Needs an installed Chromium and the extra `browser`.
"""

import argparse
import asyncio
import io
import shutil
from pathlib import Path

from PIL import Image

from manyeyes.core.errors import ConfigError
from manyeyes.view.swarm_page import SwarmPage

OUT = Path(__file__).parent / "pictures" / "swarm_page.png"
WIDTH, HEIGHT = 1600, 900
LARGEST = 400_000
"""Bytes; a README is loaded often."""
SEEK = """(share) => {
  const moment = document.getElementById("moment");
  moment.value = String(Math.round(share * 10000));
  moment.dispatchEvent(new Event("input"));
}"""
CHOOSE = """(number) => [...document.querySelectorAll("#tree .row")]
  .find((row) => row.textContent.includes(`#${number} `)).click()"""


def main() -> None:
    """Take the picture that the command line describes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a swarm's run")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--at", type=float, default=1.0, help="moment, as a share of the run")
    parser.add_argument("--agent", type=int, default=3, help="number of the sub-agent that is chosen")
    parser.add_argument("--scheme", choices=("dark", "light"), default="dark")
    arguments = parser.parse_args()
    taken = asyncio.run(picture(arguments.run, at=arguments.at, agent=arguments.agent, scheme=arguments.scheme))
    arguments.out.write_bytes(small(taken))
    print(f"{arguments.out}: {arguments.out.stat().st_size:,} bytes")


async def picture(run: Path, *, at: float, agent: int, scheme: str) -> bytes:
    """A PNG of the page.

    Raises:
        ConfigError: Chromium or playwright is missing.
    """
    try:
        from playwright.async_api import async_playwright
    except ImportError:
        raise ConfigError("the picture needs playwright: pip install 'manyeyes[browser]'") from None
    if (chromium := shutil.which("chromium")) is None:
        raise ConfigError("the picture needs Chromium: apt-get install chromium")
    async with SwarmPage(run) as page, async_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        browser = await playwright.chromium.launch(executable_path=chromium, headless=True, args=flags)
        tab = await browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme)
        await tab.goto(page.url)
        await tab.wait_for_selector("#tree .row")
        await tab.wait_for_selector("#transcript .message")
        if at < 1.0:
            await tab.evaluate(SEEK, at)
        await tab.evaluate(CHOOSE, agent)
        await tab.wait_for_timeout(2500)  # what is new in the table fades
        taken = await tab.screenshot(type="png")
        await browser.close()
    return taken


def small(taken: bytes) -> bytes:
    """The picture in few enough bytes, with a palette where it must be."""
    image = Image.open(io.BytesIO(taken)).convert("RGB")
    for candidate in (
        image,
        image.quantize(256, dither=Image.Dither.NONE),
        image.quantize(96, dither=Image.Dither.NONE),
    ):
        out = io.BytesIO()
        candidate.save(out, "PNG", optimize=True)
        if out.tell() <= LARGEST:
            break
    return out.getvalue()


if __name__ == "__main__":
    main()
