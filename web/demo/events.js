// Domain events: recorded facts, in one stream. Some can be published from here;
// each can be asked what became of it.

import { $, el, preciseTime, trim, uniqueId } from "./dom.js";

const maxShown = 100;

// A few types of the catalogue, with a payload for the visitor.
const catalogue = [
  ["user.registered", ({ userId }) => ({ userId })],
  ["login.success", ({ userId, email }) => ({ userId, email })],
  ["login.failed", ({ email }) => ({ email })],
  ["password.changed", ({ userId }) => ({ userId })],
  ["api_key.created", ({ userId }) => ({ userId, keyId: `key-${uniqueId().slice(0, 6)}` })],
];

export class DomainEvents {
  #connection;
  #session;
  #seen = new Set();

  constructor(connection, session) {
    this.#connection = connection;
    this.#session = session;
    connection.on("event", (event) => this.#show(event));
    connection.on("message", ({ type }) => type === "subscribed" && this.#status("listening"));
    connection.on("state", ({ name }) => name !== "open" && this.#status("waiting"));
    connection.on("missed", ({ what }) => what === "events" && this.#hint("Some events passed while you were away, and could not be fetched."));
    for (const [type, payload] of catalogue) $("publishers").append(this.#button(type, payload));
    $("custom-event").addEventListener("submit", (event) => { event.preventDefault(); this.#publishCustom(); });
  }

  #button(type, payload) {
    const button = el("button", { type: "button", class: `seal ${family(type)}`, "data-testid": `publish-${type}` }, type);
    button.addEventListener("click", () => this.#publish(type, payload(this.#visitor())));
    return button;
  }

  #visitor() {
    const { userId, name } = this.#session;
    const local = name.toLowerCase().normalize("NFD").replace(/\p{M}/gu, "").replace(/[^a-z0-9]+/g, ".").replace(/^\.|\.$/g, "");
    return { userId, email: `${local || "somebody"}@example.com` };
  }

  #publishCustom() {
    let payload;
    try {
      payload = JSON.parse($("custom-payload").value || "{}");
    } catch {
      this.#hint("The payload is not JSON yet.");
      return;
    }
    this.#publish($("custom-type").value.trim(), payload);
  }

  async #publish(type, payload) {
    try {
      await this.#connection.rest.publish(type, payload);
      this.#hint("");
    } catch (failure) {
      this.#hint(`${type} was not taken: ${failure.message}`);
    }
  }

  #show(event) {
    if (this.#seen.has(event.id)) return;
    this.#seen.add(event.id);
    const fate = el("p", { class: "fate", "data-testid": "event-fate" });
    const item = el("li", { "data-testid": "event-item", "data-event-type": event.type, "data-event-id": event.id },
      el("details", { class: `fact ${family(event.type)}` },
        el("summary", {},
          el("b", {}, event.type),
          el("time", {}, preciseTime(new Date(event.timestamp))),
          el("span", { class: "gist" }, gist(event.payload))),
        el("pre", { tabindex: "0" }, JSON.stringify(event, null, 2)),
        fate));
    item.firstChild.addEventListener("toggle", ({ target }) => target.open && this.#tellFate(event.id, fate));
    $("event-list").prepend(item);
    trim($("event-list"), maxShown, "last");
    $("no-events").hidden = true;
  }

  async #tellFate(id, place) {
    place.textContent = "Asking what became of it…";
    try {
      const { delivered = {}, audit, webhooks = [], jobs = [] } = await this.#connection.rest.event(id);
      const sockets = `${delivered.websocket ?? 0} sockets, ${delivered.sse ?? 0} streams`;
      const kept = [audit && "in the audit log", webhooks.length && `${webhooks.length} webhook tries`, jobs.length && `${jobs.length} jobs`];
      place.textContent = [`Delivered to ${sockets}`, ...kept.filter(Boolean)].join(" · ");
    } catch (failure) {
      place.textContent = `What became of it is not known: ${failure.message}`;
    }
  }

  #status(state) {
    const status = $("events-status");
    status.dataset.state = state;
    status.textContent = state === "listening" ? "listening to all" : "not listening";
  }

  #hint(text) {
    $("events-hint").textContent = text;
  }
}

/** The class that colours a type by what it is about. */
function family(type) {
  if (/fail|revok|delet|lock/.test(type)) return "f-gules";
  const [head] = type.split(".");
  return { user: "f-azure", login: "f-vert", password: "f-purpure", api_key: "f-or" }[head] ?? "f-sable";
}

function gist(payload) {
  if (payload === null || typeof payload !== "object") return String(payload);
  return Object.entries(payload)
    .map(([key, value]) => `${key} ${typeof value === "object" ? JSON.stringify(value) : value}`)
    .join("  ");
}
