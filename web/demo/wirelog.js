// The frames on the page: filtered, paused, each unfolded on a click.

import { $, byteSize, el, preciseTime, pretty, stickToEnd, trim } from "./dom.js";
import { capacity } from "./wire.js";

export class WireLog {
  #wire;
  #waiting = []; // recorded, and to be drawn with the next animation frame
  #scheduled = false;
  #paused = false;
  #heldBack = 0;

  constructor(wire) {
    this.#wire = wire;
    wire.on("frame", (frame) => this.#take(frame));
    wire.on("cleared", () => this.#redraw());
    for (const id of ["wire-filter", "wire-in", "wire-out", "wire-pings"]) {
      $(id).addEventListener("input", () => this.#redraw());
    }
    $("wire-pause").addEventListener("click", () => this.#togglePause());
    $("wire-clear").addEventListener("click", () => wire.clear());
    $("frames").addEventListener("click", ({ target }) => {
      const button = target.closest("button");
      if (button) this.#toggle(button);
    });
  }

  #take(frame) {
    if (this.#paused) {
      this.#heldBack++;
      this.#labelPause();
      return;
    }
    this.#waiting.push(frame);
    if (this.#scheduled) return;
    this.#scheduled = true;
    // A hidden page gets no animation frames: what waits is bounded like the rest.
    requestAnimationFrame(() => this.#flush());
    if (this.#waiting.length > capacity) this.#waiting.splice(0, this.#waiting.length - capacity);
  }

  #flush() {
    this.#scheduled = false;
    const rows = this.#waiting.splice(0).slice(-capacity).filter((frame) => this.#matches(frame)).map(row);
    const list = $("frames");
    stickToEnd(list, () => { list.append(...rows); trim(list, capacity, "first"); });
    this.#count();
  }

  #redraw() {
    if (this.#paused) this.#togglePause();
    this.#waiting = [];
    const rows = this.#wire.frames.filter((frame) => this.#matches(frame)).map(row);
    const list = $("frames");
    list.replaceChildren(...rows);
    list.scrollTop = list.scrollHeight;
    this.#count();
  }

  #matches({ direction, quiet, label, text, via }) {
    if (!$(`wire-${direction}`).checked) return false;
    if (quiet && !$("wire-pings").checked) return false;
    const wanted = $("wire-filter").value.trim().toLowerCase();
    return !wanted || `${via} ${label} ${text}`.toLowerCase().includes(wanted);
  }

  #togglePause() {
    this.#paused = !this.#paused;
    this.#heldBack = 0;
    $("wire-pause").setAttribute("aria-pressed", String(this.#paused));
    this.#labelPause();
    if (!this.#paused) this.#redraw();
  }

  #labelPause() {
    const held = this.#heldBack ? ` (${Math.min(this.#heldBack, capacity)} new)` : "";
    $("wire-pause").textContent = this.#paused ? `Go on${held}` : "Pause";
  }

  #count() {
    const shown = $("frames").children.length;
    const kept = this.#wire.frames.length;
    $("frame-count").textContent = shown === kept ? `${kept} frames` : `${shown} of ${kept}`;
  }

  /** The body is made when it is first wanted: most frames are never opened. */
  #toggle(button) {
    const open = button.getAttribute("aria-expanded") !== "true";
    button.setAttribute("aria-expanded", String(open));
    const item = button.parentElement;
    if (!open) item.lastElementChild.remove();
    else item.append(el("pre", { tabindex: "0", "data-testid": "frame-body" }, pretty(item.frameText) || "(no body)"));
  }
}

function row({ n, at, direction, via, label, text, size }) {
  const item = el("li", { "data-testid": "frame", "data-direction": direction, "data-via": via, "data-n": n },
    el("button", { type: "button", class: `frame ${direction}`, "aria-expanded": "false" },
      el("span", { class: "arrow", role: "img", "aria-label": direction === "in" ? "received" : "sent" }, direction === "in" ? "↓" : "↑"),
      el("time", {}, preciseTime(at)),
      el("span", { class: "via" }, via),
      el("span", { class: "label" }, label),
      el("span", { class: "size" }, byteSize(size))));
  item.frameText = text;
  return item;
}
