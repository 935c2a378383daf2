"""Every page that a user sees, measured in Chromium: axe-core, contrast, focus, motion."""

import pathlib
import re

import pytest
from support.page import contrast
from support.showcase import BUSY, LABEL, LOOKS, PAGES, running
from support.windows import WITHIN

pytestmark = pytest.mark.browser

BUTTON = ".sc-connect-button"
CLEAR = "rgba(0, 0, 0, 0)"


@pytest.fixture(scope="module")
def world():
    with running() as world:
        yield world


@pytest.fixture
def visit(chromium, world):
    """Open the page of the buttons with settings of the system; it keeps the site's policy."""
    contexts = []
    complaints = []

    def visit(**settings):
        context = chromium.new_context(**settings)
        context.set_default_timeout(WITHIN * 1000)
        contexts.append(context)
        context.on(
            "console",
            lambda message: "Security Policy" in message.text and complaints.append(message.text),
        )
        page = context.new_page()
        page.goto(world.url)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []


def style(element, property_, pseudo=""):
    return element.evaluate(
        "(e, [name, pseudo]) => getComputedStyle(e, pseudo)[name]", [property_, pseudo]
    )


def axe_script():
    """Return the path of axe-core.

    It is imported here, as pytest reads this module where no browser is installed too.
    """
    import axe_playwright_python

    return pathlib.Path(axe_playwright_python.__file__).parent / "axe.min.js"


RUN_AXE = """async () => {
    const {violations} = await axe.run(document, {runOnly: undefined, resultTypes: ['violations']});
    const markup = it => it.nodes.map(node => node.html).join(' | ');
    return violations.map(it => `${it.id}: ${it.help}: ${markup(it)}`);
}"""


SCHEMES = ["light", "dark"]
WIDTHS = {"phone": 390, "desktop": 1280}  # pixels


@pytest.mark.parametrize("name", ["the buttons", *PAGES])
def test_axe_finds_nothing(chromium, world, name):
    # Without its policy, which forbids axe; other tests see that pages keep theirs.
    context = chromium.new_context(bypass_csp=True, reduced_motion="reduce")
    context.set_default_timeout(WITHIN * 1000)
    try:
        page = context.new_page()
        if name in PAGES:
            PAGES[name](page, world)
        else:
            page.goto(world.url)
        assert page.evaluate("document.title && document.documentElement.lang")
        page.add_script_tag(path=axe_script())
        for device, width in WIDTHS.items():
            page.set_viewport_size({"width": width, "height": 844})
            for scheme in SCHEMES:
                page.emulate_media(color_scheme=scheme)
                assert page.evaluate(RUN_AXE) == [], (device, scheme)
                assert page.evaluate("document.documentElement.scrollWidth") <= width, device
    finally:
        context.close()


@pytest.mark.parametrize(
    "name", [name for name in PAGES if "sandbox" not in name and "demo" not in name]
)
def test_every_page_of_ours_leads_on(chromium, world, name):
    context = chromium.new_context()
    page = context.new_page()
    PAGES[name](page, world)
    way = page.locator("main a:not(.entry)")
    assert (way.count(), way.evaluate("e => e.href")) == (1, f"{world.url}/")
    assert way.bounding_box()["height"] >= 44
    context.close()


def shown_text(element):
    """Return the colour of the text that can be seen, which is another one while it waits."""
    hidden = style(element, "color") == CLEAR
    return style(element, "color", "::after" if hidden or not element.inner_text() else "")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_text_of_every_look_can_be_read_in_every_state(visit, scheme):
    page = visit(color_scheme=scheme)
    measured = {}
    for element in page.locator(BUTTON).all():
        for state in ("rest", "hover", "active"):
            if state != "rest":
                element.hover(force=True)
            if state == "active":
                page.mouse.down()
            ratio = contrast(shown_text(element), style(element, "backgroundColor"))
            page.mouse.move(0, 0)
            if state == "active":
                page.mouse.up()
            measured[element.evaluate("e => e.outerHTML"), state] = ratio
    assert len(measured) >= 3 * 2 * len(LOOKS)
    assert {where: ratio for where, ratio in measured.items() if ratio < 4.5} == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_button_stands_out_from_the_page(visit, scheme):
    page = visit(color_scheme=scheme)
    ground = style(page.locator("body"), "backgroundColor")
    for element in page.locator(BUTTON).all():
        colours = [style(element, name) for name in ("backgroundColor", "borderTopColor")]
        assert max(contrast(colour, ground) for colour in colours if colour != CLEAR) >= 3


