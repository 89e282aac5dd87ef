"""The picture of a report for docs/: python tools/picture_report.py report.html docs/report.png

Needs playwright and Chromium, as the tests of the page do. The page down to its steps, in 256
colours, for a repository keeps every version of a picture.
"""

import argparse
import io
import pathlib
import shutil

from PIL import Image
from playwright.sync_api import sync_playwright

WIDTH = 1100


def picture(page_of: pathlib.Path) -> Image.Image:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = chromium.new_page(viewport={"width": WIDTH, "height": 900}, color_scheme="light")
        page.goto(page_of.resolve().as_uri())
        page.locator("#step").press("ArrowRight")  # a step further, and pictures are decoded
        page.wait_for_timeout(500)
        page.evaluate("window.scrollTo(0, 0)")
        page.evaluate("document.activeElement.blur()")
        end = page.evaluate("document.getElementById('steps').getBoundingClientRect().bottom")
        clip = {"x": 0, "y": 0, "width": WIDTH, "height": round(end) + 12}
        shot = page.screenshot(full_page=True, clip=clip)
        chromium.close()
    return Image.open(io.BytesIO(shot)).convert("RGB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    arguments = parser.parse_args()
    drawn = picture(arguments.page).quantize(256, dither=Image.Dither.NONE)
    drawn.save(arguments.output, optimize=True)
