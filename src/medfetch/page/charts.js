// What a dataset has, as bars: each panel is a table that is read as one, with a bar beside each number.

const SVG = "http://www.w3.org/2000/svg";

function holdsOf(dataset) {
  const title = "What there is";
  if (!dataset.holds) {
    const asks = dataset.way !== "hand" && [" ", make("code", {}, `medfetch plan ${dataset.word} --plot`), " asks its host."];
    return section(title, make("p", {}, unknown("Neither files nor sizes are known here."), asks));
  }
  const { told, summary, panels, notes } = dataset.holds;
  return section(title,
    make("p", { class: "hint" }, `${summary} (${told}).`),
    make("div", { class: "charts" }, panels.map(panelOf)),
    notes.map((note) => make("p", { class: "hint" }, note)));
}

function panelOf({ title, by, unit, rows }) {
  const most = Math.max(...rows.map(([, value]) => value ?? 0));
  const head = [by, unit === "bytes" ? "size" : unit].map((name) => make("th", { scope: "col" }, name));
  return make("div", { class: "panel" }, make("table", { class: "bars" },
    make("caption", {}, title),
    make("thead", { class: "unseen" }, make("tr", {}, head)),
    make("tbody", {}, rows.map(([name, value]) => make("tr", {},
      make("th", { scope: "row" }, name),
      make("td", {}, value !== null && (unit === "bytes" ? bytes(value) : number(value)), value !== null && bar(value / most)))))));
}

/** A bar of a share of the room; what is not nothing is to be seen. */
function bar(share) {
  const drawn = document.createElementNS(SVG, "svg"), inside = document.createElementNS(SVG, "rect");
  drawn.setAttribute("aria-hidden", "true");
  inside.setAttribute("width", `${Math.max(100 * share, share > 0 ? 0.7 : 0).toFixed(1)}%`);
  inside.setAttribute("height", "100%");
  drawn.append(inside);
  return drawn;
}
