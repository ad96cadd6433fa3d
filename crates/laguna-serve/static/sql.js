// The SQL page: an editor that completes names, results in pages, charts, downloads, and links that open the same again.
"use strict";

(() => {
  const by = (id) => document.getElementById(id);
  const editor = by("sql"), list = by("names"), status = by("status"), errorBox = by("error");
  const state = by("state"), time = by("time"), timeLabel = by("time-label");
  const PAGE = 100, SERIES = 8, POINTS = 2000, BARS = 80;
  let result = null, page = 0, view = "rows", running = null, wanted = {};

  const group = (number) => Math.round(number).toLocaleString("en-US");
  const element = (name, text, className) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  };

  // ---- What is asked, and the link that asks it again.

  function statement() {
    const asked = { sql: editor.value };
    if (state.value === "time" && time.value.trim()) asked.as_of = time.value.trim();
    else if (state.value && state.value !== "time") asked.release = Number(state.value);
    return asked;
  }

  function remember() {
    const asked = statement();
    const link = new URLSearchParams({ sql: asked.sql });
    if (asked.as_of) link.set("as_of", asked.as_of);
    if (asked.release) link.set("release", asked.release);
    if (view === "chart") {
      link.set("view", "chart");
      for (const key of ["kind", "across", "up", "series"]) if (by(key).value) link.set(key, by(key).value);
    }
    history.replaceState(null, "", `/sql#${link}`);
  }

  function recall() {
    const link = new URLSearchParams(location.hash.slice(1));
    if (!link.get("sql")) return false;
    editor.value = link.get("sql");
    if (link.get("as_of")) {
      state.value = "time";
      time.value = link.get("as_of");
    } else if (link.get("release")) {
      const release = link.get("release");
      if (![...state.options].some((option) => option.value === release)) state.add(new Option(`release ${release}`, release));
      state.value = release;
    } else {
      state.value = "";
    }
    timeLabel.hidden = state.value !== "time";
    view = link.get("view") === "chart" ? "chart" : "rows";
    wanted = Object.fromEntries(link);
    return true;
  }

  state.addEventListener("change", () => {
    timeLabel.hidden = state.value !== "time";
    if (state.value === "time") time.focus();
  });

  // ---- Running.

  by("query").addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  by("cancel").addEventListener("click", () => running?.abort());
  for (const field of [editor, time]) {
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        run();
      }
    });
  }

  async function run() {
    close();
    running?.abort();
    if (!editor.value.trim()) return editor.focus();
    const mine = (running = new AbortController());
    const started = performance.now();
    const clock = setInterval(() => {
      status.textContent = `running, ${((performance.now() - started) / 1000).toFixed(1)} s`;
    }, 100);
    status.textContent = "running";
    by("cancel").hidden = false;
    errorBox.hidden = true;
    try {
      const answer = await fetch("/sql/run", {
        method: "POST",
        headers: { "content-type": "application/json", "x-laguna-part": "1" },
        body: JSON.stringify(statement()),
        signal: mine.signal,
      });
      if (answer.status === 401) return location.reload();
      const body = await answer.json();
      if (!answer.ok) return fail(body);
      result = body;
      page = 0;
      remember();
      show();
      const shown = `${group(body.rows.length)}${body.more ? " first" : ""} row${body.rows.length === 1 ? "" : "s"}`;
      by("count").textContent = body.more ? `${shown}; downloads hold all` : shown;
      status.textContent = `${duration(body.seconds)}${body.release ? `, release ${body.release}` : ""}`;
    } catch (error) {
      if (error.name === "AbortError") {
        if (running === mine) status.textContent = "cancelled";
      } else {
        fail({ detail: "the server does not answer", hint: error.message });
      }
    } finally {
      clearInterval(clock);
      if (running === mine) {
        by("cancel").hidden = true;
        running = null;
      }
    }
  }

  const duration = (seconds) => (seconds < 1 ? `${Math.max(1, Math.round(seconds * 1000))} ms` : `${seconds.toFixed(1)} s`);

  function fail(problem) {
    status.textContent = "";
    by("result").hidden = true;
    by("start").hidden = true;
    errorBox.replaceChildren(element("strong", problem.detail ?? "the statement failed"));
    if (problem.hint) errorBox.append(element("div", problem.hint));
    const place = problem.location;
    const line = place && editor.value.split("\n")[place.line - 1];
    if (line !== undefined && place.column > 0) {
      errorBox.append(element("pre", `${line}\n${" ".repeat(place.column - 1)}^`));
      const before = editor.value.split("\n").slice(0, place.line - 1).reduce((sum, one) => sum + one.length + 1, 0);
      const at = before + [...line].slice(0, place.column - 1).join("").length;
      const word = /^[\w".]+/.exec(editor.value.slice(at))?.[0].length ?? 1;
      const go = element("button", `Line ${place.line}, column ${place.column}`, "plain link");
      go.type = "button";
      go.addEventListener("click", () => {
        editor.focus();
        editor.setSelectionRange(at, at + word);
      });
      errorBox.append(go);
    }
    errorBox.hidden = false;
  }

  // ---- Rows.

  function show() {
    by("start").hidden = true;
    by("result").hidden = false;
    fields();
    turn(view);
  }

  function rows() {
    const table = by("table");
    const head = element("tr");
    for (const column of result.columns) {
      const cell = element("th", column.name, column.kind === "number" ? "num" : "");
      cell.scope = "col";
      cell.append(element("small", column.type));
      head.append(cell);
    }
    const body = element("tbody");
    for (const row of result.rows.slice(page * PAGE, (page + 1) * PAGE)) {
      const line = element("tr");
      row.forEach((value, index) => {
        const cell = element("td", undefined, result.columns[index].kind === "number" ? "num" : "");
        if (value === null) cell.append(element("span", "null", "null"));
        else {
          cell.textContent = value.length > 300 ? `${value.slice(0, 300)}…` : value;
          if (value.length > 60) cell.title = value.slice(0, 4000);
        }
        line.append(cell);
      });
      body.append(line);
    }
    const top = element("thead");
    top.append(head);
    table.replaceChildren(top, body);
    const pages = Math.max(1, Math.ceil(result.rows.length / PAGE));
    by("pager").hidden = pages === 1;
    by("page").textContent = `${group(page * PAGE + 1)} to ${group(Math.min(result.rows.length, (page + 1) * PAGE))} of ${group(result.rows.length)}`;
    by("previous").disabled = page === 0;
    by("next").disabled = page === pages - 1;
  }

  by("previous").addEventListener("click", () => { page -= 1; rows(); });
  by("next").addEventListener("click", () => { page += 1; rows(); });

  function turn(to) {
    view = to;
    for (const button of document.querySelectorAll("[data-view]")) button.setAttribute("aria-pressed", String(button.dataset.view === to));
    by("rows").hidden = to !== "rows";
    by("chart").hidden = to !== "chart";
    if (to === "rows") rows();
    else chart();
  }

  for (const button of document.querySelectorAll("[data-view]")) {
    button.addEventListener("click", () => {
      turn(button.dataset.view);
      remember();
    });
  }

  // ---- Charts.

  // Which column goes where, as the columns suggest it or as the link says.
  function fields() {
    const columns = result.columns;
    const of = (kind) => columns.findIndex((column) => column.kind === kind);
    const first = (...all) => all.find((index) => index >= 0) ?? -1;
    const across = first(of("time"), of("text"), of("number"));
    const up = columns.findIndex((column, index) => column.kind === "number" && index !== across);
    const different = (index) => new Set(result.rows.map((row) => row[index])).size;
    const split = columns.findIndex((column, index) => column.kind === "text" && index !== across && different(index) <= SERIES);
    const kind = { time: "line", text: "bar", number: "scatter" }[columns[across]?.kind] ?? "line";
    const fill = (id, options, chosen) => {
      const select = by(id);
      select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
      const asked = wanted[id];
      select.value = asked !== undefined && options.some(([value]) => value === asked) ? asked : chosen;
    };
    const names = columns.map((column, index) => [String(index), column.name]);
    const numbers = names.filter((_, index) => columns[index].kind === "number");
    fill("across", names, String(across));
    fill("up", numbers, String(up >= 0 ? up : of("number")));
    fill("series", [["", "nothing"], ...names], split >= 0 ? String(split) : "");
    by("kind").value = ["line", "bar", "scatter"].includes(wanted.kind) ? wanted.kind : kind;
    wanted = {};
  }

  for (const id of ["kind", "across", "up", "series"]) {
    by(id).addEventListener("change", () => {
      chart();
      remember();
    });
  }
  addEventListener("resize", () => { if (result && view === "chart") chart(); });

  const svg = (name, attributes, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };

  // Round steps between two numbers, about as many as asked.
  function ticks(low, high, count) {
    const rough = (high - low) / count || 1;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((one) => one >= rough);
    const all = [];
    for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-9; at += step) all.push(Math.abs(at) < step * 1e-9 ? 0 : at);
    return all;
  }

  const short = (number) => {
    const size = Math.abs(number);
    if (size >= 1e9) return `${+(number / 1e9).toPrecision(4)}G`;
    if (size >= 1e6) return `${+(number / 1e6).toPrecision(4)}M`;
    if (size >= 1e4) return number.toLocaleString("en-US");
    return String(+number.toPrecision(6));
  };

  function chart() {
    const drawing = by("drawing");
    const columns = result.columns;
    const [kind, x, y, s] = [by("kind").value, by("across").value, by("up").value, by("series").value];
    const say = (text) => drawing.replaceChildren(element("p", text, "dim"));
    if (y === "" || x === "") return say("A chart needs a column of numbers: there is none in this result.");
    if (!result.rows.length) return say("There are no rows to draw.");
    const type = kind === "bar" || columns[x].kind === "text" ? "text" : columns[x].kind;
    const position = (text) => (type === "time" ? Date.parse(text.length === 10 ? `${text}T00:00:00Z` : text) : Number(text));
    const names = new Map(), categories = new Map();
    let dropped = 0;
    for (const row of result.rows) {
      const number = row[y] === null ? NaN : Number(row[y]);
      const where = row[x] ?? "null";
      if (!Number.isFinite(number)) { dropped += 1; continue; }
      const name = s === "" ? columns[y].name : row[s] ?? "null";
      if (!names.has(name)) {
        if (names.size === SERIES) { dropped += 1; continue; }
        names.set(name, []);
      }
      let at;
      if (type === "text") {
        if (!categories.has(where)) {
          if (kind === "bar" && categories.size === BARS) { dropped += 1; continue; }
          categories.set(where, categories.size);
        }
        at = categories.get(where);
      } else {
        at = position(where);
        if (!Number.isFinite(at)) { dropped += 1; continue; }
      }
      names.get(name).push({ at, number, where });
    }
    const points = [...names.values()].flat();
    if (!points.length) return say("No row has a number to draw.");

    const width = Math.max(280, drawing.clientWidth - 16), legend = names.size > 1 ? 22 : 0;
    const height = Math.min(420, Math.max(240, width * 0.45)) + legend;
    const box = { left: 62, right: width - 14, top: 12 + legend, bottom: height - 44 };
    let [low, high] = [Math.min(...points.map((p) => p.number)), Math.max(...points.map((p) => p.number))];
    if (kind === "bar" || (low > 0 && low < high * 0.4)) low = Math.min(0, low);
    if (kind === "bar") high = Math.max(0, high);
    if (low === high) [low, high] = [low - 1, high + 1];
    const pad = kind === "bar" ? 0 : (high - low) * 0.04;
    const up = (number) => box.bottom - ((number - low + pad) / (high - low + 2 * pad)) * (box.bottom - box.top);
    const count = categories.size;
    let [from, to] = [Math.min(...points.map((p) => p.at)), Math.max(...points.map((p) => p.at))];
    if (from === to) [from, to] = [from - 1, to + 1];
    const band = (box.right - box.left) / Math.max(1, count);
    const across = (at) => (type === "text" ? box.left + (at + 0.5) * band : box.left + 6 + ((at - from) / (to - from)) * (box.right - box.left - 12));

    const plot = svg("svg", { class: "plot", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${kind} chart of ${columns[y].name} across ${columns[x].name}` });
    for (const tick of ticks(low, high, 5)) {
      plot.append(svg("line", { class: "axis", x1: box.left, x2: box.right, y1: up(tick), y2: up(tick) }));
      plot.append(svg("text", { x: box.left - 8, y: up(tick) + 4, "text-anchor": "end" }, short(tick)));
    }
    const room = Math.max(2, Math.floor((box.right - box.left) / 110));
    if (type === "text") {
      const every = Math.ceil(count / Math.max(1, Math.floor((box.right - box.left) / 70)));
      for (const [name, index] of categories) {
        if (index % every) continue;
        const fits = Math.max(3, Math.floor((band * every) / 6.6));
        const label = svg("text", { x: across(index), y: box.bottom + 16, "text-anchor": "middle" }, name.length > fits ? `${name.slice(0, fits - 1)}…` : name);
        label.append(svg("title", {}, name));
        plot.append(label);
      }
    } else if (type === "time") {
      const day = 86400000;
      for (let step = 0; step <= room; step += 1) {
        const at = from + ((to - from) * step) / room;
        const text = new Date(at).toISOString();
        const label = to - from > 3 * day ? text.slice(0, 10) : text.slice(5, 16).replace("T", " ");
        plot.append(svg("text", { x: across(at), y: box.bottom + 16, "text-anchor": step === 0 ? "start" : step === room ? "end" : "middle" }, label));
      }
    } else {
      for (const tick of ticks(from, to, room)) plot.append(svg("text", { x: across(tick), y: box.bottom + 16, "text-anchor": "middle" }, short(tick)));
    }
    plot.append(svg("text", { x: (box.left + box.right) / 2, y: height - 8, "text-anchor": "middle" }, columns[x].name));
    if (names.size === 1) plot.append(svg("text", { x: 4, y: 9 }, columns[y].name));

    let index = 0, key = box.left;
    for (const [name, series] of names) {
      const layer = svg("g", { class: `s${(index % SERIES) + 1}` });
      const told = (p) => `${names.size > 1 ? `${name}, ` : ""}${p.where}: ${p.number.toLocaleString("en-US", { maximumFractionDigits: 6 })}`;
      if (kind === "bar") {
        const each = Math.max(0.5, (band * 0.82) / names.size);
        for (const p of series) {
          const [top, bottom] = [up(Math.max(p.number, 0)), up(Math.min(p.number, 0))];
          const rect = svg("rect", { class: "b", x: across(p.at) - band * 0.41 + index * each, y: top, width: Math.max(0.5, each - (each > 4 ? 1 : 0)), height: Math.max(0.5, bottom - top) });
          rect.append(svg("title", {}, told(p)));
          layer.append(rect);
        }
      } else {
        if (kind === "line") {
          series.sort((a, b) => a.at - b.at);
          layer.append(svg("polyline", { points: series.map((p) => `${across(p.at).toFixed(1)},${up(p.number).toFixed(1)}`).join(" ") }));
        }
        const radius = kind === "scatter" ? 3.5 : series.length > 60 ? 2 : 3;
        for (const p of kind === "line" && series.length > 400 ? [] : series.slice(0, POINTS)) {
          const circle = svg("circle", { cx: across(p.at).toFixed(1), cy: up(p.number).toFixed(1), r: radius });
          circle.append(svg("title", {}, told(p)));
          layer.append(circle);
        }
      }
      if (names.size > 1) {
        const label = name.length > 18 ? `${name.slice(0, 17)}…` : name;
        layer.append(svg("rect", { class: "key", x: key, y: 4, width: 10, height: 10, rx: 2 }));
        layer.append(svg("text", { x: key + 14, y: 13 }, label));
        key += 30 + label.length * 6.6;
      }
      plot.append(layer);
      index += 1;
    }
    drawing.replaceChildren(plot);
    if (dropped) drawing.append(element("p", `${group(dropped)} row${dropped === 1 ? " is" : "s are"} not drawn: no number, or too many different values.`, "dim note"));
  }

  // ---- Downloads and links.

  for (const button of document.querySelectorAll("[data-download]")) {
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        const answer = await fetch("/v1/sql", {
          method: "POST",
          headers: { "content-type": "application/json", accept: button.dataset.download },
          body: JSON.stringify(statement()),
        });
        if (answer.status === 401) return location.reload();
        if (!answer.ok) return fail(await answer.json());
        const link = element("a");
        link.href = URL.createObjectURL(await answer.blob());
        link.download = `result.${button.dataset.name}`;
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 60000);
      } catch (error) {
        fail({ detail: "the download broke off", hint: error.message });
      } finally {
        button.disabled = false;
      }
    });
  }

  by("share").addEventListener("click", async () => {
    remember();
    try {
      await navigator.clipboard.writeText(location.href);
      status.textContent = "the link is copied";
    } catch {
      status.textContent = "the link stands in the address bar";
    }
  });

  // ---- Completion of names.

  let names = null, choices = [], chosen = 0;

  // Asked for once; whoever types before they are there waits for them.
  function known() {
    names ??= fetch("/sql/names", { headers: { "x-laguna-part": "1" } })
      .then((answer) => (answer.ok ? answer.json() : {}))
      .catch(() => ({}));
    return names;
  }

  // The word before the cursor, and what it can become.
  async function complete() {
    const all = await known();
    const before = editor.value.slice(0, editor.selectionStart);
    const word = /[\w.]+$/.exec(before)?.[0] ?? "";
    if (word.length < 2 || editor.selectionStart !== editor.selectionEnd || document.activeElement !== editor) return close();
    const low = word.toLowerCase();
    const found = new Set();
    for (const table of Object.keys(all)) if (table.startsWith(low) || (!low.includes(".") && table.split(".")[1].startsWith(low))) found.add(table);
    const column = low.includes(".") ? low.slice(low.lastIndexOf(".") + 1) : low;
    const prefix = word.slice(0, word.length - column.length);
    const text = editor.value.toLowerCase();
    for (const [table, columns] of Object.entries(all)) {
      if (!text.includes(table)) continue;
      for (const name of columns) if (name.toLowerCase().startsWith(column) && (!low.includes(".") || !low.startsWith(table.split(".")[0]))) found.add(prefix + name);
    }
    found.delete(word);
    choices = [...found].slice(0, 50);
    if (!choices.length) return close();
    chosen = 0;
    list.replaceChildren(...choices.map((choice, index) => {
      const item = element("li", choice);
      item.id = `name-${index}`;
      item.setAttribute("role", "option");
      item.addEventListener("mousedown", (event) => {
        event.preventDefault();
        chosen = index;
        accept();
      });
      return item;
    }));
    list.hidden = false;
    stand();
    mark();
  }

  // The list stands below the word that it completes; lines do not wrap, and every letter is as wide as another.
  function stand() {
    const before = editor.value.slice(0, editor.selectionStart);
    const word = /[\w.]+$/.exec(before)?.[0] ?? "";
    const style = getComputedStyle(editor);
    const lines = before.split("\n");
    const pen = document.createElement("canvas").getContext("2d");
    pen.font = `${style.fontSize} ${style.fontFamily}`;
    const wide = pen.measureText("0").width;
    const left = parseFloat(style.paddingLeft) + (lines.at(-1).length - word.length) * wide - editor.scrollLeft;
    list.style.top = `${Math.min(parseFloat(style.paddingTop) + lines.length * parseFloat(style.lineHeight) - editor.scrollTop + 2, editor.clientHeight)}px`;
    list.style.left = `${Math.max(0, Math.min(left, editor.clientWidth - list.offsetWidth))}px`;
  }

  function mark() {
    [...list.children].forEach((item, index) => item.setAttribute("aria-selected", String(index === chosen)));
    list.children[chosen]?.scrollIntoView({ block: "nearest" });
    editor.setAttribute("aria-activedescendant", `name-${chosen}`);
  }

  function close() {
    list.hidden = true;
    editor.removeAttribute("aria-activedescendant");
  }

  function accept() {
    const start = editor.selectionStart - (/[\w.]+$/.exec(editor.value.slice(0, editor.selectionStart))?.[0].length ?? 0);
    editor.setRangeText(choices[chosen], start, editor.selectionStart, "end");
    close();
  }

  editor.addEventListener("input", complete);
  editor.addEventListener("focus", known, { once: true });
  editor.addEventListener("blur", close);
  editor.addEventListener("scroll", () => {
    if (!list.hidden) stand();
  });
  editor.addEventListener("keydown", (event) => {
    if (list.hidden || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Tab" && !event.shiftKey) accept();
    else if (event.key === "ArrowDown") chosen = (chosen + 1) % choices.length;
    else if (event.key === "ArrowUp") chosen = (chosen + choices.length - 1) % choices.length;
    else if (event.key === "Escape") close();
    else {
      if (event.key.startsWith("Arrow") || event.key === "Enter") close();
      return;
    }
    event.preventDefault();
    if (!list.hidden) mark();
  });

  // ---- A link that was opened, or changed by hand.

  if (recall()) run();
  else if (!matchMedia("(max-width: 760px)").matches) editor.focus();
  timeLabel.hidden = state.value !== "time";
  addEventListener("hashchange", () => { if (recall()) run(); });
})();
