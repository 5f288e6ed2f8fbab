// How the appliance is: link, camera, model, disk, uploads, and the latency against its budget.

import { el, keyed, mark, say, svg } from "../dom.js";
import { lasting, millis, whole } from "../format.js";
import { t, tOr } from "../words/index.js";
import { lineStopRow, makeDisarm } from "./linestop.js";
import { reshape, shape } from "./shapes.js";

function plcRow({ link, reject_queue }) {
  const queue = reject_queue > 0 ? ` · ${t("health.queue", { n: reject_queue })}` : "";
  if (!link) return { state: "unknown", detail: t("link.none") };
  if (link === "up" || link.feedback) return { state: "good", detail: t("link.up") + queue };
  return { state: "bad", detail: tOr(`link.${link.down}`, link.down) };
}

function uploadRow(upload) {
  const state = upload.quarantined > 0 ? "bad" : upload.last_error && upload.waiting > 0 ? "warning" : "good";
  const parts = [t("health.upload", { delivered: whole(upload.delivered), kept: whole(upload.kept), waiting: whole(upload.waiting) })];
  if (upload.quarantined > 0) parts.push(t("health.quarantined", { n: whole(upload.quarantined) }));
  if (state !== "good" && upload.last_error) parts.push(upload.last_error);
  return { state, detail: parts.join(" · ") };
}

function rows({ snapshot, health }) {
  const ledger = t("health.ledgerText", { kept: whole(snapshot.kept), backlog: whole(snapshot.backlog_entries) });
  return [
    { name: t("health.plc"), key: "plc", ...plcRow(snapshot.plc) },
    { name: t("health.linestop"), key: "line stop", ...lineStopRow(snapshot.line_stop) },
    { name: t("health.camera"), key: "camera", ...health.camera },
    { name: t("health.model"), key: "model", ...health.model },
    { name: t("health.disk"), key: "disk", ...health.disk },
    { name: t("health.ledger"), key: "ledger", state: health.disk.state === "bad" ? "bad" : "good", detail: ledger },
    ...health.uploads.map((upload) => ({ name: upload.backend, key: `upload ${upload.backend}`, ...uploadRow(upload) })),
  ];
}

function makeLatency() {
  const half = svg("rect", { class: "p50", x: 0, y: 4, height: 12 });
  const most = svg("rect", { class: "p99", x: 0, y: 7, height: 6 });
  const budget = svg("path", { class: "budget", d: "M100 0V20" });
  const bar = svg("svg", { class: "latency-bar", viewBox: "0 0 125 20", preserveAspectRatio: "none", "aria-hidden": "true" }, most, half, budget);
  const icon = shape("good");
  const text = el("span", { class: "detail" });
  const node = el("div", { class: "part latency" }, icon, el("strong", {}, t("health.latency")), bar, text);
  return {
    node,
    update({ p50_micros, p99_micros, max_micros, budget_micros }) {
      const width = (micros) => Math.min(125, (micros / Math.max(1, budget_micros)) * 100);
      mark(half, "width", width(p50_micros).toFixed(1));
      mark(most, "width", width(p99_micros).toFixed(1));
      const state = p99_micros > budget_micros ? "bad" : p99_micros > 0.8 * budget_micros ? "warning" : "good";
      mark(node, "data-state", state);
      reshape(icon, state);
      const over = state === "bad" ? ` · ${t("health.over")}` : "";
      say(text, t("health.latencyText", { p50: millis(p50_micros), p99: millis(p99_micros), max: millis(max_micros), budget: millis(budget_micros) }) + over);
    },
  };
}

export function makeHealth(person) {
  const list = el("div", { class: "health-list" });
  const latency = makeLatency();
  const about = el("small", { class: "about" });
  const disarm = makeDisarm(person);
  const node = el("section", { class: "health panel" }, el("header", {}, el("h2", {}, t("health.title")), about, disarm.node), list, latency.node);

  const make = () => el("div", { class: "part" }, shape("unknown"), el("strong", {}), el("span", { class: "detail" }), el("span", { class: "state" }));

  function refresh(row, { name, state, detail }) {
    const [icon, title, text, word] = row.children;
    mark(row, "data-state", state);
    reshape(icon, state);
    say(title, name);
    say(text, detail);
    mark(text, "title", detail);
    say(word, state === "good" ? "" : t(`state.${state}`));
  }

  return {
    node,
    update(state) {
      const { health } = state;
      keyed(list, rows(state), (row) => row.key, make, refresh);
      latency.update(health.latency);
      disarm.update(state);
      say(about, t("health.version", { version: health.version, uptime: lasting(health.uptime_secs * 1000), rss: whole(health.rss_mib) }));
    },
  };
}