def test_the_focus_can_be_seen_on_any_ground(visit):
    page = visit()
    count = page.locator(BUTTON).count()
    seen = set()
    for _ in range(count):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        if not focused.count():
            continue
        assert style(focused, "outlineStyle") == "solid"
        assert float(style(focused, "outlineWidth").removesuffix("px")) >= 2
        ring = [
            style(focused, "outlineColor"),
            re.match(r"rgb\([^)]*\)", style(focused, "boxShadow"))[0],
        ]
        # So that one of the two has at least 3:1 with any ground
        assert contrast(*ring) >= 10
        seen.add(
            focused.evaluate("e => [...document.querySelectorAll('.sc-connect-button')].indexOf(e)")
        )
    assert len(seen) == count - 1  # all but the disabled one


@pytest.mark.parametrize("words", ["Wait", BUSY, "One moment please: SoundCloud has been asked"])
def test_no_button_changes_its_size_while_it_waits(visit, words):
    page = visit()
    for looks in LOOKS:
        element = page.locator(f'p[data-looks="{looks}"] {BUTTON}').first
        element.evaluate("(e, text) => e.setAttribute('data-sc-busy', text)", words)
        before = element.bounding_box()
        element.evaluate("e => e.setAttribute('aria-busy', 'true')")
        assert element.bounding_box() == before
        assert (style(element, "visibility", "::after"), style(element, "content", "::after")) == (
            "visible",
            f'"{words}"',
        )
        assert style(element, "display", "::after") != "none"
        element.evaluate("e => e.removeAttribute('aria-busy')")
        assert element.bounding_box() == before


def test_a_button_has_a_name_even_if_it_waits_or_is_empty(visit):
    page = visit()
    names = re.findall(r'- (?:button|link) "([^"]*)"', page.locator("main").aria_snapshot())
    assert names[:2] == [LABEL, f"{LABEL} {BUSY}"]
    assert all(names)
    assert len(names) == page.locator(BUTTON).count()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("", LABEL),
        ("e.classList.add('sc-disconnect')", "Disconnect"),
        ("e.ariaLabel = 'Verbinden'", "Verbinden"),
        ("e.ariaBusy = true", BUSY),
        ("e.ariaBusy = true; e.removeAttribute('data-sc-busy')", "Connecting …"),
    ],
)
def test_a_button_that_was_left_empty_says_what_it_does(visit, change, says):
    page = visit()
    element = page.locator(BUTTON).first
    element.evaluate(f"e => {{ e.textContent = ''; {change}; }}")
    shown = style(element, "content", "::after")
    assert (shown, style(element, "visibility", "::after")) == (f'"{says}"', "visible")
    assert element.bounding_box()["height"] == 31


@pytest.mark.parametrize(("touch", "least"), [(False, 31), (True, 44)], ids=["mouse", "finger"])
def test_a_button_is_large_enough(visit, touch, least):
    page = visit(has_touch=touch, is_mobile=touch)
    for element in page.locator(BUTTON).all():
        small = "sc-small" in element.get_attribute("class")
        assert element.bounding_box()["height"] >= (24 if small and not touch else least)


def test_in_forced_colours_the_system_draws_text_edge_and_cloud(visit):
    page = visit(forced_colors="active")
    for element in page.locator(BUTTON).all():
        ground = style(element, "backgroundColor")
        assert style(element, "borderTopStyle") == "solid"
        assert style(element, "borderTopColor") != CLEAR
        for colour in (
            shown_text(element),
            style(element, "borderTopColor"),
            style(element, "backgroundColor", "::before"),
        ):
            assert contrast(colour, ground) >= 4.5


