// What is chosen: a run, a step of it, a picture. Every part of the page is told when it changes.
const seen = JSON.parse(byId("data").textContent);
const reference = seen.runs[0] || null;
const chosen = { run: seen.runs.length - 1, step: 0, picture: 0, sample: 0 };
const listeners = { run: [], step: [], picture: [] };

const run = () => seen.runs[chosen.run];

const isReference = () => chosen.run === 0;

// The parts that are drawn once more when something changes, or when the page has another width.
function when(names, draw) {
  for (const name of names) listeners[name].push(draw);
}

function tell(name) {
  for (const draw of listeners[name]) draw();
}

function chooseRun(index) {
  chosen.run = index;
  chosen.step = firstStep();
  chosen.picture = Math.min(chosen.picture, Math.max(0, run().pictures.length - 1));
  chosen.sample = 0;
  tell("run");
}

function chooseStep(index) {
  const last = run().steps.length - 1;
  chosen.step = Math.max(0, Math.min(index, last));
  tell("step");
}

function choosePicture(index) {
  chosen.picture = index;
  tell("picture");
}

// Where there is something to see: the first step that computed representatives.
function firstStep() {
  const maps = run().maps;
  const found = maps && maps.steps.find((each) => each.representatives.length);
  return found && found.step < run().steps.length ? found.step : 0;
}

const why = (name) => {
  const found = run().missing.find(([what]) => what === name);
  return found ? found[1] : "the document does not say why";
};

let drawnWidth = window.innerWidth;
window.addEventListener("resize", () => {
  if (window.innerWidth === drawnWidth) return;
  drawnWidth = window.innerWidth;
  if (reference) tell("run");
  redrawGroups();
});

const groupDrawers = [];

function redrawGroups() {
  for (const draw of groupDrawers) draw();
}
