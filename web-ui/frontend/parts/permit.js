// May the line run? In one big word, with its shape, and the reason beside it.

import { el, mark, say } from "../dom.js";
import { t, tOr } from "../words/index.js";
import { reshape, shape } from "./shapes.js";

export function reasonText(reason) {
  return tOr(`reason.${reason}`, reason);
}

function acknowledgedBy(stop) {
  const by = stop?.acknowledged_by;
  if (!by) return "";
  return by.who === "plc" ? t("by.plc") : by.name;
}

function detail({ phase, stop, plc, run_permit }) {
  if (phase === "starting") return t("permit.starting");
  if (phase === "running") return run_permit ? t(plc.line_running ? "permit.running" : "permit.standing") : t("permit.withdrawn");
  const what = stop ? reasonText(stop.first) : "";
  if (phase === "stopped") return `${what} · ${t("permit.stopped")}`;
  if (phase === "acknowledged") return `${what} · ${t("permit.acknowledged", { name: acknowledgedBy(stop) })}`;
  return t("permit.releasing");
}

export function makePermit(onShowStop) {
  const icon = shape("starting");
  const word = el("span", { class: "permit-word", id: "permit" });
  const text = el("span", { class: "permit-text" });
  const extra = el("span", { class: "permit-extra" });
  const show = el("button", { type: "button", class: "plain", hidden: true, on: { click: onShowStop } }, t("permit.show"));
  const node = el("section", { class: "permit", "aria-live": "polite" }, icon, el("div", { class: "permit-words" }, word, text, extra), show);
  return {
    node,
    update({ snapshot }) {
      const { phase, plc, stop } = snapshot;
      mark(node, "data-phase", phase);
      reshape(icon, phase);
      say(word, t(`phase.${phase}`));
      say(text, detail(snapshot));
      const notes = [];
      if (plc.estop) notes.push(t("permit.estop"));
      if (plc.inhibit_expired) notes.push(t("permit.inhibitExpired"));
      else if (plc.stop_inhibit) notes.push(t("permit.inhibit"));
      say(extra, notes.join(" · "));
      mark(node, "data-note", notes.length > 0);
      show.hidden = !stop;
    },
  };
}
