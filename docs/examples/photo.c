/*
 * SPDX-License-Identifier: MIT
 *
 * photo.c - the downloads of photo.h: one socket, one ev_io and one ev_timer
 * each.  A download connects, writes its request, and reads the reply into a
 * buffer for the head and then into the photo.  Every way out of it goes
 * through download_end(), which calls back last, when nothing is left that
 * the callback could pull from under it.
 */
#include "photo.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ev.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define PHOTO_SIZE_MAX ((size_t)16 << 20)
#define HEAD_SIZE_MAX 4096
#define REQUEST_SIZE_MAX 1024

typedef void photo_fn(int err, photo *p, void *ctx);

struct download {
	client *client;
	struct download *next;
	struct download **link; /* what points here */
	int fd;
	ev_io io;
	ev_timer timer;
	char request[REQUEST_SIZE_MAX];
	size_t request_size;
	size_t request_sent;
	char head[HEAD_SIZE_MAX + 1];
	size_t head_size;
	bool has_head;
	bool has_length;
	size_t length; /* as announced */
	size_t room;   /* as allocated */
	photo *photo;
	photo_fn *cb;
	void *ctx;
};

struct client {
	struct ev_loop *ev;
	double timeout;
	struct download *first;
	bool is_closing;
};

/* Where a URL leads. */
struct target {
	struct sockaddr_in address;
	char host[INET_ADDRSTRLEN];
	const char *path;
};

const char *photo_strerror(int err)
{
	switch ((enum photo_error)err) {
	case PHOTO_OK:
		return "no error";
	case PHOTO_EURL:
		return "not a URL that can be fetched";
	case PHOTO_EMEMORY:
		return "out of memory";
	case PHOTO_ENETWORK:
		return "the connection failed";
	case PHOTO_ETIMEOUT:
		return "the server took too long";
	case PHOTO_EPROTOCOL:
		return "the reply is not HTTP";
	case PHOTO_ETRUNCATED:
		return "the photo is cut short";
	case PHOTO_ETOOLARGE:
		return "the photo is too large";
	case PHOTO_ENOTFOUND:
		return "no such photo";
	case PHOTO_ESTATUS:
		return "the server refused";
	case PHOTO_ECLOSED:
		return "the client was closed";
	}
	return "unknown error";
}

void photo_free(photo *p)
{
	if (!p)
		return;
	free(p->bytes);
	free(p);
}


/* ---------------------------------------------------------------- The end */

/* Unlink and free `d`, but for its photo. */
static void download_free(struct download *d)
{
	struct ev_loop *ev = d->client->ev;

	ev_io_stop(ev, &d->io);
	ev_timer_stop(ev, &d->timer);
	close(d->fd);
	*d->link = d->next;
	if (d->next)
		d->next->link = d->link;
	free(d);
}

static void download_end(struct download *d, int err)
{
	photo_fn *cb = d->cb;
	void *ctx = d->ctx;
	photo *p = d->photo;

	download_free(d);
	if (err) {
		photo_free(p);
		p = NULL;
	}
	cb(err, p, ctx);
}


/* -------------------------------------------------------------- The reply */

static int body_reserve(struct download *d, size_t room)
{
	if (room > PHOTO_SIZE_MAX)
		return PHOTO_ETOOLARGE;
	if (room <= d->room)
		return 0;
	/* Where no length was announced, double it: copying stays linear. */
	if (!d->has_length && room < 2 * d->room)
		room = 2 * d->room;

	unsigned char *bytes = realloc(d->photo->bytes, room);

	if (!bytes)
		return PHOTO_EMEMORY;
	d->photo->bytes = bytes;
	d->room = room;
	return 0;
}

static int body_append(struct download *d, const char *bytes, size_t size)
{
	photo *p = d->photo;

	if (d->has_length && size > d->length - p->size)
		size = d->length - p->size;
	if (size == 0)
		return 0;

	int err = body_reserve(d, p->size + size);

	if (err)
		return err;
	memcpy(p->bytes + p->size, bytes, size);
	p->size += size;
	return 0;
}

static int read_status(const char *line)
{
	static const char digits[] = "0123456789";

	/* "HTTP/1.0 200 OK"; strspn keeps all of this inside the line. */
	if (strncmp(line, "HTTP/1.", 7) != 0 || strspn(line + 7, digits) != 1 ||
	    line[8] != ' ' || strspn(line + 9, digits) != 3 ||
	    (line[12] != '\0' && line[12] != ' '))
		return PHOTO_EPROTOCOL;
	if (strncmp(line + 9, "404", 3) == 0)
		return PHOTO_ENOTFOUND;
	return strncmp(line + 9, "200", 3) == 0 ? 0 : PHOTO_ESTATUS;
}

