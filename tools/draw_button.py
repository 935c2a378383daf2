"""Draw the pictures of the button: python tools/draw_button.py Inter-SemiBold.otf

Makes every sc-*.svg of the table below in assets/, and from each a PNG file and a dense one (@2x).
It takes playwright, pillow, fonttools and uharfbuzz. The font is Inter (SIL Open Font License), for
example from Debian's package fonts-inter; only outlines of the letters get into the pictures, so
nobody else needs it.
"""

import io
import pathlib
import shutil
import sys
from dataclasses import dataclass
from math import ceil

import uharfbuzz
from fontTools.pens.svgPathPen import SVGPathPen
from fontTools.pens.transformPen import TransformPen
from fontTools.ttLib import TTFont
from PIL import Image
from playwright.sync_api import sync_playwright

ASSETS = pathlib.Path(__file__).parent.parent / "assets"
CLOUD = "M14.3 23.5a5.3 5.3 0 0 1-.9-10.5 8 8 0 0 1 15.3-1.6 6.1 6.1 0 0 1 .7 12.1z"
WAVE = "M15 16v4M18 13.5v7M21 11v9.5M24 14v6M27 16.5v2.5"
# As on close.html where nothing was connected
SILENCE = "M15 19.5v.01M18 19.5v.01M21 19.5v.01M24 19.5v.01M27 19.5v.01"


@dataclass(frozen=True)
class Picture:
    """One picture.

    The contrast beside a pair of colours is that of the lettering, which needs 4.5:1.
    """

    words: str
    plate: str  # under the lettering
    ink: str
    cell: str  # under the cloud
    cloud: str
    edge: str = ""  # a line around the plate, if it may be as light or as dark as the page
    line: str = ""  # between cell and plate
    width: int = 242  # CSS pixels, the specification's size
    height: int = 31
    letters: float = 13.75  # CSS pixels: capitals are 10 high
    wave: str = WAVE
    says: str = ""  # its text for users who cannot see it, if that is more than the words


SMALL = {"width": 104, "height": 24, "letters": 12.375, "says": "Connect with SoundCloud"}
PICTURES = {
    "sc-connect": Picture("Connect with SoundCloud", "#c94000", "#fff", "#ff5a0a", "#fff"),  # 5.0:1
    "sc-connect-light": Picture(
        *("Connect with SoundCloud", "#fff", "#1f1b18", "#fff", "#f25200"),  # 17.1:1
        **{"edge": "#8c847d", "line": "#e2ddd8"},
    ),
    "sc-connect-dark": Picture(
        *("Connect with SoundCloud", "#1d1b1a", "#f3efec", "#1d1b1a", "#ff6a1f"),  # 14.9:1
        **{"edge": "#8f8780", "line": "#45403c"},
    ),
    "sc-connect-small": Picture("Connect", "#c94000", "#fff", "#ff5a0a", "#fff", **SMALL),
    "sc-disconnect": Picture(
        *("Disconnect", "#fff", "#1f1b18", "#fff", "#766e67"),
        **{
            "edge": "#8c847d",
            "line": "#e2ddd8",
            "width": 141,
            "wave": SILENCE,
            "says": "Disconnect from SoundCloud",
        },
    ),
}


def main(font_file):
    """Write the drawings, then photograph each at both scales with transparent corners."""
    for name, picture in PICTURES.items():
        (ASSETS / f"{name}.svg").write_text(drawing(picture, font_file), "utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for name, picture in PICTURES.items():
            for scale, file in ((1, f"{name}.png"), (2, f"{name}@2x.png")):
                photograph(
                    browser,
                    (ASSETS / f"{name}.svg").read_text("utf-8"),
                    picture,
                    scale,
                    ASSETS / file,
                )
        browser.close()


def photograph(browser, svg, picture, scale, file):
    """A PNG file of a drawing, as small as 256 colours allow."""
    size = {"width": picture.width, "height": picture.height}
    page = browser.new_page(viewport=size, device_scale_factor=scale)
    page.set_content(f"<style>body{{margin:0}}svg{{display:block}}</style>{svg}")
    shot = Image.open(io.BytesIO(page.screenshot(omit_background=True))).convert("RGBA")
    shot.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
        file, optimize=True
    )
    page.close()


