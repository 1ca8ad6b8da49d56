// The connection as the page sees it: one state, whatever transport carries it.
// It knows which channels are wanted, where each of them was, when to come back
// after a close, and whom to tell.
//
// Emits: "state", "identity" (the socket id), "rtt", "message" (everything that
// is said on channels), "event" (a domain event), "missed" (a gap that cannot be filled).

import { backoff, explain } from "./closecodes.js";
import { Emitter } from "./emitter.js";
import { Rest } from "./rest.js";
import { SSETransport } from "./sse.js";
import { WebSocketTransport } from "./websocket.js";

const transports = { websocket: WebSocketTransport, sse: SSETransport };
const pingEvery = 10_000;
const settled = 5_000; // open for so long, a connection has earned a fresh backoff

export class Connection extends Emitter {
  state = { name: "connecting" }; // { name, words?, code?, until? }
  kind = "websocket";
  id = "";
  rest;
  #session;
  #wire;
  #transport = null;
  #channels = new Map(); // name → { joined, position }
  #events = { joined: false, position: undefined };
  #attempt = 0;
  #openedAt = 0;
  #retryAfter = 0;
  #timer = 0;

  constructor(session, wire) {
    super();
    this.#session = session;
    this.#wire = wire;
    this.rest = new Rest(session, wire);
    session.on("renewed", () => this.#transport?.authenticate());
    setInterval(() => this.state.name === "open" && this.#transport.ping(), pingEvery);
    addEventListener("online", () => this.state.name === "reconnecting" && this.open());
    addEventListener("pagehide", () => this.#transport?.stop());
    addEventListener("pageshow", ({ persisted }) => persisted && this.open());
  }

  get isOpen() { return this.state.name === "open"; }

  want(channel) {
    this.#channels.set(channel, { joined: false, position: undefined });
  }

  isJoined(channel) {
    return this.#channels.get(channel)?.joined ?? false;
  }

  /** Changes the transport. What was missed in between is asked for by position. */
  use(kind) {
    if (kind === this.kind) return;
    this.kind = kind;
    this.#attempt = 0;
    this.open();
  }

  async open() {
    clearTimeout(this.#timer);
    this.#transport?.stop();
    this.#transport = null;
    this.#forgetJoins();
    this.#set({ name: "connecting" });
    try {
      await this.#session.open();
    } catch {
      this.#ended({ words: "This server has no /demo/session: is it `herald dev`?", retry: "backoff" });
      return;
    }
    if (!this.#transport) this.#connect();
  }

  /** What a tunnel does to a train: the page is to come back by itself. */
  breakLine() {
    this.#transport?.stop();
    this.#ended({ words: "You cut the line. The page comes back by itself.", retry: "backoff" });
  }

  /** What an administrator does: the page is not to come back by itself. */
  askToBeCutOff() {
    return this.rest.disconnect(this.id);
  }

  say(channel, event, data) {
    return this.#transport.say(channel, event, data);
  }

  #connect() {
    const transport = new transports[this.kind]({
      session: this.#session,
      rest: this.rest,
      wire: this.#wire,
      deliver: (message) => transport === this.#transport && this.#receive(message),
      ready: () => transport === this.#transport && this.#ready(),
      interrupted: (words) => transport === this.#transport && this.#interrupted(words),
      ended: (why) => transport === this.#transport && this.#ended(why),
      timed: (ms) => transport === this.#transport && this.emit("rtt", ms),
    });
    this.#transport = transport;
    transport.start();
  }

  #receive(message) {
    const { type, channel, event, data } = message;
    if (type === "event" && event?.id) {
      this.#events.position = event.id;
      this.emit("event", event);
      return;
    }
    if (type === "event" && !channel) this.#hearFromServer(event, data);
    if (type === "auth" && !message.ok) this.#userRefused(message);
    if (type === "subscribed") this.#eventsJoined(message);
    if (channel) this.#followChannel(message);
    this.emit("message", message);
  }

  #userRefused({ error }) {
    this.#events.joined = false;
    if (!this.isOpen) this.#set({ name: "connecting", words: `The server does not know you: ${error}.` });
  }

  #hearFromServer(event, data) {
    if (event === "connected") {
      this.id = data.socketId ?? data.connectionId;
      this.emit("identity", this.id);
    } else if (event === "draining") {
      this.#retryAfter = data.retryAfter;
      this.#set({ name: "draining", words: `The server is going down, and wants to be called again ${seconds(data.retryAfter)} after the close.` });
    } else if (event === "gap") {
      this.emit("missed", { what: "events" });
    }
  }

  #eventsJoined({ position, recovered }) {
    this.#events.joined = true;
    // As with channels: what is recovered is replayed, and moves the position itself.
    if (!(recovered && this.#events.position)) this.#events.position = position ?? this.#events.position;
    if (recovered === false) this.emit("missed", { what: "events" });
  }

  #followChannel({ type, channel, event, data, epoch, offset, recovered }) {
    const wanted = this.#channels.get(channel);
    if (!wanted) return;
    if (type === "subscription_succeeded") {
      wanted.joined = true;
      if (recovered === false && wanted.position) this.emit("missed", { what: channel });
      // A recovered channel goes on from the old position: the replay moves it.
      if (recovered && wanted.position) return;
    }
    if (type === "event" && event === "gap") {
      this.emit("missed", { what: channel });
      ({ epoch, offset } = data);
    }
    if (epoch !== undefined) wanted.position = { epoch, offset };
  }

  #ready() {
    if (!this.isOpen) {
      this.#openedAt = performance.now();
      this.#set({ name: "open" });
      this.#transport.ping();
    }
    for (const [channel, { joined, position }] of this.#channels) {
      if (!joined) this.#transport.join(channel, position);
    }
    if (!this.#events.joined) this.#transport.joinEvents(this.#events.position);
  }

  #interrupted(words = "The stream broke. The browser comes back by itself.") {
    this.#forgetJoins();
    this.#set({ name: "reconnecting", words });
  }

  #ended({ code = 0, words, retry, renew = false }) {
    this.#transport = null;
    this.#forgetJoins();
    if (performance.now() - this.#openedAt > settled && this.#openedAt) this.#attempt = 0;
    this.#openedAt = 0;
    const why = words ? { words, retry } : explain(code);
    if (why.retry === "no") {
      this.#set({ name: "closed", code, words: why.words });
      return;
    }
    const delay = this.#delay(why.retry);
    const name = code === 1001 ? "draining" : "reconnecting";
    this.#set({ name, code, words: why.words, until: Date.now() + delay });
    this.#timer = setTimeout(async () => {
      if (renew) await this.#session.renew().catch(() => {});
      this.open();
    }, delay);
  }

  #delay(retry) {
    const retryAfter = this.#retryAfter;
    this.#retryAfter = 0;
    if (retry === "drain" && retryAfter) return retryAfter;
    if (retry === "soon") return Math.random() * 250;
    return backoff(this.#attempt++);
  }

  #forgetJoins() {
    for (const wanted of this.#channels.values()) wanted.joined = false;
    this.#events.joined = false;
  }

  #set(state) {
    this.state = state;
    this.emit("state", state);
  }
}

const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;
