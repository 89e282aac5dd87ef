// Light, dark, or as the system has it; kept for the next page where the browser lets it be.
const THEME = "clusca-report-theme";

function startTheme() {
  let kept = null;
  try {
    kept = localStorage.getItem(THEME);
  } catch {
    kept = null; // a page of a file, or of a frame, may have no storage
  }
  for (const input of byId("theme").querySelectorAll("input")) {
    if (input.value === kept) input.checked = true;
    if (input.checked) document.documentElement.dataset.theme = input.value;
    input.addEventListener("change", () => {
      document.documentElement.dataset.theme = input.value;
      try {
        localStorage.setItem(THEME, input.value);
      } catch {
        return;
      }
    });
  }
}
