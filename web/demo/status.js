// The band at the top: what state the line is in, in words, and who is at its ends.

import { $, el } from "./dom.js";
import { arms, shield } from "./shield.js";

const titles = {
  connecting: "Connecting",
  open: "Open",
  reconnecting: "Reconnecting",
  draining: "Draining",
  closed: "Closed",
};
const calm = {
  connecting: "Calling the server.",
  open: "The line is open. What is said anywhere is heard here.",
};

export class Status {
  #connection;
  #countdown = 0;

  constructor(connection) {
    this.#connection = connection;
    connection.on("state", (state) => this.#show(state));
    connection.on("identity", (id) => { $("socket-id").textContent = id; });
    connection.on("rtt", (ms) => { $("rtt").textContent = ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`; });
    $("reconnect").addEventListener("click", () => connection.open());
    $("break-line").addEventListener("click", () => connection.breakLine());
    $("cut-off").addEventListener("click", () => this.#cutOff());
    $("band-toggle").addEventListener("click", () => this.#toggleDetails());
    for (const radio of document.querySelectorAll("input[name=transport]")) {
      radio.addEventListener("change", () => this.#use(radio.value));
    }
  }

  introduce({ userId, name }) {
    $("user-id").textContent = userId;
    $("my-name").textContent = name;
    $("my-shield").replaceChildren(shield(userId));
    $("new-person").title = `${name}: ${arms(userId).blazon}`;
  }

  #use(kind) {
    $("sse-note").hidden = kind !== "sse";
    $("rtt").textContent = "–";
    this.#connection.use(kind);
  }

  #show({ name, words, code, until }) {
    const state = $("connection-state");
    state.dataset.state = name;
    state.textContent = titles[name];
    const sentence = $("state-words");
    sentence.replaceChildren(words ?? calm[name] ?? "", code ? el("span", { class: "code", "data-testid": "close-code" }, ` code ${code}`) : "");
    document.documentElement.dataset.line = name;
    $("reconnect").hidden = name === "open" || name === "connecting";
    $("reconnect").textContent = name === "closed" ? "Connect again" : "Try now";
    $("break-line").disabled = $("cut-off").disabled = name !== "open";
    if (name !== "open") $("socket-id").textContent = $("rtt").textContent = "–";
    this.#countTo(until);
  }

  /** The seconds stand outside the live region: nobody wants them read out. */
  #countTo(until) {
    clearInterval(this.#countdown);
    const tick = () => {
      const left = until ? Math.max(0, until - Date.now()) : 0;
      $("countdown").textContent = until ? `again in ${(left / 1000).toFixed(1)} s` : "";
    };
    tick();
    if (until) this.#countdown = setInterval(tick, 100);
  }

  async #cutOff() {
    try {
      await this.#connection.askToBeCutOff();
    } catch (failure) {
      $("state-words").textContent = `The server did not cut you off: ${failure.message}`;
    }
  }

  #toggleDetails() {
    const open = document.body.classList.toggle("details-open");
    $("band-toggle").setAttribute("aria-expanded", String(open));
  }
}
