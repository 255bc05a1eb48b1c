// The list: filters at the side, what is found beside them. Rows are made once; a wish hides and orders them.

let wish = wishIn(new URLSearchParams());
const rows = new Map();
const OPEN_AT_FIRST = ["here", "modality", "anatomy", "access"];
const narrow = matchMedia("(max-width: 60rem)");

const COLUMNS = [
  { title: "Dataset", sort: "name", of: nameCell },
  { title: "Modality", sort: "modality", of: (dataset) => words(dataset.modality) },
  { title: "Anatomy", wide: true, of: (dataset) => words(dataset.anatomy) },
  { title: "People", sort: "subjects", number: true, of: (dataset) => dataset.subjects === null ? unknown() : number(dataset.subjects) },
  { title: "Size", sort: "size", number: true, of: (dataset) => dataset.size === null ? unknown() : bytes(dataset.size) },
  { title: "Access", sort: "access", of: accessCell },
  { title: "Licence", wide: true, of: (dataset) => words(dataset.licences) },
  { title: "Checksums", wide: true, of: (dataset) => sums(dataset) === "unknown" ? unknown() : sums(dataset) },
];

const words = (list) => list.length ? list.join(", ") : unknown();

function nameCell(dataset) {
  return [
    make("a", { class: "name", href: datasetAddress(dataset.id) }, dataset.name),
    held(dataset) && make("span", { class: "tag" }, `here: ${heldTold(held(dataset))}`),
    make("p", { class: "summary" }, dataset.summary),
  ];
}

function accessCell(dataset) {
  const more = [dataset.way === "hand" ? "by hand" : dataset.way === "steps" ? "after steps" : null, wait(dataset)];
  return [level(dataset), make("span", { class: "more-told" }, more.filter(Boolean).join("; "))];
}

function row(dataset) {
  const box = make("input", {
    type: "checkbox", "data-select": dataset.id, "aria-label": `Select ${dataset.name}`, change: () => selection.toggle(dataset.id),
  });
  const cells = COLUMNS.map((column, at) => make(at ? "td" : "th", {
    role: at ? "cell" : "rowheader", scope: at ? null : "row", "data-of": column.title, class: classOf(column),
  }, column.of(dataset)));
  return make("tr", { role: "row", "data-id": dataset.id }, make("td", { role: "cell", class: "box" }, make("label", {}, box)), cells);
}

const classOf = (column) => [column.number && "number", column.wide && "wide"].filter(Boolean).join(" ") || null;

function header() {
  const cells = COLUMNS.map((column) => make("th", { role: "columnheader", scope: "col", class: classOf(column), "data-sort": column.sort },
    column.sort ? make("button", { type: "button", click: () => sortBy(column.sort) }, column.title) : column.title));
  const first = make("th", { role: "columnheader", scope: "col", class: "box" }, make("span", { class: "unseen" }, "Select"));
  return make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, first, cells));
}

const sortBy = (name) => wishFor({ sort: name, reverse: wish.sort === name && !wish.reverse });

/** The boxes of a facet's values: the commonest first, or in the order that it has. */
function facetFilter(facet) {
  const found = counts(facet, wish);
  const place = (value) => facet.order ? facet.order.indexOf(value) : -found.get(value);
  const sorted = [...found.keys()].sort((one, other) => place(one) - place(other) || compared(one.toLowerCase(), other.toLowerCase()));
  const boxes = sorted.map((value) => make("label", { class: "value" },
    make("input", { type: "checkbox", name: facet.name, value, change: changed }),
    make("span", {}, facet.words?.[value] ?? value), make("span", { class: "count" })));
  return make("details", { open: OPEN_AT_FIRST.includes(facet.name) || wish.facets.get(facet.name).size > 0, "data-facet": facet.name },
    make("summary", {}, facet.title, make("span", { class: "number", hidden: true })),
    make("fieldset", {}, make("legend", { class: "unseen" }, facet.title), boxes));
}

function sizeFilter() {
  const options = Object.entries(SIZES).map(([value, told]) => make("option", { value }, told));
  return make("div", { class: "size" }, make("label", { for: "most" }, "Size to download"), make("select", { id: "most", change: changed }, options));
}

