// The line has stopped: why, what was seen, what to check; acknowledge with a cause, then release.

import { api } from "../api.js";
import { el, mark, say } from "../dom.js";
import { clock, lasting } from "../format.js";
import { t, tOr } from "../words/index.js";
import { problemText } from "../words/problem.js";
import { makeChart } from "../parts/chart.js";
import { makeSignalList } from "../parts/charts.js";
import { byText } from "../parts/linestop.js";
import { makePieceFrame } from "../parts/frame.js";
import { reasonText } from "../parts/permit.js";
import { shape } from "../parts/shapes.js";

/** Stable words for records and statistics; people see them in their language. */
const CAUSES = ["material", "machine", "method", "people", "measurement", "environment", "upstream", "other"];

const ROLES = ["operator", "supervisor", "quality_officer", "engineer", "administrator"];

/** Bits of `reasons`, in the order of the register map. */
const REASONS = [
  "consecutive_rejects", "reject_rate", "spc_rule", "camera_stale", "model_error", "deadline_misses", "reject_unconfirmed",
  "reject_bin_full", "golden_failed", "disk_exhausted", "plc_link", "operator", "quality_hold", "recalled_serial",
];

/** What somebody has typed for a stop outlives a change of view or language. */
const drafts = new Map();

function draftOf(seq) {
  if (!drafts.has(seq)) {
    drafts.clear();
    drafts.set(seq, { cause: "", text: "", action: "" });
  }
  return drafts.get(seq);
}

function makeHead(showLine) {
  const reason = el("h1", { id: "stop-reason" });
  const detail = el("p", { class: "stop-detail" });
  const since = el("p", { class: "stop-since" });
  const also = el("p", { class: "stop-also" });
  const toLine = el("button", { type: "button", class: "plain", id: "to-line", on: { click: showLine } }, t("stop.toLine"));
  const node = el(
    "section",
    { class: "stop-head", role: "alert" },
    shape("stopped"),
    el("div", { class: "stop-words" }, el("p", { class: "stop-word" }, t("stop.heading")), reason, detail, also),
    el("div", { class: "stop-side" }, since, toLine),
  );
  return {
    node,
    update({ snapshot }) {
      const { stop, at, phase } = snapshot;
      mark(node, "data-phase", phase);
      say(reason, reasonText(stop.first));
      say(detail, stop.detail);
      const others = REASONS.filter((name, bit) => stop.reasons & (1 << bit) && name !== stop.first);
      const notes = others.length > 0 ? [t("stop.also", { reasons: others.map(reasonText).join(", ") })] : [];
      say(also, notes.join(" · "));
      const passed = (at.mono_micros - stop.since.mono_micros) / 1000;
      say(since, `${t("stop.number", { seq: stop.seq })} ${t("stop.since", { time: clock(stop.since), lasting: lasting(passed) })}`);
    },
  };
}

/** The chart that signalled, the piece at which it stopped, or a sentence that there is neither. */
function makeEvidence() {
  const place = el("div", { class: "evidence-body" });
  const node = el("section", { class: "evidence panel" }, el("h2", {}, t("stop.evidence")), place);
  let shown = { seq: 0, view: null, chart: false };
  let chart = null;

  function build(view, hasChart) {
    const parts = [];
    chart = null;
    if (hasChart) {
      chart = { drawing: makeChart(), list: makeSignalList() };
      parts.push(el("div", { class: "evidence-chart", id: "evidence-chart" }, chart.drawing.node), chart.list.node);
    }
    if (view) parts.push(makePieceFrame(view.result_id, view));
    if (parts.length === 0) parts.push(el("p", { class: "empty" }, t("stop.noEvidence")));
    place.replaceChildren(...parts);
  }

  return {
    node,
    update({ snapshot }) {
      const { stop, pieces, charts } = snapshot;
      const view = pieces.find((one) => one.piece === stop.piece);
      const signalled = charts.find((one) => one.id === stop.chart && stop.chart > 0);
      // Built once per stop, and again if its piece was not known yet: the piece may leave the last pieces, its evidence stays.
      const isNew = shown.seq !== stop.seq;
      if (isNew || (!shown.view && view) || (!shown.chart && signalled)) {
        shown = { seq: stop.seq, view: view ?? (isNew ? null : shown.view), chart: Boolean(signalled) };
        build(shown.view, shown.chart);
      }
      if (chart && signalled) {
        chart.drawing.update(signalled);
        chart.list.update(signalled, pieces);
      }
    },
  };
}

function makeCheck() {
  const text = el("p", { class: "reaction" });
  return {
    node: el("section", { class: "check panel" }, el("h2", {}, t("stop.check")), text),
    update({ snapshot }) {
      say(text, snapshot.stop.reaction || t("stop.noPlan"));
      text.classList.toggle("empty", !snapshot.stop.reaction);
    },
  };
}

