"""The pages in a real browser, opened from the disk: an installed Chromium, driven by Playwright."""

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from stages.report import target_page
from tests.stages.report.conftest import BROKEN_IMAGE, CLASSES, HOSTILE_IMAGE, IMAGES, SCRIPT, Project

PAGES = ["index.html", "data.html", "map.html", *(f"pages/{target}.html" for target in CLASSES)]


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


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 360)])
def test_axe_finds_nothing_serious(page: Page, report: Project, name: str, scheme: str, width: int) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    open_page(page, report, name)
    page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
    found = Axe().run(page).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")] == []


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


def test_cards_are_sorted_by_margin_where_it_is_known(page: Page, report: Project) -> None:
    open_page(page, report, "pages/style.html")
    page.get_by_label("Order", exact=True).select_option("margin")
    shown = page.locator("[data-kind=suspect_label] .card").evaluate_all("cards => cards.map(c => +c.dataset.margin)")
    assert shown == sorted(shown)
    assert shown[0] < shown[-1]


def test_a_long_gallery_begins_short_and_opens_to_all_that_fit_the_filter(
    page: Page, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target_page, "CARDS_FIRST", 2)
    project.write()
    open_page(page, project, "pages/style.html")
    gallery = page.locator("[data-kind=suspect_label]")
    assert gallery.locator(".card:visible").count() == 2
    page.get_by_label("Order", exact=True).select_option("confidence-up")
    assert gallery.locator(".card:visible").count() == 2
    gallery.get_by_role("button", name="Show all 6").press("Enter")
    assert gallery.locator(".card:visible").count() == 6
    assert gallery.locator(".card").nth(2).evaluate("e => e === document.activeElement")
    assert gallery.get_by_role("button", name="Show all").count() == 0


def test_every_card_names_its_image(page: Page, report: Project) -> None:
    open_page(page, report, "pages/style.html")
    named = page.locator(".gallery .card").evaluate_all("cards => cards.map(card => card.dataset.image)")
    assert HOSTILE_IMAGE in named
    assert all(named)


def open_map(page: Page, report: Project) -> None:
    open_page(page, report, "map.html")
    page.locator("#nearest-list .card").first.wait_for()


def drawn_pixels(page: Page) -> int:
    """Pixels of the map that are not empty."""
    return page.evaluate("""() => {
      const canvas = document.querySelector("canvas");
      const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      return pixels.filter((value, i) => i % 4 === 3 && value > 0).length;
    }""")


def test_the_map_draws_a_point_or_a_picture_for_every_image(page: Page, report: Project) -> None:
    open_map(page, report)
    page.get_by_role("checkbox", name="Pictures when near").uncheck(force=True)
    page.wait_for_timeout(100)
    points = drawn_pixels(page)
    assert IMAGES * 20 < points <= IMAGES * 69  # discs of 61 pixels, some over others
    page.get_by_role("checkbox", name="Pictures when near").check(force=True)
    page.wait_for_timeout(300)
    assert drawn_pixels(page) > 2 * points


def test_pointing_at_the_map_shows_the_thumbnail_and_the_labels(page: Page, report: Project) -> None:
    open_map(page, report)
    box, tip = page.locator("canvas").bounding_box(), page.locator("#tip")
    places = ((x, y) for y in range(10, int(box["height"]), 9) for x in range(10, int(box["width"]), 60))
    for x, y in places:
        page.mouse.move(box["x"] + x, box["y"] + y)
        if tip.is_visible():
            break
    assert tip.locator("dl").inner_text().startswith("outlier score")
    assert "style" in tip.locator("dl").inner_text()
    picture = tip.locator(".map-picture").evaluate("e => e.style.backgroundImage")
    assert picture.startswith('url("data:image/webp') or tip.locator(".map-name").inner_text() == BROKEN_IMAGE


def test_the_map_is_coloured_by_label_prediction_score_and_split(page: Page, report: Project) -> None:
    open_map(page, report)
    legends = {}
    for choice in ("True label", "Predicted label", "Outlier score", "Split"):
        page.get_by_role("radio", name=choice).check(force=True)
        legends[choice] = page.locator("#legend bdi").all_inner_texts()
    assert legends["True label"] == legends["Predicted label"] == CLASSES["style"]
    assert legends["Outlier score"][-1] == "0.8 to 1"
    assert legends["Split"] == ["train", "val", "test"]


def test_the_map_shows_hostile_class_names_of_another_target_as_text(page: Page, report: Project) -> None:
    open_map(page, report)
    page.get_by_label("Label", exact=True).select_option("artist")
    assert SCRIPT in page.locator("#legend bdi").all_inner_texts()


def test_the_list_beside_the_map_follows_the_keyboard_and_the_chosen_class(page: Page, report: Project) -> None:
    open_map(page, report)
    images = "cards => cards.map(card => card.dataset.image)"
    before = page.locator("#nearest-list .card").evaluate_all(images)
    page.locator("canvas").focus()
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(400)
    after = page.locator("#nearest-list .card").evaluate_all(images)
    assert len(before) == len(after) == 12
    assert set(before) != set(after)
    page.locator("#legend button", has_text="dots").press("Enter")
    page.wait_for_timeout(400)
    labels = page.locator("#nearest-list .card dl").all_inner_texts()
    assert labels
    assert all("dots" in label for label in labels)


def test_without_javascript_galleries_and_cells_still_show_their_images(browser: Browser, report: Project) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    open_page(page, report, "pages/style.html")
    assert page.locator("form.filters").is_hidden()
    assert page.locator(".card .wall .thumb").first.is_visible()
    page.locator(".matrix button").first.click()
    assert page.locator(".cell-images:popover-open").is_visible()
    context.close()
