// The card of one piece: what was seen, what was decided, and the record as it is kept.

import { api } from "../api.js";
import { el } from "../dom.js";
import { dateAndClock, measured, millis, unit } from "../format.js";
import { t } from "../words/index.js";
import { problemText } from "../words/problem.js";
import { openDialog } from "./dialog.js";
import { defectText, makePieceFrame } from "./frame.js";
import { shape } from "./shapes.js";

function row(word, ...content) {
  return [el("dt", {}, t(`piece.${word}`)), el("dd", {}, ...content)];
}

function facts(view) {
  const rows = [
    ...row("verdict", el("span", { class: "verdict", "data-verdict": view.verdict }, shape(view.verdict), t(`verdict.${view.verdict}`))),
    ...row("grade", view.grade || "–"),
    ...row("serial", view.serial ?? "–"),
    ...row("at", dateAndClock(view.at)),
    ...row("latency", `${millis(view.latency_micros)} ms`),
    ...row("result", String(view.result_id)),
  ];
  if (view.overruled) {
    const { verdict, grade, by, reason } = view.overruled;
    const now = el("span", { class: "verdict", "data-verdict": verdict }, shape(verdict), t(`verdict.${verdict}`));
    rows.push(...row("overruled", now, ` · ${grade} · ${by.name ?? "PLC"}: ${reason}`));
  }
  if (view.reason) rows.push(...row("reason", view.reason));
  if (view.defects.length > 0) rows.push(...row("defects", defectText(view)));
  return el("dl", { class: "facts" }, ...rows);
}

/** The piece's own part of a record, whether the record is the whole entry or that part alone. */
function pieceOf(record) {
  return record?.body?.piece ?? record?.piece_record ?? record;
}

function more(record) {
  const piece = pieceOf(record);
  const rows = [];
  if (piece?.arrival?.lot) rows.push(...row("lot", String(piece.arrival.lot)));
  if (piece?.inspection?.model?.package) rows.push(...row("model", piece.inspection.model.package));
  if (Array.isArray(piece?.readings) && piece.readings.length > 0) {
    const values = piece.readings.map((one) => `${one.tag} ${one.text ?? `${measured(one.value)} ${unit(one.unit)}`}`);
    rows.push(...row("readings", values.join(", ")));
  }
  // Where it came from, and where else it was seen.
  const { up, down } = record?.genealogy ?? {};
  if (up?.order) rows.push(...row("order", up.order));
  if (up?.supplier_lots?.length > 0) {
    const lots = up.supplier_lots.map((one) => `${one.material}: ${one.lot} (${one.supplier})`);
    rows.push(...row("madeOf", lots.join(", ")));
  }
  if (down?.same_serial?.length > 0) rows.push(...row("sameSerial", down.same_serial.join(", ")));
  const raw = el("details", {}, el("summary", {}, t("piece.raw")), el("pre", { tabindex: "0" }, JSON.stringify(record, null, 2)));
  return el("div", {}, el("dl", { class: "facts" }, ...rows), raw);
}

/** Opens the card of the piece with this result number. */
export function openPiece(resultId, view) {
  const place = el("div", { class: "card-more" }, el("p", { class: "empty" }, t("piece.loading")));
  const text = el("div", { class: "card-text" }, facts(view), place);
  openDialog(t("piece.title", { piece: view.piece }), "card", el("div", { class: "card-body" }, makePieceFrame(resultId, view), text));
  api.piece(resultId).then(
    (record) => place.replaceChildren(more(record)),
    (problem) => {
      const words = problem.code === "not_found" ? t("piece.noRecord") : problemText(problem);
      place.replaceChildren(el("p", { class: "empty" }, words));
    },
  );
}
