// The figures at the top, of the run that is chosen.
function tiles() {
  const one = run();
  const { full, cached, partial } = one.counts;
  const found = [];
  if (one.speedup !== null) found.push([`${one.speedup.toFixed(2)}×`, `as fast as ${reference.name}`]);
  if (one.same) found.push(["the same", "pictures as the reference"]);
  if (one.psnrMean !== null) found.push([`${one.psnrMean.toFixed(1)} dB`, "PSNR to the reference"]);
  found.push([`${full} + ${cached}${partial ? ` + ${partial}` : ""}`, `full + cached${partial ? " + partial" : ""} steps`]);
  if (one.seconds !== null) found.push([seconds(one.seconds), "for the whole run"]);
  if (one.cacheBytes !== null) found.push([bytes(one.cacheBytes), "kept by the cache"]);
  return found;
}

function headline() {
  const one = run();
  if (isReference()) {
    return `${one.name}: ${one.steps.length} steps. The reference of the other runs.`;
  }
  const faster = one.speedup === null ? "" : `, ${one.speedup.toFixed(2)} times as fast as ${reference.name}`;
  const { full, cached, partial } = one.counts;
  const rest = partial ? `, ${partial} partial` : "";
  return `${one.name}${faster}: of ${one.steps.length} steps ${full} are full, ${cached} cached${rest}.`;
}

function drawOverview() {
  const one = run();
  byId("headline").textContent = headline();
  byId("tiles").replaceChildren(
    ...tiles().map(([value, label]) =>
      element("div", {}, element("dt", { text: label }), element("dd", { text: value })),
    ),
  );
  const cost = `recording took ${seconds(one.cost)}, which is not counted`;
  byId("timing").textContent = one.recorded
    ? `Times are of a run that was recorded, each step waited for; ${cost}.`
    : `The run was timed without a recorder; the times of steps are of a second, recorded run (${cost}).`;
  const none = (text) => element("p", { class: "note", text });
  byId("summary").replaceChildren(one.summary.length ? facts(one.summary) : none("There was no cache."));
  byId("config").replaceChildren(
    one.config === null
      ? none("There was no cache.")
      : element("pre", { text: one.config, tabindex: "0", role: "region", "aria-label": "Configuration" }),
  );
  byId("missing").replaceChildren(one.missing.length ? facts(one.missing) : none("Nothing is missing."));
}

function startOverview() {
  const chooser = byId("run");
  if (chooser) {
    chooser.value = String(chosen.run);
    chooser.addEventListener("change", () => chooseRun(Number(chooser.value)));
  }
  when(["run"], drawOverview);
}
