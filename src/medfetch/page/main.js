// What the address says is shown, and the focus goes along.

let shown = null;
let opened = null; // in the list, the dataset that was opened last, and how far down that was

function viewOf(place) {
  if (place.view === "dataset") {
    return DATASETS.has(place.id) ? datasetView(DATASETS.get(place.id)) : absent(`There is no dataset “${place.id}” in this catalogue.`);
  }
  if (place.view === "machine") return MACHINE ? machineView() : absent("Only medfetch catalog --serve shows this machine.");
  return place.view === "compare" ? compareView(selection.datasets) : selectionView(selection.datasets);
}

function absent(text) {
  return make("article", {}, make("h1", { tabindex: "-1" }, "Not here"), make("p", {}, text), make("p", {}, make("a", { href: "#/" }, "All datasets")));
}

function show() {
  const place = placeIn(location.hash);
  if (place.ids) selection.set(place.ids);
  const moved = shown !== null && (shown.view !== place.view || shown.id !== place.id);
  if (moved && shown.view === "list") opened = { id: place.id, down: scrollY };
  const list = place.view === "list";
  const within = byId("view").contains(document.activeElement);
  shown = place;
  byId("list").hidden = !list;
  byId("view").hidden = list;
  if (list) showList(place.wish);
  else byId("view").replaceChildren(viewOf(place), ...missing(place));
  tellWhere(place);
  showBar();
  if (moved) arrive(list);
  else if (within) document.querySelector("#view h1").focus({ preventScroll: true }); // what had it is gone
}

/** Of an address that was made for another catalogue, what this one does not have. */
function missing(place) {
  const lost = (place.ids ?? []).filter((id) => !DATASETS.has(id));
  return lost.length ? [make("p", { class: "notice" }, `Not in this catalogue: ${lost.join(", ")}.`)] : [];
}

function tellWhere(place) {
  const links = { list: "to-list", selection: "to-selection", compare: "to-compare", machine: "to-machine" };
  for (const [view, id] of Object.entries(links)) {
    if (view === place.view) byId(id).setAttribute("aria-current", "page");
    else byId(id).removeAttribute("aria-current");
  }
  const title = place.view === "list" ? "Medical imaging datasets" : document.querySelector("#view h1").textContent;
  document.title = `${title} – medfetch`;
}

/** The focus goes to what is new: the title, or in the list the dataset that one comes back from. */
function arrive(list) {
  const back = list && opened?.id && rows.get(opened.id);
  const target = back && !back.hidden ? back.querySelector("a") : document.querySelector(list ? "#list h1" : "#view h1");
  target.focus({ preventScroll: true });
  scrollTo(0, list && opened ? opened.down : 0);
}

function selectionChanged() {
  showSelection();
  // The address of these views holds the selection.
  if (shown?.ids && shown.ids.join() !== selection.ids.join()) {
    goInstead(viewAddress(shown.view, selection.ids));
  }
}

function begin() {
  buildList();
  byId("to-machine").hidden = !MACHINE;
  byId("foot").append(
    `Made by medfetch ${CATALOGUE.version} from what its recipes say`, CATALOGUE.read ? `, last read on ${CATALOGUE.read}. ` : ". ",
    "What could not be established is called unknown. The data are under their owners' terms.");
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault(); // the address stays that of the view
    byId("main").focus();
  });
  history.scrollRestoration = "manual";
  selection.listeners.push(selectionChanged);
  selection.recall();
  showSelection();
  addEventListener("hashchange", show);
  show();
}

begin();
