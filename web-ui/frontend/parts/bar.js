// The bar on top: where we are, whether what we see is fresh, who we are, and the stop button.

import { el, mark, say } from "../dom.js";
import { lasting } from "../format.js";
import { choose, nextTheme, preferences } from "../preferences.js";
import { t } from "../words/index.js";
import { shape } from "./shapes.js";
import { makeStopButton } from "./stopbutton.js";

/** The station shows something at least this often; without it the picture is not the present. */
const AGE_MILLIS_MAX = 5000;

export function languageButton() {
  const other = preferences.language === "zh" ? "en" : "zh";
  const press = () => choose("language", other);
  return el(
    "button",
    { type: "button", class: "plain", id: "language", lang: other === "zh" ? "zh-CN" : "en", title: t("language.choose"), on: { click: press } },
    t("language.other"),
  );
}

export function themeButton() {
  const press = () => choose("theme", nextTheme());
  return el("button", { type: "button", class: "plain", id: "theme", title: t("theme.choose"), on: { click: press } }, shape("theme"), t(`theme.${preferences.theme}`));
}

export function makeBar(person, onSignOut) {
  const line = el("strong", { class: "bar-line" });
  const recipe = el("span", { class: "bar-recipe" });
  const simulated = el("strong", { class: "simulated", id: "simulated", hidden: true }, t("simulated"));
  const age = el("span", { class: "bar-age" });
  const node = el(
    "header",
    { class: "bar" },
    el("div", { class: "bar-where" }, line, recipe),
    simulated,
    age,
    el("div", { class: "bar-person" }, el("span", { id: "person" }, person.name), el("small", {}, t(`role.${person.role}`))),
    languageButton(),
    themeButton(),
    el("button", { type: "button", class: "plain", id: "sign-out", on: { click: onSignOut } }, t("bar.signOut")),
    makeStopButton(),
  );
  const warning = el("div", { class: "warning", role: "status", hidden: true });

  return {
    node,
    warning,
    update({ snapshot, health }) {
      say(line, snapshot.line);
      say(recipe, `${t("bar.recipe")} ${snapshot.recipe} · ${snapshot.model}`);
      mark(recipe, "title", recipe.textContent);
      simulated.hidden = !health.simulated;
    },
    /** Called twice a second: ages go on when nothing comes. */
    tick(live) {
      const silence = live.silence();
      const stale = live.age() > AGE_MILLIS_MAX;
      say(age, silence || stale ? t("bar.age", { age: lasting(live.age()) }) : t("bar.live"));
      warning.hidden = !(silence || stale);
      if (silence) say(warning, t("bar.lost", { age: lasting(silence) }));
      else if (stale) say(warning, t("bar.silent", { age: lasting(live.age()) }));
      document.body.classList.toggle("old", Boolean(silence || stale));
    },
  };
}
