// Shares of the roof's speed, a line for every operator, a pair of points for every shape.

function drawRoofline() {
  const group = seen.roofline[Number(byId("roofline-group").value)];
  const names = [...new Set(group.points.map((p) => p.operator))];
  const values = group.points.flatMap((p) => [p.ours, p.peer]).filter((value) => value);
  const low = Math.min(0.1, ...values) / 1.15;
  const high = Math.max(1.2, ...values) * 1.15;
  const label = `Share of the roof's speed of ${names.length} operators, ${group.points.length} cases; the table below has each`;
  const narrow = byId("roofline-plot").clientWidth < 560; // names stand above their points
  const row = narrow ? 46 : 30;
  const above = narrow ? 18 : 4;
  const into = plot(byId("roofline-plot"), 60 + names.length * row, label, { left: narrow ? 8 : 170, top: 18 });
  const log = linear(Math.log(low), Math.log(high), into.left, into.x1);
  const x = (value) => log(Math.log(value));
  const ticks = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10].filter((t) => t > low && t < high);
  bottomAxis(into, x, ticks, "speed / the roof's speed");
  into.svg.append(
    shape("line", { class: "axis", x1: x(1), x2: x(1), y1: into.top, y2: into.y1 }),
    shape("text", { x: x(1) + 4, y: 12, text: "the roof" }),
  );
  names.forEach((name, index) => {
    const top = into.top + index * row;
    const of = group.points.filter((p) => p.operator === name);
    const text = narrow ? { x: into.left, y: top + 13 } : { x: into.left - 8, y: top + row / 2 + 4, "text-anchor": "end" };
    into.svg.append(shape("text", { class: "name", ...text, text: name }));
    of.forEach((p, at) => drawCase(into, p, x, top + above + ((at + 0.5) / of.length) * (row - above - 4)));
  });
  const rows = group.points.map((p) => [
    p.operator,
    p.shape,
    p.us.toFixed(1),
    short(p.ours),
    p.peer === null ? "not measured" : `${short(p.peer)} (${p.peerName})`,
    p.roof,
  ]);
  const headings = ["operator", "shape", "ours, µs", "ours / roof", "best peer / roof", "roof"];
  byId("roofline-table").replaceChildren(table(group.title, headings, rows));
}

function drawCase(into, p, x, y) {
  const roof = p.roof.includes("product") ? " gemm" : "";
  if (p.peer !== null) {
    into.svg.append(
      shape("line", { class: "join", x1: x(p.peer), x2: x(p.ours), y1: y, y2: y }),
      shape("circle", { class: `point${roof}`, cx: x(p.peer), cy: y, r: 3.5 },
        shape("title", { text: `${p.operator}, ${p.shape}: ${p.peerName} at ${short(p.peer)} of ${p.roof}` })),
    );
  }
  into.svg.append(
    shape("circle", { class: `point ours${roof}`, cx: x(p.ours), cy: y, r: 3.5 },
      shape("title", { text: `${p.operator}, ${p.shape}: ours at ${short(p.ours)} of ${p.roof}` })),
  );
}

function startRoofline() {
  if (!seen.roofline.length) return;
  byId("roofline-group").addEventListener("change", drawRoofline);
  groupDrawers.push(drawRoofline);
}
