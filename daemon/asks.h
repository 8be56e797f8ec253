/* Those who wait for one and the same answer, on the control socket. */
#ifndef DAEMON_ASKS_H
#define DAEMON_ASKS_H

#include <jansson.h>

struct control_ask;

/* Empty when it is all zero. */
struct asks {
	struct control_ask **list; /* owns the list; each ask until it is answered */
	unsigned count;
};

/* Takes `ask` over; NULL is nobody. */
void asks_add(struct asks *asks, struct control_ask *ask);
/* Answers all with the same (taken over; NULL as of control_ask_reply()); the list is empty then.
 */
void asks_reply(struct asks *asks, json_t *reply);

#endif
