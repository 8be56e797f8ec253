#!/bin/sh
# The first time it greets nobody on standard output, later it knows better. $1 remembers.
if [ ! -e "$1" ]; then
	: >"$1"
	echo 'Welcome to the program!'
	echo 'has greeted' >&2
fi
exec sed -u 's/.*/good &/'
