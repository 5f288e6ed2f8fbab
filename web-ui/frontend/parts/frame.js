// A frame with what was found on it. The boxes are drawn over the picture of the very piece they belong to.

import { api } from "../api.js";
import { el, mark, say } from "../dom.js";
import { t } from "../words/index.js";
import { reshape, shape } from "./shapes.js";

/** The live frame is asked for at most this often. */
const PERIOD_MILLIS = 250;

let boxesWanted = true;

/** A canvas that shows a picture as large as fits, with boxes in frame pixels. */
function makeCanvas() {
  const canvas = el("canvas", { class: "frame-canvas", role: "img" });
  let bitmap = null;
  let shrink = 1;
  let defects = [];

  function draw() {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * ratio);
    const height = Math.round(canvas.clientHeight * ratio);
    if (!width || !height) return;
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, width, height);
    if (!bitmap) return;
    const scale = Math.min(width / bitmap.width, height / bitmap.height);
    const left = (width - bitmap.width * scale) / 2;
    const top = (height - bitmap.height * scale) / 2;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(bitmap, left, top, bitmap.width * scale, bitmap.height * scale);
    if (boxesWanted) for (const defect of defects) drawBox(pen, defect, scale / shrink, left, top, ratio, width);
  }

  new ResizeObserver(draw).observe(canvas);
  return {
    canvas,
    draw,
    show(frame, newDefects) {
      if (bitmap !== frame.bitmap) bitmap?.close();
      ({ bitmap, shrink } = frame);
      defects = newDefects;
      draw();
    },
  };
}

// White on dark on the picture: readable on any board.
function drawBox(pen, { class: name, score, bounds }, scale, left, top, ratio, width) {
  const x = left + bounds.x1 * scale;
  const y = top + bounds.y1 * scale;
  const w = (bounds.x2 - bounds.x1) * scale;
  const h = (bounds.y2 - bounds.y1) * scale;
  pen.lineWidth = 5 * ratio;
  pen.strokeStyle = "#000";
  pen.strokeRect(x, y, w, h);
  pen.lineWidth = 2.5 * ratio;
  pen.strokeStyle = "#ff5c4d";
  pen.strokeRect(x, y, w, h);
  const text = `${name} ${Number.isFinite(score) ? score.toFixed(2) : "–"}`;
  pen.font = `600 ${13 * ratio}px system-ui, sans-serif`;
  pen.textBaseline = "middle";
  const wide = pen.measureText(text).width + 10 * ratio;
  const high = 20 * ratio;
  const labelLeft = Math.max(0, Math.min(x - 2 * ratio, width - wide));
  const labelTop = y >= high + 2 * ratio ? y - high - 2 * ratio : y + h + 2 * ratio;
  pen.fillStyle = "#000";
  pen.fillRect(labelLeft, labelTop, wide, high);
  pen.fillStyle = "#fff";
  pen.fillText(text, labelLeft + 5 * ratio, labelTop + high / 2 + ratio / 2);
}

function makeCaption() {
  const icon = shape("unknown");
  const title = el("strong", {});
  const verdict = el("span", { class: "caption-verdict" });
  const found = el("span", { class: "caption-found" });
  return {
    node: el("figcaption", {}, icon, title, verdict, found),
    update(number, view, camera) {
      const piece = number ? t("frame.piece", { piece: number }) : "";
      say(title, camera ? `${piece} · ${camera}` : piece);
      reshape(icon, view?.verdict ?? "unknown");
      mark(icon, "data-verdict", view?.verdict);
      say(verdict, view ? t(`verdict.${view.verdict}`) : "");
      say(found, view ? defectText(view) : "");
      mark(found, "title", found.textContent);
    },
  };
}

/** The findings of a piece in one line, each with its camera where several look at a piece. */
export function defectText(view) {
  if (view.defects.length === 0) return view.reason || t("frame.clean");
  const text = ({ class: name, score, camera }) => `${camera ? `${camera}: ` : ""}${name} ${Number.isFinite(score) ? score.toFixed(2) : "–"}`;
  return view.defects.map(text).join(", ");
}

/** What was found on the picture of this camera: boxes of another one's picture would lie anywhere. */
function foundBy(view, camera) {
  return (view?.defects ?? []).filter((defect) => (defect.camera ?? null) === (camera ?? null));
}

function boxesToggle(redraw) {
  const box = el("input", { type: "checkbox", on: { change: () => { boxesWanted = box.checked; redraw(); } } });
  box.checked = boxesWanted;
  return el("label", { class: "toggle" }, box, t("frame.boxes"));
}

/** The live frame of the line. */
export function makeLiveFrame() {
  const picture = makeCanvas();
  const caption = makeCaption();
  const empty = el("p", { class: "frame-empty" }, t("frame.none"));
  const simulated = el("span", { class: "frame-simulated", hidden: true }, t("simulated.frame"));
  const title = el("header", {}, el("h2", {}, t("frame.title")), boxesToggle(picture.draw));
  const node = el("figure", { class: "frame panel", id: "frame" }, title, el("div", { class: "frame-box" }, picture.canvas, empty, simulated), caption.node);
  let wanted = 0;
  let shown = 0;
  let shownBy = null;
  let askedAgain = 0;
  let again = false;
  let views = [];
  let busy = false;
  let frame = null;

  // The frame may be newer than the last verdict: then its boxes come with a later state.
  function annotate() {
    const view = views.findLast((one) => one.piece === shown);
    picture.show(frame, foundBy(view, shownBy));
    caption.update(shown, view, shownBy);
    mark(picture.canvas, "aria-label", caption.node.textContent);
    // Another camera saw something worse on this piece: its picture is the one to look at.
    if (view?.camera && view.camera !== shownBy && view.defects.length > 0 && askedAgain !== shown) {
      askedAgain = shown;
      again = true;
      refresh();
    }
  }

  async function refresh() {
    if (busy || (wanted === shown && !again)) return;
    busy = true;
    again = false;
    try {
      frame = await api.frame();
      shown = frame.piece;
      shownBy = frame.camera;
      empty.hidden = true;
      annotate();
    } catch {
      // Without a frame or a connection the next state tries again.
      wanted = shown;
    }
    setTimeout(() => { busy = false; refresh(); }, PERIOD_MILLIS);
  }

  return {
    node,
    update({ snapshot, health }) {
      views = snapshot.pieces;
      simulated.hidden = !health.simulated;
      const newest = views.at(-1)?.piece ?? 0;
      if (newest > wanted || newest < shown) wanted = newest;
      if (shown && frame) annotate();
      // A frame ahead of the verdicts is the newest there is.
      if (shown < wanted) refresh();
    },
  };
}

/** The frame of one piece, for its card and as evidence. */
export function makePieceFrame(resultId, view) {
  const picture = makeCanvas();
  const caption = makeCaption();
  const empty = el("p", { class: "frame-empty" }, t("piece.loading"));
  caption.update(view?.piece ?? 0, view);
  const title = el("header", {}, el("span", {}), boxesToggle(picture.draw));
  const node = el("figure", { class: "frame still" }, title, el("div", { class: "frame-box" }, picture.canvas, empty), caption.node);
  api.frame(resultId).then(
    (frame) => {
      empty.hidden = true;
      picture.show(frame, foundBy(view, frame.camera));
      caption.update(view?.piece ?? 0, view, frame.camera);
      mark(picture.canvas, "aria-label", caption.node.textContent);
    },
    (problem) => say(empty, problem.code === "picture_gone" ? `${t("frame.gone")} (${problem.message})` : t("frame.gone")),
  );
  return node;
}
