// Quality against speed, a point for every setting.
function range(values, pad) {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const room = (high - low || Math.abs(high) || 1) * pad;
  return [low - room, high + room];
}

function drawPareto() {
  const group = seen.pareto[Number(byId("pareto-group").value)];
  const points = group.points;
  const label = `${group.y} against ${group.x}, ${points.length} settings; the table below has each`;
  const into = plot(byId("pareto-plot"), Math.min(440, Math.max(300, window.innerWidth * 0.55)), label, { right: 24 });
  const [left, right] = range(points.map((p) => p.x), 0.09);
  const [low, high] = range(points.flatMap((p) => [p.y - (p.ye || 0), p.y + (p.ye || 0)]), 0.07);
  const x = linear(left, right, into.left, into.x1);
  const y = linear(low, high, into.y1, into.top);
  bottomAxis(into, x, ticksOf(left, right, into.width / 90), group.x, (t) => `${short(t)}×`);
  leftAxis(into, y, ticksOf(low, high, 6), group.y);
  const front = points.filter((p) => p.front);
  into.svg.append(shape("polyline", { class: "front", points: front.map((p) => `${x(p.x)},${y(p.y)}`).join(" ") }));
  for (const p of points) {
    if (p.ye) into.svg.append(shape("line", { class: "whisker", x1: x(p.x), x2: x(p.x), y1: y(p.y - p.ye), y2: y(p.y + p.ye) }));
    if (p.xe) into.svg.append(shape("line", { class: "whisker", x1: x(p.x - p.xe), x2: x(p.x + p.xe), y1: y(p.y), y2: y(p.y) }));
    into.svg.append(
      shape("circle", { class: p.front ? "point best" : "point", cx: x(p.x), cy: y(p.y), r: 5 },
        shape("title", { text: pointWords(p) })),
    );
  }
  nameFront(into, front, x, y);
  const rows = points.map((p) => [p.name, short(p.x), withError(p.y, p.ye), p.front ? "yes" : "no"]);
  byId("pareto-table").replaceChildren(table(group.title, ["setting", group.x, group.y, "on the line"], rows));
}

const withError = (value, error) => value.toFixed(2) + (error ? ` ± ${error.toFixed(2)}` : "");

const pointWords = (p) => `${p.name}: ${short(p.x)}, ${withError(p.y, p.ye)}`;

// Names of the best, where they do not run into each other.
function nameFront(into, front, x, y) {
  const placed = [];
  for (const p of front) {
    const end = x(p.x) > (into.left + into.x1) / 2;
    const at = { x: x(p.x) + (end ? -9 : 9), y: y(p.y) - 8, width: p.name.length * 6.6 };
    const from = end ? at.x - at.width : at.x;
    const box = [from, at.y - 11, from + at.width, at.y + 4];
    const outside = box[0] < into.left || box[2] > into.width;
    const runs = placed.some((b) => b[0] < box[2] && b[2] > box[0] && b[1] < box[3] && b[3] > box[1]);
    if (outside || runs) continue; // its point has it as a title, and the table
    placed.push(box);
    into.svg.append(shape("text", { class: "name", x: at.x, y: at.y, "text-anchor": end ? "end" : "start", text: p.name }));
  }
}

function startPareto() {
  if (!seen.pareto.length) return;
  byId("pareto-group").addEventListener("change", drawPareto);
  groupDrawers.push(drawPareto);
}
