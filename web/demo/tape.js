// The tape in the band: the last minute of the line, a tick for each frame. What
// came in stands above the line, what went out hangs below it; longer is larger.

import { $ } from "./dom.js";

const span = 60_000;

export class Tape {
  #canvas = $("tape");
  #wire;
  #colours = {};
  #frameOf = matchMedia("(prefers-reduced-motion: reduce)").matches ? 1_000 : 50;
  #drawn = 0;

  constructor(wire) {
    this.#wire = wire;
    new ResizeObserver(() => this.#fit()).observe(this.#canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#fit());
    const loop = (now) => {
      if (now - this.#drawn >= this.#frameOf) this.#draw(now);
      requestAnimationFrame(loop);
    };
    requestAnimationFrame(loop);
  }

  #fit() {
    const { clientWidth, clientHeight } = this.#canvas;
    this.#canvas.width = clientWidth * devicePixelRatio;
    this.#canvas.height = clientHeight * devicePixelRatio;
    const style = getComputedStyle(this.#canvas);
    for (const name of ["in", "out", "axis"]) this.#colours[name] = style.getPropertyValue(`--tape-${name}`).trim();
    this.#draw(performance.now());
  }

  #draw(now) {
    this.#drawn = now;
    const context = this.#canvas.getContext("2d");
    const { width, height } = this.#canvas;
    const pixel = devicePixelRatio;
    const middle = Math.round(height / 2);
    context.clearRect(0, 0, width, height);
    context.fillStyle = this.#colours.axis;
    context.fillRect(0, middle, width, pixel);
    const wallClock = Date.now();
    for (const { at, direction, size, quiet } of this.#wire.frames) {
      const age = wallClock - at;
      if (age > span) continue;
      const x = Math.round(width * (1 - age / span)) - 2 * pixel;
      const length = Math.min(1, 0.2 + Math.log2(1 + size) / 14) * (middle - pixel);
      context.globalAlpha = quiet ? 0.45 : 1;
      context.fillStyle = this.#colours[direction];
      if (direction === "in") context.fillRect(x, middle - length, 2 * pixel, length);
      else context.fillRect(x, middle + pixel, 2 * pixel, length);
    }
    context.globalAlpha = 1;
  }
}
