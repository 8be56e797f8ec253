/* What comes in on a connection of a run. */
#ifndef CTL_LOAD_INPUT_H
#define CTL_LOAD_INPUT_H

#include <event2/util.h>

/* There is something to read, or the end. `arg` is the struct load_conn. */
void load_input_on_read(evutil_socket_t fd, short what, void *arg);

#endif
