// What the server says: to the visitor alone, on private-user.<id>, and to all, on
// announcements. Both go through the server API, as a backend would.

import { $, el, hourMinute, trim } from "./dom.js";

export const announcements = "announcements";
const maxShown = 20;
const suggestions = ["Feed the griffin", "Polish the trumpet", "Raise the drawbridge", "Return the dragon's call"];

export class PrivateChannel {
  #connection;
  #session;
  #channel = "";

  constructor(connection, session) {
    this.#connection = connection;
    this.#session = session;
    connection.want(announcements);
    connection.on("state", () => this.#show());
    connection.on("message", (message) => this.#follow(message));
    $("note-form").addEventListener("submit", (event) => { event.preventDefault(); this.#note(); });
    $("proclaim").addEventListener("click", () => this.#proclaim());
  }

  /** Called when the visitor's id is known: the channel bears it. */
  want() {
    this.#channel = `private-user.${this.#session.userId}`;
    this.#connection.want(this.#channel);
    $("private-name").textContent = this.#channel;
  }

  #follow({ type, channel, event, data, message, error }) {
    if (!this.#channel || channel !== this.#channel) return;
    if (type === "subscription_error") this.#show(message ?? error);
    if (type === "subscription_succeeded") this.#show();
    if (type === "event" && event !== "gap") this.#receive(event, data);
  }

  #show(refused) {
    const status = $("private-status");
    const joined = this.#connection.isOpen && this.#connection.isJoined(this.#channel);
    status.dataset.state = refused ? "refused" : joined ? "subscribed" : "waiting";
    status.textContent = refused ? `refused: ${refused}` : joined ? "subscribed" : "not subscribed";
  }

  #receive(event, data) {
    const text = typeof data?.text === "string" ? data.text : JSON.stringify(data);
    const took = event === "note" && data?.at ? Date.now() - Date.parse(data.at) : NaN;
    const round = took >= 0 && took < 60_000 ? `${took} ms round` : event;
    $("notes").prepend(el("li", { "data-testid": "private-note-item" },
      el("p", {}, text), el("small", {}, `${round} · ${hourMinute(new Date())}`)));
    trim($("notes"), maxShown, "last");
  }

  #note() {
    const data = { text: this.#text(), at: new Date().toISOString() };
    return this.#broadcast(this.#channel, "note", data);
  }

  #proclaim() {
    const { userId: id, name } = this.#session;
    return this.#broadcast(announcements, "announcement", { text: this.#text(), from: { id, name } });
  }

  async #broadcast(channel, event, data) {
    try {
      await this.#connection.rest.broadcast(channel, event, data);
      $("note-hint").textContent = channel === announcements ? "Proclaimed: it stands in everybody's lobby." : "";
    } catch (failure) {
      $("note-hint").textContent = `That did not go out: ${failure.message}`;
    }
  }

  #text() {
    const text = $("note-input").value.trim();
    $("note-input").value = "";
    return text || suggestions[Math.floor(Math.random() * suggestions.length)];
  }
}
