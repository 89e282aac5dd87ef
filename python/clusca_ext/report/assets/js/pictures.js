// Pictures of the reference and of the run: under a divider, side by side, or their difference.
const COARSE = 96; // pixels; smaller pictures are shown with sharp pixels

function pairOfPictures() {
  const ours = run().pictures[chosen.picture];
  const theirs = reference.pictures[chosen.picture];
  return { ours, theirs: theirs === undefined ? ours : theirs, compared: theirs !== undefined && !isReference() };
}

function placePictures() {
  const { ours, theirs, compared } = pairOfPictures();
  const number = chosen.picture + 1;
  const alone = isReference() ? "" : ` by ${run().name}`;
  const images = [
    ["split-run", ours, `Picture ${number}${alone}`],
    ["split-reference", theirs, `Picture ${number} by ${reference.name}`],
    ["beside-run", ours, `Picture ${number}${alone}`],
    ["beside-reference", theirs, `Picture ${number} by ${reference.name}`],
  ];
  for (const [id, source, alt] of images) {
    const image = byId(id);
    image.src = source;
    image.alt = alt;
    image.decode().then(() => sizeStage(image)).catch(() => {});
  }
  byId("beside-run").nextElementSibling.textContent = run().name;
  byId("beside-reference").nextElementSibling.textContent = `${reference.name} (reference)`;
  byId("split-left").textContent = reference.name;
  byId("split-right").textContent = run().name;
  for (const id of ["split-reference", "split-left", "split-right", "handle", "divider"]) {
    byId(id).hidden = !compared;
  }
  byId("view").hidden = !compared;
  byId("picture-caption").textContent = pictureCaption(compared);
  showView(compared ? document.querySelector("#view input:checked").value : "slider");
}

let stageWidths = {};

// Small pictures are not blown up to the whole width.
function sizeStage(image) {
  const coarse = image.naturalWidth <= COARSE;
  image.classList.toggle("coarse", coarse);
  const most = coarse ? 420 : Math.min(1024, image.naturalWidth);
  stageWidths = { slider: most, beside: 2 * most + 16, difference: most };
  byId("split").style.aspectRatio = `${image.naturalWidth} / ${image.naturalHeight}`;
  widenStage();
}

function widenStage() {
  const view = ["slider", "beside", "difference"].find((name) => !byId(name === "slider" ? "split" : name).hidden);
  byId("stage").style.maxWidth = `${stageWidths[view]}px`;
}

function pictureCaption(compared) {
  const count = run().pictures.length;
  const which = `Picture ${chosen.picture + 1} of ${count}`;
  if (!compared) return `${which}.`;
  const psnr = run().psnr && run().psnr[chosen.picture];
  if (psnr === undefined || run().psnr === null) return `${which}. PSNR: not measured.`;
  return psnr === null ? `${which}: the same in both.` : `${which}: PSNR ${psnr.toFixed(2)} dB.`;
}

function placeDivider() {
  const at = Number(byId("divider").value);
  byId("split-reference").style.clipPath = `inset(0 ${100 - at}% 0 0)`;
  byId("handle").style.left = `${at}%`;
  byId("divider").setAttribute("aria-valuetext", `${at}% ${reference.name}, ${100 - at}% ${run().name}`);
}

function showView(view) {
  byId("split").hidden = view !== "slider";
  byId("beside").hidden = view !== "beside";
  byId("difference").hidden = view !== "difference";
  byId("gain-field").hidden = view !== "difference";
  placeDivider();
  widenStage();
  if (view === "difference") drawDifference();
}

function drawThumbs() {
  const thumbs = run().pictures.map((source, index) =>
    element(
      "label",
      {},
      element("input", {
        type: "radio",
        name: "picture",
        value: index,
        checked: index === chosen.picture ? "" : null,
        onchange: () => choosePicture(index),
      }),
      element("img", { src: source, alt: `Picture ${index + 1}` }),
    ),
  );
  const legend = byId("thumbs").querySelector("legend");
  byId("thumbs").replaceChildren(legend, ...thumbs);
  byId("thumbs").hidden = thumbs.length < 2;
}

function startPictures() {
  for (const input of byId("view").querySelectorAll("input")) {
    input.addEventListener("change", () => showView(input.value));
  }
  byId("divider").addEventListener("input", placeDivider);
  byId("gain").addEventListener("input", () => {
    gainGiven = true;
    drawDifference();
  });
  when(["run"], () => {
    const none = run().pictures.length === 0;
    explain("pictures-missing", none ? why("pictures") : null);
    byId("pictures-shown").hidden = none;
    if (none) return;
    drawThumbs();
    placePictures();
  });
  when(["picture"], placePictures);
}