@pytest.mark.parametrize(("motion", "moves"), [("reduce", False), ("no-preference", True)])
def test_nothing_moves_for_users_who_want_less_motion(visit, motion, moves):
    page = visit(reduced_motion=motion)
    assert page.evaluate("document.getAnimations().length > 0") is moves


def test_in_right_to_left_text_the_cloud_is_on_the_right(visit):
    page = visit()
    left, right = (
        page.locator(f"p[{where}] {BUTTON}").first for where in ('data-looks=""', 'dir="rtl"')
    )
    assert style(left, "backgroundPosition").split(",")[0] == "0% 0px"
    assert style(right, "backgroundPosition").split(",")[0] == "100% 0px"
    assert style(left, "paddingLeft") == style(right, "paddingRight") > style(left, "paddingRight")
    assert style(left, "left", "::before") == style(right, "right", "::before") == "6.99563px"


def test_a_long_translation_wraps_inside_its_button(visit):
    page = visit()
    element = page.locator(f".narrow {BUTTON}")
    assert element.bounding_box()["width"] <= 208
    assert element.bounding_box()["height"] >= 3 * 13.75 * 1.3
    assert element.evaluate(
        "e => e.scrollWidth <= e.clientWidth && e.scrollHeight <= e.clientHeight"
    )


def test_a_button_grows_with_the_size_of_the_text(visit):
    page = visit()
    element = page.locator(BUTTON).first
    before = element.bounding_box()
    page.evaluate("document.documentElement.style.setProperty('font-size', '200%')")
    after = element.bounding_box()
    assert 1.9 < after["width"] / before["width"] < 2.1
    assert after["height"] > 1.5 * before["height"]


def test_the_rules_of_a_site_for_its_links_do_not_reach_the_button(visit):
    page = visit()
    look = ["color", "textDecorationLine", "backgroundColor", "paddingLeft", "fontSize"]
    element = page.locator(BUTTON).first
    before = [style(element, name) for name in look]
    assert before[1] == "none"
    page.evaluate(
        """() => {
            const sheet = new CSSStyleSheet();
            const link = 'color: red; text-decoration: underline; padding: 0';
            sheet.replaceSync(`main p a, a:link, a:visited { ${link} }`
                + ' main a { background: lime; font-size: 40px }');
            document.adoptedStyleSheets = [sheet];
        }"""
    )
    assert [style(element, name) for name in look] == before


def test_button_css_touches_nothing_else(visit):
    page = visit()
    selectors = page.evaluate(
        """() => {
            const found = [];
            const walk = rules => {
                for (const rule of rules) {
                    const nested = rule.cssRules && rule.type !== CSSRule.KEYFRAMES_RULE;
                    if (rule.selectorText) found.push(rule.selectorText);
                    else if (nested) walk(rule.cssRules);
                }
            };
            const sheets = [...document.styleSheets];
            walk(sheets.find(sheet => sheet.href.endsWith('button.css')).cssRules);
            return found;
        }"""
    )
    assert len(selectors) > 20
    # The button's properties stand in :where(), so that a page can set them
    property_rule = re.compile(r":where\((\.sc-connect-button)((?:[^()]|\([^()]*\))*)\)")
    plain = [property_rule.sub(r"\1\1:where(\2)", selector) for selector in selectors]
    each = [
        part
        for selector in plain
        for part in re.sub(r"\([^()]*(\([^()]*\))?[^()]*\)", "", selector).split(", ")
    ]
    assert [
        part for part in each if not re.match(r"(\.sc-connect-button){2}(?![\w.-])[^ >+~]*$", part)
    ] == []


def test_the_pictures_keep_their_size(visit):
    page = visit()
    sizes = page.locator("img").evaluate_all(
        "all => all.map(e => [e.alt, e.naturalWidth, e.naturalHeight])"
    )
    assert sizes == [
        ["sc-connect", 242, 31],
        ["sc-connect-light", 242, 31],
        ["sc-connect-dark", 242, 31],
        ["sc-connect-small", 104, 24],
        ["sc-disconnect", 141, 31],
    ]
