// Draws the panels of a dashboard from answers that were fetched before: one picture, no interaction.
"use strict";

const CELL = 38, GAP = 8;

const make = (tag, className, text) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
};

function place(element, { x, y, w, h }, width) {
  const column = width / 24;
  Object.assign(element.style, {
    left: `${x * column + GAP / 2}px`, top: `${y * CELL}px`, width: `${w * column - GAP}px`, height: `${h * CELL - GAP}px`,
  });
}

const reduce = {
  lastNotNull: (values) => { const real = values.filter((value) => value !== null); return real.length ? real.at(-1) : null; },
  last: (values) => values.at(-1) ?? null,
  max: (values) => pick(values, Math.max),
  min: (values) => pick(values, Math.min),
  mean: (values) => { const real = finite(values); return real.length ? real.reduce((a, b) => a + b, 0) / real.length : null; },
  sum: (values) => { const real = finite(values); return real.length ? real.reduce((a, b) => a + b, 0) : null; },
  firstNotNull: (values) => { const real = values.filter((value) => value !== null); return real.length ? real[0] : null; },
};
const finite = (values) => values.filter((value) => value !== null && Number.isFinite(value));
const pick = (values, best) => { const real = finite(values); return real.length ? best(...real) : null; };
const CALC_NAMES = { lastNotNull: "Last *", last: "Last", max: "Max", min: "Min", mean: "Mean", sum: "Total", firstNotNull: "First *" };

// JSON has no NaN: it comes as text.
const number = (value) => (value === null ? null : typeof value === "number" ? value : Number(value.replace("Inf", "Infinity").replace("+", "")));

function drawStat(panel, body) {
  const options = panel.options ?? {};
  const calc = reduce[options.reduceOptions?.calcs?.[0] ?? "lastNotNull"];
  const stats = make("div", "stats");
  if (panel.series.length > 4 || options.orientation === "horizontal") stats.classList.add("tall");
  for (const series of panel.series.length ? panel.series : [{ name: "", refId: "A", values: [] }]) {
    const config = configOf(panel, series.name, series.refId);
    const { text, color: ink } = shown(calc(series.values.map(number)), config);
    const stat = make("div", "stat");
    if (panel.series.length > 2) stat.classList.add("small");
    const value = make("div", "value", text);
    if (options.colorMode?.startsWith("background")) { stat.classList.add("filled"); stat.style.background = ink; }
    else if (options.colorMode !== "none") value.style.color = ink;
    const named = options.textMode === "value_and_name" || (options.textMode !== "value" && panel.series.length > 1);
    if (options.textMode === "name") value.textContent = config.displayName ?? series.name;
    else if (named) stat.append(make("div", "name", config.displayName ?? series.name));
    stat.append(value);
    stats.append(stat);
  }
  body.append(stats);
}

function drawBars(panel, body) {
  const calc = reduce[panel.options?.reduceOptions?.calcs?.[0] ?? "lastNotNull"];
  const items = panel.series.map((series) => ({ series, value: calc(series.values.map(number)), config: configOf(panel, series.name, series.refId) }));
  if (!items.length) return body.append(make("div", "empty", panel.fieldConfig.defaults.noValue ?? "No data"));
  const most = Math.max(...items.map(({ value, config }) => config.max ?? value ?? 0), Number.MIN_VALUE);
  const gauges = make("div", "gauges");
  for (const { series, value, config } of items) {
    const { text, color: ink } = shown(value, config);
    const gauge = make("div", "gauge"), bar = make("div", "bar"), fill = make("i");
    Object.assign(fill.style, { width: `${Math.max(0, Math.min(1, (value ?? 0) / most)) * 100}%`, background: ink });
    bar.append(fill);
    gauge.append(make("div", "name", config.displayName ?? series.name), bar, make("div", "number", text));
    gauges.append(gauge);
  }
  body.append(gauges);
}

function drawTable(panel, body) {
  const { columns, rows } = panel.table;
  if (!rows.length) return body.append(make("div", "empty", panel.fieldConfig?.defaults?.noValue ?? "No data"));
  const table = make("table", "grid"), head = make("tr");
  const configs = columns.map((name) => configOf(panel, name));
  columns.forEach((name, index) => head.append(make("th", rows.some((row) => typeof row[index] === "number") ? "number" : "", configs[index].displayName ?? name)));
  table.append(head);
  for (const row of rows) {
    const line = make("tr");
    row.forEach((value, index) => {
      const isNumber = typeof value === "number";
      const { text, color: ink } = shown(value, { ...configs[index], noValue: "" });
      const cell = make("td", isNumber ? "number" : "", text);
      const type = configs[index].custom?.cellOptions?.type ?? "auto";
      if (type.startsWith("color-text")) cell.style.color = ink;
      if (type.startsWith("color-background")) Object.assign(cell.style, { background: ink, color: "#fff" });
      line.append(cell);
    });
    table.append(line);
  }
  body.append(table);
}

