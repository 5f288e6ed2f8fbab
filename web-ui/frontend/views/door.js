// Coming in: sign in, or set up the first person.

import { api } from "../api.js";
import { el, say } from "../dom.js";
import { t } from "../words/index.js";
import { problemText } from "../words/problem.js";
import { languageButton, themeButton } from "../parts/bar.js";

function field(id, label, attributes) {
  const input = el("input", { id, required: true, maxlength: "200", ...attributes });
  return { input, nodes: [el("label", { for: id }, label), input] };
}

function frame(title, ...content) {
  return el(
    "main",
    { class: "door" },
    el("div", { class: "door-tools" }, languageButton(), themeButton()),
    el("div", { class: "door-card panel" }, el("img", { src: "/icon.svg", alt: "", width: "48", height: "48" }), el("h1", {}, title), ...content),
  );
}

function makeForm(fields, button, send) {
  const error = el("p", { class: "error", role: "alert" });
  const submit = el("button", { type: "submit", class: "primary", id: "enter" }, button);
  const form = el("form", { on: { submit: onSubmit } }, ...fields.flatMap((one) => one.nodes), error, submit);
  async function onSubmit(event) {
    event.preventDefault();
    submit.disabled = true;
    say(error, "");
    try {
      await send((text) => say(error, text));
    } catch (problem) {
      say(error, problemText(problem));
    }
    submit.disabled = false;
  }
  return form;
}

export function makeSignIn(onPerson, note) {
  const name = field("name", t("door.name"), { autocomplete: "username", autocapitalize: "none", spellcheck: "false" });
  const password = field("password", t("door.password"), { type: "password", autocomplete: "current-password" });
  const form = makeForm([name, password], t("door.signIn"), async () => onPerson(await api.signIn(name.input.value, password.input.value)));
  return frame(t("door.signIn"), note ? el("p", { class: "note" }, t(note)) : null, form);
}

export function makeSetUp(onPerson) {
  const code = field("code", t("door.code"), { autocomplete: "off", autocapitalize: "characters", spellcheck: "false" });
  const name = field("name", t("door.name"), { autocomplete: "username", autocapitalize: "none", spellcheck: "false" });
  const password = field("password", `${t("door.password")} · ${t("door.passwordRule")}`, { type: "password", autocomplete: "new-password", minlength: "12" });
  const again = field("password-again", t("door.passwordAgain"), { type: "password", autocomplete: "new-password" });
  const form = makeForm([code, name, password, again], t("door.make"), async (complain) => {
    if (password.input.value !== again.input.value) return complain(t("door.differ"));
    onPerson(await api.setUp(code.input.value, name.input.value, password.input.value));
  });
  return frame(t("door.setUp"), el("p", {}, t("door.setUpText")), form);
}
