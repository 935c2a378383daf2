"""Draw sc-connect.png and sc-connect@2x.png from sc-connect.svg: python tools/draw_button.py (playwright, pillow)."""

import io
import pathlib
import shutil

from PIL import Image
from playwright.sync_api import sync_playwright

ASSETS = pathlib.Path(__file__).parent.parent / "assets"
WIDTH, HEIGHT = 242, 31  # CSS pixels, the specification's


def main():
    """Photograph the drawing at both scales with transparent corners, and save it as small as 256 colours allow."""
    page_text = f"<style>body{{margin:0}}svg{{display:block}}</style>{(ASSETS / 'sc-connect.svg').read_text('utf-8')}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for scale, name in ((1, "sc-connect.png"), (2, "sc-connect@2x.png")):
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=scale)
            page.set_content(page_text)
            picture = Image.open(io.BytesIO(page.screenshot(omit_background=True))).convert("RGBA")
            small = picture.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
            small.save(ASSETS / name, optimize=True)
        browser.close()


if __name__ == "__main__":
    main()
