"""The page in a browser: every control works, by mouse and by keys."""

import re

import pytest

from chromium import blank, choose_run, expect, pixels, text, wait_for_others
from report_documents import STEPS, recorded


def test_another_run_is_chosen(page):
    assert "TeaCache" in text(page, "headline")
    choose_run(page, "ClusCa")
    assert text(page, "headline").startswith("ClusCa, ")
    assert "of 12 steps 3 are full, 9 cached" in text(page, "headline")
    strips = page.locator("#strips svg").get_attribute("aria-label")
    assert len(re.findall(r": [\d.]+ m?s\b", strips)) == 2
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
