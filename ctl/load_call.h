/*
 * The course of `hostler-load call`: each text is asked in turn, its reply printed in a line.
 *
 * What may have been executed is not asked again, unless it was allowed: only a connection that
 * could not be made, a request of which no byte left, and `ERR busy` (it was never begun).
 */
#ifndef CTL_LOAD_CALL_H
#define CTL_LOAD_CALL_H

#include "ctl/load_call_options.h"

/* The exit status: 0, 1 an ERR or no answer, 3 unreachable. */
int load_call(const struct load_call_options *options);

#endif
