// What the page was given, and the words in which it is shown.

const CATALOGUE = JSON.parse(byId("data").textContent);
const DATASETS = new Map(CATALOGUE.datasets.map((dataset) => [dataset.id, dataset]));
const STEPS = CATALOGUE.steps;
const MACHINE = CATALOGUE.machine ?? null; // only where medfetch serves the page

const WAYS = { open: "by program, at once", steps: "by program, after steps", hand: "by hand, or not at all" };
const LEVELS = {
  open: "open", account: "account", terms: "terms", join: "join a challenge", credentialed: "credentialed",
  application: "application", paid: "paid", closed: "closed", unknown: "unknown",
};
const SUMS = {
  recipe: "in the recipe", "others'": "in the recipe, not the publisher's", host: "from the host", partly: "of some files", none: "none", unknown: "unknown", "": "unknown",
};

const sums = (dataset) => dataset.sums.split(", ").map((word) => SUMS[word] ?? word).join("; ");

const level = (dataset) => make("span", { class: `level ${dataset.level}` }, LEVELS[dataset.level] ?? dataset.level);

const statusOf = (dataset) => dataset.status.is ?? "unknown";

function statusTold(dataset) {
  if (statusOf(dataset) === "unknown") return unknown(dataset.status.as_of && `unknown (looked for on ${dataset.status.as_of})`);
  return statusOf(dataset) + (dataset.status.as_of ? `, as of ${dataset.status.as_of}` : "");
}

/** The longest usual wait, for a line; null where nothing has to be waited for, as far as is told. */
function wait(dataset) {
  if (dataset.wait === null) return "wait unknown";
  return dataset.wait ? `wait ${daysTold(dataset.wait)}` : null;
}

const daysTold = (days) => days < 1 ? "less than a day" : counted(Math.round(days), "day");

function waitTold(dataset) {
  if (!dataset.steps.length) return dataset.level === "unknown" ? unknown() : "no step to wait for";
  return dataset.wait ? daysTold(dataset.wait) : unknown();
}

const licence = (told) => !told ? unknown() : told.url ? link(told.url, told.id) : told.id;

function citation(text) {
  const [kind, name] = [text.slice(0, text.indexOf(":")), text.slice(text.indexOf(":") + 1)];
  if (kind === "doi") return link(`https://doi.org/${name}`, text);
  if (kind === "arxiv") return link(`https://arxiv.org/abs/${name}`, text);
  return make("span", {}, linked(text));
}

/** What is here of a dataset, where the page knows the machine. */
const held = (dataset) => MACHINE && Object.hasOwn(MACHINE.held, dataset.id) ? MACHINE.held[dataset.id] : null;

function heldTold(found) {
  if (!found) return "not here";
  if (found.state !== "partial") return found.state;
  const [done, all] = ["done", "entries"].map((key) => found.plans.reduce((sum, plan) => sum + plan[key], 0));
  return all ? `partial, ${Math.floor((100 * done) / all)} %` : "partial";
}
