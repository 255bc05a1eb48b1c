// What is selected: kept for the tab, told to all who listen.

const selection = {
  ids: [],
  listeners: [],

  has(id) {
    return this.ids.includes(id);
  },

  set(ids) {
    const known = [...new Set(ids)].filter((id) => DATASETS.has(id));
    if (known.join() === this.ids.join()) return;
    this.ids = known;
    try {
      sessionStorage.setItem("medfetch-selection", JSON.stringify(known));
    } catch { /* storage may be forbidden; then a reload forgets it */ }
    for (const listener of this.listeners) listener();
  },

  toggle(id) {
    this.set(this.has(id) ? this.ids.filter((each) => each !== id) : [...this.ids, id]);
  },

  recall() {
    try {
      this.set(JSON.parse(sessionStorage.getItem("medfetch-selection") ?? "[]"));
    } catch { /* as above */ }
  },

  get datasets() {
    return this.ids.map((id) => DATASETS.get(id));
  },
};

/** A button that selects a dataset, or takes it out again. */
function selectButton(dataset) {
  const toggle = () => selection.toggle(dataset.id);
  const pressed = String(selection.has(dataset.id));
  return make("button", { type: "button", class: "select", click: toggle, "data-select": dataset.id, "aria-pressed": pressed }, "Select");
}

/** The bar at the foot of the window, the numbers in the head, and all boxes and buttons that show what is selected. */
function showSelection() {
  const { ids } = selection;
  byId("chosen").textContent = ids.length;
  byId("to-selection").href = viewAddress("selection", ids);
  byId("to-compare").href = viewAddress("compare", ids);
  for (const box of document.querySelectorAll("input[data-select]")) box.checked = selection.has(box.dataset.select);
  for (const button of document.querySelectorAll("button[data-select]")) {
    button.setAttribute("aria-pressed", String(selection.has(button.dataset.select)));
  }
  byId("bar").replaceChildren(
    make("p", {}, make("strong", {}, `${ids.length} selected`), " ", make("span", { class: "sum" }, sizeOf(selection.datasets))),
    make("a", { class: "button", href: viewAddress("selection", ids) }, "Steps and commands"),
    make("a", { class: "button plain", href: viewAddress("compare", ids) }, "Compare"),
  );
  showBar();
}

/** The bar is there where the selection itself is not shown. */
function showBar() {
  byId("bar").hidden = !selection.ids.length || Boolean(shown?.ids);
  document.documentElement.classList.toggle("with-bar", !byId("bar").hidden);
}

/** The bytes of some datasets, as far as they are known. */
function sizeOf(datasets) {
  const known = datasets.filter((dataset) => dataset.size !== null);
  const total = bytes(known.reduce((sum, dataset) => sum + dataset.size, 0));
  if (known.length === datasets.length) return total;
  return known.length ? `${total} and ${datasets.length - known.length} of unknown size` : "size unknown";
}
