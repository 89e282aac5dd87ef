// How long each step took, and the table of steps.
function drawBars() {
  const steps = run().steps;
  if (!steps.length) {
    byId("bars").replaceChildren(element("p", { class: "note", text: `Not recorded: ${why("steps")}.` }));
    return;
  }
  const most = Math.max(...steps.map(([, ms]) => ms), 1e-9) * 1.05;
  const { full, cached, partial } = run().counts;
  const label = `Time of ${steps.length} steps: ${full} full, ${cached} cached, ${partial} partial; the table below has each`;
  const into = plot(byId("bars"), 300, label);
  const x = linear(0, steps.length, into.left, into.x1);
  const y = linear(0, most, into.y1, into.top);
  leftAxis(into, y, ticksOf(0, most, 4), "ms");
  const ticks = ticksOf(0, steps.length - 1, Math.min(steps.length, into.width / 60)).filter(Number.isInteger);
  into.svg.append(patterns());
  const width = x(1) - x(0);
  const gap = width > 4 ? Math.min(4, width * 0.2) : 0;
  steps.forEach(([kind, ms], step) => {
    const left = x(step) + gap / 2;
    into.svg.append(...bar(kind, left, y(ms), width - gap, into.y1 - y(ms)));
    if (step === chosen.step) {
      const now = { x: left, y: y(ms), width: Math.max(1, width - gap), height: into.y1 - y(ms) };
      into.svg.append(shape("rect", { class: "now", ...now }));
    }
    const hit = { class: "hit", x: x(step), y: into.top, width, height: into.y1 - into.top };
    into.svg.append(
      shape("rect", { ...hit, onclick: () => chooseStep(step) },
        shape("title", { text: `step ${step}, ${kind}, ${milliseconds(ms)}` })),
    );
  });
  bottomAxis({ ...into, top: into.y1 }, (step) => x(step + 0.5), ticks, "step");
}

function drawStepsTable() {
  const split = run().steps.some(([, , bySample]) => bySample.length);
  const rows = run().steps.map(([kind, ms, bySample], step) => [
    step,
    kind,
    ms.toFixed(2),
    ...(split ? [bySample.join(", ")] : []),
  ]);
  const headings = ["step", "kind", "milliseconds", ...(split ? ["by sample"] : [])];
  byId("steps-table").replaceChildren(table(`Steps of ${run().name}`, headings, rows, chosen.step));
}

function startBars() {
  when(["run", "step"], () => {
    drawBars();
    drawStepsTable();
  });
}
