"""The page as people meet it: in a real Chromium, by keyboard, against real servers."""

import json
import math
from dataclasses import replace

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from llmi_api.launch import Task
from llmi_testing.browser import open_browser
from llmi_testing.engine import FakeCodec, fake_model
from llmi_testing.generation import generating_server, held_engine
from llmi_testing.models import small_causal_model
from llmi_testing.server import running_server

CONTRAST = """
const light = (colour) => {
  const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = getComputedStyle(at).backgroundColor;
    if (colour !== "rgba(0, 0, 0, 0)") return colour;
  }
  return "rgb(255, 255, 255)";
};
const poor = [];
for (const element of document.body.querySelectorAll("*")) {
  const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  if (!own || !element.checkVisibility() || element.closest(".skip, noscript, [aria-busy]")) continue;
  const [a, b] = [light(getComputedStyle(element).color), light(ground(element))].sort((x, y) => y - x);
  if ((a + 0.05) / (b + 0.05) < 4.5) poor.push(element.outerHTML.slice(0, 100));
}
return poor;
"""
SIZES = """
window.sizes = [];
new MutationObserver(() => {
  const answer = document.querySelector(".assistant:last-child .content");
  if (answer) window.sizes.push(answer.textContent.length);
}).observe(document.getElementById("try"), { subtree: true, childList: true, characterData: true });
"""


class PlacedCodec(FakeCodec):
    """Knows where words begin and end."""

    def _encode(self, text):
        offsets, end = [], 0
        for word in text.split():
            start = text.index(word, end)
            end = start + len(word)
            offsets.append((start, end))
        return replace(super()._encode(text), offsets=((0, 0), *offsets, (0, 0)))


