// How much outputs and gates change: lines of the reference and of the run, over steps.
function seriesOf(drift, block) {
  const index = block === "" ? -1 : drift.blocks.indexOf(Number(block));
  return drift.steps.map((step, at) => {
    const values = index < 0 ? drift.values[at] : [drift.values[at][index]];
    const sum = values.reduce((a, b) => a + b, 0);
    return {
      step,
      since: drift.since[at],
      mean: sum / values.length,
      low: Math.min(...values),
      high: Math.max(...values),
    };
  });
}

function drawDrift(kind) {
  const block = byId("block").value;
  const found = [
    [isReference() ? null : reference, "first"],
    [run(), isReference() ? "first" : "second"],
  ].filter(([one]) => one && one[kind]);
  const shown = found.length > 0;
  explain(`${kind}-missing`, run()[kind] ? null : `${run().name}: ${why(kind)}`);
  const place = byId(kind);
  place.hidden = !shown;
  const rows = [];
  if (shown) {
    const lines = found.map(([one, style]) => ({ one, style, points: seriesOf(one[kind], block) }));
    drawLines(place, kind, lines);
    for (const { one, points } of lines) {
      for (const p of points) rows.push([one.name, p.step, p.since, short(p.mean), short(p.low), short(p.high)]);
    }
  }
  const headings = ["run", "step", "since step", "mean", "least", "most"];
  byId(`${kind}-table`).replaceChildren(table(`Drift of ${kind === "gates" ? "gates" : "outputs"}`, headings, rows));
}

function drawLines(place, kind, lines) {
  const points = lines.flatMap((line) => line.points);
  const most = Math.max(...points.map((p) => p.high), 1e-9) * 1.05;
  const last = Math.max(...points.map((p) => p.step), run().steps.length - 1, 1);
  const what = kind === "gates" ? "gates" : "outputs";
  const label = `Relative change of ${what} over ${last + 1} steps: ${lines.map((l) => l.one.name).join(" and ")}; the table below has each`;
  const into = plot(place, 240, label);
  const x = linear(0, last, into.left, into.x1);
  const y = linear(0, most, into.y1, into.top);
  leftAxis(into, y, ticksOf(0, most, 4), "relative change");
  bottomAxis({ ...into, top: into.y1 }, x, ticksOf(0, last, Math.min(last, into.width / 60)).filter(Number.isInteger), "step");
  for (const { style, points: of } of lines) {
    const upper = of.map((p) => `${x(p.step)},${y(p.high)}`);
    const lower = of.map((p) => `${x(p.step)},${y(p.low)}`).reverse();
    into.svg.append(
      shape("polygon", { class: `band ${style}`, points: [...upper, ...lower].join(" ") }),
      shape("polyline", { class: `line ${style}`, points: of.map((p) => `${x(p.step)},${y(p.mean)}`).join(" ") }),
    );
    for (const p of of) {
      const radius = of.length > 80 ? 1.5 : 3;
      into.svg.append(
        shape("circle", { class: style, cx: x(p.step), cy: y(p.mean), r: radius },
          shape("title", { text: `step ${p.step}, since ${p.since}: ${short(p.mean)}` })),
      );
    }
  }
  into.svg.append(shape("line", { class: "rule", x1: x(chosen.step), x2: x(chosen.step), y1: into.top, y2: into.y1 }));
  place.append(legendOf(lines));
}

function legendOf(lines) {
  const items = lines.map(({ one, style }) =>
    element(
      "li",
      {},
      shape("svg", { class: "swatch", width: 26, height: 10, "aria-hidden": "true" },
        shape("line", { class: `line ${style}`, x1: 0, x2: 26, y1: 5, y2: 5 })),
      one.name,
    ),
  );
  return element("ul", { class: "legend" }, ...items);
}

function startDrift() {
  const select = byId("block");
  const draw = () => ["features", "gates"].forEach(drawDrift);
  select.addEventListener("change", draw);
  when(["run"], () => {
    const from = [run().features, run().gates, reference.features].find(Boolean);
    const before = select.value;
    const blocks = from ? from.blocks : [];
    select.replaceChildren(
      element("option", { value: "", text: "all" }),
      ...blocks.map((block) => element("option", { value: block, text: `block ${block}` })),
    );
    if (blocks.map(String).includes(before)) select.value = before;
  });
  when(["run", "step"], draw);
}
