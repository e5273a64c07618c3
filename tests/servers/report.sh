# shellcheck shell=bash
# Reports the tests that did not run after the tests' process has ended.
for path in "/proc/$$/fd"/*; do
  fd=${path##*/}
  if ((fd > 2)); then exec {fd}>&-; fi
done

declare -A tests=() counts=()
while IFS=$'\t' read -r need name; do
  tests[$need]+=${tests[$need]:+, }$name
  counts[$need]=$((${counts[$need]-0} + 1))
done
for need in "${!tests[@]}"; do
  printf 'NOT RUN: %d that report "ok" but need %s (./check --install): %s\n' \
    "${counts[$need]}" "$need" "${tests[$need]}"
done >&2
