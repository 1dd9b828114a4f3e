"""The review page in a real browser, served by the real command: decisions, keys, hostile names, accessibility."""

import re
from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from tests.stages.review.conftest import ARABIC, HOSTILE_IMAGE, QUOTED, SCRIPT, Project, Served


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    return serve()


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    """The review page, which must not log an error, throw, or ask for anything but the server."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    problems: list[str] = []
    opened.on(
        "console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None
    )
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
    opened.on("request", lambda r: None if r.url.startswith((served.url, "data:")) else problems.append(r.url))
    opened.goto(served.url)
    yield opened
    opened.close()
    expected = [
        problem
        for problem in problems
        if not re.search("status of 422|ERR_CONNECTION_REFUSED|ERR_EMPTY_RESPONSE", problem)
    ]
    assert not expected


def card(page: Page, number: int) -> Locator:
    return page.locator(f"#image-{number}")


def press(page: Page, number: int, name: str) -> None:
    card(page, number).get_by_role("button", name=name, exact=True).click()


def verdict(page: Page, number: int) -> Locator:
    return card(page, number).locator(".verdict")


def test_decisions_survive_a_reload_and_reach_the_manifest(page: Page, project: Project) -> None:
    card(page, 0).get_by_label("Right label").fill(ARABIC)
    press(page, 0, "Label wrong")
    expect(verdict(page, 0)).to_have_text(f"Label wrong: {ARABIC}")
    press(page, 1, "Image bad")
    expect(verdict(page, 1)).to_have_text("Image bad")
    press(page, 2, "Fine")
    expect(verdict(page, 2)).to_have_text("Fine")
    press(page, 3, "No label")
    expect(verdict(page, 3)).to_have_text("Label wrong: no label")
    expect(page.locator("#progress-text")).to_have_text("4 of 8 looked at")

    page.reload()
    expect(page.locator("#progress-text")).to_have_text("4 of 8 looked at")
    assert page.locator(".suspect").first.get_attribute("id") == "image-4"  # those decided are hidden
    page.get_by_label("Show", exact=True).select_option("decided")
    expect(page.locator(".suspect")).to_have_count(4)
    expect(verdict(page, 0)).to_have_text(f"Label wrong: {ARABIC}")

    manifest = project.ingest()
    names = project.names
    assert manifest["genre"][names[0]] == ARABIC
    assert manifest["genre"][names[2]] == SCRIPT
    assert manifest["genre"][names[3]] == ""
    assert names[1] == HOSTILE_IMAGE
    assert names[1] not in manifest.index


def test_undo_takes_a_decision_back(page: Page, project: Project) -> None:
    press(page, 0, "Fine")
    expect(verdict(page, 0)).to_have_text("Fine")
    press(page, 0, "Undo")
    expect(verdict(page, 0)).to_be_empty()
    expect(page.locator("#progress-text")).to_have_text("0 of 8 looked at")
    assert project.decisions() == []


def test_single_keys_decide_and_go_on_to_the_next(page: Page, project: Project) -> None:
    page.keyboard.press("j")
    page.keyboard.press("f")
    expect(card(page, 1)).to_be_focused()
    page.keyboard.press("b")
    expect(card(page, 2)).to_be_focused()
    page.keyboard.press("l")
    page.keyboard.type(QUOTED)
    page.keyboard.press("Enter")
    expect(card(page, 3)).to_be_focused()
    page.keyboard.press("n")
    expect(card(page, 4)).to_be_focused()
    page.keyboard.press("k")
    page.keyboard.press("u")
    expect(verdict(page, 3)).to_be_empty()
    assert [(row["image"], row["decision"], row["label"]) for row in project.decisions()] == [
        (project.names[0], "fine", ""),
        (project.names[1], "image_bad", ""),
        (project.names[2], "label_wrong", QUOTED),
    ]


def test_single_keys_can_be_turned_off(page: Page, project: Project) -> None:
    page.get_by_text("Keyboard", exact=True).click()
    page.get_by_label("Single keys").uncheck()
    page.reload()
    page.get_by_text("Keyboard", exact=True).click()
    expect(page.get_by_label("Single keys")).not_to_be_checked()
    card(page, 0).focus()
    page.keyboard.press("f")
    press(page, 1, "Fine")
    expect(verdict(page, 1)).to_have_text("Fine")
    assert [row["image"] for row in project.decisions()] == [project.names[1]]


def test_a_label_that_nobody_has_is_asked_for_twice(page: Page, project: Project) -> None:
    card(page, 0).get_by_label("Right label").fill("landscpae")
    press(page, 0, "Label wrong")
    expect(card(page, 0).get_by_role("alert")).to_contain_text("No image is labelled “landscpae” yet")
    assert not project.review.exists()
    press(page, 0, "Label wrong")
    expect(verdict(page, 0)).to_have_text("Label wrong: landscpae")


def test_what_is_not_saved_is_said(page: Page, served: Served) -> None:
    card(page, 0).get_by_label("Right label").fill("portrait")
    press(page, 0, "Label wrong")
    expect(card(page, 0).get_by_role("alert")).to_have_text("Not saved. The image already has this label.")
    served.stop()
    press(page, 0, "Fine")
    expect(card(page, 0).get_by_role("alert")).to_contain_text("Not saved: the server does not answer")
    expect(verdict(page, 0)).to_be_empty()


def test_hostile_names_are_text(page: Page) -> None:
    page.goto(page.url + "?show=all")
    assert card(page, 1).locator(".file").inner_text() == HOSTILE_IMAGE
    for number, label in [(2, SCRIPT), (3, QUOTED), (4, ARABIC)]:
        assert card(page, number).locator("dd").first.inner_text() == label
    assert f"looks like {SCRIPT}" in card(page, 0).locator(".reason").first.inner_text()
    assert page.locator("script").count() == 1
    assert card(page, 4).locator("dd bdi").first.evaluate("e => getComputedStyle(e).unicodeBidi") == "isolate"


def test_pictures_are_shown_and_open_large(page: Page) -> None:
    picture = card(page, 0).locator(".wall img")
    expect(picture).to_be_visible()
    page.wait_for_function("document.querySelector('#image-0 .wall img').naturalWidth === 160")
    with page.context.expect_page() as opened:
        card(page, 0).locator("a.wall").click()
    opened.value.wait_for_load_state()
    assert opened.value.url.endswith("/image/0/large")


def test_filters_and_the_next_page(page: Page) -> None:
    expect(page.locator(".suspect")).to_have_count(5)
    page.get_by_role("link", name="Later").click()
    page.wait_for_url("**from=5", wait_until="load")
    expect(page.locator(".suspect")).to_have_count(3)
    page.get_by_label("Kind").select_option("Low confidence")
    expect(page.locator(".suspect")).to_have_count(4)
    page.get_by_label("Class").select_option(SCRIPT)
    expect(page.locator(".suspect")).to_have_count(1)
    assert card(page, 7).locator("dd").first.inner_text() == SCRIPT


@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_nothing_and_nothing_scrolls_sideways(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    press(page, 0, "Fine")
    expect(verdict(page, 0)).to_have_text("Fine")
    card(page, 2).get_by_label("Right label").fill("")
    press(page, 2, "Label wrong")
    page.get_by_text("Keyboard", exact=True).click()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page).response["violations"]
        assert [(violation["id"], violation["nodes"][0]["html"]) for violation in found] == [], scheme
    assert page.evaluate("document.documentElement.scrollWidth") == width
