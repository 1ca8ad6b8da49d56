// The domain event stream, GET /api/v1/events/stream. It is read with fetch and
// not with EventSource, which cannot send a bearer token and hears only the
// event types that it was told of beforehand.

import { backoff } from "./closecodes.js";

export class EventStream {
  #context; // { session, wire, deliver, lastEventId }
  #abort = new AbortController();
  #attempt = 0;
  #retry = 0;

  constructor(context) {
    this.#context = context;
  }

  async start() {
    const { signal } = this.#abort;
    while (!signal.aborted) {
      await this.#read(signal).catch(() => {});
      if (signal.aborted) return;
      await pause(this.#retry || backoff(this.#attempt++), signal);
    }
  }

  stop() {
    this.#abort.abort();
  }

  async #read(signal) {
    const { session, wire, lastEventId } = this.#context;
    const headers = { Authorization: `Bearer ${session.token}` };
    if (lastEventId) headers["Last-Event-ID"] = lastEventId;
    const path = "/api/v1/events/stream";
    wire.record({ direction: "out", via: "sse", label: `GET ${path}`, text: lastEventId ? `Last-Event-ID: ${lastEventId}` : "" });
    const response = await fetch(path, { headers, signal });
    if (response.status === 401) await session.renew();
    if (!response.ok) return;
    const parser = new StreamParser();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done || signal.aborted) return;
      for (const block of parser.push(value)) this.#receive(block);
    }
  }

  #receive({ event, id, data, retry, comment }) {
    if (retry) this.#retry = retry;
    if (id) this.#context.lastEventId = id;
    const label = comment !== undefined ? `:${comment}` : data === "" ? `retry ${retry}` : `event ${event}`;
    this.#context.wire.record({ direction: "in", via: "sse", label, text: data, quiet: data === "" });
    if (data === "") return;
    const message = JSON.parse(data);
    const { deliver } = this.#context;
    if (event === "connected") {
      this.#attempt = 0;
      deliver({ type: "subscribed", events: ["*"] });
    } else if (event === "gap") {
      deliver({ type: "event", event: "gap", data: message });
    } else {
      deliver({ type: "event", event: message });
    }
  }
}

/** Cuts a text/event-stream into its blocks, wherever the network cut it. */
export class StreamParser {
  #rest = "";

  push(text) {
    const blocks = (this.#rest + text).replaceAll("\r\n", "\n").split("\n\n");
    this.#rest = blocks.pop();
    return blocks.map(parseBlock);
  }
}

function parseBlock(text) {
  const block = { event: "message", data: "" };
  const data = [];
  for (const line of text.split("\n")) {
    const [, field, value] = /^([^:]*):? ?(.*)$/.exec(line);
    if (field === "data") data.push(value);
    else if (field === "retry") block.retry = Number(value);
    else if (field === "") block.comment = value;
    else block[field] = value;
  }
  block.data = data.join("\n");
  if (block.data !== "") delete block.comment;
  return block;
}

function pause(delay, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, delay);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}
