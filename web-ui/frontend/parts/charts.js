// The charts of the control plan, side by side; each opens large with the list of its signals.

import { el, keyed, mark, say } from "../dom.js";
import { measured, unit } from "../format.js";
import { t, tOr } from "../words/index.js";
import { makeChart } from "./chart.js";
import { openDialog } from "./dialog.js";
import { openPiece } from "./piece.js";
import { shape } from "./shapes.js";

/** More than this many are read on the next page of charts. */
const PER_PAGE = 9;

/** Signals listed below a large chart, newest first. */
const LISTED = 12;

function isLit(chart) {
  return (chart.points.at(-1)?.signals.length ?? 0) > 0;
}

function caption(chart) {
  const last = chart.points.at(-1);
  return Number.isFinite(last?.value) ? `${measured(last.value)} ${unit(chart.unit)}`.trim() : "–";
}

function makeTile(open) {
  const name = el("strong", {});
  const kind = el("small", {});
  const value = el("span", { class: "chart-value" });
  const note = el("span", { class: "chart-note" });
  const drawing = makeChart();
  const button = el(
    "button",
    { type: "button", class: "chart", on: { click: () => open() } },
    el("span", { class: "chart-head" }, name, kind, note, value),
    drawing.node,
  );
  return {
    node: button,
    update(chart) {
      say(name, chart.name);
      say(kind, tOr(`chart.kind.${chart.kind}`, chart.kind));
      say(value, caption(chart));
      say(note, chart.learning > 0 ? t("chart.learning", { n: chart.learning }) : chart.points.at(-1)?.signals.join(", ") ?? "");
      mark(button, "data-lit", isLit(chart));
      mark(button, "aria-label", t("chart.open", { name: chart.name }));
      drawing.update(chart);
    },
  };
}

export function makeCharts() {
  const grid = el("div", { class: "charts-grid" });
  const pager = el("button", { type: "button", class: "plain", hidden: true, on: { click: () => { page += 1; show(); } } });
  const empty = el("p", { class: "empty" }, t("charts.none"));
  const node = el("section", { class: "charts panel" }, el("header", {}, el("h2", {}, t("charts.title")), legend(), pager), empty, grid);
  const tiles = new WeakMap();
  let page = 0;
  let latest = null;
  let large = null;

  function make(chart) {
    const tile = makeTile(() => { large = openChart(chart.id, latest); });
    tiles.set(tile.node, tile);
    return tile.node;
  }

  function show() {
    const { charts } = latest;
    const pages = Math.max(1, Math.ceil(charts.length / PER_PAGE));
    page %= pages;
    pager.hidden = pages < 2;
    say(pager, t("charts.more", { page: page + 1, pages }));
    mark(pager, "data-lit", charts.some((chart, place) => isLit(chart) && Math.floor(place / PER_PAGE) !== page));
    empty.hidden = charts.length > 0;
    const shown = charts.slice(page * PER_PAGE, (page + 1) * PER_PAGE);
    mark(grid, "data-count", shown.length);
    keyed(grid, shown, (chart) => chart.id, make, (tile, chart) => tiles.get(tile).update(chart));
  }

  return {
    node,
    update({ snapshot }) {
      latest = snapshot;
      show();
      large?.update(snapshot);
    },
  };
}

/** How signals look. */
function legend() {
  return el("small", { class: "legend" }, `${t("chart.beyond")}  ${t("chart.run")}`);
}

/** The points that signal, each with its rule and, while it is known, its piece. */
export function makeSignalList() {
  const body = el("tbody", {});
  const empty = el("p", { class: "empty" }, t("chart.noSignals"));
  const head = el("tr", {}, ...["point", "value", "rule"].map((word) => el("th", { scope: "col" }, t(`chart.${word}`))), el("th", {}));
  const table = el("table", { class: "signals" }, el("thead", {}, head), body);
  return {
    node: el("div", { class: "signal-list" }, empty, table),
    update(chart, views) {
      const hits = chart.points.filter((point) => point.signals.length > 0).slice(-LISTED).reverse();
      empty.hidden = hits.length > 0;
      table.hidden = hits.length === 0;
      keyed(body, hits, (point) => point.index, () => el("tr", {}), (row, point) => {
        const view = views.find((one) => one.piece === point.piece);
        const known = row.dataset.known === String(view?.result_id ?? 0);
        if (known) return;
        row.dataset.known = String(view?.result_id ?? 0);
        const piece = t("frame.piece", { piece: point.piece });
        const press = view ? el("button", { type: "button", class: "plain", on: { click: () => openPiece(view.result_id, view) } }, piece) : piece;
        row.replaceChildren(
          el("td", {}, String(point.index)),
          el("td", {}, `${measured(point.value)} ${unit(chart.unit)}`),
          el("td", {}, shape("bad"), point.signals.join(", ")),
          el("td", {}, press),
        );
      });
    },
  };
}

/** One chart, large. */
function openChart(id, snapshot) {
  const drawing = makeChart();
  const list = makeSignalList();
  const chart = snapshot.charts.find((one) => one.id === id);
  const dialog = openDialog(chart.name, "wide", el("div", { class: "chart-large" }, drawing.node), legend(), list.node);
  const large = {
    update(next) {
      const now = next.charts.find((one) => one.id === id);
      if (!now || !dialog.open) return;
      drawing.update(now);
      list.update(now, next.pieces);
    },
  };
  large.update(snapshot);
  return large;
}
