"""A headless Chromium for the tests of the page, and what it was asked to load or complained of."""

import contextlib
import os
import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def refuse(reason):
    """Skip without a browser; fail instead where the environment promises one."""
    promised = os.environ.get("CLUSCA_REQUIRE_BROWSER") == "1"
    (pytest.fail if promised else pytest.skip)(f"needs {reason}")


@contextlib.contextmanager
def started():
    """A browser that runs; a profile of its own comes with it, and goes."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        refuse("playwright: pip install 'clusca_ext[dev]'")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        refuse(f"one of {', '.join(NAMES)}, as apt-get install chromium brings it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@contextlib.contextmanager
def opened(browser, path, **options):
    """A page of a file; at the end it must have been quiet, and have loaded nothing."""
    context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
    page = context.new_page()
    heard = []
    page.on("console", lambda message: heard.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: heard.append(f"error: {error}"))
    page.on("request", lambda request: heard.append(f"request: {request.url[:80]}"))
    page.goto(path.as_uri())
    yield page
    context.close()
    own = f"request: {path.as_uri()}"[:89]
    assert [each for each in heard if not each.startswith((own, "request: data:"))] == []


def pixels(page, canvas):
    return page.evaluate(f"document.getElementById('{canvas}').toDataURL()")


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


def text(page, name):
    return page.locator(f"#{name}").inner_text()


def choose_run(page, name):
    page.select_option("#run", label=name)
