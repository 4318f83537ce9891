// Text generation: a conversation, or a text that is continued. Both are shown as they come.

import { stream } from "./api.js";
import { make, makeField } from "./elements.js";
import { sendByKeyboard } from "./task_form.js";

const options = (most) => [
  { name: "max_tokens", kind: "number", label: "Most tokens", value: most, min: 1, note: "Of the answer; empty: the server's default." },
  { name: "temperature", kind: "number", label: "Temperature", value: 0.7, min: 0, max: 2, step: 0.1, note: "0 always takes the likeliest." },
];
const SYSTEM = { name: "system", kind: "text", rows: 2, label: "What the model is told first", required: false };

/** Put the form into a place; models without a chat template only continue texts. */
export function openGeneration(place, status, page) {
  const parts = { chat: () => openChat(status, page), text: () => openText(status, page) };
  if (!status.converses) {
    place.replaceChildren(...parts.text());
    return;
  }
  const body = make("div", {});
  const tabs = ["chat", "text"].map((name) =>
    make("button", { type: "button", class: "tab", onclick: () => choose(name) }, name === "chat" ? "Conversation" : "Continue a text"),
  );
  const choose = (name) => {
    page.clear();
    tabs.forEach((tab, at) => tab.setAttribute("aria-pressed", String((at === 0) === (name === "chat"))));
    body.replaceChildren(...parts[name]());
  };
  place.replaceChildren(make("div", { class: "tabs", role: "group", "aria-label": "What to do" }, ...tabs), body);
  choose("chat");
}

function openChat(status, page) {
  const messages = [];
  const log = make("ol", { class: "chat", role: "log", "aria-label": "Conversation" });
  const system = makeField(SYSTEM);
  const composer = compose({ label: "Your message", action: "Send", rows: 2, extra: [system], most: "", enterSends: true });
  const anew = make("button", { type: "button", class: "quiet" }, "New conversation");
  anew.addEventListener("click", () => {
    messages.length = 0;
    log.replaceChildren();
    page.clear();
    composer.control.focus();
  });
  composer.buttons.prepend(anew);

  composer.onSend(async (text, given, signal) => {
    messages.push({ role: "user", content: text });
    const question = bubble("user", text);
    question.end(null);
    const answer = bubble("assistant", "");
    log.append(question.item, answer.item);
    const told = system.read().trim();
    const before = told ? [{ role: "system", content: told }] : [];
    const body = { model: status.model, messages: [...before, ...messages], ...given, ...STREAMED };
    page.showRequest("v1/chat/completions", body);
    const said = await follow("v1/chat/completions", body, signal, answer, (choice) => choice.delta.content, page);
    if (said === null) {
      messages.pop();
      composer.control.value = composer.control.value || text;
      question.item.remove();
      answer.item.remove();
    } else {
      messages.push({ role: "assistant", content: said });
    }
  });
  return [log, composer.form];
}

function openText(status, page) {
  const result = make("section", { class: "result", "aria-label": "Answer" });
  const composer = compose({ label: "Text to continue", action: "Continue", rows: 4, extra: [], most: 128, value: "Once upon a time" });
  composer.onSend(async (prompt, given, signal) => {
    const answer = continuation(prompt);
    result.replaceChildren(make("h2", {}, "Answer"), answer.item);
    const body = { model: status.model, prompt, ...given, ...STREAMED };
    page.showRequest("v1/completions", body);
    const said = await follow("v1/completions", body, signal, answer, (choice) => choice.text, page);
    if (said === null) result.replaceChildren();
  }, { keeps: true });
  return [composer.form, result];
}

const STREAMED = { stream: true, stream_options: { include_usage: true } };

/** Show an answer as it comes; returns its text, or null when there is none. */
async function follow(path, body, signal, answer, textOf, page) {
  const began = performance.now();
  let said = "";
  let tokens = null;
  let finish = null;
  try {
    for await (const event of stream(path, body, signal)) {
      for (const choice of event.choices) {
        said += textOf(choice) ?? "";
        finish = choice.finish_reason ?? finish;
      }
      tokens = event.usage?.completion_tokens ?? tokens;
      answer.show(said);
    }
  } catch (error) {
    if (error.name !== "AbortError") {
      page.showTrouble(error);
      if (said === "") return null;
    }
    answer.end(error.name === "AbortError" ? "Stopped." : "Broken off.");
    return said;
  }
  const seconds = (performance.now() - began) / 1000;
  const rate = tokens === null ? "" : ` ${tokens} tokens, ${(tokens / Math.max(seconds, 0.001)).toFixed(1)} a second.`;
  answer.end(`${finish === "length" ? "Cut off at the most tokens." : "Complete."}${rate}`);
  return said;
}

function bubble(role, text) {
  const content = make("div", { class: "content" }, text);
  const item = make("li", { class: role }, make("span", { class: "role" }, role === "user" ? "You" : "Model"), content);
  return shown(item, content);
}

function continuation(prompt) {
  const content = make("span", { class: "new" });
  return shown(make("p", { class: "continued" }, make("span", { class: "old" }, prompt), content), content);
}

function shown(item, content) {
  item.setAttribute("aria-busy", "true");
  return {
    item,
    show: (text) => {
      content.textContent = text;
    },
    end: (note) => {
      item.removeAttribute("aria-busy");
      if (note !== null) item.append(make("span", { class: "note" }, note));
    },
  };
}

function compose({ label, action, rows, extra, value, most, enterSends }) {
  const text = makeField({ name: "text", kind: "text", rows, label, value });
  const numbers = options(most).map((field) => ({ field, ...makeField(field) }));
  const send = make("button", { type: "submit", class: "primary" }, action);
  const stop = make("button", { type: "button", class: "stop", hidden: true }, "Stop");
  const hint = enterSends ? "Enter sends, Shift + Enter is a new line" : "Ctrl + Enter sends";
  const buttons = make("div", { class: "row end" }, make("span", { class: "note hint" }, hint), stop, send);
  const more = make(
    "details",
    { class: "options" },
    make("summary", {}, "Options"),
    ...extra.map(({ row }) => row),
    make("div", { class: "pair" }, ...numbers.map(({ row }) => row)),
  );
  const form = make("form", { class: "card", "aria-label": action }, text.row, more, buttons);
  sendByKeyboard(form);
  if (enterSends)
    text.control.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        form.requestSubmit();
      }
    });

  const onSend = (work, { keeps = false } = {}) =>
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (send.disabled) return;
      const controller = new AbortController();
      stop.onclick = () => controller.abort();
      const asked = text.read();
      if (!keeps) text.control.value = "";
      [send.disabled, stop.hidden] = [true, false];
      const given = numbers.map(({ field, read }) => [field.name, read()]).filter(([, number]) => number !== undefined);
      try {
        await work(asked, Object.fromEntries(given), controller.signal);
      } finally {
        [send.disabled, stop.hidden] = [false, true];
        text.control.focus();
      }
    });
  return { form, buttons, control: text.control, onSend };
}
