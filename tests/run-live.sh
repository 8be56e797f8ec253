#!/bin/sh
# The live tests, as one test of `make check`: real daemons, real programs, real clients.
#
#   tests/run-live.sh [PYTEST-ARGUMENT...]
#
# Most of them wait most of the time, so several run side by side (pytest-xdist); those marked
# `alone` follow one by one. Without pytest-xdist they all run one by one.
#
# HOSTLER_BUILD   the folder with hostlerd (default: the current one)
# HOSTLER_LIVE    "no" skips them all
# HOSTLER_LIVE_JOBS  how many run side by side (default: twice the CPUs, at most 8)
# HOSTLER_LIVE_TIME  seconds after which the whole run is ended (default 600)
#
# The results of each test go to live.xml and live-alone.xml in the build folder's tests/, one line
# each to descriptor 9 (the terminal, under automake).
set -u
here=$(cd "$(dirname "$0")" && pwd -P)
python=${PYTHON3:-/usr/bin/python3}
HOSTLER_BUILD=${HOSTLER_BUILD:-$(pwd -P)}
export HOSTLER_BUILD
# The source tree may be read-only.
PYTHONDONTWRITEBYTECODE=1
HOSTLER_LIVE_LINES=yes
export PYTHONDONTWRITEBYTECODE HOSTLER_LIVE_LINES

if [ "${HOSTLER_LIVE:-yes}" = no ]; then
	echo "skipped: HOSTLER_LIVE=no"
	exit 77
fi
if ! "$python" -c 'import pytest' 2>/dev/null; then
	echo "skipped: $python has no pytest (apt-get install python3-pytest)"
	exit 77
fi
[ -e /dev/fd/9 ] || exec 9>&1

mkdir -p "$HOSTLER_BUILD/tests" || exit 99
status=$HOSTLER_BUILD/tests/live.status
time=${HOSTLER_LIVE_TIME:-600}
end=$(($(date +%s) + time))
rm -f "$HOSTLER_BUILD/tests/live.xml" "$HOSTLER_BUILD/tests/live-alone.xml"
if [ $# -eq 0 ]; then
	set -- live
fi
cd "$here" || exit 99

# Twice the CPUs: a test that waits needs none.
cpus=$(nproc)
jobs=${HOSTLER_LIVE_JOBS:-$((cpus < 4 ? 2 * cpus : 8))}
if [ "$jobs" = 1 ] || ! "$python" -c 'import xdist' 2>/dev/null; then
	side_by_side=
else
	side_by_side="-n $jobs --dist loadgroup"
fi

# part NAME PYTEST-ARGUMENT...: runs pytest for what is left of the time. Its results go to NAME.xml,
# its exit status to $result unless an earlier part failed: 5 says that no part had a test.
result=5
part()
{
	part_xml=$HOSTLER_BUILD/tests/$1.xml
	shift
	part_time=$((end - $(date +%s)))
	{
		# 0 would mean no end at all.
		timeout --kill-after=20 "$((part_time > 0 ? part_time : 1))" \
		    "$python" -m pytest -q -rfEs --tb=short --color=no -p no:cacheprovider \
		    --rootdir="$here/live" --junitxml="$part_xml" "$@" 2>&1
		echo $? >"$status"
	} | while IFS= read -r line; do
		printf '%s\n' "$line"
		case $line in
		PASSED\ [\ 0-9]* | FAILED\ [\ 0-9]* | ERROR\ [\ 0-9]* | SKIPPED\ [\ 0-9]*)
			printf '  live: %s\n' "$line" >&9
			;;
		esac
	done
	part_result=$(cat "$status")
	case $result-$part_result in
	[05]-5) ;;
	[05]-*) result=$part_result ;;
	esac
}

# shellcheck disable=SC2086 # a list of words
part live "$@" $side_by_side -m 'not alone'
case $result in
124 | 137) ;;
*) part live-alone "$@" -m alone ;;
esac
case $result in
124 | 137) echo "the live tests took longer than $time seconds" ;;
5) echo "no live test was found" ;;
esac
exit "$result"
