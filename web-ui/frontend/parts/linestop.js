// Are stops commanded? An unarmed line says so on every view, for as long as it is one; engineers arm and disarm here.

import { api } from "../api.js";
import { el, say } from "../dom.js";
import { clock } from "../format.js";
import { t } from "../words/index.js";
import { problemText } from "../words/problem.js";
import { openDialog } from "./dialog.js";
import { shape } from "./shapes.js";

const ENGINEERS = ["engineer", "administrator"];

/** Who decided: a person with their role, or the PLC. */
export function byText(by) {
  return by.who === "plc" ? t("by.plc") : `${by.name} (${t(`role.${by.role}`)})`;
}

function confirm(arm) {
  const what = arm ? "arm" : "disarm";
  const error = el("p", { class: "error", role: "alert" });
  const cancel = el("button", { type: "button", class: "plain", on: { click: () => dialog.close() } }, t("press.cancel"));
  const sure = el("button", { type: "submit", class: "primary", id: `${what}-sure` }, t(`linestop.${what}`));
  const form = el("form", { on: { submit: send } }, el("p", {}, t(`linestop.${what}Text`)), error, el("div", { class: "buttons" }, cancel, sure));
  const dialog = openDialog(t(`linestop.${what}Sure`), "small", form);
  sure.focus();

  async function send(event) {
    event.preventDefault();
    sure.disabled = true;
    try {
      await (arm ? api.arm() : api.disarm());
      dialog.close();
    } catch (problem) {
      say(error, problemText(problem));
      sure.disabled = false;
    }
  }
}

/** The strip below the bar. */
export function makeUnarmed(person) {
  const text = el("strong", {}, t("linestop.unarmed"));
  const count = el("span", {});
  const mayArm = ENGINEERS.includes(person.role);
  const button = el("button", { type: "button", id: "arm", hidden: !mayArm, on: { click: () => confirm(true) } }, t("linestop.arm"));
  const node = el("div", { class: "unarmed", id: "unarmed", role: "status", hidden: true }, shape("warning"), el("div", {}, text, count), button);
  return {
    node,
    update({ snapshot }) {
      const { armed, withheld } = snapshot.line_stop;
      node.hidden = armed;
      say(count, withheld > 0 ? t("linestop.withheld", { n: withheld }) : "");
    },
  };
}

/** The row among the parts of the appliance. */
export function lineStopRow({ armed, by, since, withheld }) {
  const who = by ? ` · ${byText(by)}, ${clock(since)}` : "";
  const count = withheld > 0 ? ` · ${t("linestop.withheld", { n: withheld })}` : "";
  return { state: armed ? "good" : "warning", detail: t(armed ? "linestop.isArmed" : "linestop.isUnarmed") + who + count };
}

/** For engineers, beside that row. */
export function makeDisarm(person) {
  const node = el("button", { type: "button", class: "plain", id: "disarm", hidden: true, on: { click: () => confirm(false) } }, t("linestop.disarm"));
  return {
    node,
    update({ snapshot }) {
      node.hidden = !snapshot.line_stop.armed || !ENGINEERS.includes(person.role);
    },
  };
}
