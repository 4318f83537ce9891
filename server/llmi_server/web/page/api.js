// The server's own API, as any client speaks it. The key lives in this module's memory and nowhere else.

const base = new URL(".", document.baseURI);
let key = "";

const HEADLINES = {
  0: "The server cannot be reached",
  400: "The server cannot take this",
  401: "The key is missing or wrong",
  404: "This is not served here",
  408: "The request took too long to arrive",
  413: "This is too large",
  429: "The server is busy",
  500: "The server failed",
  503: "The server takes no requests right now",
  504: "The answer took too long",
};

const BROKEN_OFF = { headline: "The answer broke off" };

/** A failure in words: a headline, and what the server says. */
export class ApiError extends Error {
  constructor(status, message, { retryAfter = null, headline = null } = {}) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
    this.headline = headline ?? HEADLINES[status] ?? HEADLINES[status >= 500 ? 500 : 400];
  }
}

export const setKey = (value) => {
  key = value.trim();
};

export const hasKey = () => key !== "";

export async function getStatus() {
  return (await send("status")).json();
}

/** Post a request; returns the answer and how long it took. */
export async function post(path, body, signal) {
  const began = performance.now();
  const response = await send(path, body, signal);
  const content = await response.json();
  return { content, seconds: (performance.now() - began) / 1000 };
}

/** Post a request for a stream and yield its events. */
export async function* stream(path, body, signal) {
  const response = await send(path, body, signal);
  let text = "";
  for await (const part of decoded(response.body)) {
    const events = (text + part).split("\n\n");
    text = events.pop();
    for (const event of events) {
      const data = event.replace(/^data: ?/, "");
      if (data === "[DONE]") return;
      const content = JSON.parse(data);
      if (content.error) throw new ApiError(0, content.error.message, BROKEN_OFF);
      yield content;
    }
  }
  throw new ApiError(0, "The connection ended before the answer was complete. Try again.", BROKEN_OFF);
}

/** The same request for a terminal. */
export function asCurl(path, body) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const lines = [`curl ${quoted(new URL(path, base).href)}`, "-H 'content-type: application/json'"];
  if (hasKey()) lines.push('-H "authorization: Bearer $API_KEY"');
  if (body.stream) lines.push("--no-buffer");
  lines.push(`-d ${quoted(JSON.stringify(body))}`);
  return lines.join(" \\\n  ");
}

async function send(path, body, signal) {
  const headers = { accept: "application/json" };
  if (key) headers.authorization = `Bearer ${key}`;
  const options = { headers, signal, cache: "no-store", credentials: "same-origin" };
  if (body !== undefined) {
    headers["content-type"] = "application/json";
    Object.assign(options, { method: "POST", body: JSON.stringify(body) });
  }
  let response;
  try {
    response = await fetch(new URL(path, base), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "There was no answer. Check that it runs and that the network leads there, then try again.");
  }
  if (!response.ok) throw await toError(response);
  return response;
}

async function toError(response) {
  let message = `The answer was status ${response.status}.`;
  try {
    message = (await response.json()).error.message ?? message;
  } catch {
    // something between here and the server answered in a shape of its own
  }
  return new ApiError(response.status, message, { retryAfter: response.headers.get("retry-after") });
}

async function* decoded(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The connection broke before the answer was complete. Try again.", BROKEN_OFF);
  } finally {
    reader.cancel().catch(() => {});
  }
}