static int read_length(struct download *d, const char *text)
{
	if (*text == '\0' || text[strspn(text, "0123456789")] != '\0')
		return PHOTO_EPROTOCOL;

	unsigned long long length = strtoull(text, NULL, 10);

	if (length > PHOTO_SIZE_MAX)
		return PHOTO_ETOOLARGE;
	if (d->has_length && d->length != length)
		return PHOTO_EPROTOCOL;
	d->has_length = true;
	d->length = (size_t)length;
	return body_reserve(d, d->length);
}

static int read_field(struct download *d, char *line)
{
	char *value = strchr(line, ':');

	if (!value)
		return PHOTO_EPROTOCOL;
	*value++ = '\0';
	value += strspn(value, " \t");
	for (size_t n = strlen(value); n && strchr(" \t", value[n - 1]); n--)
		value[n - 1] = '\0';

	if (strcasecmp(line, "Content-Length") == 0)
		return read_length(d, value);
	if (strcasecmp(line, "Transfer-Encoding") == 0)
		return PHOTO_EPROTOCOL; /* HTTP/1.0 knows none */
	if (strcasecmp(line, "Content-Type") == 0)
		snprintf(d->photo->type, sizeof(d->photo->type), "%s", value);
	return 0;
}

/* Read the head, `end` being its blank line. */
static int read_head(struct download *d, char *end)
{
	char *line = d->head;

	*end = '\0';
	d->has_head = true;
	d->photo = calloc(1, sizeof(*d->photo));
	if (!d->photo)
		return PHOTO_EMEMORY;

	char *next = strstr(line, "\r\n");

	if (next)
		*next = '\0';
	int err = read_status(line);

	while (!err && next) {
		line = next + 2;
		next = strstr(line, "\r\n");
		if (next)
			*next = '\0';
		err = read_field(d, line);
	}
	return err;
}

/* Take what came from the server, head or body. */
static int reply_append(struct download *d, const char *bytes, size_t size)
{
	if (d->has_head)
		return body_append(d, bytes, size);

	size_t room = HEAD_SIZE_MAX - d->head_size;
	size_t taken = size < room ? size : room;

	memcpy(d->head + d->head_size, bytes, taken);
	d->head_size += taken;

	/* The head was zeroed, and has room for a NUL behind its last byte. */
	char *end = strstr(d->head, "\r\n\r\n");

	if (!end)
		return taken < size ? PHOTO_EPROTOCOL : 0;
	/* What stands behind the blank line begins the body. */
	size_t extra = d->head_size - (size_t)(end + 4 - d->head);
	int err = read_head(d, end);

	if (!err)
		err = body_append(d, end + 4, extra);
	return err ? err : body_append(d, bytes + taken, size - taken);
}

static bool reply_is_complete(const struct download *d)
{
	return d->has_head && d->has_length && d->photo->size == d->length;
}

/* The server has closed the connection. */
static int reply_end(const struct download *d)
{
	if (!d->has_head)
		return PHOTO_EPROTOCOL;
	return d->has_length ? PHOTO_ETRUNCATED : 0;
}


/* ------------------------------------------------------------- The socket */

static bool is_transient(int code)
{
	return code == EAGAIN || code == EWOULDBLOCK || code == EINTR;
}

static void on_reply(struct ev_loop *ev, ev_io *io, int events)
{
	struct download *d = io->data;
	char bytes[16384];
	ssize_t n = recv(d->fd, bytes, sizeof(bytes), 0);
	int err = 0;

	(void)ev;
	(void)events;
	if (n < 0 && is_transient(errno))
		return;
	if (n < 0)
		err = PHOTO_ENETWORK;
	else if (n == 0)
		err = reply_end(d);
	else
		err = reply_append(d, bytes, (size_t)n);

	if (err || n == 0 || reply_is_complete(d))
		download_end(d, err);
}

static void on_writable(struct ev_loop *ev, ev_io *io, int events)
{
	struct download *d = io->data;
	/* A connection that was refused says so here as well. */
	ssize_t n = send(d->fd, d->request + d->request_sent,
			 d->request_size - d->request_sent, MSG_NOSIGNAL);

	(void)events;
	if (n < 0 && is_transient(errno))
		return;
	if (n < 0) {
		download_end(d, PHOTO_ENETWORK);
		return;
	}
	d->request_sent += (size_t)n;
	if (d->request_sent < d->request_size)
		return;
	ev_io_stop(ev, io);
	ev_io_init(io, on_reply, d->fd, EV_READ);
	ev_io_start(ev, io);
}