function makeAcknowledge() {
  let seq = 0;
  let draft = { cause: "", text: "", action: "" };
  const error = el("p", { class: "error", role: "alert" });
  const send = el("button", { type: "submit", class: "primary", id: "acknowledge" }, shape("good"), el("span", {}, t("stop.acknowledge")));
  const text = el("input", { id: "cause-text", maxlength: "400", autocomplete: "off", on: { input: () => { draft.text = text.value; } } });
  const action = el("input", { id: "corrective-action", maxlength: "1000", autocomplete: "off", on: { input: () => { draft.action = action.value; } } });
  const choices = CAUSES.map((name) => {
    const choice = el("input", { type: "radio", name: "cause", value: name, on: { change: () => { draft.cause = name; say(error, ""); } } });
    return el("label", { class: "choice" }, choice, el("span", {}, t(`cause.${name}`)));
  });
  const form = el(
    "form",
    { class: "acknowledge-form", novalidate: true, on: { submit } },
    el("fieldset", { class: "choices" }, el("legend", {}, t("stop.cause")), ...choices),
    el("div", { class: "field" }, el("label", { for: "cause-text" }, t("stop.causeText")), text),
    el("div", { class: "field" }, el("label", { for: "corrective-action" }, t("stop.action")), action),
    el("div", { class: "buttons" }, error, send),
  );
  const who = el("p", { class: "done" });
  const cause = el("p", { class: "done-cause" });
  const done = el("div", { class: "acknowledged", id: "acknowledged", hidden: true }, shape("good"), el("div", {}, who, cause));
  const node = el("section", { class: "step panel" }, el("h2", {}, t("stop.step1")), form, done);

  async function submit(event) {
    event.preventDefault();
    if (!draft.cause) return say(error, t("stop.chooseCause"));
    if (draft.cause === "other" && !draft.text.trim()) return say(error, t("stop.otherNeedsText"));
    send.disabled = true;
    say(error, "");
    try {
      const detail = draft.text.trim();
      await api.acknowledge(seq, detail ? `${draft.cause}: ${detail}` : draft.cause, draft.action.trim());
    } catch (problem) {
      say(error, problemText(problem));
    }
    send.disabled = false;
  }

  function restore() {
    for (const choice of choices) choice.firstChild.checked = choice.firstChild.value === draft.cause;
    text.value = draft.text;
    action.value = draft.action;
  }

  return {
    node,
    update({ snapshot }) {
      const { stop } = snapshot;
      if (stop.seq !== seq) {
        seq = stop.seq;
        draft = draftOf(seq);
        restore();
      }
      const by = stop.acknowledged_by;
      form.hidden = Boolean(by);
      done.hidden = !by;
      if (by) {
        say(who, t("stop.acknowledged", { by: byText(by) }));
        say(cause, t("stop.causeWas", { cause: causeText(stop.cause) }));
      }
    },
  };
}

/** `material: paste dried` with its first word in the person's language. */
function causeText(cause) {
  const [code, ...rest] = cause.split(": ");
  const words = tOr(`cause.${code}`, code);
  return rest.length > 0 ? `${words}: ${rest.join(": ")}` : words;
}

function makeRelease(person) {
  const error = el("p", { class: "error", role: "alert" });
  const button = el("button", { type: "button", class: "primary", id: "release", on: { click: release } }, shape("running"), el("span", {}, t("stop.release")));
  const note = el("p", { class: "release-note" });
  const node = el("section", { class: "step panel" }, el("h2", {}, t("stop.step2")), el("div", { class: "buttons" }, el("div", { class: "release-words" }, note, error), button));
  const mayRelease = ROLES.indexOf(person.role) >= ROLES.indexOf("supervisor");
  let seq = 0;
  let sending = false;

  async function release() {
    sending = true;
    button.disabled = true;
    say(error, "");
    try {
      await api.release(seq);
    } catch (problem) {
      say(error, problemText(problem));
    }
    sending = false;
  }

  return {
    node,
    update({ snapshot }) {
      seq = snapshot.stop.seq;
      const { phase } = snapshot;
      button.disabled = sending || phase !== "acknowledged" || !mayRelease;
      if (phase === "releasing") say(note, t("stop.releasing"));
      else if (!mayRelease) say(note, t("stop.releaseNeeds"));
      else say(note, t(phase === "stopped" ? "stop.releaseFirst" : "stop.releaseText"));
    },
  };
}

export function makeStopView({ person, showLine }) {
  const head = makeHead(showLine);
  const evidence = makeEvidence();
  const right = [makeCheck(), makeAcknowledge(), makeRelease(person)];
  const node = el("main", { class: "stop", id: "stop" }, head.node, evidence.node, el("div", { class: "stop-do" }, ...right.map((part) => part.node)));
  return {
    node,
    update(state) {
      if (!state.snapshot.stop) return;
      for (const part of [head, evidence, ...right]) part.update(state);
    },
  };
}