function drawText(panel, body) {
  const text = make("div", "text");
  // Enough of Markdown for what a dashboard says: paragraphs, lists, bold, code, links, headings.
  const escaped = (panel.options?.content ?? "").replace(/&/g, "&amp;").replace(/</g, "&lt;");
  const inline = escaped.replace(/\*\*(.+?)\*\*/g, "<b>$1</b>").replace(/`(.+?)`/g, "<code>$1</code>").replace(/\[(.+?)\]\((.+?)\)/g, '<a href="$2">$1</a>');
  text.innerHTML = inline.split(/\n\n+/).map((part) => part.startsWith("#") ? `<b>${part.replace(/^#+ */, "")}</b>`
    : /^[-*] /.test(part) ? `<ul>${part.split("\n").map((item) => `<li>${item.replace(/^[-*] /, "")}</li>`).join("")}</ul>` : `<p>${part}</p>`).join("");
  body.append(text);
}

function drawStates(panel, body, times) {
  const states = make("div", "states");
  for (const series of panel.series) {
    const config = configOf(panel, series.name, series.refId), values = series.values.map(number);
    const state = make("div", "state"), track = make("div", "track");
    for (let start = 0; start < values.length;) {
      let end = start;
      while (end < values.length && values[end] === values[start]) end += 1;
      if (values[start] !== null) {
        const { text, color: ink } = shown(values[start], config), piece = make("i", "", end - start > values.length / 16 ? text : "");
        Object.assign(piece.style, { left: `${start / values.length * 100}%`, width: `${(end - start) / values.length * 100}%`, background: ink });
        track.append(piece);
      }
      start = end;
    }
    state.append(make("div", "", config.displayName ?? series.name), track);
    states.append(state);
  }
  body.append(panel.series.length ? states : make("div", "empty", panel.fieldConfig?.defaults?.noValue ?? "No data"));
}

function drawSeries(panel, body, times, marks) {
  const legendOptions = panel.options?.legend ?? {};
  const shownSeries = panel.series.map((series, index) => {
    const config = configOf(panel, series.name, series.refId);
    const ink = config.color?.mode === "fixed" ? color(config.color.fixedColor) : PALETTE[index % PALETTE.length];
    return { name: config.displayName ?? series.name, values: series.values.map(number), config, ink };
  });
  if (!shownSeries.length) return body.append(make("div", "empty", panel.fieldConfig.defaults.noValue ?? "No data"));
  const chart = make("div", "chart");
  body.append(chart);
  if (legendOptions.showLegend !== false) body.append(legend(shownSeries, legendOptions, body));
  plot(panel, shownSeries, chart, times, marks);
}

function plot(panel, drawn, chart, times, marks) {
  const defaults = panel.fieldConfig.defaults, custom = defaults.custom ?? {};
  const stacked = custom.stacking?.mode === "normal" || custom.stacking?.mode === "percent";
  const below = times.map(() => 0);
  const data = drawn.map(({ values, config }) => {
    const plain = values.map((value) => (value === null || !Number.isFinite(value) ? null : value));
    if (!stacked || config.custom?.stacking?.mode === "none") return plain;
    return plain.map((value, index) => (value === null ? null : (below[index] += value)));
  });
  const steps = (defaults.thresholds?.steps ?? []).filter((step) => step.value !== null);
  const lines = (custom.thresholdsStyle?.mode ?? "off") !== "off" ? steps : [];
  const real = data.flat().filter((value) => value !== null);
  const top = Math.max(...real, 0), bottom = Math.min(...real, defaults.min ?? Infinity);
  const near = lines.map((step) => step.value).filter((value) => value <= top * 4 || !top);
  const high = defaults.max ?? (Math.max(top, ...near) * 1.08 || 1), low = defaults.min ?? (bottom >= 0 ? 0 : bottom * 1.08);
  const order = drawn.map((_, index) => index);
  if (stacked) order.reverse();  // the highest sum first, so that those below are drawn over it
  const series = order.map((index) => {
    const { ink, config } = drawn[index], own = { ...custom, ...config.custom };
    const style = own.drawStyle ?? "line";
    const fill = own.fillOpacity ?? 0;
    return {
      stroke: ink, width: own.lineWidth ?? 1, spanGaps: own.spanNulls === true,
      dash: own.lineStyle?.fill === "dash" ? own.lineStyle.dash ?? [6, 4] : undefined,
      fill: fill || style === "bars" ? `${ink}${Math.round((style === "bars" ? Math.max(fill, 60) : fill) * 2.55).toString(16).padStart(2, "0")}` : undefined,
      points: { show: own.showPoints === "always" || style === "points", size: 4 },
      paths: style === "bars" ? uPlot.paths.bars({ size: [0.9, 20] })
        : own.lineInterpolation?.startsWith("step") ? uPlot.paths.stepped({ align: own.lineInterpolation === "stepBefore" ? -1 : 1 })
        : own.lineInterpolation === "smooth" ? uPlot.paths.spline() : undefined,
    };
  });
  const unit = (value) => format(value, defaults.unit, defaults.decimals === 0 ? (Number.isInteger(value) ? 0 : 1) : undefined);
  const grid = { stroke: "#eceef0", width: 1 }, font = '11px "DejaVu Sans", sans-serif';
  new uPlot({
    width: chart.clientWidth, height: chart.clientHeight, cursor: { show: false }, legend: { show: false }, padding: [8, 10, 0, 0],
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    scales: { x: { time: true }, y: { range: [low, Math.max(high, low + Number.EPSILON)] } },
    series: [{}, ...series],
    // Each sum is filled down to the next lower one only, so that the colours do not mix.
    bands: stacked ? order.slice(1).map((_, place) => ({ series: [place + 1, place + 2] })) : undefined,
    axes: [
      { stroke: "#6a737d", grid, font, size: 24, gap: 3, values: (_, ticks) => ticks.map((tick) => new Date(tick * 1000).toISOString().slice(11, 16)), space: 50, ticks: { show: false }, incrs: [60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 604800] },
      { stroke: "#6a737d", grid, font, size: 72, ticks: { show: false }, space: 28, incrs: increments(defaults, high), values: (_, ticks) => ticks.map(unit) },
    ],
    hooks: { draw: [(chart) => { thresholds(chart, lines); annotations(chart, marks); }] },
  }, [times, ...order.map((index) => data[index])], chart);
}

