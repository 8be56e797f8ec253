/* What a worker tells about its connections when the master asks. */
#ifndef WORKERS_LISTING_H
#define WORKERS_LISTING_H

#include "ipc/msg.h"

struct worker;

/* Answers a LIST: writes into the file, closes it, and sends LISTED. */
void listing_write(struct worker *worker, const struct msg_list *list, int file);

#endif
