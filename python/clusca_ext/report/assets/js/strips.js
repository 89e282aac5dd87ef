// The reference and the run on one axis of time, a piece for every step.
function total(one) {
  return one.steps.reduce((sum, [, ms]) => sum + ms, 0);
}

function drawStrips() {
  const shown = isReference() ? [reference] : [reference, run()];
  const most = Math.max(...shown.map(total), 1e-9);
  const words = shown.map((one) => `${one.name}: ${milliseconds(total(one))}`).join("; ");
  const into = plot(byId("strips"), 36 + shown.length * 54, `Steps in time. ${words}`, {
    left: 2,
    right: 2,
    top: 0,
  });
  const scale = linear(0, most, into.left, into.x1);
  const inSeconds = most >= 2000;
  const unit = inSeconds ? 1000 : 1;
  const ticks = ticksOf(0, most / unit, into.width / 110);
  bottomAxis(into, (t) => scale(t * unit), ticks.slice(1), inSeconds ? "seconds in the model" : "milliseconds in the model");
  into.svg.append(patterns());
  shown.forEach((one, index) => {
    const top = index * 54 + 20;
    let at = 0;
    into.svg.append(
      shape("text", { class: "name", x: 0, y: top - 6, text: `${one.name}: ${milliseconds(total(one))}` }),
    );
    one.steps.forEach(([kind, ms], step) => {
      const width = scale(at + ms) - scale(at);
      const gap = width > 3 ? 1 : 0;
      into.svg.append(...bar(kind, scale(at), top, width - gap, 26));
      if (one === run()) {
        const box = { x: scale(at), y: top, width: Math.max(0.75, width - gap), height: 26 };
        if (step === chosen.step) into.svg.append(shape("rect", { class: "now", ...box }));
        into.svg.append(
          shape("rect", { class: "hit", ...box, onclick: () => chooseStep(step) },
            shape("title", { text: `step ${step}, ${kind}, ${milliseconds(ms)}` })),
        );
      }
      at += ms;
    });
  });
}

function startStrips() {
  when(["run", "step"], drawStrips);
}
