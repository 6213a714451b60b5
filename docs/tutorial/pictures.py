"""The tutorial's pictures: pages of a walk as a real Chromium shows them.

Belongs here: what is photographed, and how large. Does not: the walks (`labs.py`), the page
(`__main__.py`).
"""

from __future__ import annotations

import os
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any, Final

from openpyxl import load_workbook
from playwright.sync_api import Browser, sync_playwright

from docs.tutorial.walk import HOME, Walk
from syndb_pipeline.config.settings import load_settings
from syndb_pipeline.orchestration.operating.up import ui_process

CHROMIUM: Final = ("chromium", "chromium-browser", "google-chrome")
LARGEST: Final = 150_000
"""Bytes of a picture; more would be felt by everyone who clones the project."""

_ARGUMENTS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
]
_PATIENCE: Final = 90.0

_SHEET: Final = """<!doctype html><meta charset="utf-8"><style>
body { margin: 0; font: 13px Arial, sans-serif } table { border-collapse: collapse }
td, th { border: 1px solid #d0d0d0; padding: 3px 7px; text-align: left; white-space: nowrap }
.rim { background: #f1f3f4; color: #5f6368; text-align: center; font-weight: normal }
.note { position: absolute; background: #ffffe1; border: 1px solid #7f7f7f; padding: 6px 9px; width: 330px; box-shadow: 2px 2px 4px #999;
  white-space: pre-wrap }
.line { position: absolute; border-left: 1px solid #7f7f7f }
#noted { background-image: linear-gradient(225deg, #c00 5px, transparent 5px) }
</style>"""

_PLACE_THE_COMMENT: Final = """() => {
  const [cell, table] = ['#noted', 'table'].map(each => document.querySelector(each).getBoundingClientRect())
  const [line, note] = ['.line', '.note'].map(each => document.querySelector(each).style), end = table.bottom
  line.left = cell.right + 'px'; line.top = cell.top + 'px'; line.height = end + 14 - cell.top + 'px'
  note.left = cell.right - 250 + 'px'; note.top = end + 14 + 'px'
}"""

_SAME_EACH_TIME: Final = r"""place => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (walker.nextNode()) {
    const node = walker.currentNode
    node.nodeValue = node.nodeValue.replaceAll(place.from, place.to)
      .replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC/, '2026-11-23 12:00:00 UTC')
      .replace(/\d{4}([-\u2011])\d\d[-\u2011]\d\d([ \u00a0])\d\d:\d\d(?!:)/g, '2026$111$123$212:00')
      .replace(/[A-Z][a-z]{2} \d+, \d+:\d\d [AP]M/, 'Nov 23, 12:00 PM')
      .replace(/^[0-9a-f]{8}$/, '1f0c6b2a')
  }
}"""


_OF_FEW_COLOURS: Final = """async png => {
  const image = await createImageBitmap(await (await fetch('data:image/png;base64,' + png)).blob())
  const drawn = new OffscreenCanvas(image.width, image.height).getContext('2d')
  drawn.drawImage(image, 0, 0)
  const {data} = drawn.getImageData(0, 0, image.width, image.height)
  for (let step = 1; ; step++) {
    const seen = new Map(), palette = []
    let text = ''
    for (let at = 0; at < data.length && seen.size <= 256; at += 4) {
      const colour = data.subarray(at, at + 3)
      const code = colour.reduce((sum, part) => sum * 256 + Math.round(part / step), 0)
      if (!seen.has(code)) { seen.set(code, seen.size); palette.push(...colour) }
      text += String.fromCharCode(seen.get(code))
    }
    if (seen.size <= 256) return [image.width, image.height, palette, btoa(text)]
  }
}"""


