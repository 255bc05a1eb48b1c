// The selection: what has to be done for it, in order, and then the commands.

function selectionView(datasets) {
  const title = make("h1", { tabindex: "-1" }, "Selection");
  if (!datasets.length) {
    return make("article", {}, title, make("p", {}, "Nothing is selected yet: tick datasets in the ", make("a", { href: listAddress(wish) }, "list"), "."));
  }
  return make("article", { class: "chosen" }, title,
    make("p", { class: "lead" }, `${counted(datasets.length, "dataset")}; to download: ${sizeOf(datasets)}. The address of this page holds the selection.`),
    section("Datasets", chosenTable(datasets)),
    section("What has to be done first", ...stepsOfAll(datasets)),
    section("Then, in a terminal", ...commandsOfAll(datasets)));
}

function chosenTable(datasets) {
  const { toTake } = overview(datasets);
  const head = ["Dataset", "Size", "Access", MACHINE ? "Still to take" : "Steps", ...(MACHINE ? ["Here"] : []), "Remove"];
  const lines = datasets.map((dataset) => [
    make("span", {}, make("a", { class: "name", href: datasetAddress(dataset.id) }, dataset.name), notes(dataset) && make("p", { class: "summary" }, linked(notes(dataset)))),
    dataset.size === null ? unknown() : bytes(dataset.size),
    level(dataset),
    stepNames(dataset, toTake.get(dataset.id)),
    ...(MACHINE ? [heldTold(held(dataset))] : []),
    removeFromSelection(dataset),
  ]);
  return table(head, lines, { class: "picked" });
}

function stepNames(dataset, open) {
  if (open.length) return open.map((step) => STEPS[step].name).join(", ");
  if (dataset.steps.length) return "nothing more to do";
  return dataset.note ? unknown("see the note") : "needs nothing";
}

function stepsOfAll(datasets) {
  const { steps } = overview(datasets);
  if (!steps.length) return [make("p", {}, "No step is known that has to be taken.")];
  const hint = MACHINE
    ? "Each step once, in the order in which they are best taken, and how it stands on this machine."
    : "Each step once, in the order in which they are best taken. What you have done already, this page does not know; medfetch access does.";
  return [make("p", { class: "hint" }, hint), stepList(datasets)];
}

function commandsOfAll(datasets) {
  const words = (some) => some.map((dataset) => dataset.word).join(" ");
  const [byHand, byProgram] = [true, false].map((hand) => datasets.filter((dataset) => (dataset.way === "hand") === hand));
  const fetching = byProgram.length ? [`medfetch get ${words(byProgram)}`] : [];
  const bringing = byHand.map((dataset) => `medfetch import ${dataset.word} FILE…`);
  return [
    make("p", { class: "hint" }, "What of the steps is done:"),
    commands([`medfetch access ${words(datasets)}`], "the command that shows the steps"),
    fetching.length ? make("p", { class: "hint" }, "Fetch, verify and unpack; the same command goes on after an interruption:") : null,
    fetching.length ? commands(fetching, "the command that fetches") : null,
    bringing.length ? make("p", { class: "hint" }, "Take in what you have downloaded by hand:") : null,
    bringing.length ? commands(bringing, "the commands that take in files") : null,
  ].filter(Boolean);
}
