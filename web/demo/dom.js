// Small helpers for building the page. Text only ever enters the document as a
// text node, so nothing that another person wrote can become markup.

export const $ = (id) => document.getElementById(id);

/** el("li", { class: "x", "data-testid": "y" }, "text", node) */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child != null && child !== false));
  return node;
}

export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const two = (n) => String(n).padStart(2, "0");

export const hourMinute = (date) => clock.format(date);

export function preciseTime(date) {
  const ms = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${ms}`;
}

export function byteSize(n) {
  return n < 1024 ? `${n} B` : `${(n / 1024).toFixed(1)} KB`;
}

export function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** Runs change, and keeps the list at its end if that is where it was. */
export function stickToEnd(scroller, change) {
  const atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 48;
  change();
  if (atEnd) scroller.scrollTop = scroller.scrollHeight;
}

/** Keeps at most max children, dropping from the front ("first") or the back ("last"). */
export function trim(list, max, end) {
  while (list.children.length > max) {
    (end === "first" ? list.firstElementChild : list.lastElementChild).remove();
  }
}

/** crypto.randomUUID exists only in secure contexts; a page on a plain LAN address is none. */
export function uniqueId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}
