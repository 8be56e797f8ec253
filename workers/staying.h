/* What a worker that drains still has to finish, told to whoever asks hostlerctl. */
#ifndef WORKERS_STAYING_H
#define WORKERS_STAYING_H

struct worker;

/* Counts its connections with a request under way, and others that cannot move. */
void staying_tell(struct worker *worker);

#endif
