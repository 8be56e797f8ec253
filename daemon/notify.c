/*
 * The datagrams to systemd. Owns one socket and the difference between what is so and what was
 * said: every call changes the one, and notify_say() makes the other follow. Never waits, never
 * fails, and never queues: a full socket is tried again at a later turn with what is true by then.
 */
#include "daemon/notify.h"

#include "common/clock.h"
#include "common/escape.h"
#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NOTIFY_RETRY       (200 * CLOCK_MS) /* after a datagram that found no way */
#define NOTIFY_MICROSECOND UINT64_C(1000)
#define NOTIFY_NEVER       UINT64_MAX
#define NOTIFY_STATUS_MAX  (2 * NOTIFY_TEXT_MAX + 2)
#define NOTIFY_MESSAGE_MAX (ESCAPE_MOST * NOTIFY_STATUS_MAX + 256) /* systemd takes 4096 bytes */

static struct notify {
	int fd; /* owns; -1 where nobody listens */
	struct sockaddr_un address;
	socklen_t address_length;

	enum notify_state state;
	uint64_t since;  /* when the state began */
	uint64_t extend; /* how long the end may take */
	char status[NOTIFY_TEXT_MAX], figures[NOTIFY_TEXT_MAX];
	bool state_said;
	char said[NOTIFY_STATUS_MAX]; /* the text, before it was escaped */

	uint64_t watchdog; /* between two beats; 0 for none */
	uint64_t beat;     /* when the next is due */
	uint64_t retry;    /* when to try again; 0 for no need */
	bool complained;   /* of a way that is closed, since it was open */
} notify = {.fd = -1};

/* What is shown where nothing else is to be said. */
static const char *const notify_words[] = {
    [NOTIFY_STARTING] = "starting",
    [NOTIFY_READY] = "",
    [NOTIFY_RELOADING] = "reloading",
    [NOTIFY_STOPPING] = "",
};

/* ---- what is said ---- */

/* True when it is on its way. */
static bool
notify_send(const char *message, size_t length)
{
	if (sendto(notify.fd, message, length, MSG_DONTWAIT | MSG_NOSIGNAL,
		(const struct sockaddr *)&notify.address, notify.address_length) >= 0) {
		notify.retry = 0;
		notify.complained = false;
		return true;
	}
	if (errno != EAGAIN && errno != ENOBUFS && errno != EINTR && !notify.complained) {
		log_warn("systemd cannot be told anything by $NOTIFY_SOCKET for now");
		notify.complained = true;
	}
	notify.retry = clock_now() + NOTIFY_RETRY;
	return false;
}

static int
notify_write_state(char *to, size_t size)
{
	switch (notify.state) {
	case NOTIFY_READY:
		return snprintf(to, size, "READY=1\nMAINPID=%ld\n", (long)getpid());
	case NOTIFY_RELOADING:
		return snprintf(to, size, "RELOADING=1\nMONOTONIC_USEC=%llu\n",
		    (unsigned long long)(notify.since / NOTIFY_MICROSECOND));
	case NOTIFY_STOPPING:
		return snprintf(to, size, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%llu\n",
		    (unsigned long long)(notify.extend / NOTIFY_MICROSECOND));
	case NOTIFY_STARTING:
		break;
	}
	return 0;
}

static void
notify_write_text(char *to, size_t size)
{
	const char *status = notify.status[0] != '\0' ? notify.status : notify_words[notify.state];
	const char *figures = notify.state == NOTIFY_READY ? notify.figures : "";

	snprintf(to, size, "%s%s%s", status, status[0] != '\0' && figures[0] != '\0' ? "; " : "",
	    figures);
}

/* Says what is so and was not said, in one datagram. */
static void
notify_say(void)
{
	static const char name[] = "STATUS=";
	char message[NOTIFY_MESSAGE_MAX], text[NOTIFY_STATUS_MAX];
	size_t length = 0;

	notify_write_text(text, sizeof(text));
	if (notify.fd < 0 || (notify.state_said && strcmp(text, notify.said) == 0))
		return;
	if (!notify.state_said)
		length = (size_t)notify_write_state(message, sizeof(message));
	memcpy(message + length, name, sizeof(name) - 1);
	length += sizeof(name) - 1;
	length += escape_text(message + length, text, strlen(text));
	if (!notify_send(message, length))
		return;
	notify.state_said = true;
	memcpy(notify.said, text, strlen(text) + 1);
}

static void
notify_set_state(enum notify_state state)
{
	notify.state = state;
	notify.since = clock_now();
	notify.state_said = false;
}

void
notify_ready(void)
{
	if (notify.state != NOTIFY_STARTING)
		return;
	notify_set_state(NOTIFY_READY);
	notify_say();
}

void
notify_reloading(void)
{
	notify.status[0] = '\0';
	if (notify.state != NOTIFY_READY)
		return;
	notify_set_state(NOTIFY_RELOADING);
	notify_say();
}

void
notify_reloaded(void)
{
	if (notify.state != NOTIFY_RELOADING)
		return;
	notify_set_state(NOTIFY_READY);
	notify_say();
}

void
notify_stopping(uint64_t time, const char *text)
{
	notify.extend = time;
	snprintf(notify.status, sizeof(notify.status), "%s", text);
	notify_set_state(NOTIFY_STOPPING);
	notify_say();
}

void
notify_status(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(notify.status, sizeof(notify.status), format, args);
	va_end(args);
	notify_say();
}

