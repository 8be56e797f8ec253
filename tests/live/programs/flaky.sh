#!/bin/sh
# Ends at once, with a complaint, until the file in $1 exists; then it is a good program.
if [ ! -e "$1" ]; then
	echo "cannot work without $1" >&2
	exit 9
fi
exec sed -u 's/.*/good &/'
