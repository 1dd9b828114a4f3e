"""The pages in a real browser, opened from the disk: an installed Chromium, driven by Playwright."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.stages.report.conftest import CLASSES, Project

EXECUTABLE = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run",
]  # fmt: skip
PAGES = ["index.html", *(f"pages/{target}.html" for target in CLASSES)]

pytestmark = pytest.mark.skipif(EXECUTABLE is None, reason="no Chromium is installed (apt-get install chromium)")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=EXECUTABLE, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that must not log an error, throw, or ask for anything but itself."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    problems: list[str] = []
    opened.on(
        "console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None
    )
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
    opened.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else problems.append(r.url))
    yield opened
    opened.close()
    assert not problems


def open_page(page: Page, report: Project, name: str) -> None:
    page.goto((report.root / "reports" / name).as_uri())


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [360, 2560])
def test_a_page_never_scrolls_sideways(page: Page, report: Project, name: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    open_page(page, report, name)
    page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_links_lead_from_the_index_to_a_target_and_back(page: Page, report: Project) -> None:
    open_page(page, report, "index.html")
    page.locator(".targets a").first.click()
    assert page.locator("h1").inner_text().lower() == "style"
    page.get_by_role("link", name="Collection report").click()
    assert page.locator("h1").inner_text() == "Collection report"


def test_a_confusion_cell_opens_its_images_and_escape_closes_them(page: Page, report: Project) -> None:
    open_page(page, report, "pages/artist.html")
    button = page.locator(".matrix button").first
    cell = page.locator(f"#{button.get_attribute('popovertarget')}")
    assert cell.is_hidden()
    button.focus()
    page.keyboard.press("Enter")
    assert cell.is_visible()
    assert cell.locator(".thumb").count() == int(button.inner_text())
    picture = cell.locator(".thumb").first
    assert picture.evaluate("e => getComputedStyle(e).backgroundImage").startswith('url("data:image/webp')
    assert picture.bounding_box()["width"] > 20
    page.keyboard.press("Escape")
    assert cell.is_hidden()
    assert button.evaluate("e => e === document.activeElement")


def test_the_kind_filter_shows_one_gallery(page: Page, report: Project) -> None:
    open_page(page, report, "pages/style.html")
    page.get_by_role("radio", name="Low confidence").check()
    visible = [gallery for gallery in page.locator(".gallery").all() if gallery.is_visible()]
    assert [gallery.get_attribute("data-kind") for gallery in visible] == ["low_confidence"]
    assert page.get_by_role("status").inner_text() == "3 images"


def test_the_class_filter_keeps_images_of_the_class(page: Page, report: Project) -> None:
    open_page(page, report, "pages/style.html")
    page.get_by_label("Class", exact=True).select_option("dots")
    labels = [card.locator("dl").inner_text() for card in page.locator(".card:visible").all()]
    assert labels
    assert all("dots" in label for label in labels)
    assert page.get_by_role("status").inner_text() == f"{len(labels)} images"


def test_cards_are_sorted_by_confidence(page: Page, report: Project) -> None:
    open_page(page, report, "pages/style.html")
    page.get_by_label("Order", exact=True).select_option("confidence-up")
    shown = page.locator("[data-kind=suspect_label] .card").evaluate_all(
        "cards => cards.map(c => +c.dataset.confidence)"
    )
    assert shown == sorted(shown)


def test_without_javascript_galleries_and_cells_still_show_their_images(browser: Browser, report: Project) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    open_page(page, report, "pages/style.html")
    assert page.locator("form.filters").is_hidden()
    assert page.locator(".card .wall .thumb").first.is_visible()
    page.locator(".matrix button").first.click()
    assert page.locator(".cell-images:popover-open").is_visible()
    context.close()
