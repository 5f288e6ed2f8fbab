// The last pieces, newest at the right: shape and number, one press opens the card.

import { el, keyed, mark, say } from "../dom.js";
import { t } from "../words/index.js";
import { openPiece } from "./piece.js";
import { reshape, shape } from "./shapes.js";

/** As many as fit at 1280 pixels. */
const SHOWN = 23;

export function makeStrip() {
  const list = el("div", { class: "strip-list", role: "group", "aria-label": t("strip.title") });
  const node = el("section", { class: "strip panel" }, el("h2", {}, t("strip.title")), list);
  let under = false;
  let waiting = null;

  // A row that moves under the finger opens the wrong piece: while a mouse or the keyboard is in it, it stands still.
  list.addEventListener("pointerenter", (event) => { under = event.pointerType === "mouse"; });
  list.addEventListener("pointerleave", () => { under = false; if (waiting) show(waiting); });
  const held = () => under || list.querySelector(":focus-visible") !== null;

  function make(view) {
    const button = el("button", { type: "button", class: "piece-chip" }, shape(view.verdict), el("span", {}));
    // A finger has no hover: its press counts when it goes down, before the row can move.
    button.addEventListener("pointerdown", (event) => {
      if (event.pointerType !== "mouse") open(button, view);
    });
    button.addEventListener("click", () => {
      if (!document.querySelector("dialog[open]")) open(button, view);
    });
    return button;
  }

  function open(button, view) {
    openPiece(view.result_id, view);
    button.blur();
  }

  function refresh(button, view) {
    mark(button, "data-verdict", view.verdict);
    mark(button, "aria-label", t("strip.open", { piece: view.piece, verdict: t(`verdict.${view.verdict}`) }));
    reshape(button.firstChild, view.verdict);
    say(button.lastChild, view.piece);
  }

  function show(views) {
    waiting = null;
    keyed(list, views, (view) => view.result_id, make, refresh);
    list.scrollLeft = list.scrollWidth;
  }

  return {
    node,
    update({ snapshot }) {
      const views = snapshot.pieces.slice(-SHOWN);
      if (held()) waiting = views;
      else show(views);
    },
  };
}
