/* How many connections this process may have. */
#ifndef CTL_LOAD_LIMIT_H
#define CTL_LOAD_LIMIT_H

/*
 * Raises the soft limit of descriptors to the hard one and sees whether the connections fit.
 * Returns 0, or -1 with a sentence on standard error.
 */
int load_limit_raise(unsigned connections);

#endif
