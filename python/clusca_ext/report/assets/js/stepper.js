// Steps through the run: buttons, a range, and a play button that stops by itself.
let playing = null;

function stepWords() {
  const steps = run().steps;
  if (!steps.length) return "";
  const [kind, ms] = steps[chosen.step];
  return `Step ${chosen.step}, of 0 to ${steps.length - 1}: ${kind}, ${milliseconds(ms)}. ${mapWords()}`;
}

function drawStepper() {
  const range = byId("step");
  range.max = String(Math.max(0, run().steps.length - 1));
  range.value = String(chosen.step);
  const text = stepWords();
  range.setAttribute("aria-valuetext", text);
  byId("step-text").textContent = text;
  byId("step-back").disabled = chosen.step === 0;
  byId("step-on").disabled = chosen.step >= run().steps.length - 1;
}

function stop() {
  if (playing !== null) clearInterval(playing);
  playing = null;
  byId("step-play").setAttribute("aria-pressed", "false");
  byId("step-play").textContent = "Play";
  byId("step-text").setAttribute("aria-live", "polite");
}

function play() {
  if (playing !== null) {
    stop();
    return;
  }
  if (chosen.step >= run().steps.length - 1) chooseStep(0);
  byId("step-play").setAttribute("aria-pressed", "true");
  byId("step-play").textContent = "Stop";
  byId("step-text").setAttribute("aria-live", "off"); // or each step would be read out
  const slow = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  playing = setInterval(() => {
    if (chosen.step >= run().steps.length - 1) stop();
    else chooseStep(chosen.step + 1);
  }, slow ? 1500 : 450);
}

function startStepper() {
  byId("step-back").addEventListener("click", () => chooseStep(chosen.step - 1));
  byId("step-on").addEventListener("click", () => chooseStep(chosen.step + 1));
  byId("step-play").addEventListener("click", play);
  byId("step").addEventListener("input", () => chooseStep(Number(byId("step").value)));
  when(["run"], stop);
  when(["run", "step"], drawStepper);
}
