// Elements from plain values. Text is always set as text, so nothing that a model says becomes markup.

let serial = 0;

/** Make an element: attributes by name, `class` and `on…` among them, then children. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** Make a labelled control from its description; returns the row and how to read its value. */
export function makeField(field) {
  const id = `field-${++serial}`;
  const note = field.note ? make("p", { class: "note", id: `${id}-note` }, field.note) : null;
  const common = { id, "aria-describedby": note && note.id, name: field.name };
  const control = CONTROLS[field.kind](field, common);
  const label = make("label", { for: id }, field.label);
  const inline = field.kind === "check";
  const row = make("div", { class: `field ${field.kind}` }, ...(inline ? [control, label, note] : [label, note, control]));
  return { row, control, read: () => READ[field.kind](control) };
}

const CONTROLS = {
  text: (field, common) => areaOf(field, common, field.rows ?? 4),
  lines: (field, common) => areaOf(field, common, field.rows ?? 5),
  line: (field, common) => valued(make("input", { ...common, type: "text", required: field.required ?? true }), field),
  number: (field, common) =>
    valued(make("input", { ...common, type: "number", min: field.min, max: field.max, step: field.step ?? 1 }), field),
  check: (field, common) => make("input", { ...common, type: "checkbox" }),
  choice: (field, common) =>
    make("select", common, ...field.options.map((option) => make("option", { value: option }, option))),
};

const READ = {
  text: (control) => control.value,
  line: (control) => control.value,
  lines: (control) => control.value.split("\n").map((line) => line.trim()).filter((line) => line !== ""),
  number: (control) => (control.value === "" ? undefined : Number(control.value)),
  check: (control) => control.checked,
  choice: (control) => control.value,
};

function areaOf(field, common, rows) {
  return valued(make("textarea", { ...common, rows, required: field.required ?? true, spellcheck: "false" }), field);
}

function valued(control, field) {
  control.value = field.value ?? "";
  return control;
}
