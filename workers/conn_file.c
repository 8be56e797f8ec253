/*
 * Sends the end of a reply that is a file, straight from it to the socket. Owns the descriptor
 * until all is sent or the connection ends; never reads the file into memory.
 */
#include "workers/conn.h"
#include "workers/service.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <unistd.h>

/* Bytes that a client must take within write_timeout: of more no output waits either, mostly. */
#define CONN_FILE_STEP 65536

void
conn_file_send(struct conn *conn, int fd, uint64_t from, uint64_t length)
{
	conn->service->worker->files++;
	conn->busy->file = (struct conn_file){.fd = fd, .at = from, .left = length};
}

void
conn_file_drop(struct conn *conn)
{
	struct conn_file *file = &conn->busy->file;

	if (file->left == 0)
		return;
	close(file->fd);
	file->left = 0;
	conn->service->worker->files--;
}

/* All is sent: what has waited behind it goes on. */
static void
conn_file_end(struct conn *conn)
{
	close(conn->busy->file.fd);
	conn->service->worker->files--;
	req_sent(conn);
}

bool
conn_file_write(struct conn *conn, size_t *most)
{
	struct conn_busy *busy = conn->busy;
	struct conn_file *file = &busy->file;
	off_t at = (off_t)file->at;
	ssize_t n = sendfile(conn->fd, file->fd, &at, file->left < *most ? file->left : *most);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return errno == EINTR;
	if (n <= 0) {
		conn_close(conn, n == 0 ? "its file became shorter" : "the client left");
		return false;
	}
	file->at += (uint64_t)n;
	file->left -= (uint64_t)n;
	busy->written += (uint64_t)n;
	*most -= (size_t)n;
	if (file->left == 0)
		conn_file_end(conn);
	return true;
}

/* What is in the socket is not the client's yet. */
static int64_t
conn_file_taken(const struct conn *conn)
{
	int queued = 0;

	(void)ioctl(conn->fd, SIOCOUTQ, &queued);
	return (int64_t)conn->busy->written - queued;
}

void
conn_file_mark(struct conn *conn)
{
	struct conn_busy *busy = conn->busy;
	uint64_t left = busy->file.left;

	busy->write_mark += left < CONN_FILE_STEP ? left : CONN_FILE_STEP;
	busy->file.taken = conn_file_taken(conn);
}

bool
conn_file_is_taken(const struct conn *conn)
{
	return conn_file_is_there(conn) &&
	       conn_file_taken(conn) - conn->busy->file.taken >= CONN_FILE_STEP;
}
