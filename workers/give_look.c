/*
 * Who goes next when connections are given away: first those that can go at once, then those that
 * have a request under way are marked, to go when it is answered. So many in a turn, so that
 * clients are served in between; where it stopped it goes on. Sends nothing itself.
 */
#include "workers/conn.h"
#include "workers/frozen.h"
#include "workers/give.h"
#include "workers/give_self.h"
#include "workers/service.h"
#include "workers/worker.h"

#define GIVE_BATCH 64 /* connections in one turn */

/* Each order begins with another one: who waits long in one does not hold up all others. */
static struct service *
give_look_service(const struct give *give)
{
	return &give->worker->services[(give->order + give->services) %
				       give->worker->start->conf->service_count];
}

static uint64_t
give_look_count(const struct service *service)
{
	const struct conn *conn;
	uint64_t count = 0;

	TAILQ_FOREACH (conn, &service->conns, in_service)
		count++;
	return count;
}

/*
 * The next idle one; NULL where there is none, or one that cannot go: then it is the other list's
 * turn.
 */
static struct conn *
give_look_idle(struct give *give)
{
	struct deadline *first;
	struct conn *conn;

	while (give->services < give->worker->start->conf->service_count) {
		first = TAILQ_FIRST(&give_look_service(give)->idles.list);
		conn = first != NULL ? conn_of_wait(first) : NULL;
		if (conn != NULL && give_can_ever(conn) && frozen_may(conn))
			return conn;
		give->services++;
	}
	return NULL;
}

/*
 * The next one, the longest unlooked of each service first; NULL when all were looked at. It goes
 * behind the others of its service, so that those in front were not looked at yet; where some of
 * them were closed since, a few are looked at twice.
 */
static struct conn *
give_look_next(struct give *give)
{
	struct conn_list *conns;
	struct conn *conn;

	if (give->for_whom == GIVE_LOOK_IDLE)
		return give_look_idle(give);
	while (give->unlooked == 0) {
		if (give->services == give->worker->start->conf->service_count)
			return NULL;
		give->services++;
		give->unlooked = give_look_count(give_look_service(give));
	}
	conns = &give_look_service(give)->conns;
	conn = TAILQ_FIRST(conns);
	if (conn == NULL) {
		give->unlooked = 0;
		return give_look_next(give);
	}
	give->unlooked--;
	TAILQ_REMOVE(conns, conn, in_service);
	TAILQ_INSERT_TAIL(conns, conn, in_service);
	return conn;
}

/* False when no more can go now. */
static bool
give_look_at(struct give *give, struct conn *conn)
{
	if (conn->leaving || !give_can_ever(conn) ||
	    (give->for_whom != GIVE_LOOK_MARK && !frozen_may(conn)))
		return true;
	give->left--;
	give->credits--;
	if (frozen_may(conn))
		return give_connection(give, conn);
	conn->leaving = true;
	give->marked++;
	return true;
}

static void
give_look_for(struct give *give, enum give_look for_whom)
{
	give->looking = true;
	give->for_whom = for_whom;
	give->services = 0;
	give->unlooked = 0;
}

void
give_look_turn(struct give *give)
{
	struct conn *conn;

	if (!give->looking) {
		give->look = false;
		give_look_for(give, GIVE_LOOK_IDLE);
	}
	for (int i = 0; i < GIVE_BATCH && give->left > 0 && give->credits > 0; i++) {
		conn = give_look_next(give);
		if (conn == NULL && give->for_whom < GIVE_LOOK_MARK) {
			give_look_for(give, give->for_whom + 1);
			continue;
		}
		give->looking = conn != NULL;
		if (conn == NULL || !give_look_at(give, conn))
			return;
	}
}

bool
give_look_may(const struct give *give)
{
	return (give->look || give->looking) && !give->ended && !give->full && give->now == NULL &&
	       give->left > 0 && give->credits > 0;
}
