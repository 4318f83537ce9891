// For each task of encoders: its form, the request it makes, and how its answer is shown.

import { candidates, classes, entities, ranking, similarity } from "./results.js";

const list = (text) => text.split(",").map((word) => word.trim()).filter((word) => word !== "");

export const TASKS = {
  "fill-mask": {
    title: "Fill in the blank",
    action: "Fill",
    fields: ({ mask_token: mask }) => [
      {
        name: "text",
        kind: "text",
        rows: 3,
        label: `Text with ${mask ?? "a mask"} where words are missing`,
        value: `The capital of France is ${mask ?? "[MASK]"}.`,
        insert: mask,
      },
      { name: "top_k", kind: "number", label: "Candidates", value: 5, min: 1, max: 50 },
    ],
    body: (values) => ({ inputs: values.text, parameters: { top_k: values.top_k } }),
    show: candidates,
  },
  "text-classification": {
    title: "Classify a text",
    action: "Classify",
    fields: () => [{ name: "text", kind: "text", label: "Text", value: "I did not expect to like it, and I loved every minute." }],
    body: (values) => ({ inputs: values.text }),
    show: classes,
  },
  "token-classification": {
    title: "Find entities",
    action: "Find",
    fields: () => [
      { name: "text", kind: "text", label: "Text", value: "Ada Lovelace met Charles Babbage in London." },
      { name: "strategy", kind: "choice", label: "How tokens become entities", options: ["simple", "first", "average", "max", "none"] },
    ],
    body: (values) => ({ inputs: values.text, parameters: { aggregation_strategy: values.strategy } }),
    show: entities,
  },
  "zero-shot-classification": {
    title: "Classify by labels of your own",
    action: "Classify",
    fields: () => [
      { name: "text", kind: "text", label: "Text", value: "The new phone's battery lasts two days." },
      { name: "labels", kind: "line", label: "Labels", note: "With commas between them.", value: "technology, sport, politics" },
      { name: "multi", kind: "check", label: "Several labels may be right" },
    ],
    body: (values) => ({
      inputs: values.text,
      parameters: { candidate_labels: list(values.labels), multi_label: values.multi },
    }),
    show: classes,
  },
  embeddings: {
    title: "Compare two texts",
    action: "Compare",
    fields: () => [
      { name: "first", kind: "text", rows: 3, label: "First text", value: "How do I change my password?" },
      { name: "second", kind: "text", rows: 3, label: "Second text", value: "Steps to reset the login secret" },
    ],
    body: (values) => ({ inputs: [values.first, values.second] }),
    show: similarity,
  },
  rerank: {
    title: "Order documents by a question",
    action: "Order",
    fields: () => [
      { name: "query", kind: "line", label: "Question", value: "Where do penguins live?" },
      {
        name: "texts",
        kind: "lines",
        label: "Documents",
        note: "One a line.",
        value: "Parrots live in tropical forests.\nPenguins live on the coasts of Antarctica.\nPasta takes ten minutes.",
      },
    ],
    body: (values) => ({ inputs: { query: values.query, texts: values.texts } }),
    show: ranking,
  },
};
