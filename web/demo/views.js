// On a phone one panel is seen at a time. A mark on the others' tabs, and a count
// in the title of a hidden window, say that something happened there.

import { $ } from "./dom.js";

const title = document.title;

export class Views {
  #tabs = [...document.querySelectorAll("[data-view]")];
  #unread = 0;

  constructor(connection) {
    for (const tab of this.#tabs) tab.addEventListener("click", () => this.#show(tab));
    connection.on("event", () => this.#mark("events"));
    connection.on("message", ({ type, channel, event }) => {
      if (type !== "event" || !channel) return;
      if (channel.startsWith("private-")) this.#mark("private");
      if (event === "chat.message" || event === "announcement") { this.#mark("lobby"); this.#countUnread(); }
    });
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) { this.#unread = 0; document.title = title; }
    });
  }

  #show(tab) {
    document.body.dataset.shown = tab.dataset.view;
    for (const other of this.#tabs) other.setAttribute("aria-pressed", String(other === tab));
    delete tab.dataset.marked;
    // A list that was hidden while it grew had no height to keep its end in view.
    for (const id of ["chat-log", "frames"]) $(id).scrollTop = $(id).scrollHeight;
  }

  #mark(view) {
    if (document.body.dataset.shown === view) return;
    this.#tabs.find((tab) => tab.dataset.view === view).dataset.marked = "";
  }

  #countUnread() {
    if (document.hidden) document.title = `(${++this.#unread}) ${title}`;
  }
}