function buildList() {
  for (const dataset of CATALOGUE.datasets) rows.set(dataset.id, row(dataset));
  byId("table").append(header(), make("tbody", { role: "rowgroup" }, [...rows.values()]));
  byId("filters").append(...FACETS.map(facetFilter), sizeFilter());
  byId("sort").append(...Object.entries(ORDERS).map(([value, { title }]) => make("option", { value }, title)));
  byId("sort").addEventListener("change", () => wishFor({ sort: byId("sort").value, reverse: false }));
  byId("reverse").addEventListener("click", () => wishFor({ reverse: !wish.reverse }));
  byId("again").addEventListener("click", () => { go("#/"); byId("text").focus(); });
  byId("wish").addEventListener("submit", (event) => event.preventDefault());
  byId("more").addEventListener("click", () => showFilters(byId("more").getAttribute("aria-expanded") !== "true"));
  narrow.addEventListener("change", () => showFilters(!narrow.matches));
  showFilters(!narrow.matches);
  let typing = 0;
  byId("text").addEventListener("input", () => {
    clearTimeout(typing);
    // Not a step back for each letter; and not at each letter, for a phone is slow.
    typing = setTimeout(() => goInstead(listAddress({ ...wish, text: byId("text").value.trim() })), 150);
  });
  const open = CATALOGUE.datasets.filter((dataset) => dataset.way === "open").length;
  byId("lead").append(
    `${CATALOGUE.datasets.length} datasets, how each is had and on which terms. ${open} come by program at once. `,
    "Select some, and the page shows what has to be done first, and the command that fetches them.");
}

function showFilters(shown) {
  byId("more").setAttribute("aria-expanded", String(shown));
  byId("filters").hidden = !shown;
}

function changed() {
  const facets = new Map(FACETS.map(({ name }) => {
    const boxes = document.querySelectorAll(`#filters input[name="${name}"]:checked`);
    return [name, new Set([...boxes].map((box) => box.value))];
  }));
  wishFor({ facets, most: byId("most").value });
}

const wishFor = (change) => go(listAddress({ ...wish, ...change }));

/** Shows what fits a wish. */
function showList(asked) {
  wish = asked;
  const found = ordered(CATALOGUE.datasets.filter((dataset) => fits(dataset, wish)), wish);
  for (const each of rows.values()) each.hidden = true;
  for (const dataset of found) rows.get(dataset.id).hidden = false;
  byId("table").tBodies[0].append(...found.map((dataset) => rows.get(dataset.id)));
  byId("table").hidden = !found.length;
  byId("nothing").hidden = found.length > 0;
  byId("found").textContent = found.length === CATALOGUE.datasets.length
    ? counted(found.length, "dataset") : `${found.length} of ${counted(CATALOGUE.datasets.length, "dataset")}`;
  showWish();
  for (const facet of FACETS) showCounts(facet);
}

/** Has the form and the head of the table say what is asked for. */
function showWish() {
  if (byId("text").value.trim() !== wish.text) byId("text").value = wish.text;
  byId("most").value = wish.most;
  byId("sort").value = wish.sort;
  byId("reverse").setAttribute("aria-pressed", String(wish.reverse));
  for (const head of document.querySelectorAll("#table th[data-sort]")) {
    if (head.dataset.sort === wish.sort) head.setAttribute("aria-sort", wish.reverse ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  }
  const asked = FACETS.flatMap((facet) => [...wish.facets.get(facet.name)].map((value) => ({ facet, value })));
  const buttons = asked.map(({ facet, value }) => removeButton(facet.words?.[value] ?? value, () => without(facet.name, value)));
  if (wish.text) buttons.unshift(removeButton(`“${wish.text}”`, () => ({ text: "" })));
  if (wish.most) buttons.push(removeButton(SIZES[wish.most], () => ({ most: "" })));
  if (buttons.length > 1) buttons.push(make("button", { type: "button", class: "quiet", click: () => leave(() => go("#/")) }, "Remove all"));
  byId("active").replaceChildren(...buttons);
  byId("more").textContent = asked.length ? `Filters (${asked.length})` : "Filters";
}

const without = (name, value) => ({
  facets: new Map([...wish.facets].map(([each, wanted]) => [each, new Set([...wanted].filter((one) => each !== name || one !== value))])),
});

function removeButton(text, change) {
  return make("button", { type: "button", class: "chip", click: () => leave(() => wishFor(change())) },
    make("span", { class: "unseen" }, "Remove "), text);
}

/** Does what removes the button that has the focus, which then goes to what was found. */
function leave(action) {
  byId("list-title").focus({ preventScroll: true });
  action();
}

function showCounts(facet) {
  const found = counts(facet, wish);
  const wanted = wish.facets.get(facet.name);
  const details = document.querySelector(`details[data-facet="${facet.name}"]`);
  for (const label of details.querySelectorAll("label")) {
    const box = label.querySelector("input");
    box.checked = wanted.has(box.value);
    label.querySelector(".count").textContent = found.get(box.value);
    label.classList.toggle("empty", !found.get(box.value));
  }
  const badge = details.querySelector("summary .number");
  badge.textContent = wanted.size;
  badge.hidden = !wanted.size;
}
