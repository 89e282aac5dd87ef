"""The page in a browser: it opens in both themes, can be read by all, and loads nothing."""

import dataclasses

import pytest

from chromium import expect, opened, refuse, text
from clusca_ext.recording import Document, Recording
from clusca_ext.report import render
from report_documents import recorded
from test_page import HOSTILE

THEMES = {"light": "rgb(245, 243, 238)", "dark": "rgb(15, 19, 23)"}  # the ground's colour


def ground(page):
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


@pytest.mark.parametrize("theme, width", [("light", 1280), ("dark", 400)])
def test_it_opens_and_is_accessible(theme, width, browser, path):
    """As axe-core judges it, contrast included, with all that can be opened open."""
    try:
        from axe_playwright_python.sync_playwright import Axe
    except ImportError:
        refuse("axe-playwright-python: pip install 'clusca_ext[dev]'")
    size = {"width": width, "height": 900}
    with opened(browser, path, color_scheme=theme, viewport=size) as page:
        assert ground(page) == THEMES[theme]
        assert page.evaluate("document.documentElement.scrollWidth") == width
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        found = Axe().run(page).response["violations"]
        assert [(each["id"], [n["target"] for n in each["nodes"]]) for each in found] == []
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_the_theme_is_chosen_and_kept(page):
    for theme, colour in reversed(THEMES.items()):
        page.locator(f"#theme input[value={theme}]").click()
        assert ground(page) == colour
        page.reload()
        assert ground(page) == colour
    page.locator("#theme input[value=light]").focus()
    page.keyboard.press("ArrowRight")
    assert ground(page) == THEMES["dark"]


def test_keys_reach_everything_in_order(page):
    order = []
    for _ in range(14):
        page.keyboard.press("Tab")
        order.append(
            page.evaluate("(e => e.id || e.name || e.getAttribute('href'))(document.activeElement)")
        )
    links = [f"#{n}" for n in ("overview", "pictures", "steps", "drift", "memory")]
    assert order[:10] == ["#main", "theme", "run", *links, "#pareto", "#roofline"]
    page.reload()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_it_is_drawn_for_its_width(page):
    wide = page.locator("#bars svg").get_attribute("viewBox")
    page.set_viewport_size({"width": 400, "height": 900})
    expect(page.locator("#bars svg")).not_to_have_attribute("viewBox", wide)
    assert page.evaluate("document.documentElement.scrollWidth") == 400


def test_motion_is_reduced_where_that_is_asked_for(browser, path):
    behaviour = "getComputedStyle(document.documentElement).scrollBehavior"
    with opened(browser, path, reduced_motion="reduce") as page:
        assert page.evaluate(behaviour) == "auto"
    with opened(browser, path, reduced_motion="no-preference") as page:
        assert page.evaluate(behaviour) == "smooth"


def test_what_is_hostile_is_shown_as_text(browser, tmp_path):
    runs = [Recording(name=HOSTILE), Recording(name=HOSTILE, missing={"maps": HOSTILE})]
    path = tmp_path / "hostile.html"
    path.write_text(render(Document(kind="run", title=HOSTILE, runs=runs)), "utf-8")
    with opened(browser, path) as page:
        assert page.locator("h1").inner_text() == HOSTILE
        assert page.locator("img[src=x]").count() == 0
        assert HOSTILE in text(page, "maps-missing")


def test_a_map_of_a_video_has_no_picture_under_it(browser, tmp_path):
    """Its pictures are frames, of which none is that of the latents."""
    full, cached, _ = recorded().runs
    moving = dataclasses.replace(cached, maps=dataclasses.replace(cached.maps, frame=1, frames=3))
    path = tmp_path / "video.html"
    path.write_text(render(Document(kind="run", title="video", runs=[full, moving])), "utf-8")
    with opened(browser, path) as page:
        assert text(page, "map-text").startswith("Frame 1 of the latents, of 3.")
        assert page.locator("#map-picture").is_hidden()
        page.get_by_role("checkbox", name="Clusters").uncheck()  # what is drawn is grey, no error
        assert page.locator("#pareto").count() == 0  # of one point


@pytest.mark.parametrize("rows", [(), recorded().rows], ids=["nothing", "rows-alone"])
def test_a_page_without_runs(rows, browser, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(render(Document(kind="bench", title="no runs", rows=rows)), "utf-8")
    with opened(browser, path) as page:
        assert page.locator("#roofline svg, #pareto svg").count() == (2 if rows else 0)
        assert page.get_by_text("Nothing was recorded").count() == (0 if rows else 1)
