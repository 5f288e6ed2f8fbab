// One control chart as SVG: points, centre line and limits as they were in force at each point, rule hits by shape.
// Limits and rule hits come from the station; nothing is computed here but positions.

import { el, mark, svg } from "../dom.js";
import { measured, shortRule, unit } from "../format.js";
import { t } from "../words/index.js";

const LEFT = 8;
const RIGHT = 74;
const TOP = 12;
/** Room for the names of rules above the points. */
const TOP_WITH_RULES = 26;
const BOTTOM = 8;

/** Is the point beyond a limit, and on which side? */
function beyond(point) {
  if (point.ucl !== null && point.value > point.ucl) return "above";
  if (point.lcl !== null && point.value < point.lcl) return "below";
  return null;
}

function span(points) {
  const values = points.flatMap((point) => [point.value, point.centre, point.lcl, point.ucl]).filter(Number.isFinite);
  if (values.length === 0) return [0, 1];
  const low = Math.min(...values);
  const high = Math.max(...values);
  const room = (high - low || Math.abs(high) || 1) * 0.08;
  return [low - room, high + room];
}

function steps(points, field, x, y) {
  let path = "";
  let drawing = false;
  points.forEach((point, place) => {
    const value = point[field];
    if (!Number.isFinite(value)) {
      drawing = false;
      return;
    }
    const half = (x(1) - x(0)) / 2;
    path += drawing ? `V${y(value)}H${x(place) + half}` : `M${x(place) - half} ${y(value)}H${x(place) + half}`;
    drawing = true;
  });
  return path;
}

function trace(points, x, y) {
  let path = "";
  let drawing = false;
  points.forEach((point, place) => {
    if (!Number.isFinite(point.value)) {
      drawing = false;
      return;
    }
    path += `${drawing ? "L" : "M"}${x(place).toFixed(1)} ${y(point.value).toFixed(1)}`;
    drawing = true;
  });
  return path;
}

function dot(point, cx, cy) {
  const side = beyond(point);
  if (side === "above") return svg("path", { class: "hit", d: `M${cx} ${cy - 7}l6.5 11h-13z` });
  if (side === "below") return svg("path", { class: "hit", d: `M${cx} ${cy + 7}l6.5 -11h-13z` });
  if (point.signals.length > 0) return svg("path", { class: "hit", d: `M${cx} ${cy - 7}l7 7-7 7-7-7z` });
  return svg("circle", { class: "dot", cx, cy, r: 2.4 });
}

/** Labels of limits must not lie on each other. */
function limitLabels(last, y, right, height) {
  const wanted = [["ucl", "chart.ucl"], ["centre", "chart.cl"], ["lcl", "chart.lcl"]]
    .filter(([field]) => Number.isFinite(last?.[field]))
    .map(([field, word]) => ({ text: `${t(word)} ${measured(last[field])}`, at: y(last[field]) }));
  let floor = 7;
  for (const label of wanted) {
    label.at = Math.max(label.at, floor);
    floor = label.at + 13;
  }
  let ceiling = height - 4;
  for (const label of [...wanted].reverse()) {
    label.at = Math.min(label.at, ceiling);
    ceiling = label.at - 13;
  }
  return wanted.map(({ text, at }) => svg("text", { class: "limit-label", x: right + 6, y: at + 4 }, text));
}

/** Names of the rules, newest first; one that would lie on another is left to the list of signals. */
function ruleLabels(points, x, y, right) {
  const labels = [];
  let free = Infinity;
  for (let place = points.length - 1; place >= 0; place -= 1) {
    const { signals, value } = points[place];
    if (signals.length === 0 || !Number.isFinite(value)) continue;
    const text = signals.map(shortRule).join(" ");
    const half = (text.length * 7.5) / 2;
    const middle = Math.min(Math.max(x(place), LEFT + half), right - half);
    if (middle + half > free) continue;
    free = middle - half - 6;
    labels.push(svg("text", { class: "rule", x: round(middle), y: round(y(value) - 11), "text-anchor": "middle" }, text));
  }
  return labels;
}

const round = (value) => Number(value.toFixed(1));

function draw(box, chart, width, height) {
  const { points } = chart;
  const [low, high] = span(points);
  const right = width - RIGHT;
  const slots = Math.max(points.length - 1, 1);
  const x = (place) => LEFT + 6 + (place / slots) * (right - LEFT - 12);
  const top = points.some((point) => point.signals.length > 0) ? TOP_WITH_RULES : TOP;
  const y = (value) => top + (1 - (value - low) / (high - low)) * (height - top - BOTTOM);
  const marks = points.flatMap((point, place) => (Number.isFinite(point.value) ? [dot(point, round(x(place)), round(y(point.value)))] : []));
  const last = points.at(-1);
  if (last && Number.isFinite(last.value)) {
    marks.push(svg("circle", { class: "newest", cx: x(points.length - 1), cy: y(last.value), r: 5.5 }));
  }
  mark(box, "viewBox", `0 0 ${width} ${height}`);
  box.replaceChildren(
    svg("path", { class: "limit", d: steps(points, "ucl", x, y) }),
    svg("path", { class: "limit", d: steps(points, "lcl", x, y) }),
    svg("path", { class: "centre", d: steps(points, "centre", x, y) }),
    svg("path", { class: "trace", d: trace(points, x, y) }),
    ...marks,
    ...ruleLabels(points, x, y, right),
    ...limitLabels(last, y, right, height),
  );
}

/** A drawing that fills its place and redraws itself only when its points change. */
export function makeChart() {
  const box = svg("svg", { class: "chart-svg", role: "img" });
  const node = el("div", { class: "chart-box" }, box);
  let chart = null;
  let drawn = "";

  function redraw() {
    const { clientWidth: width, clientHeight: height } = node;
    if (!chart || width < 40 || height < 30) return;
    const last = chart.points.at(-1);
    const now = `${chart.id} ${chart.points.length} ${last?.index} ${last?.signals} ${width}x${height} ${t("chart.cl")}`;
    if (now === drawn) return;
    drawn = now;
    draw(box, chart, width, height);
    mark(box, "aria-label", summary(chart));
  }

  new ResizeObserver(redraw).observe(node);
  return {
    node,
    update(newChart) {
      chart = newChart;
      redraw();
    },
  };
}

/** A chart in words. */
export function summary(chart) {
  const last = chart.points.at(-1);
  const hits = chart.points.filter((point) => point.signals.length > 0).length;
  const parts = [chart.name, t("chart.last", { value: measured(last?.value), unit: unit(chart.unit) })];
  if (Number.isFinite(last?.centre)) {
    parts.push(`${t("chart.lcl")} ${measured(last.lcl)}, ${t("chart.cl")} ${measured(last.centre)}, ${t("chart.ucl")} ${measured(last.ucl)}`);
  }
  parts.push(hits ? `${t("chart.signals")}: ${hits}` : t("chart.noSignals"));
  return parts.join(" · ");
}
