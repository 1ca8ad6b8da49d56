// The WebSocket transport: one socket, the native protocol, no reconnecting of
// its own. connection.js starts a new one when this one has ended.

import { RestError } from "./rest.js";
import { isPing, summary } from "./wire.js";

const silence = 25_000; // without an answer to a ping: the line is dead

export class WebSocketTransport {
  #context; // { session, rest, wire, deliver, ready, ended, timed }
  #socket;
  #id = "";
  #pingSent = 0;
  #triedNewToken = false;

  constructor(context) {
    this.#context = context;
  }

  start() {
    const url = new URL("/ws", location.href);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new WebSocket(url);
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => this.#receive(data));
    socket.addEventListener("close", ({ code }) => this.#end(code));
  }

  /** Hangs up without a word to the connection. */
  stop() {
    this.#context = { ...this.#context, deliver() {}, ready() {}, ended() {}, timed() {} };
    this.#socket.close();
  }

  async join(channel, since) {
    const subscribe = { type: "subscribe", channel, since };
    if (/^(private|presence)-/.test(channel)) {
      const id = this.#id;
      try {
        const { auth, channel_data } = await this.#context.rest.channelToken(id, channel);
        Object.assign(subscribe, { auth, channel_data });
      } catch (error) {
        this.#context.deliver(refusal(channel, error));
        return;
      }
    }
    this.#send(subscribe);
  }

  joinEvents(since) {
    this.#send({ type: "subscribe", events: ["*"], since });
  }

  /** A client event: Herald passes it to the channel's other subscribers. */
  async say(channel, event, data) {
    if (!this.#send({ type: "message", channel, event, data })) {
      throw new RestError(0, "not_connected", "There is no connection just now.");
    }
  }

  ping() {
    if (this.#pingSent) {
      if (performance.now() - this.#pingSent > silence) this.#end(1006);
      return;
    }
    if (this.#send({ type: "ping" })) this.#pingSent = performance.now();
  }

  authenticate() {
    this.#send({ type: "auth", token: this.#context.session.token });
  }

  #receive(text) {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      message = null;
    }
    const quiet = isPing(message);
    this.#context.wire.record({ direction: "in", via: "ws", label: summary(message), text, quiet });
    if (!message) return;
    if (message.event === "connected" && !message.channel) {
      this.#id = message.data.socketId;
      this.#context.deliver(message);
      this.authenticate();
      return;
    }
    if (message.type === "pong") this.#pong();
    if (message.type === "auth") this.#authAnswered(message);
    this.#context.deliver(message);
  }

  #pong() {
    if (this.#pingSent) this.#context.timed(performance.now() - this.#pingSent);
    this.#pingSent = 0;
  }

  /** One refusal is met with a new token: the old one may be of an earlier run of the server. */
  async #authAnswered({ ok }) {
    if (ok) {
      this.#triedNewToken = false;
      this.#context.ready();
    } else if (!this.#triedNewToken) {
      this.#triedNewToken = true;
      await this.#context.session.renew().catch(() => {}); // the connection sends the new token
    }
  }

  #send(message) {
    if (this.#socket.readyState !== WebSocket.OPEN) return false;
    const text = JSON.stringify(message);
    const quiet = isPing(message);
    this.#context.wire.record({ direction: "out", via: "ws", label: summary(message), text, quiet });
    this.#socket.send(text);
    return true;
  }

  #end(code) {
    const { ended } = this.#context;
    this.stop();
    ended({ code });
  }
}

/** What the server would have said, had the channel token not been refused before. */
export function refusal(channel, error) {
  const code = error.code || (error.status === 403 ? "forbidden" : "unavailable");
  return { type: "subscription_error", channel, code, error: error.message, message: error.message };
}
