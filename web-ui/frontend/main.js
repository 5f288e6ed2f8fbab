// The page: who is here, which view, and the live state that feeds it.

import { api } from "./api.js";
import { el } from "./dom.js";
import { makeLive } from "./live.js";
import { onChoice } from "./preferences.js";
import { t } from "./words/index.js";
import { makeBar } from "./parts/bar.js";
import { closeDialogs } from "./parts/dialog.js";
import { makeUnarmed } from "./parts/linestop.js";
import { makeSetUp, makeSignIn } from "./views/door.js";
import { makeLineView } from "./views/line.js";
import { makeStopView } from "./views/stop.js";

/** Ages on the page are refreshed this often. */
const TICK_MILLIS = 500;

/** What a person does keeps the session alive; the appliance is told at most this often. */
const TOUCH_MILLIS = 60_000;

const page = document.getElementById("page");

const here = {
  person: null,
  door: null,
  shell: null,
  live: makeLive({ onState: (state) => here.shell?.update(state), onSignedOut: () => toDoor("sign-in", "door.ended") }),
  touched: 0,
};

/** The frame around every view of somebody who is signed in. */
function makeShell(person) {
  const bar = makeBar(person, signOut);
  const unarmed = makeUnarmed(person);
  const waiting = el("main", { class: "waiting" }, t("bar.waiting"));
  const node = el("div", { class: "shell" }, bar.node, bar.warning, unarmed.node, waiting);
  const make = {
    line: () => makeLineView({ person, showStop: () => look(null) }),
    stop: () => makeStopView({ person, showLine: () => look(here.live.state()?.snapshot.stop?.seq ?? null) }),
  };
  let name = "";
  let view = { node: waiting, update() {} };
  // The number of the stop that somebody has put aside to look at the line.
  let aside = null;

  function look(seq) {
    aside = seq;
    update(here.live.state());
  }

  function update(state) {
    if (!state) return;
    const { stop } = state.snapshot;
    const wanted = stop && stop.seq !== aside ? "stop" : "line";
    if (wanted !== name) {
      if (wanted === "stop") closeDialogs();
      name = wanted;
      const next = make[wanted]();
      view.node.replaceWith(next.node);
      window.scrollTo(0, 0);
      view = next;
    }
    bar.update(state);
    unarmed.update(state);
    view.update(state);
  }

  return { node, update, tick: () => bar.tick(here.live) };
}

function show(node) {
  page.replaceChildren(node);
}

function toDoor(kind, note) {
  here.person = null;
  here.shell = null;
  here.live.close();
  closeDialogs();
  document.body.classList.remove("old");
  here.door = { kind, note };
  show(kind === "set-up" ? makeSetUp(enter) : makeSignIn(enter, note));
  page.querySelector("input")?.focus();
}

function enter(person) {
  here.person = person;
  here.door = null;
  here.shell = makeShell(person);
  show(here.shell.node);
  here.live.open();
}

async function signOut() {
  await api.signOut().catch(() => {});
  toDoor("sign-in", "door.ended");
}

// Another language is another page: everything is made anew from the same state.
onChoice(() => {
  document.title = t("name");
  closeDialogs();
  if (here.door) toDoor(here.door.kind, here.door.note);
  if (here.person) {
    here.shell = makeShell(here.person);
    show(here.shell.node);
    here.shell.update(here.live.state());
  }
});

function touch() {
  if (!here.person || performance.now() - here.touched < TOUCH_MILLIS) return;
  here.touched = performance.now();
  api.who().catch((problem) => {
    if (problem.status === 401) toDoor("sign-in", "door.ended");
  });
}

async function begin() {
  document.title = t("name");
  try {
    enter(await api.who());
  } catch (problem) {
    toDoor(problem.code === "set_up_first" ? "set-up" : "sign-in");
  }
}

for (const event of ["pointerdown", "keydown"]) document.addEventListener(event, touch, { passive: true });
setInterval(() => here.shell?.tick(), TICK_MILLIS);
begin();
