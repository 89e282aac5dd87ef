"""The page in a browser: every control works, by mouse and by keys, in both themes."""

import pytest

from chromium import opened, refuse, started
from clusca_ext.recording import Document, Recording
from clusca_ext.report import render
from report_documents import STEPS, recorded
from test_page import HOSTILE

THEMES = {"light": "rgb(245, 243, 238)", "dark": "rgb(15, 19, 23)"}  # the ground's colour


@pytest.fixture(scope="module")
def browser():
    with started() as browser:
        yield browser


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render(recorded()), "utf-8")
    return path


@pytest.fixture
def page(browser, path):
    with opened(browser, path) as page:
        yield page


def pixels(page, canvas):
    return page.evaluate(f"document.getElementById('{canvas}').toDataURL()")


def text(page, name):
    return page.locator(f"#{name}").inner_text()


def wait_for_others(page, canvas, than):
    """Pixels of a canvas that are none of those; it is drawn when its picture is decoded."""
    for _ in range(200):
        now = pixels(page, canvas)
        if now not in than:
            return now
        page.wait_for_timeout(20)
    raise AssertionError(f"{canvas} was not drawn again")


def blank(page):
    """A canvas that nothing was drawn on."""
    return page.evaluate("document.createElement('canvas').toDataURL()")


def expect(locator):
    from playwright.sync_api import expect  # where it is missing, the tests are skipped

    return expect(locator)


def choose_run(page, name):
    page.select_option("#run", label=name)


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


def test_another_run_is_chosen(page):
    assert "TeaCache" in text(page, "headline")
    choose_run(page, "ClusCa")
    assert text(page, "headline").startswith("ClusCa, ")
    assert "of 12 steps 3 are full, 9 cached" in text(page, "headline")
    assert page.locator("#strips svg").get_attribute("aria-label").count("ms") == 2
    choose_run(page, "full sampler (reference)")
    assert "The reference" in text(page, "headline")
    assert page.locator("#divider").is_hidden() and page.locator("#view").is_hidden()
    assert "the run has no cache" in text(page, "maps-missing")
    assert page.locator("#map").is_hidden()


def test_the_divider_moves_by_mouse_and_by_keys(page):
    def shown():
        return page.evaluate("document.getElementById('split-reference').style.clipPath")

    def share():
        return float(shown().split()[1].rstrip("%"))

    page.locator("#split").scroll_into_view_if_needed()
    page.locator("#split").scroll_into_view_if_needed()
    box = page.locator("#split").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.25, middle, steps=4)
    page.mouse.up()
    assert share() == pytest.approx(75, abs=4)
    before = share()
    page.keyboard.press("ArrowRight")  # it has the focus now
    assert share() == before - 1
    page.keyboard.press("End")
    assert share() == 0
    assert "100% full sampler" in page.locator("#divider").get_attribute("aria-valuetext")


