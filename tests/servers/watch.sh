# shellcheck shell=bash
# Leads a group of processes, and ends them when its input has a line or closes.

# Close the descriptors that the tests' own caller has left open.
for path in "/proc/$$/fd"/*; do
  fd=${path##*/}
  if ((fd > 2)); then exec {fd}>&-; fi
done
exec 2>/dev/null
trap '' HUP INT QUIT TERM

# Puts the processes of this group into `doomed`, with their descendants and with those that were
# in it before and still run. (PostgreSQL's processes leave the group.)
find_doomed() {
  local stat line id fields is_new=1
  local -A parents=() before=()
  for id in "${!doomed[@]}"; do before[$id]=1; done
  doomed=()
  for stat in /proc/[0-9]*/stat; do
    line=
    IFS= read -rd '' line <"$stat"
    # "id (name) state parent group …"
    # shellcheck disable=SC2206 # the state, and numbers
    id=${line%% *} fields=(${line##*) })
    [[ -n $id && $id != "$$" && ${fields[0]} != [ZX] ]] || continue
    parents[$id]=${fields[1]}
    [[ ${fields[2]} != "$$" && -z ${before[$id]-} ]] || doomed[id]=1
  done
  while ((is_new)); do
    is_new=0
    for id in "${!parents[@]}"; do
      [[ -z ${doomed[id]-} && -n ${doomed[parents[$id]]-} ]] || continue
      doomed[id]=1 is_new=1
    done
  done
}

# A line means: kill them all. If the input closes without one, the tests' process is gone, and
# servers get five seconds to clean up.
signal=KILL
read -r || signal=INT
doomed=() deadline=$((SECONDS + 5))
for ((round = 0; ; round++)); do
  find_doomed
  ((${#doomed[@]})) || break
  ((SECONDS < deadline)) || signal=KILL
  [[ $signal == INT && $round -gt 0 ]] || kill -s "$signal" "${!doomed[@]}"
  sleep 0.02
done
