"""Photograph every visible page and compose labelled sheets: python tools/contact_sheet.py
(playwright, pillow).

Writes docs/contact-sheet-*.png: the pages on a phone and on a desk, light and dark, and the button
in all its looks and states. The pages are those that tests/browser/test_accessibility.py measures,
on a real site with the sandbox behind it.
"""

import io
import pathlib
import shutil
import sys

from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import sync_playwright

ROOT = pathlib.Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
from support.showcase import PAGES, running  # noqa: E402

DOCS = ROOT / "docs"
PAPER, INK = {"light": "#dcd8d4", "dark": "#3a3633"}, {"light": "#1f1b18", "dark": "#f3efec"}
GAP, CAPTION = 16, 22  # pixels
DEVICES = {  # CSS pixels of the window; how large it is in the sheet; how many side by side
    "phone": ({"width": 390, "height": 700}, 0.62, 6),
    "desktop": ({"width": 1280, "height": 720}, 0.4, 3),
}


def main():
    """Every sheet."""
    DOCS.mkdir(exist_ok=True)
    with running() as world, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        save(buttons(browser, world), "buttons", "light", columns=2)
        for device, (_, scale, columns) in DEVICES.items():
            for scheme in ("light", "dark"):
                pages = {
                    name: pages_shot(browser, world, go, scheme, device)
                    for name, go in PAGES.items()
                }
                small = {
                    name: shot.resize([round(n * scale) for n in shot.size])
                    for name, shot in pages.items()
                }
                save(small, f"{device}-{scheme}", scheme, columns)
        browser.close()


def pages_shot(browser, world, go, scheme, device):
    """One page in a fresh profile."""
    phone = device == "phone"
    context = browser.new_context(
        viewport=DEVICES[device][0],
        color_scheme=scheme,
        has_touch=phone,
        is_mobile=phone,
        reduced_motion="reduce",
    )
    page = context.new_page()
    go(page, world)
    shot = taken(page)
    context.close()
    return shot


def buttons(browser, world):
    """The page of the buttons as the system asks for it, and the focus."""
    ways = {
        "light": {"color_scheme": "light"},
        "dark": {"color_scheme": "dark"},
        "high contrast": {"forced_colors": "active", "color_scheme": "light"},
        "high contrast, dark": {"forced_colors": "active", "color_scheme": "dark"},
        "a finger": {"has_touch": True, "is_mobile": True},
        "less motion, a finger, dark": {
            **{
                "reduced_motion": "reduce",
                "color_scheme": "dark",
                "has_touch": True,
                "is_mobile": True,
            }
        },
    }
    shots = {}
    for name, settings in ways.items():
        context = browser.new_context(viewport={"width": 680, "height": 690}, **settings)
        page = context.new_page()
        page.goto(world.url)
        page.set_viewport_size(
            {"width": 680, "height": page.evaluate("document.documentElement.scrollHeight")}
        )
        page.wait_for_timeout(450)  # amid a beat of the waveform
        shots[name] = taken(page)
        if name in ("light", "dark"):
            shots[f"{name}, focus and hover"] = focus_and_hover(page)
        context.close()
    return shots


def focus_and_hover(page):
    """The first column with the focus on every button, the second under the mouse, photographed one
    by one.
    """
    sheet = taken(page)
    for index, element in enumerate(page.locator("p[data-looks] .sc-connect-button").all()):
        page.mouse.move(0, 0)
        if index % 2:
            page.evaluate("document.activeElement.blur()")
            element.hover()
        else:
            page.keyboard.press("Shift")  # the last thing used was the keyboard: the ring is shown
            element.focus()
        box = element.bounding_box()
        area = [
            round(n)
            for n in (
                box["x"] - 8,
                box["y"] - 8,
                box["x"] + box["width"] + 8,
                box["y"] + box["height"] + 8,
            )
        ]
        sheet.paste(taken(page).crop(area), area[:2])
    return sheet


def taken(page):
    """A screenshot as a picture."""
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def save(shots, name, scheme, columns, colours=256):
    """One sheet of labelled pictures."""
    font = ImageFont.truetype("DejaVuSans.ttf", 13)
    width = max(shot.width for shot in shots.values())
    rows = [list(shots.items())[first : first + columns] for first in range(0, len(shots), columns)]
    heights = [CAPTION + max(shot.height for _, shot in row) + GAP for row in rows]
    sheet = Image.new("RGB", (columns * (width + GAP) + GAP, sum(heights) + GAP), PAPER[scheme])
    draw = ImageDraw.Draw(sheet)
    for row, y in zip(rows, (GAP + sum(heights[:n]) for n in range(len(rows))), strict=True):
        for column, (caption, shot) in enumerate(row):
            x = GAP + column * (width + GAP)
            draw.text((x, y), caption, INK[scheme], font)
            sheet.paste(shot, (x, y + CAPTION))
    small = sheet.quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    small.save(DOCS / f"contact-sheet-{name}.png", optimize=True)


if __name__ == "__main__":
    main()
