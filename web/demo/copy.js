// Lines to take away: what this page does, from a terminal or another page.

import { $ } from "./dom.js";
import { lobby } from "./presence.js";

const recipes = {
  broadcast: ({ url, apiKey }) => curl(url, apiKey, "/api/v1/broadcast", {
    channel: lobby, event: "chat.message", data: { text: "Hello from a terminal" },
  }),
  publish: ({ url, apiKey, userId }) => curl(url, apiKey, "/api/v1/events", {
    type: "user.registered", userId, payload: { userId },
  }),
  browser: ({ url }) => `const ws = new WebSocket("${url.replace(/^http/, "ws")}/ws");
ws.onopen = () => ws.send(JSON.stringify({ type: "subscribe", channel: "announcements" }));
ws.onmessage = ({ data }) => {
  const { channel, event, data: said } = JSON.parse(data);
  if (event && channel) console.log(channel, event, said); };`,
};
const hints = {
  broadcast: "Paste it in a terminal: the words appear in the lobby of every window.",
  publish: "Paste it in a terminal: the event appears in the list.",
  browser: "Paste it in this page's console, then proclaim something.",
};

export class CopyCorner {
  #session;
  #chosen = "broadcast";

  constructor(session) {
    this.#session = session;
    for (const radio of document.querySelectorAll("input[name=recipe]")) {
      radio.addEventListener("change", () => { this.#chosen = radio.value; this.show(); });
    }
    $("copy").addEventListener("click", () => this.#copy());
    session.on("renewed", () => this.show());
  }

  show() {
    $("recipe").textContent = recipes[this.#chosen](this.#session);
    $("copy-hint").textContent = hints[this.#chosen];
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText($("recipe").textContent);
      $("copy-hint").textContent = "Copied.";
    } catch {
      // No clipboard without a secure context: select it for the visitor's own keys.
      getSelection().selectAllChildren($("recipe"));
      $("copy-hint").textContent = "Selected: copy it with your keyboard.";
    }
  }
}

function curl(url, apiKey, path, body) {
  const json = JSON.stringify(body).replaceAll("'", "'\\''");
  return `curl -X POST ${url}${path} \\
  -H 'Authorization: Bearer ${apiKey}' \\
  -H 'Content-Type: application/json' \\
  -d '${json}'`;
}