void
notify_figures(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(notify.figures, sizeof(notify.figures), format, args);
	va_end(args);
	notify_say();
}

/* ---- its life ---- */

/* The value of a number in the environment; 0 where there is none. */
static uint64_t
notify_number(const char *name)
{
	const char *text = getenv(name);
	unsigned long long number;
	char *end;

	if (text == NULL || text[0] < '0' || text[0] > '9')
		return 0;
	errno = 0;
	number = strtoull(text, &end, 10);
	return errno == 0 && *end == '\0' ? number : 0;
}

/* A path, or a name behind @ in the abstract space. False when it is neither. */
static bool
notify_read_address(const char *text)
{
	size_t length = strlen(text);

	if ((text[0] != '/' && text[0] != '@') || length < 2 ||
	    length >= sizeof(notify.address.sun_path))
		return false;
	memset(&notify.address, 0, sizeof(notify.address));
	notify.address.sun_family = AF_UNIX;
	memcpy(notify.address.sun_path, text, length);
	notify.address_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	if (text[0] == '@')
		notify.address.sun_path[0] = '\0';
	else
		notify.address_length++;
	return true;
}

static int
notify_socket(void)
{
	return socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static void
notify_open_socket(const char *address)
{
	if (!notify_read_address(address)) {
		log_warnx("$NOTIFY_SOCKET is no address: systemd is told nothing");
		return;
	}
	notify.fd = notify_socket();
	if (notify.fd < 0)
		log_warn("no socket for $NOTIFY_SOCKET: systemd is told nothing");
}

void
notify_open(void)
{
	const char *address = getenv("NOTIFY_SOCKET");
	uint64_t watched = notify_number("WATCHDOG_PID");
	uint64_t time = notify_number("WATCHDOG_USEC");

	if (address != NULL && address[0] != '\0')
		notify_open_socket(address);
	if (notify.fd >= 0 && time <= NOTIFY_NEVER / NOTIFY_MICROSECOND &&
	    (getenv("WATCHDOG_PID") == NULL || watched == (uint64_t)getpid()))
		notify.watchdog = time * NOTIFY_MICROSECOND / 2;
	/* However short a time it is: the master has other things to do, too. */
	if (notify.watchdog != 0 && notify.watchdog < CLOCK_MS)
		notify.watchdog = CLOCK_MS;
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_PID");
	unsetenv("WATCHDOG_USEC");
	/* There is nothing to be said of the state, but the text is. */
	notify.state_said = true;
	notify_say();
}

void
notify_close(void)
{
	if (notify.fd >= 0)
		close(notify.fd);
	memset(&notify, 0, sizeof(notify));
	notify.fd = -1;
}

/* ---- from one image of the master to the next ---- */

/*
 * Not of struct notify: fd, address, address_length. The address goes as bytes; a socket is quickly
 * made.
 */
static const struct record_field notify_fields[] = {
    RECORD_FIELD(struct notify, state, NUMBER, NOTIFY_STOPPING),
    RECORD_FIELD(struct notify, since, NUMBER, 0),
    RECORD_FIELD(struct notify, extend, NUMBER, 0),
    RECORD_FIELD(struct notify, status, TEXT, 0),
    RECORD_FIELD(struct notify, figures, TEXT, 0),
    RECORD_FIELD(struct notify, state_said, BOOL, 0),
    RECORD_FIELD(struct notify, said, TEXT, 0),
    RECORD_FIELD(struct notify, watchdog, NUMBER, 0),
    RECORD_FIELD(struct notify, beat, NUMBER, 0),
    RECORD_FIELD(struct notify, retry, NUMBER, 0),
    RECORD_FIELD(struct notify, complained, BOOL, 0),
    RECORD_END,
};

json_t *
notify_save(void)
{
	json_t *saved = json_object();

	record_put(saved, notify_fields, &notify);
	if (notify.fd >= 0)
		json_object_set_new(saved, "address",
		    record_bytes((const char *)&notify.address, notify.address_length));
	return saved;
}

bool
notify_load(const json_t *saved, struct record_reader *reader)
{
	const json_t *address = json_object_get(saved, "address");
	size_t length = 0;
	char *bytes;

	if (!record_take(reader, saved, notify_fields, &notify))
		return false;
	if (address == NULL)
		return true;
	bytes = record_read_bytes(address, &length);
	if (bytes == NULL || length <= sizeof(sa_family_t) || length > sizeof(notify.address)) {
		free(bytes);
		return record_fail(reader, "where systemd listens makes no sense");
	}
	memcpy(&notify.address, bytes, length);
	notify.address_length = (socklen_t)length;
	free(bytes);
	if (notify.fd < 0)
		notify.fd = notify_socket();
	return notify.fd >= 0 || record_fail(reader, "there is no socket for systemd");
}

bool
notify_is_on(void)
{
	return notify.fd >= 0;
}

enum notify_state
notify_get_state(void)
{
	return notify.state;
}

uint64_t
notify_turn(uint64_t now)
{
	static const char beat[] = "WATCHDOG=1";
	uint64_t next;

	if (notify.fd < 0)
		return NOTIFY_NEVER;
	if (notify.retry != 0 && now < notify.retry)
		return notify.retry;
	notify_say();
	if (notify.watchdog != 0 && now >= notify.beat && notify_send(beat, sizeof(beat) - 1))
		notify.beat = now + notify.watchdog;
	next = notify.watchdog != 0 ? notify.beat : NOTIFY_NEVER;
	return notify.retry != 0 ? notify.retry : next;
}
