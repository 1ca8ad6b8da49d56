// Who the visitor is. The session lives in sessionStorage: a reload is the same
// person, a duplicated tab is the same member, a new window is somebody else.

import { Emitter } from "./emitter.js";

const storageKey = "herald-demo-person";
const renewBefore = 5 * 60_000; // of a token that lives an hour
const retryAfter = 30_000;

/** Emits "known" when the first answer is there, "renewed" with each new token. */
export class Session extends Emitter {
  #current = null; // { token, userId, name, apiKey, url }
  #wire;
  #asking = null;
  #timer = 0;

  constructor(wire) {
    super();
    this.#wire = wire;
  }

  get token() { return this.#current?.token; }
  get userId() { return this.#current?.userId; }
  get name() { return this.#current?.name; }
  get apiKey() { return this.#current?.apiKey; }
  get url() { return this.#current?.url || location.origin; }

  /**
   * Takes up the stored person, or asks for a new one. The token is always a
   * fresh one: the stored one may be of a server that has restarted since.
   */
  async open() {
    if (!this.#current) await this.#once(stored() ?? { name: requestedName() });
  }

  /** Asks for a new token for the same person, and says so with "renewed". */
  renew() {
    return this.#once({ userId: this.userId, name: this.name });
  }

  /** Forgets the person and starts the page again as somebody else. */
  becomeSomebodyElse(name) {
    sessionStorage.removeItem(storageKey);
    if (name) sessionStorage.setItem(storageKey + "-name", name);
    location.reload();
  }

  /** Calls that come while one is under way share its answer. */
  #once(wanted) {
    const known = this.#current !== null;
    this.#asking ??= this.#fetch(wanted)
      .then(() => this.emit(known ? "renewed" : "known"))
      .finally(() => { this.#asking = null; });
    return this.#asking;
  }

  async #fetch(wanted) {
    const query = new URLSearchParams(Object.entries(wanted).filter(([, value]) => value));
    const path = `/demo/session${query.size ? `?${query}` : ""}`;
    this.#wire.record({ direction: "out", via: "http", label: `GET ${path}`, text: "" });
    const response = await fetch(path, { cache: "no-store" });
    if (!response.ok) throw new Error(`/demo/session answered ${response.status}`);
    const text = await response.text();
    this.#wire.record({ direction: "in", via: "http", label: `${response.status} /demo/session`, text });
    this.#current = JSON.parse(text);
    const { userId, name } = this.#current;
    sessionStorage.setItem(storageKey, JSON.stringify({ userId, name }));
    this.#renewIn(Math.max(expiry(this.token) - Date.now() - renewBefore, retryAfter));
  }

  #renewIn(delay) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.renew().catch(() => this.#renewIn(retryAfter));
    }, delay);
  }
}

function stored() {
  try {
    const { userId, name } = JSON.parse(sessionStorage.getItem(storageKey));
    return userId ? { userId, name } : null;
  } catch {
    return null;
  }
}

function requestedName() {
  const name = sessionStorage.getItem(storageKey + "-name");
  sessionStorage.removeItem(storageKey + "-name");
  return name;
}

/** When the JWT ends, in milliseconds; in an hour if it does not say. */
function expiry(token) {
  try {
    const claims = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return JSON.parse(atob(claims)).exp * 1000 || Date.now() + 3_600_000;
  } catch {
    return Date.now() + 3_600_000;
  }
}
