// The record of everything that went over the wire: the newest 500 frames,
// whatever carried them. What is shown of it is wirelog.js's business.

import { Emitter } from "./emitter.js";

export const capacity = 500;

const encoder = new TextEncoder();

export class Wire extends Emitter {
  frames = [];
  #next = 1;

  /**
   * direction is "in" or "out", via "ws", "sse" or "http"; label is the one-line
   * summary, text what was sent; quiet marks the pings that one wants to hide.
   */
  record({ direction, via, label, text, quiet = false }) {
    const size = encoder.encode(text).length;
    const frame = { n: this.#next++, at: new Date(), direction, via, label, text, size, quiet };
    this.frames.push(frame);
    if (this.frames.length > capacity) this.frames.shift();
    this.emit("frame", frame);
  }

  clear() {
    this.frames = [];
    this.emit("cleared");
  }
}

/** Summarises a message of the protocol: "event chat.message presence-lobby". */
export function summary(message) {
  if (message === null || typeof message !== "object") return "?";
  const { type, event, events, channel, ok, code } = message;
  const parts = [type];
  if (typeof event === "string") parts.push(event);
  else if (event?.type) parts.push(event.type);
  if (Array.isArray(events)) parts.push(events.join(" "));
  if (channel) parts.push(channel);
  if (ok !== undefined) parts.push(ok ? "ok" : "refused");
  if (code) parts.push(code);
  return parts.join(" ");
}

export const isPing = (message) => message?.type === "ping" || message?.type === "pong";
