// Everybody who comes before a herald bears arms. A member's are drawn from the
// member's id, by the rule of tincture: a colour on a metal, or a metal on a colour.

import { svg } from "./dom.js";

const metals = ["or", "argent"];
const colours = ["gules", "azure", "vert", "purpure", "sable"];

// What is drawn over the field, in a box of 24 by 28, and its name in blazon.
const charges = [
  ["a pale", "M8.5 0h7v28h-7z"],
  ["a fess", "M0 9h24v7H0z"],
  ["a bend", "M-3 0h9l23 24v9z"],
  ["a bend sinister", "M27 0h-9L-5 24v9z"],
  ["a chevron", "M12 7 26 21v8L12 15-2 29v-8z"],
  ["a chief", "M0 0h24v9H0z"],
  ["a cross", "M9 0h6v9h9v6h-9v13H9V15H0V9h9z"],
  ["a saltire", "M-2 1 3-2l9 10 9-10 5 3-10 11 10 11-5 3-9-10-9 10-5-3L8 12z"],
  ["a pile", "M2 0h20L12 22z"],
  ["a lozenge", "M12 3.5 19 13l-7 9.5L5 13z"],
  ["per pale", "M12 0h12v28H12z"],
  ["quarterly", "M12 0h12v13H12zM0 13h12v15H0z"],
];

const outline = "M2 1.5h20v12c0 7-4.6 10.8-10 13-5.4-2.2-10-6-10-13z";
let clips = 0;

/** The arms of an id: { field, charge, tincture, blazon, path }. */
export function arms(id) {
  const seed = hash(id);
  const metal = metals[seed % 2];
  const colour = colours[(seed >>> 1) % 5];
  const [charge, path] = charges[(seed >>> 4) % charges.length];
  const [field, tincture] = (seed >>> 9) % 3 ? [colour, metal] : [metal, colour];
  const divided = charge === "per pale" || charge === "quarterly";
  const blazon = divided ? `${charge} ${field} and ${tincture}` : `${field}, ${charge} ${tincture}`;
  return { field, tincture, colour, path, blazon: blazon[0].toUpperCase() + blazon.slice(1) };
}

export function shield(id) {
  const { field, tincture, path, blazon } = arms(id);
  const clip = `shield-${++clips}`;
  return svg("svg", { class: "shield", viewBox: "0 0 24 28", "aria-hidden": "true" },
    svg("title", {}, blazon),
    svg("clipPath", { id: clip }, svg("path", { d: outline })),
    svg("g", { "clip-path": `url(#${clip})` },
      svg("path", { class: `t-${field}`, d: "M0 0h24v28H0z" }),
      svg("path", { class: `t-${tincture}`, d: path })),
    svg("path", { class: "shield-edge", d: outline }));
}

/** FNV-1a with a final mix, so that ids that differ in one letter look different. */
function hash(text) {
  let h = 0x811c9dc5;
  for (const char of text) h = Math.imul(h ^ char.codePointAt(0), 0x01000193);
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
  return (h ^ (h >>> 13)) >>> 0;
}
