// The address says what is shown: "#/" and "#/?q=…" the list, "#/ID" a dataset, "#compare?id=…", "#selection?id=…".

const VIEWS = ["compare", "selection", "machine"];

const withQuery = (path, query) => String(query) ? `${path}?${query}` : path;

const datasetAddress = (id) => `#/${encodeURIComponent(id)}`;

const viewAddress = (view, ids) => withQuery(`#${view}`, new URLSearchParams(ids.map((id) => ["id", id])));

function listAddress(wish) {
  const query = new URLSearchParams();
  if (wish.text) query.set("q", wish.text);
  for (const { name } of FACETS) for (const value of wish.facets.get(name) ?? []) query.append(name, value);
  if (wish.most) query.set("max-size", wish.most);
  if (wish.sort !== "name") query.set("sort", wish.sort);
  if (wish.reverse) query.set("reverse", "yes");
  return withQuery("#/", query);
}

function wishIn(query) {
  return {
    text: (query.get("q") ?? "").trim(),
    facets: new Map(FACETS.map(({ name }) => [name, new Set(query.getAll(name))])),
    most: Object.hasOwn(SIZE_IN_BYTES, query.get("max-size")) ? query.get("max-size") : "",
    sort: Object.hasOwn(ORDERS, query.get("sort")) ? query.get("sort") : "name",
    reverse: query.has("reverse"),
  };
}

/** What an address means: {view, id, ids, wish}. */
function placeIn(hash) {
  const [path, query = ""] = hash.replace(/^#/, "").split(/\?(.*)/s);
  const asked = new URLSearchParams(query);
  if (VIEWS.includes(path)) return { view: path, ids: asked.getAll("id") };
  const id = decoded(path.replace(/^\//, ""));
  return id ? { view: "dataset", id } : { view: "list", wish: wishIn(asked) };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // typed by hand
  }
}

/** Goes there as a step that the back button takes back. */
const go = (address) => { location.hash = address; };

/** Goes there in place of where we are. */
const goInstead = (address) => { location.replace(address); };
