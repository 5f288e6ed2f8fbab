// Dialogs: the browser's own, so that focus, Escape and screen readers work.

import { el } from "../dom.js";
import { t } from "../words/index.js";

/** Shows a dialog and gives its element; it leaves the page when it closes. */
export function openDialog(title, kind, ...content) {
  const heading = el("h2", { id: "dialog-title", tabindex: "-1" }, title);
  const closer = el("button", { type: "button", class: "plain close", on: { click: () => dialog.close() } }, t("close"));
  const dialog = el(
    "dialog",
    { class: `dialog ${kind}`, "aria-labelledby": "dialog-title" },
    el("header", {}, heading, closer),
    ...content,
  );
  dialog.addEventListener("close", () => dialog.remove());
  // A press beside the dialog closes it.
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Closes whatever dialog is open. */
export function closeDialogs() {
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
}
