/*
 * The orders of the control socket: each looks whether it can be done, begins it, and says what was
 * begun. Owns nothing; the work is that of the master's parts.
 */
#include "daemon/order.h"

#include "daemon/master.h"

/* ---- stop ---- */

static const struct control_argument order_stop_arguments[] = {
    {"quick", CONTROL_BOOL},
    {NULL, CONTROL_BOOL},
};

/* As TERM and INT. The reply is in the socket before the first step of the stop is taken. */
static json_t *
order_stop(void *arg, const json_t *request, struct control_ask *ask)
{
	struct master *master = arg;
	bool quick = json_is_true(json_object_get(request, "quick"));

	(void)ask;
	if (quick)
		stop_now(master, "hostlerctl stop --quick");
	else
		stop_gracefully(master, "hostlerctl stop");
	quick = master->stop.phase == STOP_KILLING;
	return control_done(json_pack("{s:b, s:I, s:o}", "quick", quick, "connections",
	    (json_int_t)stats_open(master->sum), "timeout",
	    quick ? json_real(0)
		  : json_real((double)master->conf->shutdown_timeout / CLOCK_SECOND)));
}

/* ---- the table ---- */

const struct control_command order_commands[] = {
    {"stop", order_stop, order_stop_arguments},
    {NULL, NULL, NULL},
};
