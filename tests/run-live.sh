#!/bin/sh
# The live tests, as one test of `make check`: real daemons, real programs, real clients.
#
#   tests/run-live.sh [PYTEST-ARGUMENT...]
#
# HOSTLER_BUILD   the folder with hostlerd (default: the current one)
# HOSTLER_LIVE    "no" skips them all
# HOSTLER_LIVE_TIME  seconds after which the whole run is ended (default 600)
#
# The results of each test go to live.xml in the build folder's tests/, one line each to
# descriptor 9 (the terminal, under automake).
set -u
here=$(cd "$(dirname "$0")" && pwd -P)
python=${PYTHON3:-/usr/bin/python3}
HOSTLER_BUILD=${HOSTLER_BUILD:-$(pwd -P)}
export HOSTLER_BUILD
# The source tree may be read-only.
PYTHONDONTWRITEBYTECODE=1
export PYTHONDONTWRITEBYTECODE

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
rm -f "$HOSTLER_BUILD/tests/live.xml" "$status"
if [ $# -eq 0 ]; then
	set -- live
fi
cd "$here" || exit 99
{
	timeout --kill-after=20 "${HOSTLER_LIVE_TIME:-600}" \
	    "$python" -m pytest -v -rfEs --tb=short --color=no -p no:cacheprovider \
	    --rootdir="$here/live" --junitxml="$HOSTLER_BUILD/tests/live.xml" "$@" 2>&1
	echo $? >"$status"
} | while IFS= read -r line; do
	printf '%s\n' "$line"
	case $line in
	*::*PASSED*%] | *::*FAILED*%] | *::*ERROR*%] | *::*SKIPPED*%])
		printf '  live: %s\n' "$line" >&9
		;;
	esac
done
result=$(cat "$status")
case $result in
124 | 137) echo "the live tests took longer than ${HOSTLER_LIVE_TIME:-600} seconds" ;;
5) echo "no live test was found" ;;
esac
exit "$result"
