// Which datasets fit a wish, and in which order.
// A wish: {text, facets: Map of name → Set of values, most (bytes), sort, reverse}.

/** A facet: its name in addresses, what people call it, and the values that a dataset has of it. */
const FACETS = [
  ...(MACHINE ? [{ name: "here", title: "On this machine", of: (dataset) => [held(dataset)?.state ?? "not here"] }] : []),
  { name: "modality", title: "Modality", of: (dataset) => dataset.modality },
  { name: "anatomy", title: "Anatomy", of: (dataset) => dataset.anatomy },
  { name: "task", title: "Task", of: (dataset) => dataset.tasks },
  { name: "access", title: "Access", of: (dataset) => [dataset.level], order: CATALOGUE.levels, words: LEVELS },
  { name: "way", title: "How it is had", of: (dataset) => [dataset.way], order: Object.keys(WAYS), words: WAYS },
  { name: "source", title: "Source", of: (dataset) => dataset.sources },
  { name: "licence", title: "Licence", of: (dataset) => dataset.licences },
  { name: "sums", title: "Checksums", of: (dataset) => dataset.sums.split(", "), order: Object.keys(SUMS), words: SUMS },
  { name: "status", title: "Status", of: (dataset) => [statusOf(dataset)] },
];
const SIZES = { "": "any", "1G": "up to 1 GB", "10G": "up to 10 GB", "100G": "up to 100 GB", "1T": "up to 1 TB" };
const SIZE_IN_BYTES = { "1G": 1e9, "10G": 1e10, "100G": 1e11, "1T": 1e12 };

/** By what datasets are sorted; null is unknown. The same orders as those of `medfetch list --sort`. */
const ORDERS = {
  name: { title: "Name", key: (dataset) => dataset.id },
  size: { title: "Size", key: (dataset) => dataset.size },
  subjects: { title: "People", key: (dataset) => dataset.subjects },
  modality: { title: "Modality", key: (dataset) => dataset.modality.join(", ").toLowerCase() || null },
  access: { title: "Access", key: (dataset) => CATALOGUE.levels.indexOf(dataset.level) },
};

const values = (facet, dataset) => {
  const found = [...new Set(facet.of(dataset).map((value) => value || "unknown"))];
  return found.length ? found : ["unknown"];
};

const searched = new Map(CATALOGUE.datasets.map((dataset) => [dataset.id, [
  dataset.id, dataset.name, dataset.summary, dataset.homepage, ...dataset.modality, ...dataset.anatomy, ...dataset.tasks,
  ...dataset.cite, ...dataset.also,
].join(" ").toLowerCase()]));

function hasText(dataset, text) {
  const words = text.toLowerCase().replaceAll("https://doi.org/", "doi:").split(/\s+/);
  return words.every((word) => searched.get(dataset.id).includes(word));
}

/** Whether a dataset fits; one facet can be left out, to count what its values would find. */
function fits(dataset, wish, without = null) {
  if (!hasText(dataset, wish.text)) return false;
  // As in `medfetch list --max-size`: what is unknown does not fit.
  if (wish.most && !(dataset.size !== null && dataset.size <= SIZE_IN_BYTES[wish.most])) return false;
  return FACETS.every((facet) => {
    const wanted = wish.facets.get(facet.name);
    return facet.name === without || !wanted?.size || values(facet, dataset).some((value) => wanted.has(value));
  });
}

const compared = (one, other) => one < other ? -1 : one > other ? 1 : 0;

/** In a wish's order: of those that are alike by name, and what is unknown at the end either way. */
function ordered(datasets, wish) {
  const { key } = ORDERS[wish.sort];
  const known = datasets.filter((dataset) => key(dataset) !== null);
  const rest = datasets.filter((dataset) => key(dataset) === null);
  const sign = wish.reverse ? -1 : 1;
  const byName = (one, other) => compared(one.id, other.id);
  known.sort((one, other) => sign * compared(key(one), key(other)) || byName(one, other));
  return [...known, ...rest.sort(byName)];
}

/** The values of a facet, each with the number of datasets that it would find beside the other wishes. */
function counts(facet, wish) {
  const found = new Map();
  for (const dataset of CATALOGUE.datasets) {
    const fitting = fits(dataset, wish, facet.name) ? 1 : 0;
    for (const value of values(facet, dataset)) found.set(value, (found.get(value) ?? 0) + fitting);
  }
  return found;
}
