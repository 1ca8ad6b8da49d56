// The lobby's conversation. What the visitor says goes to the *other*
// subscribers, so the visitor's own words are put on the page by the page.

import { $, el, hourMinute, stickToEnd, trim, uniqueId } from "./dom.js";
import { displayName, lobby } from "./presence.js";
import { arms, shield } from "./shield.js";

const maxShown = 200;
const typingEvery = 2_000;
const typingFades = 4_000;
const refusableFor = 3_000;
const sameBreath = 120_000; // within it, the same speaker's words stand under one name
const refusals = {
  rate_limited: "Not so fast: Herald takes a few client events a second from each connection. Take a breath, then send it again.",
  forbidden: "Herald did not pass that on: only subscribers of the lobby may speak in it.",
};

export class Chat {
  #connection;
  #session;
  #presence;
  #seen = new Set();
  #last = { id: null, at: 0 };
  #sent = []; // { at, item }: what may still be refused
  #typingSent = 0;
  #typing = new Map(); // name → when it is forgotten

  constructor(connection, session, presence) {
    this.#connection = connection;
    this.#session = session;
    this.#presence = presence;
    connection.on("message", (message) => this.#follow(message));
    connection.on("state", () => this.#enable());
    connection.on("missed", ({ what }) => what === lobby && this.#note("Some messages passed while you were away, and could not be fetched."));
    presence.on("joined", (member) => this.#note(`${displayName(member)} came in`, "joined"));
    presence.on("left", (member) => this.#note(`${displayName(member)} left`, "left"));
    $("composer").addEventListener("submit", (event) => { event.preventDefault(); this.#send(); });
    $("composer-input").addEventListener("input", () => this.#sayTyping());
    setInterval(() => this.#showTyping(), 1_000);
  }

  #follow({ type, channel, event, data, code, message, error }) {
    if (type === "error" && this.#sent.length) this.#refused(code, message ?? error);
    if (channel === "announcements" && event === "announcement") this.#proclaim(data);
    if (channel !== lobby) return;
    if (type === "subscription_succeeded") { this.#hint(""); this.#enable(); }
    if (type === "subscription_error") this.#hint(`The lobby is closed to you: ${message ?? error}`);
    if (event === "chat.message") this.#receive(data);
    if (event === "chat.typing") this.#noteTyping(data);
  }

  async #send() {
    const input = $("composer-input");
    const text = input.value.trim();
    if (!text || !this.#connection.isOpen) return;
    const { userId, name } = this.#session;
    const data = { id: uniqueId(), text, from: { id: userId, name }, at: new Date().toISOString() };
    input.value = "";
    input.focus();
    this.#hint("");
    this.#sent.push({ at: Date.now(), item: this.#receive(data) });
    this.#typingSent = 0;
    try {
      await this.#connection.say(lobby, "chat.message", data);
    } catch (failure) {
      this.#refused(failure.code, failure.message);
    }
  }

  /** Shows one message; a resumed connection may bring one that is there already. */
  #receive(data) {
    const { id = uniqueId(), text, from, at } = data ?? {};
    if (this.#seen.has(id)) return null;
    this.#seen.add(id);
    const speaker = from?.id ?? "";
    this.#typing.delete(speaker);
    this.#showTyping();
    const name = speaker ? this.#presence.nameOf(speaker) ?? from?.name ?? speaker : "The server";
    const when = new Date(at ?? Date.now());
    const goesOn = speaker === this.#last.id && when - this.#last.at < sameBreath;
    this.#last = { id: speaker, at: when };
    const item = el("li", {
      class: `said${speaker === this.#session.userId ? " own" : ""}${goesOn ? " goes-on" : ""}`,
      "data-testid": "chat-message", "data-from": speaker || "server", "data-own": String(speaker === this.#session.userId),
    },
    el("div", { class: "said-by" }, shield(speaker || "herald"), el("b", {}, name), el("time", {}, valid(when) ? hourMinute(when) : "")),
    el("p", { class: `words b-${arms(speaker || "herald").colour}` }, typeof text === "string" ? text : JSON.stringify(data)));
    this.#append(item);
    return item;
  }

  #proclaim(data) {
    this.#last = { id: null, at: 0 };
    this.#append(el("li", { class: "proclaimed", "data-testid": "announcement" },
      el("b", {}, data?.from?.name ? `${data.from.name} proclaims` : "Hear ye"),
      el("p", {}, typeof data?.text === "string" ? data.text : JSON.stringify(data))));
  }

  #note(text, kind = "note") {
    this.#last = { id: null, at: 0 };
    this.#append(el("li", { class: "note", "data-testid": `chat-${kind}` }, text));
  }

  #append(item) {
    const list = $("chat-log");
    stickToEnd(list, () => { list.append(item); trim(list, maxShown, "first"); });
  }

  /** An error does not name the message that it refuses: of a burst, it is the end. */
  #refused(code, words) {
    this.#hint(refusals[code] ?? `That did not go out: ${words}`);
    this.#sent = this.#sent.filter(({ at }) => Date.now() - at < refusableFor);
    this.#sent.pop()?.item.classList.add("refused");
  }

  #hint(text) {
    stickToEnd($("chat-log"), () => { $("chat-hint").textContent = text; });
  }

  #enable() {
    const may = this.#connection.isOpen && this.#connection.isJoined(lobby);
    $("send").disabled = !may;
    $("composer-input").placeholder = may ? "Say something to the lobby" : "Waiting for the line…";
  }

  // Typing is a client event like the words themselves; over SSE it would cost an API call, and is not sent.

  #sayTyping() {
    const now = Date.now();
    if (this.#connection.kind !== "websocket" || $("send").disabled || now - this.#typingSent < typingEvery) return;
    if (!$("composer-input").value.trim()) return;
    this.#typingSent = now;
    const { userId, name } = this.#session;
    this.#connection.say(lobby, "chat.typing", { from: { id: userId, name } }).catch(() => {});
  }

  #noteTyping(data) {
    const id = data?.from?.id;
    if (!id || id === this.#session.userId || !this.#presence.nameOf(id)) return;
    this.#typing.set(id, Date.now() + typingFades);
    this.#showTyping();
  }

  #showTyping() {
    for (const [id, until] of this.#typing) if (until < Date.now()) this.#typing.delete(id);
    const names = [...this.#typing.keys()].map((id) => this.#presence.nameOf(id)).filter(Boolean);
    const text = names.length === 0 ? "" : names.length === 1 ? `${names[0]} is writing` : `${names.length} are writing`;
    if ($("typing").textContent !== text) $("typing").textContent = text;
  }
}

const valid = (date) => !Number.isNaN(date.getTime());
