// The Server-Sent Events transport: the channel stream through the browser's own
// EventSource, the domain events through eventstream.js. A stream has no way
// back, so joining and speaking are HTTP calls.

import { EventStream } from "./eventstream.js";
import { summary } from "./wire.js";
import { refusal } from "./websocket.js";

const publicChannels = ["announcements"];
const messageTypes = [
  "event", "subscription_succeeded", "subscription_error", "subscribed", "unsubscribed", "auth", "gap",
];

export class SSETransport {
  #context; // { session, rest, wire, deliver, ready, interrupted, ended, timed }
  #source;
  #events;
  #id = "";
  #lastEventId = "";
  #draining = false;

  constructor(context) {
    this.#context = context;
  }

  start() {
    const query = new URLSearchParams({ channels: publicChannels.join(","), token: this.#context.session.token });
    if (this.#lastEventId) query.set("lastEventId", this.#lastEventId);
    const path = `/events?${query}`;
    this.#context.wire.record({ direction: "out", via: "sse", label: "GET /events", text: path });
    this.#source = new EventSource(path);
    for (const type of messageTypes) {
      this.#source.addEventListener(type, (event) => this.#receive(event));
    }
    // A message of type "error" and a broken stream arrive under the same name.
    this.#source.addEventListener("error", (event) => (event.data ? this.#receive(event) : this.#broken()));
  }

  stop() {
    this.#source.close();
    this.#events?.stop();
  }

  async join(channel) {
    if (publicChannels.includes(channel)) return; // named in the stream's own address
    const id = this.#id;
    try {
      await this.#context.rest.joinStream(id, channel);
    } catch (error) {
      if (id === this.#id) this.#context.deliver(refusal(channel, error));
    }
  }

  joinEvents(since) {
    this.#events?.stop();
    this.#events = new EventStream({ ...this.#context, lastEventId: since });
    this.#events.start();
  }

  /** There are no client events over SSE: a backend says it, to all but this stream. */
  say(channel, event, data) {
    return this.#context.rest.broadcast(channel, event, data, this.#id);
  }

  async ping() {
    const { rest, timed } = this.#context;
    try {
      timed(await rest.time());
    } catch {
      // The stream itself will notice.
    }
  }

  /** The token stands in the stream's address: a new one needs a new stream. */
  authenticate() {
    this.#source.close();
    this.#context.interrupted("The page has a new token, and opens a new stream with it.");
    this.start();
  }

  #receive({ data, lastEventId, type }) {
    if (lastEventId) this.#lastEventId = lastEventId;
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      message = null;
    }
    if (type === "gap" && message) message = { type: "event", event: "gap", channel: message.channel, data: message };
    this.#context.wire.record({ direction: "in", via: "sse", label: summary(message), text: data });
    if (!message) return;
    if (message.event === "draining" && !message.channel) this.#draining = true;
    const connected = message.event === "connected" && !message.channel;
    if (connected) this.#id = message.data.connectionId;
    this.#context.deliver(message);
    if (connected) this.#context.ready();
  }

  #broken() {
    if (this.#source.readyState === EventSource.CONNECTING && !this.#draining) {
      this.#context.interrupted(); // the browser comes back by itself, after the server's `retry:`
      return;
    }
    this.stop();
    this.#context.ended(this.#draining ? { code: 1001 } : {
      words: "The event stream was refused.",
      retry: "backoff",
      renew: true,
    });
  }
}
