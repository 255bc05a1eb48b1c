// What has to be done for some datasets: each step once, in the order of `medfetch access` (requirements.in_order).

/** Days from the beginning of a step to the end of the last that hangs on it. */
function longest(step, all) {
  const others = all.filter((each) => each !== step);
  const hanging = others.filter((each) => STEPS[each].after.includes(STEPS[step].name));
  return STEPS[step].days + Math.max(0, ...hanging.map((each) => longest(each, others)));
}

/** Steps, by number, each after those that it waits for; otherwise first whatever the longest wait hangs on. */
function inOrder(steps) {
  const left = [...new Set(steps)];
  const days = new Map(left.map((step) => [step, longest(step, left)]));
  const done = [];
  while (left.length) {
    const waiting = new Set(left.map((step) => STEPS[step].name));
    let ready = left.filter((step) => !STEPS[step].after.some((name) => waiting.has(name)));
    if (!ready.length) ready = left;
    const next = ready.reduce((best, step) => days.get(step) > days.get(best) ? step : best);
    done.push(next);
    left.splice(left.indexOf(next), 1);
  }
  return done;
}

/** How a step stands for a dataset: [state, who says so]; empty where the page does not know the machine. */
const standing = (dataset, step) => MACHINE?.steps[dataset.id]?.[step] ?? ["", ""];

/** One step of two datasets: what a person has, all know of; else the least that is true of all counts. */
function merged(one, other, personal) {
  const rank = (each) => MACHINE?.states.indexOf(each.state) ?? 0;
  const [better, worse] = rank(one) <= rank(other) ? [one, other] : [other, one];
  const kept = personal ? better : worse;
  const mixed = better.state !== worse.state && kept === worse;
  const told = `${better.state} for ${better.opens.join(", ")}${kept.said ? `; ${kept.said}` : ""}`;
  return { ...kept, opens: [...one.opens, ...other.opens], said: mixed ? told : kept.said };
}

/** The steps of some datasets, and of each dataset which are still to take (where the page knows the machine). */
function overview(datasets) {
  const found = new Map();
  for (const dataset of datasets) {
    for (const step of dataset.steps) {
      const [state, said] = standing(dataset, step);
      const mine = { step, state, said, opens: [dataset.id] };
      found.set(step, found.has(step) ? merged(found.get(step), mine, STEPS[step].personal) : mine);
    }
  }
  const toTake = (dataset) => dataset.steps.filter((step) => {
    const state = STEPS[step].personal ? found.get(step).state : standing(dataset, step)[0];
    return !MACHINE?.done.includes(state);
  });
  return {
    steps: inOrder(found.keys()).map((step) => found.get(step)),
    toTake: new Map(datasets.map((dataset) => [dataset.id, toTake(dataset)])),
  };
}

const named = (ids) => ids.flatMap((id, at) => [at ? ", " : "", make("a", { href: datasetAddress(id) }, id)]);

function stepItem({ step, state, said, opens }, several) {
  const { name, kind, at, wait: waiting, sign, lapses, told, personal } = STEPS[step];
  const done = MACHINE?.done.includes(state);
  const recorded = told && (personal ? opens.slice(0, 1) : opens).map((id) => told.replace("NAME", DATASETS.get(id).word));
  return make("li", { class: done ? "done" : null },
    make("p", { class: "do" }, linked(STEPS[step].do)),
    make("p", { class: "where" }, at ? link(at) : unknown("where: unknown")),
    facts([
      ["Step", `${name} (${kind})`],
      ["Usual wait", waiting ?? unknown()],
      ["Must sign", sign],
      ["Good for", lapses],
      ["Here", MACHINE && state && make("span", {}, make("strong", { class: done ? "yes" : "no" }, state), said && `: ${said}`)],
      ["Then tell medfetch", recorded && !done && recorded.map((command) => make("code", {}, command))],
      ["For", several && named(opens)],
    ], "about"));
}

/** The steps of some datasets as a list. */
function stepList(datasets) {
  const { steps } = overview(datasets);
  return make("ol", { class: "steps" }, steps.map((each) => stepItem(each, datasets.length > 1)));
}

/** What no step tells of a dataset. */
function notes(dataset) {
  const parts = dataset.further.length && `further steps for ${dataset.further.map((name) => `--part ${name}`).join(", ")}`;
  return [dataset.note, parts].filter(Boolean).join("; ");
}