static void on_timeout(struct ev_loop *ev, ev_timer *timer, int events)
{
	(void)ev;
	(void)events;
	download_end(timer->data, PHOTO_ETIMEOUT);
}


/* -------------------------------------------------------------- The start */

/* Numbers only: to look a name up would block. */
static int url_parse(const char *url, struct target *to)
{
	if (strncmp(url, "http://", 7) != 0)
		return PHOTO_EURL;
	url += 7;

	size_t size = strcspn(url, ":/");
	unsigned long port = 80;

	if (size >= sizeof(to->host))
		return PHOTO_EURL;
	memcpy(to->host, url, size);
	to->host[size] = '\0';
	url += size;
	if (*url == ':') {
		size = strspn(url + 1, "0123456789");
		port = size && size <= 5 ? strtoul(url + 1, NULL, 10) : 0;
		url += 1 + size;
	}
	/* A space or a line end would let a URL write headers of its own. */
	for (const char *s = url; *s; s++) {
		if (*s <= ' ' || *s > '~')
			return PHOTO_EURL;
	}
	to->address = (struct sockaddr_in){ .sin_family = AF_INET };
	if (port == 0 || port > 65535 || (*url && *url != '/') ||
	    inet_pton(AF_INET, to->host, &to->address.sin_addr) != 1)
		return PHOTO_EURL;
	to->address.sin_port = htons((uint16_t)port);
	to->path = *url ? url : "/";
	return 0;
}

/* A socket that is connected or connecting, or -1. */
static int connect_to(const struct sockaddr_in *address)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;

	int code =
		connect(fd, (const struct sockaddr *)address, sizeof(*address));

	if (code < 0 && errno != EINPROGRESS) {
		close(fd);
		return -1;
	}
	return fd;
}

static int request_write(struct download *d, const struct target *to)
{
	int n = snprintf(d->request, sizeof(d->request),
			 "GET %s HTTP/1.0\r\nHost: %s:%u\r\n"
			 "Connection: close\r\n\r\n",
			 to->path, to->host, ntohs(to->address.sin_port));

	if (n < 0 || (size_t)n >= sizeof(d->request))
		return PHOTO_EURL;
	d->request_size = (size_t)n;
	return 0;
}

/* Put `d`, whose socket is connecting, under the eyes of libev. */
static void download_start(struct download *d)
{
	client *c = d->client;

	d->next = c->first;
	d->link = &c->first;
	if (d->next)
		d->next->link = &d->next;
	c->first = d;

	ev_io_init(&d->io, on_writable, d->fd, EV_WRITE);
	d->io.data = d;
	ev_io_start(c->ev, &d->io);
	ev_now_update(c->ev);
	ev_timer_init(&d->timer, on_timeout, c->timeout, 0);
	d->timer.data = d;
	ev_timer_start(c->ev, &d->timer);
}

int download_photo(client *c, const char *url,
		   void (*cb)(int err, photo *p, void *ctx), void *ctx)
{
	struct target to;
	int err = c->is_closing ? PHOTO_ECLOSED : url_parse(url, &to);

	if (err)
		return err;

	struct download *d = calloc(1, sizeof(*d));

	if (!d)
		return PHOTO_EMEMORY;
	d->client = c;
	d->cb = cb;
	d->ctx = ctx;
	err = request_write(d, &to);
	if (err)
		goto fail;
	d->fd = connect_to(&to.address);
	if (d->fd < 0) {
		err = PHOTO_ENETWORK;
		goto fail;
	}
	download_start(d);
	return 0;

fail:
	free(d);
	return err;
}

void download_cancel(client *c, const void *ctx)
{
	for (struct download *d = c->first; d; d = d->next) {
		if (d->ctx == ctx) {
			photo_free(d->photo);
			download_free(d);
			return;
		}
	}
}

client *client_new(struct ev_loop *ev, double timeout)
{
	client *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->ev = ev;
	c->timeout = timeout;
	return c;
}

void client_free(client *c)
{
	if (!c)
		return;
	c->is_closing = true;
	while (c->first)
		download_end(c->first, PHOTO_ECLOSED);
	free(c);
}
