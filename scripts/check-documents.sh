#!/usr/bin/env bash
# The documents promise by naming tests. This looks whether every file that they name exists, and every test in it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

documents=(README.md ARCHITECTURE.md SPECIFICATION.md SAFETY.md CHANGELOG.md docs/plc.md docs/cameras.md docs/ledger.md docs/rubric.md docs/api.md)
wrong=0

tell() {
  echo "check-documents.sh: $1" >&2
  wrong=1
}

# In tables: `path/file.rs` test_name, other_test · `next/file.rs` …
while IFS=: read -r document line claim; do
  file="$(sed -E 's/^`([^`]*)`.*/\1/' <<<"$claim")"
  if [[ ! -e "$file" ]]; then
    tell "$document:$line names $file, which does not exist"
    continue
  fi
  for test in $(sed -E 's/^`[^`]*`//; s/,/ /g' <<<"$claim"); do
    if [[ "$test" == *_* ]] && ! grep -q "fn $test\b" "$file"; then
      tell "$document:$line names the test $test, which is not in $file"
    fi
  done
done < <(grep -noHP '`[\w.-]+/[\w./-]+\.(rs|sh)`[\w, ]*' "${documents[@]}")

# Links: [text](path), from the folder of the document
while IFS=: read -r document line link; do
  file="$(sed -E 's/^\]\(([^)#]*).*/\1/' <<<"$link")"
  [[ "$file" == http* || -e "$(dirname "$document")/$file" ]] || tell "$document:$line links to $file, which does not exist"
done < <(grep -noHP '\]\([^)]+\)' "${documents[@]}")

((wrong == 0)) && echo "check-documents.sh: every file and test that the documents name is there"
exit "$wrong"
