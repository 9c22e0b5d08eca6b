"""ComfyUI's template browser, used as a person does: by looking, scrolling and clicking."""

from typing import Any

PACK = "comfyui-gcfg"
CARDS = "[data-testid^='template-workflow-']"
CONTENT = "[data-testid='template-workflows-content']"
BUTTON = "[class*=side-tool-bar] button:is([aria-label='Templates'], :has-text('Templates'))"

CLICKS, SECONDS_A_CLICK = 4, 30
RUN = "button[data-testid='queue-button'], [data-testid='queue-button'] button"
PICTURE_IS_THERE = "() => app.graph.nodes.some(node => node.type === 'SaveImage' && node.imgs?.[0]?.naturalWidth > 0)"


def open_templates(page: Any) -> None:
    """Open the template browser, and click the pack's name in it."""
    page.locator(BUTTON).first.click()
    choose_pack(page)


def choose_pack(page: Any) -> None:
    """Click the pack's name in the open template browser."""
    page.locator("[role=dialog]").get_by_text(PACK, exact=True).first.click()
    page.locator(CARDS).first.wait_for()


def all_cards(page: Any) -> Any:
    """Return the cards of every template, after scrolling to the last: more appear on the way."""
    while _show_more(page):
        pass
    return page.locator(CARDS)


def click_card(page: Any, name: str) -> None:
    """Open one template, and wait until the template browser has closed. A click that hits nothing, because the cards
    move while their pictures load, is repeated as a person would."""
    from playwright.sync_api import TimeoutError as TooLate

    card = page.locator(f"[data-testid='template-workflow-{name}']")
    while not card.count() and _show_more(page):
        pass
    for left in reversed(range(CLICKS)):
        card.click()
        try:
            page.locator(CONTENT).wait_for(state="detached", timeout=SECONDS_A_CLICK * 1000)
            return
        except TooLate:
            if not left:
                raise


def _show_more(page: Any, seconds: float = 2) -> bool:
    """Scroll to the last card; True when further ones appear."""
    cards = page.locator(CARDS)
    before = cards.count()
    cards.last.scroll_into_view_if_needed()
    for _ in range(round(seconds * 10)):
        if cards.count() > before:
            return True
        page.wait_for_timeout(100)
    return False
