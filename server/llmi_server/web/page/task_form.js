// The form of an encoder's task, and its answer below it.

import { post } from "./api.js";
import { make, makeField } from "./elements.js";
import { TASKS } from "./tasks.js";

const PATH = "./";

/** Put a task's form into a place. `page` shows trouble and requests. */
export function openTaskForm(place, status, page) {
  const task = TASKS[status.task];
  const fields = task.fields(status).map((field) => ({ field, ...makeField(field) }));
  const send = make("button", { type: "submit", class: "primary" }, task.action);
  const result = make("section", { class: "result", "aria-live": "polite", "aria-label": "Answer" });
  const form = make(
    "form",
    { class: "card", "aria-label": task.title },
    make("h2", {}, task.title),
    ...fields.flatMap(({ field, row, control }) => [row, field.insert ? inserter(control, field.insert) : null]),
    make("div", { class: "row end" }, make("span", { class: "note hint" }, "Ctrl + Enter sends"), send),
  );

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const body = task.body(Object.fromEntries(fields.map(({ field, read }) => [field.name, read()])));
    page.clear();
    page.showRequest(PATH, body);
    send.disabled = true;
    result.setAttribute("aria-busy", "true");
    try {
      const { content, seconds } = await post(PATH, body);
      result.replaceChildren(make("h2", {}, "Answer"), ...task.show(content, body), took(seconds));
    } catch (error) {
      result.replaceChildren();
      page.showTrouble(error);
    } finally {
      send.disabled = false;
      result.removeAttribute("aria-busy");
    }
  });
  sendByKeyboard(form);
  place.replaceChildren(form, result);
}

/** Ctrl + Enter (on a Mac also ⌘ + Enter) sends from any field. */
export function sendByKeyboard(form) {
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
}

function inserter(control, mask) {
  const insert = () => {
    control.setRangeText(mask, control.selectionStart, control.selectionEnd, "end");
    control.focus();
  };
  return make("button", { type: "button", class: "quiet", onclick: insert }, `Insert ${mask}`);
}

function took(seconds) {
  return make("p", { class: "note took" }, `Answered in ${Math.max(1, Math.round(seconds * 1000))} ms.`);
}