class Page:
    """The page in the browser, by what a person sees of it."""

    def __init__(self, browser):
        self.browser = browser

    def open(self, server):
        self.browser.get_log("performance")
        self.browser.get(server.url)

    def open_form(self, server):
        self.open(server)
        self.until(lambda: self.all("#try form"))

    def until(self, condition):
        return WebDriverWait(self.browser, 60, poll_frequency=0.05).until(lambda _: condition())

    def one(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector):
        return [element.text for element in self.all(selector)]

    def field(self, label):
        found = self.browser.find_element(By.XPATH, f"//label[contains(normalize-space(), '{label}')]")
        return self.one(f"#{found.get_attribute('for')}")

    def write(self, label, text):
        field = self.field(label)
        field.clear()
        field.send_keys(text)

    def send(self):
        """Send by keyboard, from wherever the focus is in the form."""
        self.one("#try form textarea").send_keys(Keys.CONTROL, Keys.ENTER)

    def answered(self):
        self.send()
        self.until(lambda: self.all(".result h2"))

    def trouble(self):
        return self.until(lambda: self.one("#trouble").is_displayed() and self.one("#trouble").text)

    def stage(self):
        return self.one("#stage").text

    def requests(self):
        """Addresses that the browser asked for since the page was opened."""
        messages = [json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance")]
        sent = [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]
        return [url for url in sent if not url.startswith(("data:", "chrome"))]

    def prefer(self, scheme):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with open_browser(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture
def page(browser):
    browser.get("about:blank")
    return Page(browser)


@pytest.fixture(scope="module")
def generating():
    with generating_server() as server:
        yield server


def test_the_likeliest_words_for_a_mask_are_shown_with_their_shares(page):
    with running_server(task=Task.FILL_MASK) as server:
        page.open_form(server)
        page.write("Text with [MASK]", "a [MASK] b")
        page.write("Candidates", "3")
        page.answered()
        assert page.texts(".bars .name") == ["99", "98", "97"]
        shares = [float(text.rstrip("%")) for text in page.texts(".bars .number")]
        assert shares == sorted(shares, reverse=True)


def test_the_mask_of_the_model_is_put_in_by_a_button(page):
    with running_server(task=Task.FILL_MASK) as server:
        page.open_form(server)
        page.write("Text with [MASK]", "a ")
        page.browser.find_element(By.XPATH, "//button[normalize-space()='Insert [MASK]']").send_keys(Keys.ENTER)
        assert page.field("Text with [MASK]").get_property("value") == "a [MASK]"


def test_several_masks_have_a_list_each(page):
    with running_server(task=Task.FILL_MASK) as server:
        page.open_form(server)
        page.write("Text with [MASK]", "[MASK] and [MASK]")
        page.answered()
        assert page.texts(".result h3") == ["Mask 1", "Mask 2"]


def test_classes_are_shown_best_first(page):
    with running_server(task=Task.TEXT_CLASSIFICATION) as server:
        page.open_form(server)
        page.answered()
        assert page.texts(".bars .name")[0] == "bad"
        assert len(page.all(".bars .name")) == 3


def test_entities_are_marked_where_they_stand_in_the_text(page):
    # An emoji is one character to the server and two to JavaScript.
    model = replace(fake_model(Task.TOKEN_CLASSIFICATION), codec=PlacedCodec())
    with running_server(model, task=Task.TOKEN_CLASSIFICATION) as server:
        page.open_form(server)
        page.browser.execute_script("arguments[0].value = '🦊🦊 meets Ada'", page.field("Text"))
        page.browser.execute_script("arguments[0].value = 'none'", page.field("How tokens become entities"))
        page.answered()
        marked = [mark.text.split("neutral")[0].strip() for mark in page.all("mark")]
        assert marked == ["🦊🦊", "meets", "Ada"]
        assert page.one(".result .note").text == "3 entities found."


def test_labels_of_ones_own_are_ordered(page):
    with running_server(task=Task.ZERO_SHOT_CLASSIFICATION) as server:
        page.open_form(server)
        page.write("Labels", "b, a ,c")
        page.answered()
        assert sorted(page.texts(".bars .name")) == ["a", "b", "c"]


def test_two_texts_are_compared(page):
    with running_server() as server:
        page.open_form(server)
        page.write("First text", "a")
        page.write("Second text", "b c")
        page.answered()
        a, b = (server.http.post("/", json={"inputs": text}).json()[0] for text in ("a", "b c"))
        cosine = sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)
        assert page.one(".figure strong").text == f"{cosine:.3f}"


def test_documents_are_ordered_by_the_question(page):
    with running_server(task=Task.RERANK) as server:
        page.open_form(server)
        page.write("Question", "a")
        page.write("Documents", "b c\nd e f\n\ng")
        page.answered()
        texts = ["b c", "d e f", "g"]
        ranked = server.http.post("/", json={"inputs": {"query": "a", "texts": texts}}).json()
        assert page.texts(".bars .name") == [texts[one["index"]] for one in ranked]


def test_a_conversation_grows_and_its_answers_come_in_pieces(page, generating):
    page.open_form(generating)
    page.browser.execute_script(SIZES)
    page.one(".options summary").send_keys(Keys.ENTER)
    page.write("Most tokens", "20")
    for number, text in enumerate(("Hello", "And more"), start=1):
        page.field("Your message").send_keys(text, Keys.ENTER)
        page.until(lambda: len(page.all(".assistant:not([aria-busy]) .note")) == number)  # noqa: B023 - used at once
    assert page.texts(".user .content") == ["Hello", "And more"]
    assert len(set(page.browser.execute_script("return window.sizes"))) > 3
    asked = page.one("#request pre").get_property("textContent")
    assert [asked.count(role) for role in ('"role":"user"', '"role":"assistant"')] == [2, 1]


def test_an_answer_is_stopped_and_forgotten_by_the_server(page, generating):
    page.open_form(generating)
    page.all(".tab")[1].send_keys(Keys.ENTER)
    with held_engine(generating):  # else the answer might be there before it is stopped
        page.send()
        page.until(lambda: page.one(".stop").is_displayed())
        page.one(".stop").send_keys(Keys.ENTER)
        assert page.until(lambda: page.texts(".continued .note")) == ["Stopped."]
        page.until(lambda: generating.lifecycle.loaded_service._engine.jobs == 0)


def test_a_model_without_chat_template_continues_texts_only(page):
    with generating_server(small_causal_model("gpt2", chat=False)) as server:
        page.open_form(server)
        assert not page.all(".tab")
        assert page.field("Text to continue").is_displayed()


def test_the_key_is_asked_for_used_and_never_stored(page, tmp_path):
    (tmp_path / "keys").write_text("right\n")
    with running_server(api_key_file=tmp_path / "keys") as server:
        page.open(server)
        page.until(lambda: page.one("#key").is_displayed())
        assert not page.all("#try form")
        page.one("#key").send_keys("wrong", Keys.ENTER)
        assert page.trouble().startswith("The key is missing or wrong")
        page.one("#key").clear()
        page.one("#key").send_keys("right", Keys.ENTER)
        page.until(lambda: page.all("#try form"))
        page.answered()
        stored = "return [localStorage.length, sessionStorage.length, document.cookie, document.body.innerHTML]"
        *counts, markup = page.browser.execute_script(stored)
        assert counts == [0, 0, ""]
        assert "right" not in markup
        page.browser.refresh()
        page.until(lambda: page.one("#key").is_displayed())


def test_what_the_server_refuses_is_told_in_its_words(page):
    with running_server() as server:
        page.open_form(server)
        page.write("First text", "word " * 40)
        page.send()
        headline, message = page.trouble().split("\n")
        assert headline == "The server cannot take this"
        assert message.startswith("The input has 42 tokens and the limit is 32.")
        page.write("First text", "short")
        page.answered()
        assert not page.one("#trouble").is_displayed()


def test_a_server_that_is_gone_is_told(page):
    with running_server() as server:
        page.open_form(server)
    page.send()
    assert page.trouble().startswith("The server cannot be reached")


def test_the_form_comes_by_itself_once_the_model_is_loaded(page):
    with running_server(load=False) as server:
        server.lifecycle.enter_phase("weights")
        page.open(server)
        page.until(lambda: page.stage() == "loading: weights")
        assert not page.all("#try form")
        server.load(fake_model())
        page.until(lambda: page.all("#try form"))
        assert page.stage() == "ready"


def test_markup_in_a_text_stays_text(page):
    model = replace(fake_model(Task.TOKEN_CLASSIFICATION), codec=PlacedCodec())
    with running_server(model, task=Task.TOKEN_CLASSIFICATION) as server:
        page.open_form(server)
        page.write("Text", "<img src=x onerror=document.title=1> <b>bold</b>")
        page.answered()
        assert not page.all("#try img, #try b")
        assert "<b>bold</b>" in page.one(".marked").text


def test_the_browser_asks_this_server_only_and_the_page_could_not_do_otherwise(page):
    with running_server() as server, running_server() as other:
        page.open_form(server)
        page.answered()
        assert {url.rsplit("/", 1)[-1] for url in page.requests()} > {"main.js", "style.css", "status"}
        page.open_form(server)
        page.answered()
        assert all(url.startswith(f"{server.url}/") for url in page.requests())
        attempt = "fetch(arguments[0]).then(() => arguments[1]('reached'), () => arguments[1]('refused'))"
        assert page.browser.execute_async_script(attempt, f"{other.url}/status") == "refused"
        assert "operation" not in [line for line in other.http.get("/metrics").text.splitlines() if "200" in line]


@pytest.mark.parametrize("task", [task for task in Task if task is not Task.TEXT_GENERATION])
def test_every_control_is_labelled_and_reached_by_tab(page, task):
    with running_server(task=task) as server:
        page.open_form(server)
        controls = [one for one in page.all("a, button, input, textarea, select, summary") if one.is_displayed()]
        assert all(one.accessible_name for one in controls)
        page.browser.execute_script("document.activeElement.blur()")
        reached = set()
        for _ in range(2 * len(controls)):
            ActionChains(page.browser).send_keys(Keys.TAB).perform()
            reached.add(page.browser.switch_to.active_element.id)
        assert {one.id for one in controls} <= reached


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(page, scheme):
    page.prefer(scheme)
    with running_server(task=Task.FILL_MASK) as server:
        page.open_form(server)
        grounds = page.browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (max(map(int, grounds[4:-1].split(","))) < 60) == (scheme == "dark")
        page.write("Text with [MASK]", "a [MASK]")
        page.answered()
        assert page.browser.execute_script(CONTRAST) == []
        page.write("Text with [MASK]", "no mask")
        page.send()
        page.trouble()
        assert page.browser.execute_script(CONTRAST) == []


def test_the_conversation_stands_out_from_its_ground(page, generating):
    for scheme in ("dark", "light"):
        page.prefer(scheme)
        page.open_form(generating)
        page.one(".options summary").send_keys(Keys.ENTER)
        page.write("Most tokens", "5")
        page.field("Your message").send_keys("Hello", Keys.ENTER)
        page.until(lambda: page.all(".assistant:not([aria-busy]) .note"))
        assert page.browser.execute_script(CONTRAST) == []


def test_nothing_is_wider_than_a_telephone(page, generating):
    page.browser.set_window_size(400, 800)
    width = "return [document.documentElement.scrollWidth, window.innerWidth]"
    page.open_form(generating)
    scrolled, wide = page.browser.execute_script(width)
    assert scrolled <= wide
