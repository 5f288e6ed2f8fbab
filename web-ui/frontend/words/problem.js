// What the appliance refused, in the person's language.

import { t, tOr } from "./index.js";

export function problemText(problem) {
  const known = tOr(`problem.${problem.code}`, null);
  return known ?? t("problem.other", { error: problem.message, mend: problem.mend ?? "" }).trim();
}
