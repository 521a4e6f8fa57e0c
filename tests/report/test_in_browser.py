"""The pages as a reader sees them, in a real browser: wide and narrow, light and dark, on paper."""

import io

import numpy as np
import pytest
import run_folders
from browser import chromium
from study_rows import many_rows

from keras_cascade import report

pytest.importorskip("matplotlib", reason="plots need matplotlib")

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
# The contrast, as WCAG defines it, of every text with the nearest ground behind it.
CONTRASTS = """
(() => {
  const channel = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const ground = (element) => {
    for (; element; element = element.parentElement) {
      const found = numbers(getComputedStyle(element).backgroundColor);
      if (found.length === 3 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  const contrast = (element) => {
    const style = getComputedStyle(element);
    const drawn = element.ownerSVGElement ? style.fill : style.color;
    const [a, b] = [light(numbers(drawn)), light(ground(element))].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  };
  const hasText = (element) => [...element.childNodes].some(
    (node) => node.nodeType === 3 && node.textContent.trim());
  return [...document.body.querySelectorAll("*")].filter(hasText).map(contrast);
})()
"""
WIDTHS = "[document.documentElement.scrollWidth, innerWidth]"
# How far the right edge of any figure is beyond the window's.
FIGURES_BEYOND = """
Math.max(...[...document.querySelectorAll("svg, img")].map(
  (figure) => figure.getBoundingClientRect().right - innerWidth))
"""
SMALLEST_LETTER = """
Math.min(...[...document.querySelectorAll("svg text")].map(
  (text) => parseFloat(getComputedStyle(text).fontSize)
    * Math.hypot(text.getScreenCTM().a, text.getScreenCTM().b)))
"""
GROUND = "getComputedStyle(document.body).backgroundColor"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Paths of a run's page, with more layers than fit a screen, and of a study's."""
    folder = tmp_path_factory.mktemp("pages")
    content = run_folders.results(1, groups=60)
    run = report.write_run_report(run_folders.write(folder / "run", content, latency=True))
    report.write_study_page(
        many_rows(1), folder / "study.html", title="A study", command="make study"
    )
    return {"run": run, "study": folder / "study.html"}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("screen", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("name", ["run", "study"])
def test_page_is_readable(browser, pages, name, screen, dark):
    browser.show(pages[name], dark=dark, **screen)
    assert browser.complaints() == []
    assert browser.requests() == [pages[name].as_uri()]
    content, window = browser.value(WIDTHS)
    assert content <= window == screen["width"]
    assert browser.value(FIGURES_BEYOND) <= 0
    assert browser.value(GROUND) == ("rgb(22, 24, 27)" if dark else "rgb(255, 255, 255)")
    contrasts = browser.value(CONTRASTS)
    assert len(contrasts) > 100 and min(contrasts) >= 4.5
    picture = _pixels(browser.screenshot())
    assert picture.shape[1] == window and picture.shape[0] > screen["height"]
    brightness = picture[..., :3].mean()
    assert brightness < 0.3 if dark and name == "run" else brightness > 0.1
    assert len(np.unique(picture[::5, ::5].reshape(-1, picture.shape[-1]), axis=0)) > 50


def test_plots_can_be_read_on_a_phone(browser, pages):
    browser.show(pages["run"], **PHONE)
    assert browser.value(SMALLEST_LETTER) >= 8.5  # CSS pixels
    assert browser.value("document.querySelectorAll('svg').length") == 10


@pytest.mark.parametrize("name", ["run", "study"])
def test_pages_print(browser, pages, name):
    browser.show(pages[name], dark=True, media="print")
    assert browser.value(GROUND) == "rgb(255, 255, 255)"
    assert min(browser.value(CONTRASTS)) >= 4.5
    pdf = browser.pdf()
    assert pdf.startswith(b"%PDF-") and len(pdf) > 20_000
    assert browser.complaints() == []


def test_what_is_wrong_with_a_page_is_noticed(browser, tmp_path):
    """Else the tests above could not fail."""
    page = tmp_path / "bad.html"
    page.write_text(
        "<meta name=viewport content='width=device-width'><body style='background: #16181b'>"
        "<p style='width: 900px; color: #222'>text</p><img src='absent.png'>"
        "<svg viewBox='0 0 500 9'><text style='font-size: 5px'>t</text></svg>"
        "<script>console.error('wrong'); nothing();</script>"
    )
    browser.show(page, **PHONE)
    assert len(browser.complaints()) == 3  # of the console, of the script, of the picture
    assert len(browser.requests()) == 2
    assert browser.value("document.documentElement.scrollWidth") > 900
    assert browser.value(SMALLEST_LETTER) < 8.5 and min(browser.value(CONTRASTS)) < 2


def _pixels(png):
    from matplotlib import image

    return image.imread(io.BytesIO(png))
