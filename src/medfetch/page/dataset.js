// One dataset: a list of sections, each a function of the dataset that gives an element, or null where it has nothing.

const SECTIONS = [factsOf, hereOf, accessOf, commandsOf, holdsOf, partsOf, evidenceOf, unknownOf];

function datasetView(dataset) {
  return make("article", { class: "dataset" },
    make("p", { class: "back" }, make("a", { href: listAddress(wish) }, "All datasets")),
    make("h1", { tabindex: "-1" }, dataset.name),
    make("p", { class: "lead" }, dataset.summary),
    make("p", { class: "badges" }, level(dataset), make("span", { class: "way" }, WAYS[dataset.way]),
      make("code", { class: "id" }, dataset.id), selectButton(dataset)),
    SECTIONS.map((each) => each(dataset)));
}

const joined = (list) => list.length ? list.join(", ") : unknown();

function factsOf(dataset) {
  return section("At a glance", facts([
    ["Modality", joined(dataset.modality)],
    ["Anatomy", joined(dataset.anatomy)],
    ["Tasks", joined(dataset.tasks)],
    ["People", dataset.subjects === null ? unknown() : number(dataset.subjects)],
    ["Size to download", dataset.size === null ? unknown() : bytes(dataset.size)],
    ["Version", dataset.version ?? "none told"],
    ["Licence", licence(dataset.licence)],
    ["Status", statusTold(dataset)],
    ["Checksums", sums(dataset) === "unknown" ? unknown() : sums(dataset)],
    ["Homepage", dataset.homepage ? link(dataset.homepage) : unknown()],
    ["Also at", dataset.also.length ? listed(dataset.also.map((address) => link(address))) : null],
    ["To be cited", dataset.cite.length ? listed(dataset.cite.map(citation)) : unknown()],
  ]));
}

const listed = (items) => items.length === 1 ? items[0] : make("ul", { class: "plain" }, items.map((item) => make("li", {}, item)));

function accessOf(dataset) {
  const nothing = dataset.note ? null : "Nothing has to be done first.";
  return section("What has to be done first",
    dataset.steps.length ? stepList([dataset]) : nothing && make("p", {}, nothing),
    hostSays(dataset),
    notes(dataset) && make("p", { class: "notice" }, linked(notes(dataset))),
    dataset.access_note && make("p", {}, linked(dataset.access_note)),
    dataset.terms && make("p", {}, "Terms: ", link(dataset.terms)));
}

function hostSays(dataset) {
  const told = MACHINE && Object.hasOwn(MACHINE.hosts, dataset.id) ? MACHINE.hosts[dataset.id] : null;
  return told && make("p", { class: "notice" }, make("strong", {}, `The host says: ${told.says}. `), told.means, told.at && [" ", link(told.at)]);
}

function commandsOf(dataset) {
  const [looks, has] = dataset.way === "hand"
    ? [`medfetch access ${dataset.word}`, `medfetch import ${dataset.word} FILE…`]
    : [`medfetch plan ${dataset.word}`, `medfetch get ${dataset.word}`];
  return section("Commands",
    make("p", { class: "hint" }, dataset.way === "hand" ? "What is to be done, and how far it is:" : "What would be fetched, without a byte of it:"),
    commands([looks], "the command that looks first"),
    make("p", { class: "hint" }, dataset.way === "hand" ? "Take in what you have downloaded by hand:" : "Fetch, verify and unpack it; the same command goes on after an interruption:"),
    commands([has], "the command that has it"));
}

function partsOf(dataset) {
  if (!dataset.parts.length) return section("Parts and routes", make("p", {}, unknown("No route is known, neither by program nor by hand.")));
  return section("Parts and routes",
    make("p", { class: "hint" }, "Routes of one part have the same content; the first that works is taken."),
    dataset.parts.map((part) => partOf(dataset, part)));
}

function partOf(dataset, part) {
  return make("section", { class: "part" },
    make("h3", {}, part.name, !part.default && make("span", { class: "tag" }, `only with --part ${part.name}`)),
    part.summary && make("p", {}, part.summary),
    facts([
      ["Size", part.size === null ? unknown() : bytes(part.size)],
      ["Unpacked", part.unpacked === null ? null : bytes(part.unpacked)],
      ["Licence", part.licence && licence(part.licence)],
      ["Further steps", part.steps.length ? listed(part.steps.map(stepShort)) : null],
    ], "facts small"),
    make("ol", { class: "routes" }, part.routes.map(routeOf)));
}

const stepShort = (step) => make("span", {}, linked(STEPS[step].do), STEPS[step].at && [" ", link(STEPS[step].at)]);

function routeOf(route) {
  return make("li", {},
    make("p", {}, make("strong", {}, route.source), route.third_party && make("span", { class: "tag" }, "third party"),
      route.by_hand && make("span", { class: "tag" }, "by hand")),
    route.words.length ? facts(route.words.map(([name, value]) => [name, linked(value)]), "facts small") : null,
    route.steps.length ? facts([["Asks for", listed(route.steps.map(stepShort))]], "facts small") : null,
    route.files.length ? filesOf(route) : null);
}

function filesOf(route) {
  const items = route.files.map((file) => make("li", {}, file.url ? link(file.url, file.path) : file.path, make("span", { class: "hint" }, ` ${fileTold(file)}`)));
  const more = route.count - route.files.length;
  if (more > 0) items.push(make("li", { class: "hint" }, `and ${counted(more, "more file").replace("more files", "more")}`));
  return make("ul", { class: "files" }, items);
}

function fileTold(file) {
  return [
    file.size === null ? "size unknown" : bytes(file.size),
    file.sums.length ? file.sums.join(", ") + (file.sums_by ? ` by ${file.sums_by}` : "") : "no checksum in the recipe",
    file.pieces > 1 && `in ${file.pieces} pieces`,
    file.range && `for n from ${file.range[0]} to ${file.range[1]}`,
  ].filter(Boolean).join("; ");
}

function evidenceOf(dataset) {
  const ofSteps = inOrder(dataset.steps).flatMap((step) => STEPS[step].evidence.map((each) => ({ ...each, fact: `${STEPS[step].name}: ${each.fact}` })));
  const told = [...dataset.evidence, ...ofSteps];
  if (!told.length) return section("Where this was read", make("p", {}, unknown("Nothing is told.")));
  const lines = told.map(({ fact, source, read }) => [fact, make("span", {}, linked(source)), make("time", { datetime: read }, read)]);
  return section("Where this was read", table(["Fact", "Source", "Read on"], lines, { class: "evidence" }));
}

function unknownOf(dataset) {
  if (!dataset.unknown.length) return null;
  return section("Looked for and not found", make("ul", {}, dataset.unknown.map((told) => make("li", {}, linked(told)))));
}