def test_pictures_are_shown_in_three_ways(page):
    choose_run(page, "ClusCa")
    page.get_by_role("radio", name="Side by side").click()
    assert page.locator("#beside").is_visible() and page.locator("#split").is_hidden()
    page.keyboard.press("ArrowRight")
    assert page.locator("#difference").is_visible() and page.locator("#beside").is_hidden()
    expect(page.locator("#difference-text")).to_contain_text("mean")
    before = pixels(page, "difference-map")
    gain = int(text(page, "gain-value"))
    page.locator("#gain").press("ArrowLeft")
    expect(page.locator("#gain-value")).to_have_text(str(gain // 2))
    wait_for_others(page, "difference-map", {before})
    caption = text(page, "picture-caption")
    assert caption.startswith("Picture 1 of 2: PSNR ")
    page.locator("#thumbs input").first.focus()
    page.keyboard.press("ArrowRight")
    assert text(page, "picture-caption").startswith("Picture 2 of 2: PSNR ")


def test_steps_are_stepped_through(page):
    choose_run(page, "ClusCa")
    assert text(page, "step-text").startswith("Step 1, of 0 to 11: cached, ")
    seen = {wait_for_others(page, "map", {blank(page)})}
    page.locator("#step-on").click()
    assert text(page, "step-text").startswith("Step 2, ")
    page.locator("#step").press("End")
    assert text(page, "step-text").startswith(f"Step {STEPS - 1}, of 0 to 11: full, ")
    assert "All 64 tokens are computed" in text(page, "step-text")
    wait_for_others(page, "map", seen)
    assert page.locator("#step-on").is_disabled()
    page.locator("#step-back").press("Enter")
    page.locator("#step-back").press("Space")
    assert text(page, "step-text").startswith(f"Step {STEPS - 3}, ")
    page.locator("#steps details summary").first.click()
    assert page.locator("#steps-table tr.now th").inner_text() == str(STEPS - 3)
    page.locator("#bars .hit").nth(4).click()
    assert text(page, "step-text").startswith("Step 4, ")
    page.locator("#strips .hit").nth(0).click()
    assert text(page, "step-text").startswith("Step 0, ")
    assert page.locator("#step").input_value() == "0"


def test_playing_stops_at_the_end(page):
    choose_run(page, "ClusCa")
    page.locator("#step").press("End")
    for _ in range(2):
        page.locator("#step-back").click()
    page.locator("#step-play").click()
    assert page.locator("#step-text").get_attribute("aria-live") == "off"
    expect(page.locator("#step-play")).to_have_text("Play")
    assert text(page, "step-text").startswith(f"Step {STEPS - 1}, ")
    assert page.locator("#step-text").get_attribute("aria-live") == "polite"
    page.locator("#step-play").click()
    page.locator("#step-play").click()
    assert page.locator("#step-play").get_attribute("aria-pressed") == "false"


def test_maps_show_what_is_asked_for(page):
    choose_run(page, "ClusCa")
    seen = {wait_for_others(page, "map", {blank(page)})}
    for name in ("Picture", "Clusters", "Representatives"):
        page.get_by_role("checkbox", name=name).press("Space")
        seen.add(wait_for_others(page, "map", seen))
    page.select_option("#sample", "1")
    page.locator("#maps-shown summary").click()
    assert "sample 1" in page.locator("#map-table caption").inner_text()
    rows = page.locator("#map-table tbody tr").all_inner_texts()
    sizes = [int(row.split("\t")[1]) for row in rows]
    assert sum(sizes) == 64 and all("row" in row for row in rows)


def test_drift_has_lines_and_tables(page):
    choose_run(page, "ClusCa")
    line = page.locator("#features polyline").first
    before = line.get_attribute("points")
    page.select_option("#block", "1")
    assert page.locator("#features polyline").first.get_attribute("points") != before
    rows = page.locator("#features-table tbody tr").count()
    runs = recorded().runs
    assert rows == len(runs[0].features.steps) + len(runs[1].features.steps)
    assert page.locator("#gates-table tbody tr").count() == len(runs[1].gates.steps)


def test_a_step_that_differs_by_sample(page):
    choose_run(page, "TeaCache")
    page.locator("#steps details summary").first.click()
    first = page.locator("#steps-table tbody tr").first.inner_text()
    assert first.split("\t")[:2] == ["0", "full"] and first.endswith("full, full")


def test_memory_and_what_is_missing(page):
    choose_run(page, "ClusCa")
    assert "cached outputs" in page.locator("#memory-bars").inner_text()
    names = page.locator("#memory-table tbody th").all_text_contents()
    assert set(names) == set(recorded().runs[1].memory)
    assert "only on CUDA" in page.locator("#missing").text_content()
    assert '"type": "ClusterCorrector"' in page.locator("#config").text_content()


def test_plots_of_rows(page):
    assert page.locator("#pareto-plot circle").count() == 2
    page.select_option("#pareto-group", index=1)
    assert page.locator("#pareto-plot circle").count() == 3
    assert page.locator("#pareto-plot circle.best").count() == 2
    assert page.locator("#pareto-table tbody tr").count() == 3
    assert page.locator("#roofline-plot circle").count() == 4
    page.select_option("#roofline-group", label="a GPU, float32, commit abc")
    assert page.locator("#roofline-table caption").text_content().startswith("a GPU")


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


@pytest.mark.parametrize("rows", [(), recorded().rows], ids=["nothing", "rows-alone"])
def test_a_page_without_runs(rows, browser, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(render(Document(kind="bench", title="no runs", rows=rows)), "utf-8")
    with opened(browser, path) as page:
        assert page.locator("#roofline svg, #pareto svg").count() == (2 if rows else 0)
        assert page.get_by_text("Nothing was recorded").count() == (0 if rows else 1)
