// Stop the line: from everywhere, one press and a confirmation.

import { api } from "../api.js";
import { el, say } from "../dom.js";
import { t } from "../words/index.js";
import { problemText } from "../words/problem.js";
import { openDialog } from "./dialog.js";
import { shape } from "./shapes.js";

export function makeStopButton() {
  return el(
    "button",
    { type: "button", class: "stop-button", id: "stop-line", on: { click: confirm } },
    shape("hand"),
    el("span", {}, t("press.stop")),
  );
}

function confirm() {
  const note = el("input", { id: "stop-note", maxlength: "500", autocomplete: "off" });
  const error = el("p", { class: "error", role: "alert" });
  const cancel = el("button", { type: "button", class: "plain", on: { click: () => dialog.close() } }, t("press.cancel"));
  const sure = el("button", { type: "submit", class: "danger", id: "stop-sure" }, shape("hand"), el("span", {}, t("press.stop")));
  const form = el(
    "form",
    { on: { submit: send } },
    el("p", {}, t("press.text")),
    el("label", { for: "stop-note" }, t("press.note")),
    note,
    error,
    el("div", { class: "buttons" }, cancel, sure),
  );
  const dialog = openDialog(t("press.sure"), "small", form);
  sure.focus();

  async function send(event) {
    event.preventDefault();
    sure.disabled = true;
    try {
      await api.stop(note.value);
      dialog.close();
    } catch (problem) {
      say(error, problemText(problem));
      sure.disabled = false;
    }
  }
}
