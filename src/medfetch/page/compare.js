// Datasets side by side; on a narrow screen, fact by fact.

const COMPARED = [
  ["Summary", (dataset) => dataset.summary],
  ["Modality", (dataset) => joined(dataset.modality)],
  ["Anatomy", (dataset) => joined(dataset.anatomy)],
  ["Tasks", (dataset) => joined(dataset.tasks)],
  ["People", (dataset) => dataset.subjects === null ? unknown() : number(dataset.subjects)],
  ["Size to download", (dataset) => dataset.size === null ? unknown() : bytes(dataset.size)],
  ["Access", level],
  ["How it is had", (dataset) => WAYS[dataset.way]],
  ["Steps", stepsTold],
  ["Longest usual wait", waitTold],
  ["Licence", (dataset) => licence(dataset.licence)],
  ["Sources", (dataset) => joined(dataset.sources)],
  ["Checksums", (dataset) => sums(dataset) === "unknown" ? unknown() : sums(dataset)],
  ["Parts", (dataset) => dataset.parts.length ? dataset.parts.map((part) => part.name).join(", ") : "none"],
  ["Status", statusTold],
  ["To be cited", (dataset) => dataset.cite.length ? listed(dataset.cite.map(citation)) : unknown()],
  ["Not known", (dataset) => dataset.unknown.length ? listed(dataset.unknown) : "nothing was looked for in vain"],
  ...(MACHINE ? [["On this machine", (dataset) => heldTold(held(dataset))]] : []),
];
let onlyDifferences = false;

function stepsTold(dataset) {
  if (dataset.steps.length) return listed(dataset.steps.map((step) => STEPS[step].name));
  return dataset.level === "unknown" ? unknown() : "none";
}

function compareView(datasets) {
  const title = make("h1", { tabindex: "-1" }, "Compare");
  if (datasets.length < 2) {
    return make("article", {}, title, make("p", {}, "Select two or more datasets in the ", make("a", { href: listAddress(wish) }, "list"), ", and they stand here side by side."));
  }
  const box = make("input", { type: "checkbox", id: "differences", change: () => { onlyDifferences = box.checked; mark(); } });
  box.checked = onlyDifferences;
  const shown = compareTable(datasets);
  const mark = () => shown.classList.toggle("only-differences", onlyDifferences);
  mark();
  return make("article", { class: "compare" }, title,
    make("label", { class: "value" }, box, make("span", {}, "Only what differs")),
    make("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": "Datasets side by side" }, shown));
}

function compareTable(datasets) {
  const heads = datasets.map((dataset) => make("th", { role: "columnheader", scope: "col" },
    make("a", { href: datasetAddress(dataset.id) }, dataset.name), removeFromSelection(dataset)));
  const lines = COMPARED.map(([title, of]) => {
    const cells = datasets.map((dataset) => make("td", { role: "cell", "data-of": dataset.name }, of(dataset)));
    const same = cells.every((cell) => cell.textContent === cells[0].textContent);
    return make("tr", { role: "row", class: same ? "same" : null }, make("th", { role: "rowheader", scope: "row" }, title), cells);
  });
  const corner = make("th", { role: "columnheader", scope: "col" }, make("span", { class: "unseen" }, "Fact"));
  return make("table", { role: "table", class: "compared" },
    make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, corner, heads)), make("tbody", { role: "rowgroup" }, lines));
}

/** A button that takes a dataset out of the selection; the focus goes to the title, for the button is gone then. */
function removeFromSelection(dataset) {
  const remove = () => {
    selection.toggle(dataset.id);
    say(`${dataset.name} is no longer selected`);
  };
  return make("button", { type: "button", class: "quiet", click: remove }, "Remove", make("span", { class: "unseen" }, ` ${dataset.name}`));
}