class Camera:
    """Takes the pictures of the walks into `folder`. To be used as a context; raises `RuntimeError`
    when there is no Chromium.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.browser: Browser | None = None

    def __enter__(self) -> Camera:
        program = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
        if program is None:
            raise RuntimeError("The pictures need Chromium; on Debian: apt-get install chromium")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.running = sync_playwright().start()
        self.browser = self.running.chromium.launch(executable_path=program, args=_ARGUMENTS)
        return self

    def __exit__(self, *_: object) -> None:
        if self.browser is not None:
            self.browser.close()
        self.running.stop()

    def __call__(self, name: str, walk: Walk) -> None:
        """Take the picture that this place of a walk is for."""
        match (walk.folder, name):
            case ("vesicles", "rejected"):
                self._page("report-desktop", walk, 1000, 1000)
                self._page("report-phone", walk, 390, 844)
            case ("hemibrain", "accepted"):
                self._part("report-hierarchy", walk, "Hierarchy", 700)
                self._dagster("dagster", walk)
            case ("worm", "fixes"):
                self._sheet("fixes-sheet", walk, "fixes.xlsx", "neuron_relation.csv", rows=7)

    def open(self, address: str, width: int, height: int) -> Any:
        assert self.browser is not None
        page = self.browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(_PATIENCE * 1000)
        page.goto(address)
        return page

    def take(self, name: str, page: Any, lab: Path, part: Any = None) -> None:
        """Photograph the page, or a part of it, with the place and the time of the run made the
        same each time; and close it.
        """
        page.evaluate(_SAME_EACH_TIME, {"from": str(lab), "to": HOME})
        path = self.folder / f"{name}.png"
        path.write_bytes(_of_few_colours(page, (part or page).screenshot()))
        page.close()
        if path.stat().st_size > LARGEST:
            raise RuntimeError(
                f"{path.name} has {path.stat().st_size:,} bytes; {LARGEST:,} are the most"
            )

    def _page(self, name: str, walk: Walk, width: int, height: int) -> None:
        self.take(name, self.open(walk.html.as_uri(), width, height), walk.lab.folder)

    def _part(self, name: str, walk: Walk, heading: str, width: int) -> None:
        """The section of a report under `heading`."""
        page = self.open(walk.html.as_uri(), width, 900)
        self.take(
            name,
            page,
            walk.lab.folder,
            page.locator("section", has=page.get_by_role("heading", name=heading)).last,
        )

    def _sheet(self, name: str, walk: Walk, book: str, title: str, rows: int) -> None:
        """The first rows of a sheet, with the colours of its cells and the first comment, laid out
        as a spreadsheet does.
        """
        sheet = load_workbook(walk.config.parent / book)[title]
        letters = "".join(
            f"<th class=rim>{column[0].column_letter}</th>" for column in sheet.iter_cols()
        )
        body, note = "", ""
        for number, row in enumerate(sheet.iter_rows(max_row=rows), start=1):
            cells = ""
            for cell in row:
                colour = cell.fill.fgColor.rgb if cell.fill.fill_type == "solid" else None
                mark = " id=noted" if cell.comment and not note else ""
                note = note or (cell.comment.text if cell.comment else "")
                style = f"background-color: #{str(colour)[-6:] if colour else 'fff'}" + (
                    "; font-weight: bold" if cell.font.bold else ""
                )
                cells += f'<td{mark} style="{style}">{escape(str(cell.value or ""))}</td>'
            body += f"<tr><th class=rim>{number}</th>{cells}</tr>"
        table = f"<table><tr><th class=rim></th>{letters}</tr>{body}</table>"
        drawn = f"{_SHEET}{table}<div class=line></div><div class=note>{escape(note)}</div>"
        page = self.open("about:blank", 940, 290)
        page.set_content(drawn)
        page.evaluate(_PLACE_THE_COMMENT)
        self.take(name, page, walk.lab.folder)

    def _dagster(self, name: str, walk: Walk) -> None:
        """The asset `check_integrity` of the dataset, after a run, in Dagster's own pages."""
        done = walk.lab.run("run", walk.given, "--no-publish")
        if done.code:
            raise RuntimeError(f"the Dagster run ended with {done.code}\n{done.out}{done.err}")
        with dagster_pages(walk.lab.folder) as root:
            page = self.open(
                f"{root}/assets/check_integrity?view=events&partition={walk.config.stem}", 1300, 640
            )
            page.get_by_text(walk.config.stem, exact=True).first.click()
            page.get_by_text("report", exact=True).first.wait_for()
            self.take(name, page, walk.lab.folder)


def _of_few_colours(page: Any, png: bytes) -> bytes:
    """A screenshot with a palette of 256 colours, which takes a third of its bytes."""
    encoded = b64encode(png).decode()
    width, height, palette, places = page.evaluate(_OF_FEW_COLOURS, encoded)
    pixels = b64decode(places)
    # The first byte of a line is its filter: none.
    lines = b"".join(b"\0" + pixels[at : at + width] for at in range(0, len(pixels), width))
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    body = zlib.compress(lines, 9)
    chunks = ((b"IHDR", head), (b"PLTE", bytes(palette)), (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


@contextmanager
def dagster_pages(lab: Path, more: Mapping[str, str] | None = None) -> Iterator[str]:
    """The address at which Dagster's pages of a lab's folder are served meanwhile, by processes
    that have `more` in their environment.
    """
    settings = lab / "pipeline.yaml"
    command, environment, url = ui_process(load_settings(settings), settings_path=settings)
    environment |= more or {}
    root = url.rsplit("/", 1)[0]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=lab,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + _PATIENCE
            while not _answers(f"{root}/server_info"):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("Dagster's pages were not served")
                time.sleep(0.3)
            yield root
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False
