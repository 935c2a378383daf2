"""Photograph the three steps of the README's picture: python tools/readme_picture.py
(playwright, pillow).

Writes docs/_static/readme.png: the demo with its button, the page that asks in the popup, and the
demo with the account, side by side.
"""

import io
import pathlib
import shutil
import sys

from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import sync_playwright

ROOT = pathlib.Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
from support.windows import log_in, popup_of, press  # noqa: E402

from scconnect_wsgi.demo import start  # noqa: E402

PICTURE = ROOT / "docs" / "_static" / "readme.png"
WINDOW = {"width": 420, "height": 530}  # CSS pixels, of each step
PAPER, INK, LINE = "#f3f1ef", "#1f1b18", "#c9c2bb"
SCALE, GAP, CAPTION, CORNER = 2, 48, 84, 20  # the last three in pixels of the picture
CAPTIONS = ["1. A click", "2. SoundCloud asks", "3. The page knows"]


def main():
    """Write the picture."""
    with start(0, ["oauth2"]) as demo, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        context = browser.new_context(
            viewport=WINDOW, device_scale_factor=SCALE, reduced_motion="reduce"
        )
        save(list(steps(context.new_page(), demo.url)))
        browser.close()


def steps(page, url):
    """Yield a picture of each step."""
    page.goto(url)
    yield taken(page)
    popup = popup_of(page, ".sc-connect-button")
    popup.set_viewport_size(WINDOW)
    log_in(popup)
    yield taken(popup)
    press(popup, "#allow")
    page.wait_for_selector("text=Joe Sample")
    page.wait_for_selector("text=Kreuzberg Rain")
    yield taken(page)


def taken(page):
    """Return a screenshot of a window, with the demo's card at the top."""
    if page.locator("section").count():
        page.locator("section").first.evaluate(
            "card => scrollTo(0, card.getBoundingClientRect().top + scrollY - 20)"
        )
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def save(shots):
    """Save pictures side by side, each with rounded corners and below its caption."""
    width, height = shots[0].size
    size = (len(shots) * (width + GAP) + GAP, height + CAPTION + GAP)
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.truetype("DejaVuSans-Bold.ttf", 40)
    corners = Image.new("L", (width, height), 0)
    ImageDraw.Draw(corners).rounded_rectangle((0, 0, width - 1, height - 1), CORNER, fill=255)
    for index, (shot, caption) in enumerate(zip(shots, CAPTIONS, strict=True)):
        x = GAP + index * (width + GAP)
        draw.text((x, 22), caption, INK, font)
        sheet.paste(shot, (x, CAPTION), corners)
        box = (x, CAPTION, x + width, CAPTION + height)
        draw.rounded_rectangle(box, CORNER, outline=LINE, width=2)
    few = sheet.quantize(128, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
