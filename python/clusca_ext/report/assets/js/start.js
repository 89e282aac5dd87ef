// Starts every part that the page has.
startTheme();
if (reference) {
  startOverview();
  startPictures();
  startStrips();
  startMaps();
  startBars();
  startStepper();
  startDrift();
  startMemory();
  chooseRun(chosen.run);
}
startPareto();
startRoofline();
redrawGroups();
