// Scales and axes of plots.
function ticksOf(low, high, count) {
  const raw = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-6; i += 1) {
    found.push(Number((i * step).toPrecision(12)));
  }
  return found;
}

function linear(low, high, from, to) {
  const span = high - low || 1;
  return (value) => from + ((value - low) / span) * (to - from);
}

// An empty plot of a width that its place has, and what is needed to draw into it.
function plot(place, height, label, margins = {}) {
  const width = Math.max(240, place.clientWidth);
  const box = { left: 52, right: 12, top: 12, bottom: 38, ...margins };
  const svg = shape("svg", {
    viewBox: `0 0 ${width} ${height}`,
    height,
    role: "img",
    "aria-label": label,
  });
  place.replaceChildren(svg);
  return { svg, width, height, ...box, x1: width - box.right, y1: height - box.bottom };
}

function bottomAxis(into, scale, ticks, title, words = short) {
  for (const tick of ticks) {
    const x = scale(tick);
    into.svg.append(
      shape("line", { class: "tick", x1: x, x2: x, y1: into.top, y2: into.y1 }),
      shape("text", { x, y: into.y1 + 16, "text-anchor": "middle", text: words(tick) }),
    );
  }
  const middle = (into.left + into.x1) / 2;
  into.svg.append(
    shape("line", { class: "axis", x1: into.left, x2: into.x1, y1: into.y1, y2: into.y1 }),
    shape("text", { x: middle, y: into.height - 3, "text-anchor": "middle", text: title }),
  );
}

function leftAxis(into, scale, ticks, title, words = short) {
  for (const tick of ticks) {
    const y = scale(tick);
    into.svg.append(
      shape("line", { class: "tick", x1: into.left, x2: into.x1, y1: y, y2: y }),
      shape("text", { x: into.left - 6, y: y + 4, "text-anchor": "end", text: words(tick) }),
    );
  }
  const middle = (into.top + into.y1) / 2;
  into.svg.append(
    shape("text", {
      transform: `translate(13 ${middle}) rotate(-90)`,
      "text-anchor": "middle",
      text: title,
    }),
  );
}

// Patterns that tell the kinds of steps apart without colour.
function patterns() {
  const hatch = shape(
    "pattern",
    { id: "hatch", width: 7, height: 7, patternUnits: "userSpaceOnUse" },
    shape("path", { class: "hatch", d: "M-1 8 8 -1M-1 1 1 -1M6 8 8 6" }),
  );
  const dots = shape(
    "pattern",
    { id: "dots", width: 6, height: 6, patternUnits: "userSpaceOnUse" },
    shape("path", { class: "dots", d: "M2 3h2" }),
  );
  return shape("defs", {}, hatch, dots);
}

// A bar of a step, with its pattern over it.
function bar(kind, x, y, width, height) {
  const box = { x, y, width: Math.max(0.75, width), height: Math.max(1, height) };
  const over = { cached: "url(#hatch)", partial: "url(#dots)" }[kind];
  return [
    shape("rect", { class: kind, ...box }),
    over && width > 2 ? shape("rect", { fill: over, ...box }) : null,
  ].filter(Boolean);
}
