#!/bin/sh
# Never reads its input.
exec sleep 3600
