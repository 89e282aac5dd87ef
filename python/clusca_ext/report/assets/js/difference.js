// The difference of two pictures, in colours from dark over orange to white.
const RAMP = [
  [0, 0, 4],
  [60, 15, 110],
  [150, 38, 103],
  [222, 73, 58],
  [251, 155, 6],
  [252, 255, 200],
];

function heat(share) {
  const at = Math.min(0.9999, Math.max(0, share)) * (RAMP.length - 1);
  const low = RAMP[Math.floor(at)];
  const high = RAMP[Math.floor(at) + 1];
  return low.map((value, channel) => value + (high[channel] - value) * (at % 1));
}

async function pixelsOf(source, size) {
  const image = new Image();
  image.src = source;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = size ? size.width : image.naturalWidth;
  canvas.height = size ? size.height : image.naturalHeight;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

// Of every pixel, the mean of its channels.
function differencesOf(first, second) {
  const found = new Float32Array(first.length / 4);
  for (let i = 0; i < found.length; i += 1) {
    for (let c = 4 * i; c < 4 * i + 3; c += 1) found[i] += Math.abs(first[c] - second[c]) / 3;
  }
  return found;
}

let gainGiven = false;

// As much as the colours have room for, until somebody chooses.
function gainFor(most) {
  const range = byId("gain");
  if (!gainGiven) range.value = String(Math.floor(Math.log2(255 / Math.max(most, 1))));
  const gain = 2 ** Number(range.value);
  byId("gain-value").textContent = gain;
  range.setAttribute("aria-valuetext", `${gain} times`);
  return gain;
}

let drawing = 0; // of the pictures that were chosen last

async function drawDifference() {
  const turn = (drawing += 1);
  const { ours, theirs } = pairOfPictures();
  const first = await pixelsOf(theirs);
  const second = await pixelsOf(ours, first);
  if (turn !== drawing) return;
  const canvas = byId("difference-map");
  canvas.width = first.width;
  canvas.height = first.height;
  canvas.classList.toggle("coarse", first.width <= COARSE);
  const differences = differencesOf(first.data, second.data);
  const most = differences.reduce((a, b) => Math.max(a, b), 0);
  const mean = differences.reduce((a, b) => a + b, 0) / differences.length;
  const gain = gainFor(most);
  const shown = new ImageData(first.width, first.height);
  differences.forEach((value, i) => shown.data.set([...heat((value / 255) * gain), 255], 4 * i));
  canvas.getContext("2d").putImageData(shown, 0, 0);
  const words = `mean ${mean.toFixed(2)}, largest ${most.toFixed(0)} of 255`;
  canvas.setAttribute("aria-label", `Difference of picture ${chosen.picture + 1}: ${words}`);
  byId("difference-text").textContent = `0 to ${short(255 / gain)} of 255: ${words}`;
  drawRamp();
}

function drawRamp() {
  const canvas = byId("ramp");
  const context = canvas.getContext("2d");
  for (let x = 0; x < canvas.width; x += 1) {
    context.fillStyle = `rgb(${heat(x / canvas.width).map(Math.round).join(" ")})`;
    context.fillRect(x, 0, 1, canvas.height);
  }
}
