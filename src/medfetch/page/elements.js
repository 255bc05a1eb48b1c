"use strict";
// Elements, made one by one: what a recipe says becomes text, never markup.

const byId = (id) => document.getElementById(id);

/** An element; attributes that are functions are listeners, those that are null, undefined or false are left out. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A link, if the address is one of the web; else its text: a recipe could name a "javascript:" address. */
function link(address, text = address) {
  if (!/^(https?|ftps?):\/\//i.test(address)) return make("span", {}, text);
  return make("a", { href: address, rel: "noopener noreferrer" }, text);
}

const ADDRESS = /https?:\/\/[^\s<>"]*[^\s<>"'.,;:!?)\]]/g;

/** Text whose addresses are links. */
function linked(text) {
  const pieces = [];
  let end = 0;
  for (const match of text.matchAll(ADDRESS)) {
    pieces.push(text.slice(end, match.index), link(match[0]));
    end = match.index + match[0].length;
  }
  return [...pieces, text.slice(end)];
}

const unknown = (text = "unknown") => make("span", { class: "unknown" }, text);

/** Bytes in decimal units, as medfetch writes them. */
function bytes(count) {
  let unit = "B";
  for (const next of ["kB", "MB", "GB", "TB"]) {
    if (Math.abs(count) < 1000) break;
    count /= 1000;
    unit = next;
  }
  return unit === "B" ? `${count} B` : `${count.toFixed(1)} ${unit}`;
}

const number = (count) => count.toLocaleString("en");

const counted = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;

/** Terms with what they mean; those without are left out. */
function facts(pairs, kind = "facts") {
  const shown = pairs.filter(([, value]) => ![null, undefined, false, ""].includes(value));
  return make("dl", { class: kind }, shown.map(([term, value]) => make("div", {}, make("dt", {}, term), make("dd", {}, value))));
}

function section(title, ...children) {
  const id = `at-${title.toLowerCase().replaceAll(/[^a-z]+/g, "-")}`;
  return make("section", { "aria-labelledby": id }, make("h2", { id }, title), ...children);
}

/** A table whose rows become cards on a narrow screen: its roles are said, for display takes them away. */
function table(head, rows, attributes = {}) {
  const cells = (row) => row.map((cell, at) => make("td", { role: "cell", "data-of": head[at] }, cell));
  return make("table", { role: "table", ...attributes },
    make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, head.map((name) => make("th", { role: "columnheader", scope: "col" }, name)))),
    make("tbody", { role: "rowgroup" }, rows.map((row) => make("tr", { role: "row" }, cells(row)))));
}

/** Says something to people who do not see the page. */
function say(text) {
  byId("said").textContent = "";
  setTimeout(() => { byId("said").textContent = text; }, 50); // the same text again is said, too
}

/** Commands with a button that copies them. */
function commands(lines, what) {
  const text = lines.join("\n");
  const code = make("pre", {}, make("code", {}, text));
  const button = make("button", { type: "button", class: "copy", click: () => copy(text, code, button) },
    "Copy", make("span", { class: "unseen" }, ` ${what}`));
  return make("div", { class: "commands" }, code, button);
}

async function copy(text, code, button) {
  const word = button.firstChild;
  try {
    await navigator.clipboard.writeText(text);
    word.data = "Copied";
    say("Copied to the clipboard");
  } catch { // a page that is not served safely may not
    getSelection().selectAllChildren(code);
    word.data = "Selected";
    say("Selected: copy it with the keyboard");
  }
  setTimeout(() => { word.data = "Copy"; }, 2500);
}