def drawing(picture, font_file):
    """The SVG file of a picture."""
    width = picture.width
    height = picture.height
    scale = height / 31  # the mark was drawn for a cell of 43 x 31
    cell = round(43 * scale)
    radius = 5 if height == 31 else 4
    # Capitals are 0.727 high
    baseline = 21 if height == 31 else height / 2 + picture.letters * 0.364
    letters = lettering(picture, font_file, cell, baseline)
    if picture.edge:
        plate = (
            f'    <path fill="{picture.plate}" d="M0 0h{width}v{height}H0z"/>\n'
            f'    <path fill="{picture.cell}" d="M0 0h{cell}v{height}H0z"/>\n'
            f'    <path fill="{picture.line}" d="M{cell} 0h1v{height}h-1z"/>\n'
        )
        rim = (
            f'  <rect x=".5" y=".5" width="{width - 1}" height="{height - 1}" '
            f'rx="{radius - 0.5}" fill="none" stroke="{picture.edge}"/>\n'
        )
    else:
        plate = (
            f'    <path fill="{picture.plate}" d="M0 0h{width}v{height}H0z"/>\n'
            f'    <path fill="{picture.cell}" d="M0 0h{cell}v{height}H0z"/>\n'
            '    <path fill="#8f2c00" fill-opacity=".55" '
            f'd="M{cell} 0h1v{height}h-1zM0 {height - 1}h{width}v1H0z"/>\n'
            f'    <path fill="#fff" fill-opacity=".28" d="M0 0h{width}v1H0z"/>\n'
        )
        rim = ""
    shrink = "" if scale == 1 else f' transform="scale({scale:.4f})"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{picture.says or picture.words}">\n'
        "  <!-- A cloud with a waveform in it, drawn for this project by tools/draw_button.py, "
        "which also makes the\n"
        "       PNG files. The lettering is Inter SemiBold (SIL Open Font License) "
        "as outlines. -->\n"
        f'  <clipPath id="shape"><rect width="{width}" height="{height}" rx="{radius}"/>'
        "</clipPath>\n"
        f'  <g clip-path="url(#shape)">\n{plate}  </g>\n{rim}'
        f'  <path fill="{picture.cloud}"{shrink} d="{CLOUD}"/>\n'
        f'  <path fill="none" stroke="{picture.cell}" stroke-width="2" '
        f'stroke-linecap="round"{shrink} d="{picture.wave}"/>\n'
        f'  <path fill="{picture.ink}" d="{letters}"/>\n'
        "</svg>\n"
    )


def lettering(picture, font_file, cell, baseline):
    """The outlines of the words, in the middle of the plate."""
    font = uharfbuzz.Font(uharfbuzz.Face(pathlib.Path(font_file).read_bytes()))
    run = uharfbuzz.Buffer()
    run.add_str(picture.words)
    run.guess_segment_properties()
    uharfbuzz.shape(font, run)  # with the font's kerning
    outlines = TTFont(font_file)
    glyphs = outlines.getGlyphSet()
    scale = picture.letters / outlines["head"].unitsPerEm
    length = sum(position.x_advance for position in run.glyph_positions) * scale
    x = ceil(cell + (picture.width - cell - length) / 2)
    pen = SVGPathPen(glyphs, ntos=lambda number: f"{number:.2f}".rstrip("0").rstrip("."))
    for info, position in zip(run.glyph_infos, run.glyph_positions, strict=True):
        move = (scale, 0, 0, -scale, x + position.x_offset * scale, baseline)
        glyphs[outlines.getGlyphName(info.codepoint)].draw(TransformPen(pen, move))
        x += position.x_advance * scale
    return pen.getCommands()


if __name__ == "__main__":
    main(sys.argv[1])