// Steps of the axis that read well: whole numbers of things, and times in halves and quarters of their larger unit.
function increments({ unit, decimals }, high) {
  if (decimals === 0) return [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 1e4, 1e5, 1e6];
  if (unit === "s" && high > 90) return [15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400, 604800];
  if (unit?.endsWith("bytes")) return Array.from({ length: 60 }, (_, power) => 2 ** power);
  return undefined;
}

function thresholds(chart, steps) {
  for (const { value, color: name } of steps) across(chart, "y", value, color(name));
}

function annotations(chart, marks) {
  for (const mark of marks) across(chart, "x", mark.time, color(mark.color ?? "purple"));
}

function across(chart, axis, value, ink) {
  const { left, top, width, height } = chart.bbox, at = chart.valToPos(value, axis, true), context = chart.ctx;
  if (axis === "y" ? at < top || at > top + height : at < left || at > left + width) return;
  context.save();
  context.strokeStyle = ink;
  context.setLineDash([6, 4]);
  context.beginPath();
  if (axis === "y") { context.moveTo(left, at); context.lineTo(left + width, at); } else { context.moveTo(at, top); context.lineTo(at, top + height); }
  context.stroke();
  context.restore();
}

function legend(drawn, options, body) {
  const calcs = (options.calcs ?? []).filter((calc) => reduce[calc]);
  const swatch = (ink) => { const mark = make("span", "swatch"); mark.style.background = ink; return mark; };
  if (options.displayMode !== "table") {
    const list = make("div", "legend list");
    list.style.maxHeight = `${Math.round(body.clientHeight * 0.3)}px`;
    for (const { name, ink } of drawn) { const item = make("span"); item.append(swatch(ink), name); list.append(item); }
    return list;
  }
  const frame = make("div", "legend"), table = make("table"), head = make("tr");
  head.append(make("th", "", "Name"), ...calcs.map((calc) => make("th", "", CALC_NAMES[calc])));
  table.append(head);
  const room = Math.max(2, Math.floor(body.clientHeight * 0.42 / 17) - 1);
  for (const { name, ink, values, config } of drawn.slice(0, drawn.length > room ? room - 1 : room)) {
    const line = make("tr"), cell = make("td");
    cell.append(swatch(ink), name);
    line.append(cell, ...calcs.map((calc) => make("td", "", shown(reduce[calc](values), { ...config, noValue: "" }).text)));
    table.append(line);
  }
  if (drawn.length > room) { const line = make("tr"); line.append(make("td", "", `… and ${drawn.length - room + 1} more`)); table.append(line); }
  frame.append(table);
  return frame;
}

const DRAW = { stat: drawStat, gauge: drawStat, bargauge: drawBars, table: drawTable, text: drawText, timeseries: drawSeries, "state-timeline": drawStates };

function draw(picture) {
  document.querySelector("h1").textContent = picture.title;
  document.querySelector(".range").textContent = picture.range;
  for (const [label, value] of picture.variables) {
    const item = make("span", "", `${label}: `);
    item.append(make("b", "", value));
    document.querySelector(".variables").append(item);
  }
  const main = document.querySelector("main");
  main.style.height = `${picture.rows * CELL}px`;
  const width = main.clientWidth;
  for (const panel of picture.panels) {
    if (panel.type === "row") {
      const row = make("div", "row", `${panel.collapsed ? "▸" : "▾"} ${panel.title}`);
      if (panel.collapsed) row.append(make("small", "", `(${panel.panels} panels, folded)`));
      place(row, panel.gridPos, width);
      main.append(row);
      continue;
    }
    if (!DRAW[panel.type]) throw new Error(`panel ${panel.title}: type ${panel.type} is not known to scripts/screens/page.js`);
    const frame = make("section", "panel"), body = make("div", "body");
    if (panel.title) frame.append(make("h2", "", panel.title));
    frame.append(body);
    place(frame, panel.gridPos, width);
    main.append(frame);
    DRAW[panel.type](panel, body, picture.times, picture.marks);
  }
  document.title = "drawn";
}
