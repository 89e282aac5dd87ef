// Clusters and representatives on the picture, at the step that is chosen.
const CELLS = 640; // pixels of the canvas, about
const TINTS = [
  [78, 121, 167], [242, 142, 43], [89, 161, 79], [225, 87, 89], [118, 183, 178], [237, 201, 72],
  [176, 122, 161], [255, 157, 167], [156, 117, 95], [134, 188, 182], [160, 203, 232], [255, 190, 125],
  [140, 209, 125], [211, 114, 149], [182, 153, 45], [215, 181, 166],
];

function unpacked(text) {
  const raw = atob(text);
  const values = new Array(raw.length / 2);
  for (let i = 0; i < values.length; i += 1) {
    values[i] = raw.charCodeAt(2 * i) + 256 * raw.charCodeAt(2 * i + 1);
  }
  return values;
}

// Of the step, or, where it has none, the last ones before it.
function mapNow() {
  const maps = run().maps;
  if (!maps) return null;
  const found = maps.steps.filter((each) => each.step <= chosen.step).pop();
  if (!found) return null;
  const place = found.labels[chosen.sample];
  const here = found.step === chosen.step && found.representatives.length > 0;
  return {
    step: found.step,
    height: maps.grid[0],
    width: maps.grid[1],
    labels: place === undefined || place < 0 ? null : unpacked(maps.labels[place]),
    tokens: here ? unpacked(found.representatives[chosen.sample] || "") : [],
  };
}

function mapWords() {
  const map = mapNow();
  if (!map) return "";
  const count = map.height * map.width;
  const kind = run().steps[chosen.step][0];
  if (map.tokens.length) return `${map.tokens.length} of ${count} tokens are computed in an MLP.`;
  if (kind !== "full") return "All tokens are forecast.";
  return map.step === chosen.step
    ? `All ${count} tokens are computed, then clustered.`
    : `All ${count} tokens are computed; the clusters are those of step ${map.step}.`;
}

const tint = (label) => {
  if (label < TINTS.length) return TINTS[label];
  const hue = (label * 137.5) % 360; // the golden angle keeps neighbours apart
  const wave = (shift) => Math.round(150 + 90 * Math.cos(((hue + shift) / 180) * Math.PI));
  return [wave(0), wave(240), wave(120)];
};

const NONE = 65535;

let mapDrawing = 0; // of the step that was chosen last

async function drawMap() {
  const turn = (mapDrawing += 1);
  const map = mapNow();
  const missing = map ? null : why("maps");
  explain("maps-missing", missing);
  byId("maps-shown").hidden = !map;
  if (!map) return;
  const canvas = byId("map");
  const cell = Math.max(1, Math.round(CELLS / Math.max(map.width, map.height)));
  // Pictures of a video are its frames, of which none is that of the latents.
  const source = run().maps.frames > 1 ? undefined : run().pictures[chosen.sample];
  const image = source ? new Image() : null;
  byId("map-picture").parentElement.hidden = !image;
  if (image) {
    image.src = source;
    await image.decode();
    if (turn !== mapDrawing) return;
  }
  canvas.width = map.width * cell;
  canvas.height = map.height * cell;
  const context = canvas.getContext("2d");
  const picture = image && byId("map-picture").checked;
  context.fillStyle = "#808080";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = Boolean(image) && image.naturalWidth > COARSE;
  if (picture) context.drawImage(image, 0, 0, canvas.width, canvas.height);
  if (map.labels && byId("map-clusters").checked) paintClusters(context, map, cell, picture ? 0.55 : 1);
  if (byId("map-tokens").checked) paintTokens(context, map, cell);
  const words = mapWords();
  const clusters = map.labels ? new Set(map.labels.filter((l) => l !== NONE)).size : 0;
  canvas.setAttribute("aria-label", `Tokens, ${map.height} by ${map.width}, in ${clusters} clusters. ${words}`);
  const under = image ? "Under them lies the finished picture." : "";
  byId("map-text").textContent = `${frameWords()}White squares are computed tokens. ${under}`;
  drawMapTable(map);
}

function paintClusters(context, map, cell, alpha) {
  map.labels.forEach((label, token) => {
    if (label === NONE) return;
    context.fillStyle = `rgb(${tint(label).join(" ")} / ${alpha})`;
    context.fillRect((token % map.width) * cell, Math.floor(token / map.width) * cell, cell, cell);
  });
}

function paintTokens(context, map, cell) {
  const edge = Math.max(1, Math.round(cell / 8));
  for (const token of map.tokens) {
    const x = (token % map.width) * cell;
    const y = Math.floor(token / map.width) * cell;
    context.fillStyle = "#000";
    context.fillRect(x, y, cell, cell);
    context.fillStyle = "#fff";
    context.fillRect(x + edge, y + edge, Math.max(1, cell - 2 * edge), Math.max(1, cell - 2 * edge));
  }
}

function frameWords() {
  const { frame, frames } = run().maps;
  return frames > 1 ? `Frame ${frame} of the latents, of ${frames}. ` : "";
}

function drawMapTable(map) {
  const sizes = new Map();
  for (const label of map.labels || []) {
    if (label !== NONE) sizes.set(label, (sizes.get(label) || 0) + 1);
  }
  const chosenOf = new Map();
  for (const token of map.tokens) {
    const label = map.labels ? map.labels[token] : NONE;
    const place = `row ${Math.floor(token / map.width)}, column ${token % map.width}`;
    chosenOf.set(label, [...(chosenOf.get(label) || []), place]);
  }
  const rows = [...sizes].sort(([a], [b]) => a - b).map(([label, size]) => [label, size, (chosenOf.get(label) || ["none"]).join("; ")]);
  byId("map-table").replaceChildren(
    table(`Clusters at step ${chosen.step}, sample ${chosen.sample}`, ["cluster", "tokens", "computed"], rows),
  );
}

function startMaps() {
  for (const id of ["map-picture", "map-clusters", "map-tokens"]) {
    byId(id).addEventListener("change", drawMap);
  }
  const sample = byId("sample");
  sample.addEventListener("change", () => {
    chosen.sample = Number(sample.value);
    tell("step");
  });
  when(["run"], () => {
    const count = run().maps ? Math.max(...run().maps.steps.map((s) => s.labels.length)) : 0;
    byId("sample-field").hidden = count < 2;
    sample.replaceChildren(...Array.from({ length: count }, (_, i) => element("option", { value: i, text: i })));
  });
  when(["run", "step"], drawMap);
}
