// What all pages do with a script: the theme, the key for the search box, parts that come later, and columns that are followed.
"use strict";

const root = document.documentElement;

document.querySelector("[data-theme-toggle]")?.addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("theme", root.dataset.theme); } catch { /* It holds for this page. */ }
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const find = document.getElementById("find");
  if (find) {
    event.preventDefault();
    find.focus();
    find.select();
  }
});

// Parts: they are rendered by the server too, and only put in place here.
for (const place of document.querySelectorAll("[data-load]")) load(place);

async function load(place) {
  const wait = document.createElement("p");
  wait.className = "wait";
  wait.textContent = place.dataset.waits;
  place.append(wait);
  place.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(place.dataset.load, { headers: { "x-laguna-part": "1" } });
    if (answer.status === 401) return location.reload();
    const text = await answer.text();
    const isPage = answer.headers.get("content-type")?.startsWith("text/html");
    // What is there already stays when the part cannot be had.
    if (answer.ok || (isPage && place.childElementCount === 1)) place.innerHTML = text;
    else if (isPage) wait.outerHTML = text;
    else throw new Error(`the server answers ${answer.status}`);
  } catch (error) {
    wait.className = "notice bad";
    wait.textContent = `This part cannot be loaded: ${error.message}`;
  } finally {
    place.removeAttribute("aria-busy");
    for (const graph of place.querySelectorAll(".graph")) follow(graph);
  }
}

document.querySelectorAll(".graph").forEach(follow);

// Marks everything that leads to a column and everything that is made of it.
function follow(graph) {
  const flows = [...graph.querySelectorAll(".flow")];
  const columns = new Map([...graph.querySelectorAll(".col")].map((column) => [column.dataset.col, column]));
  const walk = (start, near, far, found) => {
    const queue = [start];
    const seen = new Set(queue);
    while (queue.length) {
      const at = queue.pop();
      for (const flow of flows) {
        if (flow.dataset[near] !== at) continue;
        found.add(flow);
        const next = flow.dataset[far];
        if (!seen.has(next)) {
          seen.add(next);
          queue.push(next);
        }
      }
    }
    return seen;
  };
  const show = (column) => {
    hide();
    const found = new Set();
    const seen = new Set([...walk(column, "from", "to", found), ...walk(column, "to", "from", found)]);
    graph.classList.add("following");
    for (const flow of found) flow.classList.add("on");
    for (const id of seen) columns.get(id)?.classList.add("on");
  };
  const hide = () => {
    graph.classList.remove("following");
    for (const one of graph.querySelectorAll(".on")) one.classList.remove("on");
  };
  for (const [id, column] of columns) {
    column.addEventListener("mouseenter", () => show(id));
    column.addEventListener("focus", () => show(id));
    column.addEventListener("mouseleave", hide);
    column.addEventListener("blur", hide);
  }
  // The table that the page is about stands in the middle of what can be seen.
  const here = graph.querySelector(".here .box");
  const box = graph.parentElement;
  if (here && box.scrollWidth > box.clientWidth) {
    box.scrollLeft = Number(here.getAttribute("x")) - (box.clientWidth - Number(here.getAttribute("width"))) / 2;
  }
}
