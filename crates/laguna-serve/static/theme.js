// Before anything is drawn: the reader's choice of light or dark, where there is one.
(() => {
  try {
    const theme = localStorage.getItem("theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch { /* A browser that keeps nothing follows the system. */ }
})();
