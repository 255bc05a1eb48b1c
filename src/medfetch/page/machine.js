// This machine, where medfetch serves the page: what is in the cache, and which secrets are here. Never what they are.

function machineView() {
  const title = make("h1", { tabindex: "-1" }, "This machine");
  const asked = MACHINE.asked ? "The hosts were asked when medfetch was started."
    : ["No host was asked; ", make("code", {}, "medfetch catalog --serve --check"), " asks."];
  return make("article", { class: "machine" }, title,
    make("p", { class: "lead" }, "As of the moment when this page was loaded. ", asked),
    MACHINE.sandbox && make("p", { class: "notice" }, "This is a rehearsal, with the sandbox's cache and secrets."),
    section("In the cache", make("p", { class: "hint" }, MACHINE.cache), cacheTable()),
    section("Accounts and keys", secretsTable()));
}

function cacheTable() {
  const ours = CATALOGUE.datasets.filter(held).map((dataset) => ({ told: held(dataset), name: make("a", { href: datasetAddress(dataset.id) }, dataset.name) }));
  const others = MACHINE.others.map((told) => ({ told, name: `${told.id} ${told.version}` }));
  if (!ours.length && !others.length) return make("p", {}, "Nothing is here yet.");
  const lines = [...ours, ...others].map(({ told, name }) => [name, heldTold(told), number(told.files), bytes(told.bytes), make("span", {}, listed(heldMore(told)))]);
  return table(["Dataset", "State", "Files", "Bytes", "More"], lines, { class: "picked" });
}

function heldMore(told) {
  const lines = told.plans.map((plan) => {
    const selected = Object.entries(plan.select).map(([facet, wanted]) => `${facet}=${wanted.join(",")}`).join(", ") || "everything";
    const missing = plan.missing ? `${number(plan.missing)} of ${number(plan.entries)} series or files missing` : "nothing missing";
    return `${plan.parts.join(" + ")}, ${selected}: ${missing}${plan.stale ? `; stale: ${plan.stale}` : ""}`;
  });
  if (told.running) lines.push(`${counted(told.running, "run")} at work`);
  if (told.layer) lines.push("in a layer, which is only read");
  if (told.trouble) lines.push(told.trouble);
  if (told.path) lines.push(told.path);
  return lines;
}

function secretsTable() {
  const { steps } = overview(CATALOGUE.datasets);
  const lines = steps.filter(({ step }) => STEPS[step].credential).map(({ step, state, said, opens }) => [
    STEPS[step].credential,
    make("strong", { class: MACHINE.done.includes(state) ? "yes" : "no" }, state === "met" ? "works" : state === "present" ? "here, not tried" : state),
    said || unknown(),
    counted(opens.length, "dataset"),
  ]);
  return table(["Name", "State", "Where it is, or what to do", "Opens"], lines, { class: "picked" });
}

/** What is here of a dataset, on its own page. */
function hereOf(dataset) {
  if (!MACHINE) return null;
  const told = held(dataset);
  return section("On this machine", told
    ? facts([["State", heldTold(told)], ["Files", number(told.files)], ["Bytes", bytes(told.bytes)], ["More", listed(heldMore(told))]])
    : make("p", {}, "Nothing of it is in the cache."));
}
